//! What a shard has.

use std::collections::BTreeSet;

use crate::config::{Config, TableName};
use crate::direct::{Session, get};
use crate::error::Result;

use super::grants::Grant;
use super::guard::{OPEN, POLICY};

/// The name of the placement constraint on a sharded table.
pub(super) const CONSTRAINT: &str = "pgshard_placement";

pub(super) struct Observed {
    /// What tells this database from all others: the server's identifier and the database's.
    pub(super) database: String,
    pub(super) may_create: bool,
    pub(super) app: Option<AppRole>,
    pub(super) schema: bool,
    pub(super) identity_table: bool,
    pub(super) identity: Option<Identity>,
    pub(super) reigns: i64,
    /// The comment of `pgshard.bucket`, which holds a digest of its definition.
    pub(super) bucket: Option<String>,
    /// The comment of `pgshard.guard_key`, which holds a digest of the guard's functions.
    pub(super) guard: Option<String>,
    pub(super) functions: Vec<String>,
    pub(super) grants: BTreeSet<Grant>,
    pub(super) tables: Vec<Table>,
    /// Synchronous standbys are demanded, and none is attached.
    pub(super) waits_for_standby: bool,
}

pub(super) struct AppRole {
    pub(super) superuser: bool,
    /// Whether row security does not hold it.
    pub(super) bypasses: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: String,
    pub(super) shard: String,
    pub(super) map_version: i64,
    pub(super) layout: String,
    pub(super) hash: String,
    pub(super) key_type: String,
    pub(super) buckets: i32,
    pub(super) schema_version: i32,
    pub(super) retention_seconds: i64,
}

/// A sharded table of the configuration.
pub(super) struct Table {
    pub(super) exists: bool,
    /// The comment of its placement constraint, and whether that is validated.
    pub(super) placement: Option<(String, bool)>,
    /// Whether row security is enabled.
    pub(super) row_security: bool,
    /// The comment of the guard's policy.
    pub(super) guard: Option<String>,
    /// Whether the policy is there that lets everything through.
    pub(super) open: bool,
}

impl Observed {
    pub(super) async fn read(session: &Session, config: &Config) -> Result<Observed> {
        let row = session
            .one(
                "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' ||
                        (SELECT oid FROM pg_database WHERE datname = current_database())::text,
                        has_database_privilege(current_database(), 'CREATE'),
                        (SELECT rolsuper FROM pg_roles WHERE rolname = $1),
                        to_regnamespace('pgshard') IS NOT NULL,
                        to_regclass('pgshard.identity') IS NOT NULL,
                        current_setting('synchronous_standby_names') <> ''
                        AND NOT EXISTS (SELECT FROM pg_stat_replication
                                         WHERE sync_state IN ('sync', 'quorum')
                                         -- Who may not see it cannot tell.
                                            OR sync_state IS NULL),
                        (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1)",
                &[&config.user],
            )
            .await?;
        let identity_table: bool = get(&row, 4)?;
        let app: Option<bool> = get(&row, 2)?;
        let bypasses: Option<bool> = get(&row, 6)?;
        let mut observed = Observed {
            database: get(&row, 0)?,
            may_create: get(&row, 1)?,
            app: app.map(|superuser| AppRole {
                superuser,
                bypasses: bypasses.unwrap_or_default(),
            }),
            schema: get(&row, 3)?,
            identity_table,
            identity: None,
            reigns: 0,
            bucket: None,
            guard: None,
            functions: Vec::new(),
            grants: BTreeSet::new(),
            tables: Vec::new(),
            waits_for_standby: get(&row, 5)?,
        };
        if identity_table {
            observed.identity = identity(session).await?;
            let row = session
                .one("SELECT count(*) FROM pgshard.reign", &[])
                .await?;
            observed.reigns = get(&row, 0)?;
        }
        if observed.schema {
            observed.read_functions(session).await?;
            observed.grants = super::grants::read(session, &config.user).await?;
        }
        for table in &config.tables {
            observed
                .tables
                .push(read_table(session, &table.name).await?);
        }
        Ok(observed)
    }

    async fn read_functions(&mut self, session: &Session) -> Result<()> {
        let rows = session
            .query(
                "SELECT p.oid::regprocedure::text, p.proname::text,
                        obj_description(p.oid, 'pg_proc')
                   FROM pg_proc p WHERE p.pronamespace = to_regnamespace('pgshard') ORDER BY 1",
                &[],
            )
            .await?;
        for row in rows {
            self.functions.push(get(&row, 0)?);
            let comment = || get::<Option<String>>(&row, 2);
            match get::<&str>(&row, 1)? {
                "bucket" => self.bucket = Some(comment()?.unwrap_or_default()),
                "guard_key" => self.guard = comment()?,
                _ => {}
            }
        }
        Ok(())
    }
}

async fn identity(session: &Session) -> Result<Option<Identity>> {
    let rows = session
        .query(
            "SELECT cluster, shard, map_version, layout, hash, key_type, buckets, schema_version,
                    extract(epoch FROM ledger_retention)::bigint
               FROM pgshard.identity",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Identity {
        cluster: get(row, 0)?,
        shard: get(row, 1)?,
        map_version: get(row, 2)?,
        layout: get(row, 3)?,
        hash: get(row, 4)?,
        key_type: get(row, 5)?,
        buckets: get(row, 6)?,
        schema_version: get(row, 7)?,
        retention_seconds: get(row, 8)?,
    }))
}

async fn read_table(session: &Session, name: &TableName) -> Result<Table> {
    let rows = session
        .query(
            "SELECT obj_description(k.oid, 'pg_constraint'), k.convalidated, c.relrowsecurity,
                    (SELECT obj_description(p.oid, 'pg_policy') FROM pg_policy p
                      WHERE p.polrelid = c.oid AND p.polname = $4 AND NOT p.polpermissive),
                    EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = $5)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.conname = $3
              WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
            &[&name.schema, &name.name, &CONSTRAINT, &POLICY, &OPEN],
        )
        .await?;
    let mut table = Table {
        exists: !rows.is_empty(),
        placement: None,
        row_security: false,
        guard: None,
        open: false,
    };
    if let Some(row) = rows.first() {
        table.row_security = get(row, 2)?;
        table.guard = get(row, 3)?;
        table.open = get(row, 4)?;
    }
    if let Some(row) = rows.first()
        && let Some(validated) = get::<Option<bool>>(row, 1)?
    {
        let comment: Option<String> = get(row, 0)?;
        table.placement = Some((comment.unwrap_or_default(), validated));
    }
    Ok(table)
}
