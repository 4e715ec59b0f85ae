//! Reads the facts of one node: a few queries, each of which may fail by itself.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::CheckOptions;
use super::facts::{Answers, AppRole, Collation, HbaLine, Identity, NodeFacts, Read, Slot};
use super::{archive, extensions, tables};
use crate::config::{Config, NodeConfig};
use crate::direct::{Session, get};
use crate::error::Result;
use crate::id::ShardId;

pub(super) async fn node(
    config: &Config,
    shard: ShardId,
    node: &NodeConfig,
    options: &CheckOptions,
) -> NodeFacts {
    let answers = async {
        let session = Session::to_node(config, shard, node, &options.role).await?;
        // A check never writes, whoever asks.
        session
            .batch("SET default_transaction_read_only = on")
            .await?;
        answers(&session, config, shard, options.sample).await
    };
    NodeFacts {
        shard,
        node: node.id,
        local: node.is_local(),
        answers: answers.await.map_err(|error| error.message().to_owned()),
    }
}

async fn answers(
    session: &Session,
    config: &Config,
    shard: ShardId,
    sample: u32,
) -> Result<Answers> {
    let before = (SystemTime::now(), Instant::now());
    let row = session
        .one(
            "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int,
                    extract(epoch FROM clock_timestamp())::float8,
                    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)",
            &[],
        )
        .await?;
    let took = before.1.elapsed().as_secs_f64();
    let ours = before.0.duration_since(UNIX_EPOCH).unwrap_or_default();
    let offset = get::<f64>(&row, 2)? - (ours.as_secs_f64() + took / 2.0);
    let standby: bool = get(&row, 0)?;
    let version: i32 = get(&row, 1)?;
    let (settings, pending) = match words(settings(session).await) {
        Ok((settings, pending)) => (Ok(settings), pending),
        Err(error) => (Err(error), Vec::new()),
    };
    Ok(Answers {
        standby,
        version,
        timeline: timeline(session, standby).await.ok().flatten(),
        clock: (offset, took / 2.0),
        encrypted: get(&row, 3)?,
        settings,
        pending,
        app_commit: app_commit(session, &config.user).await.ok().flatten(),
        app: words(app(session, &config.user).await),
        hba: words(hba(session).await),
        collation: words(collation(session, version).await),
        slots: words(slots(session).await),
        senders: words(senders(session).await),
        receiver: receiver(session).await,
        identity: words(identity(session).await),
        ledger_old: words(ledger_old(session).await),
        extensions: words(extensions::read(session).await),
        archiver: words(archive::read(session).await),
        tables: match standby {
            true => Ok(Vec::new()),
            false => words(tables::read(session, config, shard, sample).await),
        },
    })
}

fn words<T>(read: Result<T>) -> Read<T> {
    read.map_err(|error| error.message().to_owned())
}

async fn settings(session: &Session) -> Result<(BTreeMap<String, String>, Vec<String>)> {
    let rows = session
        .query(
            "SELECT name, setting, pending_restart FROM pg_settings",
            &[],
        )
        .await?;
    let mut settings = BTreeMap::new();
    let mut pending = Vec::new();
    for row in &rows {
        let name: String = get(row, 0)?;
        if get::<bool>(row, 2)? {
            pending.push(name.clone());
        }
        settings.insert(name, get::<Option<String>>(row, 1)?.unwrap_or_default());
    }
    Ok((settings, pending))
}

/// On a standby the timeline that is received, if that may be seen.
async fn timeline(session: &Session, standby: bool) -> Result<Option<i32>> {
    let sql = if standby {
        "SELECT received_tli FROM pg_stat_wal_receiver"
    } else {
        "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4"
    };
    match session.query(sql, &[]).await?.first() {
        Some(row) => get(row, 0),
        None => Ok(None),
    }
}

/// What was set for the application's role, its database, or both.
async fn app_commit(session: &Session, app: &str) -> Result<Option<String>> {
    let rows = session
        .query(
            "SELECT split_part(c, '=', 2)
               FROM pg_db_role_setting s, unnest(s.setconfig) c
              WHERE c LIKE 'synchronous\\_commit=%'
                AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = $1))
              ORDER BY (s.setrole <> 0) DESC, (s.setdatabase <> 0) DESC LIMIT 1",
            &[&app],
        )
        .await?;
    rows.first().map(|row| get(row, 0)).transpose()
}

