//! One attempt of a write transaction: begin, body, commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use super::commit::{Outcome, Stored, commit};
use super::deadline;
use super::ledger::Ledger;
use super::retry::Retry;
use super::token::{Mark, Token};
use super::tx::{Nonce, Shared};
use super::write::Write;
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{Epoch, Lsn};
use crate::pool::{Access, Lane, Lease, for_proxy};

/// What the attempts of one transaction have in common.
pub(super) struct Attempt<'a> {
    write: &'a Write<'a>,
    pub(super) deadline: Instant,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(write: &'a Write<'a>) -> Self {
        Attempt {
            write,
            deadline: deadline::after(Instant::now(), write.within),
        }
    }

    pub(super) fn retry(&self) -> Retry<'a> {
        self.write
            .cluster
            .retry(self.write.location.shard, self.deadline)
    }

    /// The first round trip: BEGIN, the gate, and the checks of `pgshard.enter`; with a ledger, its
    /// row. Yields the result of an earlier run under the same key.
    pub(super) async fn begin(
        &self,
        ledger: Option<&Ledger>,
    ) -> Result<(Arc<Shared>, Option<String>)> {
        let Write {
            cluster,
            location,
            isolation,
            scope,
            ..
        } = self.write;
        let shard = cluster.shard(location.shard);
        let lease = shard
            .lease_primary(Access::Write, Lane::Routed, Instant::now(), self.deadline)
            .await?;
        let Some(epoch) = lease.epoch() else {
            return Err(lease.locate(Error::refused("the lease is not for a primary")));
        };
        let nonce = Nonce::new();
        // The gate comes before anything that takes a snapshot: see schema/pgshard.
        let mut sql = format!(
            "BEGIN ISOLATION LEVEL {} READ WRITE{}; \
             LOCK TABLE pgshard.gate IN ACCESS SHARE MODE; \
             SELECT pgshard.enter('{nonce}', '{}', '{}', {}, '{}')",
            isolation.sql(),
            scope.enter(),
            cluster.config.cluster,
            shard.id(),
            cluster.config.map.version(),
            epoch.reign,
        );
        sql.push_str(&lease.enter_through_proxy(epoch));
        if let Some(ledger) = ledger {
            sql.push_str("; ");
            sql.push_str(&ledger.enter_sql());
        }
        let deadline = self.deadline.min(deadline::after(
            Instant::now(),
            cluster.config.timeouts.statement,
        ));
        let asked = Instant::now();
        lease.link().set_in_transaction(true);
        let answers = match lease
            .simple(&for_proxy(lease.proxy(), &sql), Phase::Begin, deadline)
            .await
        {
            Ok(answers) => answers,
            Err(error) => {
                roll_back(&lease).await;
                return Err(error);
            }
        };
        if let Err(error) = lease.entered_through_proxy(&answers) {
            roll_back(&lease).await;
            return Err(error);
        }
        shard.proved(&lease, epoch, asked);
        let earlier = match ledger {
            Some(_) => match two_columns(&answers) {
                (Some(fresh), result) if fresh == "f" => Some(result.unwrap_or("null".into())),
                _ => None,
            },
            None => None,
        };
        let timeout = cluster.config.timeouts.statement;
        let transaction = Shared::new(lease, nonce, *location, *scope, self.deadline, timeout);
        Ok((transaction, earlier))
    }

    /// Runs the closure; rolls back if it fails.
    pub(super) async fn body<T>(
        &self,
        transaction: &Arc<Shared>,
        closure: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let outcome = match tokio::time::timeout_at(self.deadline, closure).await {
            Ok(outcome) => outcome,
            Err(_) => Err(transaction.lease.locate(
                Error::new(
                    ErrorKind::Timeout,
                    "the transaction's time is up (Write::within)",
                )
                .in_phase(Phase::Execute),
            )),
        };
        let closed = transaction.close();
        match outcome.and_then(|value| closed.map(|()| value)) {
            Ok(value) => Ok(value),
            Err(error) => {
                roll_back(&transaction.lease).await;
                Err(error)
            }
        }
    }

    pub(super) async fn commit(
        &self,
        transaction: &Arc<Shared>,
        stored: Option<Stored<'_>>,
    ) -> Result<Option<Lsn>> {
        // Also where no closure ran: nothing may follow COMMIT.
        transaction.close()?;
        let wait = self.write.cluster.config.timeouts.commit;
        match commit(transaction, stored, wait).await {
            Outcome::Committed { lsn } => {
                self.write.cluster.earn(self.write.location.shard);
                if let (Some(lsn), Some(epoch)) = (lsn, transaction.lease.epoch()) {
                    self.write
                        .cluster
                        .shard(self.write.location.shard)
                        .acknowledged(epoch, lsn);
                }
                Ok(lsn)
            }
            Outcome::Unknown(error) => Err(error),
            Outcome::Aborted(error) => {
                roll_back(&transaction.lease).await;
                Err(ignored_failure(transaction, error))
            }
        }
    }

    pub(super) fn token(&self, transaction: &Shared, lsn: Option<Lsn>) -> Option<Token> {
        let Epoch { reign, .. } = transaction.lease.epoch()?;
        let cluster = self.write.cluster;
        let shard = cluster.shard(self.write.location.shard).id();
        Some(Token::new(
            cluster.config.cluster,
            Mark {
                shard,
                reign,
                lsn: lsn?,
            },
        ))
    }
}

/// "Current transaction is aborted" says nothing; the statement whose error the closure ignored
/// does.
fn ignored_failure(transaction: &Shared, error: Error) -> Error {
    let aborted = error
        .sqlstate()
        .is_some_and(|code| code.as_str() == "25P02");
    match transaction.failure() {
        Some(failure) if aborted => {
            let error = Error::new(
                ErrorKind::Database,
                format!(
                    "rolled back, because a statement's error was ignored in the closure: {}",
                    failure.text
                ),
            )
            .in_phase(Phase::Execute)
            .with_source(error);
            if failure.retryable {
                error.with_label(Label::RETRYABLE)
            } else {
                error
            }
        }
        _ => error,
    }
}

/// Ends a failed transaction so that its connection can be used again; else it is discarded.
pub(super) async fn roll_back(lease: &Lease) {
    /// More than a healthy server needs; a worse one's connection is not worth keeping.
    const PATIENCE: Duration = Duration::from_secs(1);
    let link = lease.link();
    if link.is_busy() || lease.client().is_closed() {
        return;
    }
    if lease
        .simple("ROLLBACK", Phase::Execute, Instant::now() + PATIENCE)
        .await
        .is_ok()
    {
        link.set_in_transaction(false);
    }
}

/// The two columns of the last row.
pub(super) fn two_columns(answers: &[SimpleQueryMessage]) -> (Option<String>, Option<String>) {
    let row = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let column = |index| {
        row.and_then(|row| row.try_get(index).ok().flatten())
            .map(str::to_owned)
    };
    (column(0), column(1))
}
