//! The tables as a shard has them.

use crate::config::{Config, ShardConfig, TableName};
use crate::direct::Credentials;
use crate::direct::{Session, get, refuses_role};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ShardId;

use super::options::FdwOptions;

/// A table with its columns, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: TableName,
    /// Whether its rows are spread over the shards, or the same on each.
    pub(super) sharded: bool,
    pub(super) columns: Vec<Column>,
    /// The first column of an index, of another one than the key's if there is one.
    pub(super) indexed: Option<String>,
}

/// A column. Defaults are left out, since nothing is inserted; a generated column is a plain one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type with its modifiers, as SQL.
    pub(super) declared: String,
    /// The type without modifiers, as SQL.
    pub(super) type_name: String,
    pub(super) not_null: bool,
    /// As SQL, where it is not the type's own.
    pub(super) collation: Option<String>,
    /// Whether it is compared by the database's default collation.
    pub(super) default_collation: bool,
    /// What the type is made of, where PostgreSQL does not define it.
    pub(super) made_of: Option<String>,
}

/// What matters of a database beside its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// Its default collation.
    pub(super) collation: String,
    /// The extensions that were asked for, with their versions.
    pub(super) extensions: Vec<(String, String)>,
}

/// A shard's tables.
pub(super) struct Shard {
    pub(super) id: ShardId,
    pub(super) tables: Vec<Table>,
    pub(super) database: Database,
}

/// What a type that PostgreSQL does not define consists of; $1 is its oid or that of its array.
macro_rules! made_of {
    ($type:literal) => {
        concat!(
            "(SELECT CASE WHEN e.oid < 16384 THEN NULL ELSE CASE e.typtype
                 WHEN 'e' THEN 'enum ' || coalesce((SELECT string_agg(quote_literal(l.enumlabel), ', '
                                                     ORDER BY l.enumsortorder)
                                            FROM pg_enum l WHERE l.enumtypid = e.oid), '')
                 WHEN 'd' THEN 'domain over ' || format_type(e.typbasetype, e.typtypmod)
                 WHEN 'c' THEN 'composite of ' || coalesce((SELECT string_agg(quote_ident(x.attname)
                                  || ' ' || format_type(x.atttypid, x.atttypmod), ', '
                                  ORDER BY x.attnum)
                             FROM pg_attribute x
                            WHERE x.attrelid = e.typrelid AND x.attnum > 0 AND NOT x.attisdropped), '')
                 ELSE 'kind ' || e.typtype::text END END
               FROM pg_type y JOIN pg_type e
                 ON e.oid = CASE WHEN y.typcategory = 'A' AND y.typelem <> 0 THEN y.typelem ELSE y.oid END
              WHERE y.oid = ",
            $type,
            ")"
        )
    };
}

/// Reads a shard's tables from its primary, or from any node that answers.
pub(super) async fn read_shard(
    config: &Config,
    shard: &ShardConfig,
    options: &FdwOptions,
) -> Result<Shard> {
    let role = &options.remote;
    let session = any_node(config, shard, role).await?;
    let mut tables = Vec::new();
    let sharded = config
        .tables
        .iter()
        .map(|table| (&table.name, Some(&table.key)));
    let references = config.references.iter().map(|name| (name, None));
    for (name, key) in sharded.chain(references) {
        let oid = readable(&session, name, role).await?;
        tables.push(Table {
            name: name.clone(),
            sharded: key.is_some(),
            columns: columns(&session, oid).await?,
            indexed: indexed(&session, oid, key).await?,
        });
    }
    let database = database(&session, &options.extensions).await?;
    if let Some(missing) = options
        .extensions
        .iter()
        .find(|name| !database.extensions.iter().any(|(found, _)| found == *name))
    {
        return Err(session.fail(Error::refused(format!(
            "there is no extension {missing}, whose functions may run on the shards: create it, or do \
             not name it"
        ))));
    }
    Ok(Shard {
        id: shard.id,
        tables,
        database,
    })
}

