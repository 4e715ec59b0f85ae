//! Applying what is missing: each migration to the canary, then to the others.

use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;

use crate::direct::get;
use crate::error::{Error, Result};
use crate::id::ShardId;

use super::plan::{Plan, Target};
use super::{Migration, ledger};

/// How to apply.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApplyOptions {
    /// How long a statement waits for a lock. While it waits, others wait behind it: keep this short.
    pub lock_timeout: Duration,
    /// How often a migration is tried that did not get its locks.
    pub attempts: u32,
    /// How long a migration may take on a shard.
    pub limit: Duration,
    /// To how many shards at once, after the canary.
    pub parallel: usize,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions {
            lock_timeout: Duration::from_secs(2),
            attempts: 10,
            limit: Duration::from_secs(3600),
            parallel: 4,
        }
    }
}

/// A migration that was applied to a shard.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Applied {
    /// Its file.
    pub name: String,
    /// The shard.
    pub shard: ShardId,
    /// How often it was tried.
    pub attempts: u32,
}

impl Plan {
    /// Applies what is pending. A migration that fails on the canary goes nowhere else; one that fails on another
    /// shard ends the run after those that run beside it. `done` is told of each as it is done.
    ///
    /// # Errors
    ///
    /// `Refused` if somebody else applies now, or if an invalid index is left from an interrupted run; what a server
    /// answers. What was applied stays so: run it again.
    pub async fn apply(
        mut self,
        options: &ApplyOptions,
        mut done: impl FnMut(&Applied),
    ) -> Result<()> {
        for target in &mut self.targets {
            target.session.set_deadline(options.limit);
            let timeouts = format!(
                "SET lock_timeout = {}; SET statement_timeout = {}; SET search_path = \"$user\", public",
                options.lock_timeout.as_millis(),
                options.limit.as_millis()
            );
            target.session.batch(&timeouts).await?;
            if !ledger::lock(&target.session).await? {
                return Err(
                    Error::refused("somebody else applies migrations to this shard now")
                        .on_shard(target.shard),
                );
            }
            // What another run has done meanwhile counts.
            target.lines = ledger::read(&target.session).await?;
            ledger::create(&target.session).await?;
        }
        let pending = self.pending();
        for one in &pending {
            let targets: Vec<&Target> = self
                .targets
                .iter()
                .filter(|target| one.shards.contains(&target.shard))
                .collect();
            let Some((canary, others)) = targets.split_first() else {
                continue;
            };
            done(&apply(canary, &one.migration, options).await?);
            let mut running = Vec::new();
            for target in others {
                running.push(apply(target, &one.migration, options));
            }
            let mut running =
                futures::stream::iter(running).buffer_unordered(options.parallel.max(1));
            let mut failed = None;
            while let Some(result) = running.next().await {
                match result {
                    Ok(applied) => done(&applied),
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}

async fn apply(target: &Target, migration: &Migration, options: &ApplyOptions) -> Result<Applied> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let tried = match migration.concurrent {
            true => outside(target, migration).await,
            false => inside(target, migration).await,
        };
        match tried {
            Ok(()) => {
                return Ok(Applied {
                    name: migration.name.clone(),
                    shard: target.shard,
                    attempts,
                });
            }
            Err(error) if locked(&error) && attempts < options.attempts => {
                // Those that waited behind it go first.
                let pause = Duration::from_millis(250) * attempts.min(8);
                tokio::time::sleep(pause).await;
            }
            Err(error) => {
                let message = format!("{}: {}", migration.name, error.message());
                let mut named = Error::new(error.kind(), message)
                    .on_shard(target.shard)
                    .on_node(target.node)
                    .in_phase(error.phase());
                if let Some(state) = error.sqlstate() {
                    named = named.with_sqlstate(state);
                }
                return Err(named.with_source(error));
            }
        }
    }
}

/// Did not get a lock in time.
fn locked(error: &Error) -> bool {
    error
        .sqlstate()
        .is_some_and(|state| state.as_str() == "55P03")
}

/// In one transaction with its line in the ledger.
async fn inside(target: &Target, migration: &Migration) -> Result<()> {
    let session = &target.session;
    session.batch("BEGIN").await?;
    let done = async {
        session.batch(&migration.sql).await?;
        ledger::write(session, migration, true).await
    };
    match done.await {
        Ok(()) => session.commit().await,
        Err(error) => {
            // The session may be gone; then so is the transaction.
            let _ = session.batch("ROLLBACK").await;
            Err(error)
        }
    }
}

/// Outside of a transaction: its line says first that it was begun.
async fn outside(target: &Target, migration: &Migration) -> Result<()> {
    let session = &target.session;
    let rows = session
        .query(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid
               AND indexrelid NOT IN (SELECT inhparent FROM pg_inherits)",
            &[],
        )
        .await?;
    if let Some(row) = rows.first() {
        let index: String = get(row, 0)?;
        return Err(Error::refused(format!(
            "index {index} is invalid, as an interrupted CONCURRENTLY leaves it, and IF NOT EXISTS would take it for \
             whole: DROP INDEX CONCURRENTLY {index}, then run this again"
        )));
    }
    ledger::write(session, migration, false).await?;
    session.batch(&migration.sql).await?;
    ledger::write(session, migration, true).await
}
