//! What a reporting server has.

use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::id::ClusterId;
use crate::sql::ident;

use super::catalog::{self, Column};
use super::object::{Kind, REPORT};
use super::{marker, name};

/// What a reporting server has that is ours, or has the name of something that would be ours.
#[derive(Debug, Default)]
pub(super) struct Existing {
    /// The role that is asking.
    pub(super) me: String,
    pub(super) superuser: bool,
    /// As `server_version_num`.
    version: i32,
    /// Whether the reader exists, and whether it was made here.
    pub(super) reader: Option<bool>,
    /// The schema that the extension is in.
    pub(super) extension: Option<String>,
    pub(super) schemas: Vec<Schema>,
    pub(super) servers: Vec<Server>,
    /// Functions that are ours, as SQL.
    pub(super) functions: Vec<String>,
    /// As they were made, one after the other.
    pub(super) relations: Vec<Relation>,
}

#[derive(Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) ours: bool,
    /// Whether the reader may use it.
    pub(super) readable: bool,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) ours: bool,
    pub(super) owner: String,
    pub(super) options: Vec<(String, String)>,
    /// The options of the owner's user mapping. They hold the password.
    pub(super) mapping: Option<Vec<(String, String)>>,
}

/// A view, a table, or something else in one of the schemas.
#[derive(Debug)]
pub(super) struct Relation {
    /// As SQL, with the schema.
    pub(super) name: String,
    /// Its schema's plain name.
    pub(super) schema: String,
    pub(super) owner: String,
    pub(super) kind: RelationKind,
    /// Its comment, if that marks it as ours.
    pub(super) comment: Option<String>,
    /// Whether the reader may select from it.
    pub(super) readable: bool,
    /// The relations that a view reads, as SQL.
    pub(super) reads: Vec<String>,
}

#[derive(Debug)]
pub(super) enum RelationKind {
    /// With a digest of its definition as the server sees it.
    View(String),
    Materialised {
        seen: String,
        /// Whether it has a unique index by which it can be refreshed while it is read.
        unique: bool,
    },
    Parent {
        /// The key's plain name, if it is partitioned by the hash of one column.
        key: Option<String>,
        columns: Vec<Column>,
        /// Partitions that are not ours.
        strangers: Vec<String>,
    },
    Foreign {
        server: String,
        options: Vec<(String, String)>,
        columns: Vec<Column>,
        /// Its parent and its bound.
        partition: Option<(String, String)>,
    },
    Other,
}

impl RelationKind {
    /// What it is, if it is something that is made here.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            RelationKind::View(_) => Some(Kind::View),
            RelationKind::Materialised { .. } => Some(Kind::MaterialisedView),
            RelationKind::Parent { .. } => Some(Kind::Parent),
            RelationKind::Foreign { .. } => Some(Kind::ForeignTable),
            RelationKind::Other => None,
        }
    }
}

impl Relation {
    /// The statement that drops what is there, be it what it should be or not.
    pub(super) fn drop_statement(&self) -> String {
        let kind = self.kind.kind().map_or("table", Kind::label);
        format!("DROP {} {};\n", kind.to_uppercase(), self.name)
    }
}

impl Existing {
    pub(super) async fn read(
        session: &Session,
        cluster: ClusterId,
        reader: &str,
        schema: &str,
    ) -> Result<Existing> {
        let marker = marker(cluster);
        let row = session
            .one(
                "SELECT current_user::text, current_setting('is_superuser') = 'on',
                        current_setting('server_version_num')::int,
                        (SELECT coalesce(starts_with(shobj_description(oid, 'pg_authid'), $2), false)
                           FROM pg_roles WHERE rolname = $1),
                        (SELECT n.nspname::text FROM pg_extension e
                           JOIN pg_namespace n ON n.oid = e.extnamespace
                          WHERE e.extname = 'postgres_fdw')",
                &[&reader, &marker],
            )
            .await?;
        Ok(Existing {
            me: get(&row, 0)?,
            superuser: get(&row, 1)?,
            version: get(&row, 2)?,
            reader: get(&row, 3)?,
            extension: get(&row, 4)?,
            schemas: schemas(session, &marker, reader, schema).await?,
            servers: servers(session, &marker).await?,
            functions: functions(session, &marker).await?,
            relations: relations(session, &marker, reader, schema).await?,
        })
    }

