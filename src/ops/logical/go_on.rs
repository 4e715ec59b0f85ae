//! A subscription that stopped goes on: as it is, or without the transaction that it cannot apply.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;
use crate::sql::{ident, literal};

use super::{Link, Stuck};

impl Link {
    /// Enables a subscription, and waits until it has applied the transaction at which it stopped.
    ///
    /// # Errors
    ///
    /// `Refused` if it stops again; `Timeout`; what the subscriber answers.
    pub async fn resume(&self, name: &str, past: Option<&Stuck>, patience: Duration) -> Result<()> {
        self.subscriber
            .batch(&format!("ALTER SUBSCRIPTION {} ENABLE", ident(name)))
            .await?;
        let end = past.and_then(|stuck| stuck.end_lsn.as_deref());
        let end = end.and_then(|end| end.parse().ok()).unwrap_or(Lsn(0));
        let deadline = Instant::now() + patience;
        loop {
            let standing = self.standing(name).await?;
            if !standing.enabled {
                return Err(Error::refused(format!(
                    "subscription {name} stopped again: shardctl logical conflicts {name} says why"
                )));
            }
            if standing.applied >= end {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "subscription {name} is enabled, but has not passed {end} within {} s: shardctl logical \
                         status says how it stands",
                        patience.as_secs()
                    ),
                ));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Leaves a transaction out as a whole, and goes on: its changes are lost on the subscriber.
    ///
    /// # Errors
    ///
    /// `Refused` before PostgreSQL 15, with what to do instead, and if it stops again; `Timeout`; what the
    /// subscriber answers.
    pub async fn skip(&self, stuck: &Stuck, patience: Duration) -> Result<()> {
        let name = &stuck.subscription;
        let standing = self.standing(name).await?;
        if standing.version < 150_000 {
            let end = stuck.end_lsn.as_deref().unwrap_or("its end");
            return Err(Error::refused(format!(
                "PostgreSQL before 15 has no SKIP: SELECT pg_replication_origin_advance('pg_{}', '{end}') on the \
                 subscriber, then shardctl logical resume {name}",
                standing.oid
            )));
        }
        self.subscriber
            .batch(&format!(
                "ALTER SUBSCRIPTION {} SKIP (lsn = {})",
                ident(name),
                literal(&stuck.commit_lsn)
            ))
            .await?;
        self.resume(name, Some(stuck), patience).await
    }
}