async fn app(session: &Session, app: &str) -> Result<AppRole> {
    let rows = session
        .query(
            "SELECT r.rolsuper, array_remove(ARRAY[
                        CASE WHEN r.rolcreaterole THEN 'has CREATEROLE' END,
                        CASE WHEN r.rolreplication THEN 'has REPLICATION' END,
                        CASE WHEN r.rolbypassrls THEN 'has BYPASSRLS' END,
                        CASE WHEN pg_has_role(r.oid, d.datdba, 'MEMBER')
                             THEN 'is a member of ' || pg_get_userbyid(d.datdba) || ', which owns the database' END
                    ], NULL) || ARRAY(
                        SELECT 'is a member of ' || p.rolname FROM pg_roles p
                         WHERE p.rolname = ANY ('{pg_write_all_data,pg_execute_server_program,pg_write_server_files,pg_read_server_files,pg_maintain,pg_database_owner}')
                           AND p.rolname <> 'pg_database_owner'
                           AND pg_has_role(r.oid, p.oid, 'MEMBER')
                         ORDER BY 1)::text[]
               FROM pg_roles r, pg_database d
              WHERE r.rolname = $1 AND d.datname = current_database()",
            &[&app],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(AppRole::default());
    };
    Ok(AppRole {
        superuser: get(row, 0)?,
        powers: get(row, 1)?,
    })
}

async fn hba(session: &Session) -> Result<Vec<HbaLine>> {
    let rows = session
        .query(
            "SELECT line_number, coalesce(type, ''), coalesce(address, ''), coalesce(auth_method, ''), error
               FROM pg_hba_file_rules ORDER BY 1",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(HbaLine {
                line: get(row, 0)?,
                kind: get(row, 1)?,
                address: get(row, 2)?,
                method: get(row, 3)?,
                error: get(row, 4)?,
            })
        })
        .collect()
}

async fn collation(session: &Session, version: i32) -> Result<Collation> {
    // Databases know their version from 15 on.
    let actual = if version >= 150_000 {
        "pg_database_collation_actual_version(d.oid)"
    } else {
        "(SELECT pg_collation_actual_version(c.oid) FROM pg_collation c
           WHERE c.collcollate = d.datcollate AND c.collprovider = 'c' LIMIT 1)"
    };
    let row = session
        .one(
            &format!(
                "SELECT d.datcollate::text, d.datctype::text,
                        coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
                        to_jsonb(d) ->> 'datcollversion', {actual}
                   FROM pg_database d WHERE d.datname = current_database()"
            ),
            &[],
        )
        .await?;
    Ok(Collation {
        collate: get(&row, 0)?,
        ctype: get(&row, 1)?,
        provider: get(&row, 2)?,
        stored: get(&row, 3)?,
        actual: get(&row, 4)?,
    })
}

async fn slots(session: &Session) -> Result<Vec<Slot>> {
    let rows = session
        .query(
            "SELECT slot_name::text, active, wal_status FROM pg_replication_slots
              WHERE NOT temporary ORDER BY 1",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Slot {
                name: get(row, 0)?,
                active: get(row, 1)?,
                status: get(row, 2)?,
            })
        })
        .collect()
}

/// The states of the attached standbys; an error where the role may not see them.
async fn senders(session: &Session) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT coalesce(sync_state, 'hidden') FROM pg_stat_replication",
            &[],
        )
        .await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

async fn receiver(session: &Session) -> Read<Option<String>> {
    let rows = words(
        session
            .query("SELECT status FROM pg_stat_wal_receiver", &[])
            .await,
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    match words(get::<Option<String>>(row, 0))? {
        Some(status) => Ok(Some(status)),
        None => Err("the role lacks pg_read_all_stats".to_owned()),
    }
}

async fn identity(session: &Session) -> Result<Identity> {
    let row = session
        .one(
            "SELECT i.cluster, i.shard, i.map_version, i.schema_version,
                    coalesce(to_jsonb(i) ->> 'mode', 'open'), coalesce(to_jsonb(i) ->> 'mode_note', ''),
                    ARRAY(SELECT jsonb_array_elements_text(to_jsonb(i) -> 'fenced_nodes'))
               FROM pgshard.identity i",
            &[],
        )
        .await?;
    Ok(Identity {
        cluster: get(&row, 0)?,
        shard: get(&row, 1)?,
        map_version: get(&row, 2)?,
        schema_version: get(&row, 3)?,
        mode: get(&row, 4)?,
        note: get(&row, 5)?,
        fenced: get(&row, 6)?,
    })
}

/// A day more than the purge leaves.
async fn ledger_old(session: &Session) -> Result<bool> {
    let row = session
        .one(
            "SELECT EXISTS (SELECT FROM pgshard.tx_ledger
                             WHERE at < now() - interval '1 day'
                                        - 2 * (SELECT ledger_retention FROM pgshard.identity))",
            &[],
        )
        .await?;
    get(&row, 0)
}
