//! Forgets idempotency keys that nobody may ask for any more.
//!
//! A shard's ledger refuses keys older than its retention, and keeps their rows for as long again. The
//! application's role may not delete them: the schema's owner does, from time to time, with [`purge`].
//! [`expired`] only counts.

use std::time::Duration;

use crate::config::Config;
use crate::direct;
use crate::direct::Credentials;
use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};

/// Held by whoever purges in this database: the text "pgspurg" as a number.
const PURGE_LOCK: i64 = 0x70_6773_7075_7267;

/// How to purge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PurgeOptions {
    /// The role that owns the schema `pgshard`.
    pub role: Credentials,
    /// How many rows are deleted in one transaction.
    pub batch: u32,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

impl PurgeOptions {
    /// The defaults: 10,000 rows a transaction, a minute a statement.
    pub fn new(role: Credentials) -> Self {
        PurgeOptions {
            role,
            batch: 10_000,
            statement_timeout: Duration::from_secs(60),
        }
    }
}

/// What a shard's ledger may forget, or has forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purge {
    /// The shard.
    pub shard: ShardId,
    /// Its writable node.
    pub node: NodeId,
    /// For how long a row is kept: twice the retention.
    pub kept: Duration,
    /// How many rows are older than that, or were and are deleted.
    pub rows: u64,
}

/// Counts the rows of a shard's ledger that [`purge`] would delete. Changes nothing.
///
/// # Errors
///
/// `Config` if there is no such shard; `Unavailable` or `Contested` if it has no writable node or two;
/// `WrongNode` if the schema is not installed there; `Database` if the role may not read it.
pub async fn expired(config: &Config, shard: ShardId, options: &PurgeOptions) -> Result<Purge> {
    let ledger = Ledger::open(config, shard, options).await?;
    let count = "SELECT count(*) FROM pgshard.tx_ledger
                  WHERE at < now() - 2 * (SELECT ledger_retention FROM pgshard.identity)";
    let rows = ledger.number(count, options).await?;
    Ok(ledger.purge(rows))
}

/// Deletes the rows of a shard's ledger that are older than twice the retention, a batch in a
/// transaction, and calls `done` with the number of rows after each. It may be stopped at any time and
/// run again.
///
/// The deletions do not wait for a synchronous standby: a failover may bring rows back, for the next
/// purge to delete.
///
/// ```no_run
/// use pgshard::ops::Credentials;
/// use pgshard::ops::ledger::{PurgeOptions, purge};
///
/// # async fn run(config: &pgshard::Config) -> pgshard::Result<()> {
/// let role = Credentials { user: "bank_owner".into(), password: None };
/// let options = PurgeOptions::new(role);
/// for shard in &config.shards {
///     let purged = purge(config, shard.id, &options, |_| ()).await?;
///     println!("{}: {} rows", purged.shard, purged.rows);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As for [`expired`]; `Refused` if another purge is at work on the shard. What was deleted before the
/// error stays deleted.
pub async fn purge(
    config: &Config,
    shard: ShardId,
    options: &PurgeOptions,
    mut done: impl FnMut(u64),
) -> Result<Purge> {
    // More than an `integer` holds is as good as no bound.
    let batch = i32::try_from(options.batch).unwrap_or(i32::MAX);
    if batch == 0 {
        return Err(Error::config("a batch must have at least one row"));
    }
    let ledger = Ledger::open(config, shard, options).await?;
    let session = &ledger.session;
    session.batch("SET synchronous_commit = local").await?;
    let lock = session
        .one("SELECT pg_try_advisory_lock($1)", &[&PURGE_LOCK])
        .await?;
    if !get::<bool>(&lock, 0)? {
        return Err(session.fail(Error::refused(
            "another purge is at work on this shard: let it end",
        )));
    }
    let mut rows = 0;
    loop {
        let delete = format!("SELECT pgshard.ledger_purge({batch})");
        let deleted = ledger.number(&delete, options).await?;
        rows += deleted;
        done(deleted);
        // Others only add rows, and those are young.
        if deleted < u64::from(options.batch) {
            return Ok(ledger.purge(rows));
        }
    }
}

/// A shard's ledger on its writable node, as the owner sees it.
struct Ledger {
    session: Session,
    shard: ShardId,
    node: NodeId,
    kept: Duration,
}

impl Ledger {
    async fn open(config: &Config, shard: ShardId, options: &PurgeOptions) -> Result<Ledger> {
        let Some((_, place)) = config.shard(shard) else {
            return Err(Error::config(format!("there is no shard {shard}")));
        };
        let found = direct::find(config, place, &options.role).await?;
        let session = found.session;
        let row = session
            .one(
                "SELECT to_regprocedure('pgshard.ledger_purge(integer)') IS NOT NULL",
                &[],
            )
            .await?;
        if !get::<bool>(&row, 0)? {
            let message = "there is no ledger in the database: run `shardctl install`";
            return Err(session.fail(Error::new(ErrorKind::WrongNode, message)));
        }
        let row = session
            .one(
                "SELECT cluster, shard, (2 * extract(epoch FROM ledger_retention))::bigint
                   FROM pgshard.identity",
                &[],
            )
            .await?;
        let (cluster, found_shard): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        if cluster != config.cluster.as_str() || found_shard != shard.as_str() {
            let message = format!(
                "the database belongs to shard {found_shard} of cluster {cluster}: correct the address"
            );
            return Err(session.fail(Error::new(ErrorKind::WrongNode, message)));
        }
        let kept: i64 = get(&row, 2)?;
        Ok(Ledger {
            session,
            shard,
            node: found.node,
            kept: Duration::from_secs(u64::try_from(kept).unwrap_or_default()),
        })
    }

    async fn number(&self, sql: &str, options: &PurgeOptions) -> Result<u64> {
        let row = self.session.long(options.statement_timeout, sql).await?;
        Ok(u64::try_from(get::<i64>(&row, 0)?).unwrap_or_default())
    }

    fn purge(&self, rows: u64) -> Purge {
        Purge {
            shard: self.shard,
            node: self.node,
            kept: self.kept,
            rows,
        }
    }
}
