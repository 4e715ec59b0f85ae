//! From what a shard has to what is to be done: no I/O.

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ShardIndex;
use crate::routing::sql::twin;
use crate::sql::literal;

use super::observe::{Identity, Observed};
use super::steps::{SCHEMA_VERSION, STEPS};
use super::{Action, ActionKind, InstallOptions, grants, guard, placement};

/// A week, in seconds.
const RETENTION: i64 = 7 * 24 * 3600;

pub(super) fn actions(
    config: &Config,
    options: &InstallOptions,
    index: ShardIndex,
    observed: &Observed,
) -> Result<Vec<Action>> {
    possible(config, observed)?;
    let wanted = identity(config, options, index, observed.identity.as_ref())?;
    let found = match &observed.identity {
        Some(found) => {
            compatible(found, &wanted)?;
            found.schema_version
        }
        None => 0,
    };
    let mut actions = Vec::new();
    let mut schema =
        |what: String, sql: String| actions.push(Action::new(ActionKind::Schema, what, sql));

    for step in STEPS.iter().filter(|step| step.version > found) {
        schema(
            format!("schema version {}: {}", step.version, step.what),
            step.sql.to_owned(),
        );
    }
    match &observed.identity {
        None => schema(
            format!(
                "identity: shard {} of cluster {}",
                wanted.shard, wanted.cluster
            ),
            insert_identity(&wanted),
        ),
        Some(found) => {
            let kept = Identity {
                schema_version: found.schema_version,
                retention_seconds: found.retention_seconds,
                ..wanted.clone()
            };
            if kept.schema_version != wanted.schema_version
                || kept.retention_seconds != wanted.retention_seconds
            {
                schema(
                    format!("identity: schema version {SCHEMA_VERSION}"),
                    format!(
                        "UPDATE pgshard.identity SET schema_version = {}, \
                         ledger_retention = interval '{} seconds';\n",
                        wanted.schema_version, wanted.retention_seconds
                    ),
                );
            }
        }
    }
    if observed.bucket.as_deref() != Some(&bucket_comment(config)) {
        schema(
            "the hash as SQL: pgshard.bucket(key)".to_owned(),
            bucket(config),
        );
    }
    if observed.reigns == 0 {
        schema("the first reign".to_owned(), FIRST_REIGN.to_owned());
    }
    let guard = match options.guard {
        true => guard::functions(config, observed)?,
        false => None,
    };
    let new_functions = guard.is_some();
    if let Some((what, sql)) = guard {
        schema(what, sql);
    }
    if new_functions
        || found < SCHEMA_VERSION
        || grants::wanted(&observed.functions) != observed.grants
    {
        schema(
            format!("privileges of {}", config.user),
            grants::sql(&config.user, new_functions || observed.guard.is_some()),
        );
    }
    if let Some(found) = &observed.identity
        && found.map_version != wanted.map_version
    {
        actions.push(Action::new(
            ActionKind::Map,
            format!(
                "map version {} -> {}",
                found.map_version, wanted.map_version
            ),
            placement::change_map(config, index, &wanted)?,
        ));
    }
    if options.placement_check {
        placement::actions(config, index, observed, &mut actions)?;
    }
    if options.guard {
        guard::actions(config, observed, &mut actions)?;
    }
    Ok(actions)
}

/// What the operator ought to know of a shard.
pub(super) fn notes(config: &Config, observed: &Observed) -> Vec<String> {
    let mut notes = Vec::new();
    if observed.app.as_ref().is_some_and(|app| app.superuser) {
        notes.push(format!(
            "{} is a superuser: no privilege protects the schema from it",
            config.user
        ));
    }
    if observed.waits_for_standby {
        notes.push(
            "synchronous_standby_names is set, but no synchronous standby is attached: the \
             application's commits wait until one is"
                .to_owned(),
        );
    }
    notes
}

const FIRST_REIGN: &str = "INSERT INTO pgshard.reign (reign, timeline, start_lsn)\n\
     SELECT gen_random_uuid(),\n       \
     ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,\n       \
     pg_current_wal_insert_lsn();\n";