    /// Whether the server is PostgreSQL 15 or newer.
    pub(super) fn knows_parallel_commit(&self) -> bool {
        self.version >= 150_000
    }

    /// A parent's partitions go with it, whosever they are; and their rows are in every report.
    pub(super) fn refuse_strangers(&self) -> Result<()> {
        for relation in self.relations.iter().filter(|r| r.comment.is_some()) {
            if let RelationKind::Parent { strangers, .. } = &relation.kind
                && let Some(stranger) = strangers.first()
            {
                return Err(Error::refused(format!(
                    "{stranger} is a partition of {}, and was not made for this cluster: detach it",
                    relation.name
                )));
            }
        }
        Ok(())
    }

    /// The definitions of the reports in a schema, as they were made, with the reports' names. Only
    /// what the asking role itself owns is heeded: to make a report again is to run its SQL.
    pub(super) fn reports<'a>(
        &'a self,
        schema: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        let ours = self
            .relations
            .iter()
            .filter(move |relation| relation.schema == schema && relation.owner == self.me);
        ours.filter_map(|relation| {
            let (_, definition) = relation.comment.as_deref()?.split_once(REPORT)?;
            Some((relation.name.as_str(), definition))
        })
    }
}

async fn schemas(
    session: &Session,
    marker: &str,
    reader: &str,
    schema: &str,
) -> Result<Vec<Schema>> {
    let rows = session
        .query(
            "SELECT nspname::text,
                    coalesce(starts_with(obj_description(oid, 'pg_namespace'), $1), false),
                    EXISTS (SELECT FROM aclexplode(nspacl) a JOIN pg_roles r ON r.oid = a.grantee
                             WHERE r.rolname = $2 AND a.privilege_type = 'USAGE')
               FROM pg_namespace
              WHERE nspname IN ($3, $4) OR starts_with(obj_description(oid, 'pg_namespace'), $1)
              ORDER BY 1",
            &[&marker, &reader, &name::FOREIGN, &schema],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Schema {
                name: get(row, 0)?,
                ours: get(row, 1)?,
                readable: get(row, 2)?,
            })
        })
        .collect()
}

async fn servers(session: &Session, marker: &str) -> Result<Vec<Server>> {
    let rows = session
        .query(
            "SELECT s.srvname::text,
                    coalesce(starts_with(obj_description(s.oid, 'pg_foreign_server'), $1), false),
                    pg_get_userbyid(s.srvowner)::text,
                    coalesce(s.srvoptions, '{}'),
                    m.umid IS NOT NULL,
                    coalesce(m.umoptions, '{}')
               FROM pg_foreign_server s
               LEFT JOIN pg_user_mappings m ON m.srvid = s.oid AND m.umuser = s.srvowner
              ORDER BY 1",
            &[&marker],
        )
        .await?;
    let mut servers = Vec::new();
    for row in &rows {
        let mapped: bool = get(row, 4)?;
        let mapping: Vec<String> = get(row, 5)?;
        servers.push(Server {
            name: get(row, 0)?,
            ours: get(row, 1)?,
            owner: get(row, 2)?,
            options: split(get(row, 3)?),
            mapping: mapped.then(|| split(mapping)),
        });
    }
    Ok(servers)
}

async fn functions(session: &Session, marker: &str) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT oid::regprocedure::text FROM pg_proc
              WHERE prokind = 'f' AND starts_with(obj_description(oid, 'pg_proc'), $1) ORDER BY oid",
            &[&marker],
        )
        .await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

