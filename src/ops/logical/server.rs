//! What one end says of itself and of the tables, in one round trip.

use serde::Deserialize;

use crate::config::TableName;
use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) version: u32,
    /// The system's identity and the database's.
    pub(super) identity: String,
    pub(super) superuser: bool,
    pub(super) wal_level: String,
    pub(super) slots: Used,
    pub(super) senders: Used,
    /// Origins of subscriptions, as many as may be active.
    pub(super) origins: i64,
    pub(super) workers: i64,
    pub(super) subscriptions: Vec<String>,
    pub(super) all_subscriptions: i64,
    /// Publications, with their comments.
    pub(super) publications: Vec<(String, Option<String>)>,
    pub(super) slot_names: Vec<String>,
    /// The role as which the other end comes, if there is one.
    pub(super) role: Option<Role>,
    pub(super) tables: Vec<Table>,
}

/// What there is of something, and what of it is taken.
#[derive(Debug, Deserialize)]
pub(super) struct Used {
    pub(super) most: i64,
    pub(super) taken: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Role {
    pub(super) login: bool,
    pub(super) replication: bool,
    pub(super) superuser: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Table {
    /// Quoted, with its schema.
    pub(super) name: String,
    pub(super) schema: String,
    pub(super) kind: Option<String>,
    pub(super) permanent: bool,
    /// `d`, `n`, `f` or `i`.
    pub(super) identity: Option<String>,
    /// The columns of the replica identity.
    pub(super) identified_by: Vec<String>,
    pub(super) columns: Vec<Column>,
    /// Whether the role may read it.
    pub(super) readable: bool,
    pub(super) triggers: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    /// Whether a row without it is refused.
    pub(super) needed: bool,
    pub(super) generated: bool,
}

impl Table {
    pub(super) fn exists(&self) -> bool {
        self.kind.is_some()
    }
}

/// $1: quoted names of tables, $2: their schemas, $3: the role.
const QUERY: &str = "
WITH wanted AS (
    SELECT w.name, w.schema, w.at, to_regclass(w.name) AS oid
      FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(name, schema, at)
), role AS (
    SELECT oid, rolcanlogin, rolreplication, rolsuper FROM pg_roles WHERE rolname = $3
)
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'identity', (SELECT system_identifier::text FROM pg_control_system()) || ' '
                || (SELECT oid::text FROM pg_database WHERE datname = current_database()),
    'superuser', current_setting('is_superuser') = 'on',
    'wal_level', current_setting('wal_level'),
    'slots', json_build_object('most', current_setting('max_replication_slots')::bigint,
                               'taken', (SELECT count(*) FROM pg_replication_slots)),
    'senders', json_build_object('most', current_setting('max_wal_senders')::bigint,
                                 'taken', (SELECT count(*) FROM pg_stat_replication)),
    'origins', coalesce(current_setting('max_active_replication_origins', true),
                        current_setting('max_replication_slots'))::bigint,
    'workers', current_setting('max_logical_replication_workers')::bigint,
    'subscriptions', (SELECT coalesce(json_agg(subname), '[]') FROM pg_subscription
                       WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
    'all_subscriptions', (SELECT count(*) FROM pg_subscription),
    'publications', (SELECT coalesce(json_agg(json_build_array(pubname,
                        obj_description(oid, 'pg_publication'))), '[]') FROM pg_publication),
    'slot_names', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots),
    'role', (SELECT json_build_object('login', rolcanlogin, 'replication', rolreplication,
                                      'superuser', rolsuper) FROM role),
    'tables', (SELECT coalesce(json_agg(json_build_object(
        'name', w.name, 'schema', w.schema, 'kind', c.relkind,
        'permanent', coalesce(c.relpersistence = 'p', false), 'identity', c.relreplident,
        'identified_by', (
            SELECT coalesce(json_agg(a.attname), '[]')
              FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = w.oid
               AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                                       ELSE false END),
        'columns', (
            SELECT coalesce(json_agg(json_build_object('name', a.attname,
                        'kind', format_type(a.atttypid, a.atttypmod),
                        'needed', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
                        'generated', a.attgenerated <> '') ORDER BY a.attnum), '[]')
              FROM pg_attribute a
             WHERE a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped),
        'readable', coalesce((SELECT has_table_privilege(r.oid, w.oid, 'SELECT')
                                 AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
                                FROM role r WHERE w.oid IS NOT NULL), false),
        'triggers', (SELECT coalesce(json_agg(t.tgname), '[]') FROM pg_trigger t
                      WHERE t.tgrelid = w.oid AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R'))
        ) ORDER BY w.at), '[]')
      FROM wanted w LEFT JOIN pg_class c ON c.oid = w.oid)
)::text";

impl Server {
    pub(super) async fn read(
        session: &Session,
        tables: &[TableName],
        role: &str,
    ) -> Result<Server> {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
        let row = session.one(QUERY, &[&names, &schemas, &role]).await?;
        let text: String = get(&row, 0)?;
        serde_json::from_str(&text).map_err(|error| {
            let message = format!("what the server says of its tables cannot be read: {error}");
            session.fail(Error::new(ErrorKind::Decode, message).with_source(error))
        })
    }
}