fn possible(config: &Config, observed: &Observed) -> Result<()> {
    if observed.app.is_none() {
        return Err(Error::refused(format!(
            "the application's role {0} does not exist on this server: CREATE ROLE {1} LOGIN, then \
             run this again",
            config.user,
            crate::sql::ident(&config.user)
        )));
    }
    if !observed.schema && !observed.may_create {
        return Err(Error::refused(format!(
            "this role may not create a schema in database {0}: use the database's owner, or GRANT \
             CREATE ON DATABASE {1} to it",
            config.database,
            crate::sql::ident(&config.database)
        )));
    }
    if observed.identity_table && observed.identity.is_none() {
        return Err(Error::refused(
            "pgshard.identity is empty, so nothing says which shard this is: put its row back from \
             a backup, or drop the schema pgshard if it was never in use",
        ));
    }
    Ok(())
}

fn identity(
    config: &Config,
    options: &InstallOptions,
    index: ShardIndex,
    found: Option<&Identity>,
) -> Result<Identity> {
    let shard = config
        .shards
        .get(index.index())
        .ok_or_else(|| Error::config("there is no such shard"))?;
    let retention = match (options.ledger_retention, found) {
        (Some(retention), _) => i64::try_from(retention.as_secs()).unwrap_or(RETENTION),
        (None, Some(found)) => found.retention_seconds,
        (None, None) => RETENTION,
    };
    Ok(Identity {
        cluster: config.cluster.to_string(),
        shard: shard.id.to_string(),
        map_version: config.map.version().0,
        layout: config.layout_digest(),
        hash: config.map.hash().to_string(),
        key_type: config.map.key_type().name().to_owned(),
        // Checked when the map was built.
        buckets: i32::try_from(config.map.buckets()).unwrap_or(i32::MAX),
        schema_version: SCHEMA_VERSION,
        retention_seconds: retention,
    })
}

fn compatible(found: &Identity, wanted: &Identity) -> Result<()> {
    let wrong = |what: &str, found: &dyn std::fmt::Display, wanted: &dyn std::fmt::Display| {
        Err(Error::new(
            ErrorKind::WrongNode,
            format!(
                "this database has {what} {found}, the configuration says {wanted}: nothing was \
                 changed. Check the addresses and the file; a {what} cannot be changed"
            ),
        ))
    };
    if found.cluster != wanted.cluster {
        return wrong("cluster", &found.cluster, &wanted.cluster);
    }
    if found.shard != wanted.shard {
        return wrong("shard", &found.shard, &wanted.shard);
    }
    if found.hash != wanted.hash {
        return wrong("hash", &found.hash, &wanted.hash);
    }
    if found.key_type != wanted.key_type {
        return wrong("key type", &found.key_type, &wanted.key_type);
    }
    if found.buckets != wanted.buckets {
        return wrong("number of buckets", &found.buckets, &wanted.buckets);
    }
    if found.schema_version > SCHEMA_VERSION {
        return Err(Error::refused(format!(
            "the schema here has version {}, this library knows versions up to {SCHEMA_VERSION}: \
             use the newer release that installed it",
            found.schema_version
        )));
    }
    if found.map_version > wanted.map_version {
        return Err(Error::refused(format!(
            "the shard map here has version {}, the configuration's has {}: a map only moves \
             forward; use the current file",
            found.map_version, wanted.map_version
        )));
    }
    if found.map_version == wanted.map_version && found.layout != wanted.layout {
        return Err(Error::refused(format!(
            "the configuration places keys otherwise than the map of version {} that is installed \
             here: undo the change, or raise the map's version once the rows are where the new map \
             says",
            found.map_version
        )));
    }
    Ok(())
}

fn insert_identity(identity: &Identity) -> String {
    format!(
        "INSERT INTO pgshard.identity (cluster, shard, map_version, layout, hash, key_type, buckets,\n\
         \x20                             schema_version, ledger_retention)\n\
         VALUES ({}, {}, {}, {}, {}, {}, {}, {}, interval '{} seconds');\n",
        literal(&identity.cluster),
        literal(&identity.shard),
        identity.map_version,
        literal(&identity.layout),
        literal(&identity.hash),
        literal(&identity.key_type),
        identity.buckets,
        identity.schema_version,
        identity.retention_seconds,
    )
}

fn bucket_comment(config: &Config) -> String {
    let digest = xxhash_rust::xxh3::xxh3_64(twin(&config.map).functions().as_bytes());
    format!("The bucket of a key, as the client computes it; {digest:016x}")
}

fn bucket(config: &Config) -> String {
    format!(
        "{}COMMENT ON FUNCTION pgshard.bucket({}) IS {};\n",
        twin(&config.map).functions(),
        config.map.key_type(),
        literal(&bucket_comment(config)),
    )
}

impl Action {
    pub(super) fn new(kind: ActionKind, what: String, sql: String) -> Self {
        Action { what, sql, kind }
    }
}