async fn any_node(config: &Config, shard: &ShardConfig, role: &Credentials) -> Result<Session> {
    let mut standby = None;
    let mut reasons = Vec::new();
    for node in &shard.nodes {
        let asked = async {
            let session = Session::to_node(config, shard.id, node, role).await?;
            let row = session.one("SELECT pg_is_in_recovery()", &[]).await?;
            let recovering: bool = get(&row, 0)?;
            Ok::<_, Error>((session, recovering))
        };
        match asked.await {
            Ok((session, false)) => return Ok(session),
            Ok((session, true)) => standby = standby.or(Some(session)),
            Err(error) if refuses_role(&error) => return Err(error),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    standby.ok_or_else(|| {
        let message = format!("no node answers: {}", reasons.join("; "));
        Error::new(ErrorKind::Unavailable, message).on_shard(shard.id)
    })
}

async fn readable(session: &Session, name: &TableName, role: &Credentials) -> Result<u32> {
    let rows = session
        .query(
            // A policy that lets every row through hides none; nor does the guard's own, to sessions of
            // other roles than the application's.
            "SELECT c.oid, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
                    c.relrowsecurity AND row_security_active(c.oid) AND (
                        NOT EXISTS (SELECT FROM pg_policy p
                                     WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                                       AND pg_get_expr(p.polqual, c.oid) = 'true'
                                       AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) o
                                             WHERE pg_has_role(o, 'USAGE'))))
                        OR EXISTS (SELECT FROM pg_policy p
                                    WHERE p.polrelid = c.oid AND NOT p.polpermissive
                                      AND p.polcmd IN ('r', '*') AND p.polname <> 'pgshard_guard'
                                      AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) o
                                            WHERE pg_has_role(o, 'USAGE')))))
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm')",
            &[&name.schema, &name.name],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Err(session.fail(Error::refused(format!(
            "there is no table {name}: create it, or take it out of the configuration"
        ))));
    };
    if get(row, 2)? {
        return Err(session.fail(Error::refused(format!(
            "row security hides rows of {name} from {}, and a report would be silent about it: let the \
             role see all rows (a policy FOR SELECT TO {} USING (true), or BYPASSRLS), or choose another",
            crate::sql::ident(&role.user),
            crate::sql::ident(&role.user)
        ))));
    }
    if !get::<bool>(row, 1)? {
        let user = crate::sql::ident(&role.user);
        return Err(session.fail(Error::refused(format!(
            "{user} may not read {name}: GRANT USAGE ON SCHEMA {} TO {user}; GRANT SELECT ON {name} \
             TO {user}",
            crate::sql::ident(&name.schema)
        ))));
    }
    get(row, 0)
}

/// The columns of a table, of a foreign one too.
pub(super) async fn columns(session: &Session, table: u32) -> Result<Vec<Column>> {
    let rows = session
        .query(
            concat!(
                "SELECT a.attname::text,
                        format_type(a.atttypid, a.atttypmod),
                        format_type(a.atttypid, NULL),
                        a.attnotnull,
                        CASE WHEN a.attcollation <> t.typcollation
                             THEN quote_ident(n.nspname) || '.' || quote_ident(c.collname) END,
                        coalesce(c.collname = 'default', false), ",
                made_of!("t.oid"),
                "  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                   LEFT JOIN pg_collation c ON c.oid = a.attcollation
                   LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
                  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
                  ORDER BY a.attnum"
            ),
            &[&table],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Column {
                name: get(row, 0)?,
                declared: get(row, 1)?,
                type_name: get(row, 2)?,
                not_null: get(row, 3)?,
                collation: get(row, 4)?,
                default_collation: get(row, 5)?,
                made_of: get(row, 6)?,
            })
        })
        .collect()
}

/// The first column of an index that orders whole rows: of another one than the key's if there is one.
async fn indexed(session: &Session, table: u32, key: Option<&String>) -> Result<Option<String>> {
    let rows = session
        .query(
            "SELECT a.attname::text
               FROM pg_index i
               JOIN pg_class x ON x.oid = i.indexrelid
               JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
              WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
              ORDER BY a.attname::text = coalesce($2::text, ''), i.indexrelid LIMIT 1",
            &[&table, &key],
        )
        .await?;
    rows.first().map(|row| get(row, 0)).transpose()
}

/// Those of some extensions that there are, with their versions.
pub(super) async fn extensions(
    session: &Session,
    names: &[String],
) -> Result<Vec<(String, String)>> {
    let rows = session
        .query(
            "SELECT extname::text, extversion FROM pg_extension WHERE extname::text = ANY ($1)
              ORDER BY 1",
            &[&names],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect()
}

/// The default collation, with its provider, and the extensions that are asked for. The catalog's
/// columns differ between versions.
pub(super) async fn database(session: &Session, extensions: &[String]) -> Result<Database> {
    let row = session
        .one(
            "SELECT d ->> 'datlocprovider', d ->> 'datcollate', d ->> 'datctype',
                    coalesce(d ->> 'datlocale', d ->> 'daticulocale')
               FROM (SELECT to_jsonb(b) FROM pg_database b WHERE datname = current_database()) x(d)",
            &[],
        )
        .await?;
    let text = |at| get::<Option<String>>(&row, at).map(Option::unwrap_or_default);
    // C.UTF-8 and C.utf8 are one.
    let same = |name: String| name.to_lowercase().replace("utf-8", "utf8");
    let provider = match text(0)?.as_str() {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    };
    let collation = match provider {
        "libc" => format!("libc {} {}", same(text(1)?), same(text(2)?)),
        _ => format!("{provider} {}", same(text(3)?)),
    };
    Ok(Database {
        collation,
        extensions: self::extensions(session, extensions).await?,
    })
}

/// What a type is on this server: `None` if it does not exist, else what it is made of.
pub(super) async fn type_here(session: &Session, name: &str) -> Result<Option<Option<String>>> {
    let row = session
        .one(
            concat!(
                "SELECT to_regtype($1) IS NOT NULL, ",
                made_of!("to_regtype($1)")
            ),
            &[&name],
        )
        .await?;
    let exists: bool = get(&row, 0)?;
    Ok(if exists { Some(get(&row, 1)?) } else { None })
}

/// Whether a collation exists on this server.
pub(super) async fn collation_here(session: &Session, name: &str) -> Result<bool> {
    let row = session
        .one("SELECT to_regcollation($1) IS NOT NULL", &[&name])
        .await?;
    get(&row, 0)
}