async fn relations(
    session: &Session,
    marker: &str,
    reader: &str,
    schema: &str,
) -> Result<Vec<Relation>> {
    let rows = session
        .query(
            "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.oid, d.comment,
                    EXISTS (SELECT FROM aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
                             WHERE r.rolname = $2 AND a.privilege_type = 'SELECT'),
                    CASE WHEN c.relkind IN ('v', 'm') THEN md5(pg_get_viewdef(c.oid)) END,
                    s.srvname::text, coalesce(f.ftoptions, '{}'),
                    pg_get_userbyid(c.relowner)::text,
                    ARRAY(SELECT DISTINCT format('\"%s\".\"%s\"', replace(y.nspname, '\"', '\"\"'),
                                                 replace(x.relname, '\"', '\"\"'))
                            FROM pg_rewrite w
                            JOIN pg_depend e ON e.classid = 'pg_rewrite'::regclass AND e.objid = w.oid
                             AND e.refclassid = 'pg_class'::regclass AND e.refobjid <> c.oid
                            JOIN pg_class x ON x.oid = e.refobjid
                            JOIN pg_namespace y ON y.oid = x.relnamespace
                           WHERE w.ev_class = c.oid),
                    EXISTS (SELECT FROM pg_index i
                             WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
                               AND i.indpred IS NULL AND i.indexprs IS NULL),
                    q.nspname::text, p.relname::text, pg_get_expr(c.relpartbound, c.oid),
                    (SELECT a.attname::text FROM pg_partitioned_table t
                       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = t.partattrs[0]
                      WHERE t.partrelid = c.oid AND t.partstrat = 'h' AND t.partnatts = 1),
                    ARRAY(SELECT b.inhrelid::regclass::text FROM pg_inherits b
                           WHERE b.inhparent = c.oid AND c.relkind = 'p'
                             AND NOT coalesce(starts_with(obj_description(b.inhrelid, 'pg_class'), $1),
                                              false))
               FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               CROSS JOIN LATERAL (SELECT obj_description(c.oid, 'pg_class')) d(comment)
               LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
               LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
               LEFT JOIN pg_inherits h ON h.inhrelid = c.oid AND c.relispartition
               LEFT JOIN pg_class p ON p.oid = h.inhparent
               LEFT JOIN pg_namespace q ON q.oid = p.relnamespace
              WHERE c.relkind IN ('v', 'f', 'r', 'p', 'm', 'S', 'c')
                AND (n.nspname IN ($3, $4)
                     OR c.relkind IN ('v', 'f', 'm', 'p') AND starts_with(d.comment, $1))
              ORDER BY c.oid",
            &[&marker, &reader, &name::FOREIGN, &schema],
        )
        .await?;
    let mut relations = Vec::new();
    for row in &rows {
        let (schema, relation): (String, String) = (get(row, 0)?, get(row, 1)?);
        let (oid, comment): (u32, Option<String>) = (get(row, 3)?, get(row, 4)?);
        let kind = match get::<String>(row, 2)?.as_str() {
            "v" => RelationKind::View(get(row, 6)?),
            "m" => RelationKind::Materialised {
                seen: get(row, 6)?,
                unique: get(row, 11)?,
            },
            "p" => RelationKind::Parent {
                key: get(row, 15)?,
                columns: catalog::columns(session, oid).await?,
                strangers: get(row, 16)?,
            },
            "f" => RelationKind::Foreign {
                server: get(row, 7)?,
                options: split(get(row, 8)?),
                columns: catalog::columns(session, oid).await?,
                partition: match (get(row, 12)?, get(row, 13)?, get(row, 14)?) {
                    (Some(schema), Some(parent), Some(bound)) => {
                        Some((qualified(schema, parent), bound))
                    }
                    _ => None,
                },
            },
            _ => RelationKind::Other,
        };
        relations.push(Relation {
            name: qualified(&schema, &relation),
            schema,
            owner: get(row, 9)?,
            kind,
            comment: comment.filter(|comment| comment.starts_with(marker)),
            readable: get(row, 5)?,
            reads: get(row, 10)?,
        });
    }
    Ok(relations)
}

fn qualified(schema: &str, relation: &str) -> String {
    format!("{}.{}", ident(schema), ident(relation))
}

/// Options are stored as name=value.
fn split(options: Vec<String>) -> Vec<(String, String)> {
    options
        .iter()
        .map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
