//! What a reporting server has.

use crate::direct::{Session, get};
use crate::error::Result;
use crate::id::ClusterId;
use crate::sql::ident;

use super::catalog::{self, Column};
use super::{marker, name};

/// What a reporting server has that is ours, or has the name of something that would be ours.
#[derive(Debug, Default)]
pub(super) struct Existing {
    /// The role that is asking.
    pub(super) me: String,
    pub(super) superuser: bool,
    /// Whether the reader exists, and whether it was made here.
    pub(super) reader: Option<bool>,
    /// The schema that the extension is in.
    pub(super) extension: Option<String>,
    pub(super) schemas: Vec<Schema>,
    pub(super) servers: Vec<Server>,
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

/// A view, a foreign table, or something else in one of the schemas.
#[derive(Debug)]
pub(super) struct Relation {
    /// As SQL, with the schema.
    pub(super) name: String,
    pub(super) kind: RelationKind,
    /// Its comment, if that marks it as ours.
    pub(super) comment: Option<String>,
    /// Whether the reader may select from it.
    pub(super) readable: bool,
}

#[derive(Debug)]
pub(super) enum RelationKind {
    /// With a digest of its definition as the server sees it.
    View(String),
    Foreign {
        server: String,
        options: Vec<(String, String)>,
        columns: Vec<Column>,
    },
    Other,
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
            reader: get(&row, 2)?,
            extension: get(&row, 3)?,
            schemas: schemas(session, &marker, reader, schema).await?,
            servers: servers(session, &marker).await?,
            relations: relations(session, &marker, reader, schema).await?,
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
                    CASE WHEN c.relkind = 'v' THEN md5(pg_get_viewdef(c.oid)) END,
                    s.srvname::text, coalesce(f.ftoptions, '{}')
               FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               CROSS JOIN LATERAL (SELECT obj_description(c.oid, 'pg_class')) d(comment)
               LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
               LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
              WHERE c.relkind IN ('v', 'f', 'r', 'p', 'm', 'S', 'c')
                AND (n.nspname IN ($3, $4) OR c.relkind IN ('v', 'f') AND starts_with(d.comment, $1))
              ORDER BY 1, 2",
            &[&marker, &reader, &name::FOREIGN, &schema],
        )
        .await?;
    let mut relations = Vec::new();
    for row in &rows {
        let (schema, relation): (String, String) = (get(row, 0)?, get(row, 1)?);
        let comment: Option<String> = get(row, 4)?;
        let kind = match get::<String>(row, 2)?.as_str() {
            "v" => RelationKind::View(get(row, 6)?),
            "f" => RelationKind::Foreign {
                server: get(row, 7)?,
                options: split(get(row, 8)?),
                columns: catalog::columns(session, get(row, 3)?).await?,
            },
            _ => RelationKind::Other,
        };
        relations.push(Relation {
            name: format!("{}.{}", ident(&schema), ident(&relation)),
            kind,
            comment: comment.filter(|comment| comment.starts_with(marker)),
            readable: get(row, 5)?,
        });
    }
    Ok(relations)
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
