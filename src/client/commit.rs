//! An honest COMMIT: committed, not committed, or not known. Never a guess.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use tokio::sync::{oneshot, watch};
use tokio_postgres::SimpleQueryMessage;
use tracing::Instrument as _;

use super::tx::Shared;
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::Lsn;
use crate::sql::literal;
use crate::sqlstate::SqlState;

/// What became of a COMMIT, as far as its answer tells.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The server said so, and nothing suggested that it is not durable.
    Committed {
        /// The log position after COMMIT; `None` if the connection ended right after its answer.
        lsn: Option<Lsn>,
    },
    /// The server said that it is not.
    Aborted(Error),
    /// There was no answer, or one that leaves durability open.
    Unknown(Error),
}

/// What became of a transaction whose caller stopped waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is committed.
    Committed,
    /// It is not, and will not be.
    Aborted,
    /// It is not known: the connection ended, or the server warned about durability.
    Unknown,
}

/// A COMMIT that goes on after its caller stopped waiting; found in a
/// [`CommitUnknown`](ErrorKind::CommitUnknown) error.
///
/// ```no_run
/// # async fn example(error: pgshard::Error) {
/// use std::time::Duration;
/// use pgshard::{CommitOutcome, PendingCommit};
///
/// if let Some(pending) = PendingCommit::of(&error) {
///     match pending.wait(Duration::from_secs(60)).await {
///         Some(CommitOutcome::Committed) => println!("it was committed after all"),
///         Some(CommitOutcome::Aborted) => println!("nothing was written"),
///         Some(CommitOutcome::Unknown) | None => println!("still not known"),
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct PendingCommit {
    outcome: watch::Receiver<Option<CommitOutcome>>,
}

impl PendingCommit {
    /// The COMMIT behind an error, if its caller stopped waiting for it.
    pub fn of(error: &Error) -> Option<&PendingCommit> {
        let source = std::error::Error::source(error)?;
        source
            .downcast_ref::<StillWaiting>()
            .map(|waiting| &waiting.0)
    }

    /// Waits for the outcome, at most so long; `None` if it is still open then.
    pub async fn wait(&self, at_most: Duration) -> Option<CommitOutcome> {
        let mut outcome = self.outcome.clone();
        let known = tokio::time::timeout(at_most, outcome.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(known)) => *known,
            // The task ended without a word: the runtime is shutting down.
            Ok(Err(_)) => Some(CommitOutcome::Unknown),
            Err(_) => None,
        }
    }
}

impl fmt::Debug for PendingCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PendingCommit")
            .field(&*self.outcome.borrow())
            .finish()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("COMMIT goes on in the background")]
struct StillWaiting(PendingCommit);

/// The result of a request, to be stored in the ledger with the transaction.
pub(super) struct Stored<'a> {
    pub(super) key: &'a str,
    pub(super) result: &'a str,
}

/// Commits. The COMMIT itself runs in a task of its own that nothing cancels: to cancel a COMMIT that
/// waits for its standby makes it visible without being replicated. Only the wait is bounded.
pub(super) async fn commit(
    transaction: &Arc<Shared>,
    stored: Option<Stored<'_>>,
    wait: Duration,
) -> Outcome {
    if transaction.lease.client().is_closed() {
        // Nothing was sent, so the server has rolled back, or will.
        let error = Error::new(
            ErrorKind::Connection,
            "the connection ended before COMMIT was sent",
        )
        .with_label(Label::RETRYABLE)
        .with_label(Label::CONNECTION_LOST)
        .in_phase(Phase::Execute);
        return Outcome::Aborted(transaction.lease.locate(error));
    }
    // COMMIT was not sent, so whatever this finds is a definite abort.
    let deadline = transaction.statement_deadline();
    if let Err(error) = transaction.lease.in_step(Phase::Execute, deadline).await {
        return Outcome::Aborted(error);
    }
    let (before_commit, sql) = statements(transaction, stored);
    let (publish, outcome) = watch::channel(None);
    let (tell, told) = oneshot::channel();
    tokio::spawn({
        let transaction = Arc::clone(transaction);
        let committing = async move {
            let (outcome, caller) = {
                let mut exchange = pin!(traced(&transaction, &sql, before_commit));
                match tokio::time::timeout(wait, &mut exchange).await {
                    Ok(outcome) => (outcome, Some(tell)),
                    Err(_) => {
                        let _held = Held::count(&transaction);
                        // Whether or not the caller is still there.
                        let _ = tell.send(Heard::Nothing);
                        (exchange.await, None)
                    }
                }
            };
            // Whoever hears of the outcome finds the connection free.
            drop(transaction);
            publish.send_replace(Some(match &outcome {
                Outcome::Committed { .. } => CommitOutcome::Committed,
                Outcome::Aborted(_) => CommitOutcome::Aborted,
                Outcome::Unknown(_) => CommitOutcome::Unknown,
            }));
            if let Some(caller) = caller {
                let _ = caller.send(Heard::Outcome(outcome));
            }
        };
        committing.in_current_span()
    });
    match told.await {
        Ok(Heard::Outcome(outcome)) => outcome,
        Ok(Heard::Nothing) => Outcome::Unknown(
            unknown(transaction, "no answer to COMMIT within timeouts.commit")
                .with_source(StillWaiting(PendingCommit { outcome })),
        ),
        Err(_) => Outcome::Unknown(unknown(transaction, "the runtime is shutting down")),
    }
}

/// What a caller hears from the task that commits.
enum Heard {
    Outcome(Outcome),
    /// The wait is over.
    Nothing,
}

/// Counts a COMMIT that nobody waits for and that holds a connection, until it ends.
struct Held(metrics::Gauge);

impl Held {
    fn count(transaction: &Shared) -> Option<Held> {
        let shard = transaction.lease.shard()?.to_string();
        let held = Held(metrics::gauge!(crate::observe::COMMITS_HELD, "shard" => shard));
        held.0.increment(1);
        Some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// One round trip: the check that this is still the transaction that was begun, the ledger's row,
/// COMMIT, and the log position after it. Yields the number of answers before COMMIT's own.
fn statements(transaction: &Shared, stored: Option<Stored<'_>>) -> (usize, String) {
    let nonce = transaction.nonce;
    // A warning is all that tells of a wait for the standby that was cut short, so that it has to be
    // sent, whatever the role, the database or the transaction itself says.
    let guard = transaction.scope.leave();
    let leave = format!(
        "SELECT pg_catalog.set_config('client_min_messages', 'warning', true), \
         pgshard.leave('{nonce}'){guard}"
    );
    let guards = usize::from(!guard.is_empty());
    let position = "COMMIT; SELECT pg_catalog.pg_current_wal_insert_lsn()";
    match stored {
        None => (1 + guards, format!("{leave}; {position}")),
        Some(Stored { key, result }) => (
            2 + guards,
            format!(
                "{leave}; SELECT pgshard.ledger_leave({}, {}); {position}",
                literal(key),
                literal(result)
            ),
        ),
    }
}

/// The exchange in a span of its own.
async fn traced(transaction: &Shared, sql: &str, before_commit: usize) -> Outcome {
    let span = transaction.lease.span(Phase::Commit);
    let outcome = exchange(transaction, sql, before_commit).await;
    if let Outcome::Aborted(error) | Outcome::Unknown(error) = &outcome {
        span.failed(error);
    }
    outcome
}

async fn exchange(transaction: &Shared, sql: &str, before_commit: usize) -> Outcome {
    let lease = &transaction.lease;
    let link = lease.link();
    let warnings = link.warnings();
    let mut answers = 0;
    let mut lsn = None;
    link.set_committing(true);
    link.sent();
    let outcome: Result<(), tokio_postgres::Error> = async {
        let stream = lease.client().simple_query_raw(sql).await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(message) = stream.try_next().await? {
            match message {
                SimpleQueryMessage::CommandComplete(_) => answers += 1,
                SimpleQueryMessage::Row(row) if answers > before_commit => {
                    let position = row.try_get(0).ok().flatten();
                    lsn = position
                        .and_then(|text| text.parse().ok())
                        .map(Lsn::written);
                }
                _ => {}
            }
        }
        Ok(())
    }
    .await;
    link.answered();
    link.set_committing(false);
    let committed = answers > before_commit;
    if committed {
        link.set_in_transaction(false);
    }
    match outcome {
        // A COMMIT that did not wait for its standby, or whose wait was cut short, says so by a
        // warning only.
        _ if committed && link.warnings() != warnings => Outcome::Unknown(unknown(
            transaction,
            "the server committed with a warning: it may not be replicated",
        )),
        _ if committed => Outcome::Committed { lsn },
        Ok(()) => Outcome::Unknown(unknown(transaction, "COMMIT was not answered")),
        Err(error) => {
            let refused = error.as_db_error().is_some_and(|answer| {
                let proxied = lease.proxy().is_some();
                answer.severity_is_error() && !(proxied && may_be_the_proxys(answer))
            });
            let error = lease.fault(error, Phase::Commit);
            if refused {
                Outcome::Aborted(error)
            } else {
                Outcome::Unknown(
                    unknown(
                        transaction,
                        "the connection ended before COMMIT was answered",
                    )
                    .with_source(error),
                )
            }
        }
    }
}

/// Whether an error may be a proxy's own, which says nothing of what its server did.
fn may_be_the_proxys(answer: &tokio_postgres::error::DbError) -> bool {
    answer.parsed_severity().is_none()
        || SqlState::new(answer.code().code()).is_none_or(SqlState::may_be_a_proxys)
}

trait Severity {
    /// An ERROR leaves the session open and undoes the transaction; a FATAL proves nothing.
    fn severity_is_error(&self) -> bool;
}

impl Severity for tokio_postgres::error::DbError {
    fn severity_is_error(&self) -> bool {
        use tokio_postgres::error::Severity;
        match self.parsed_severity() {
            Some(severity) => severity == Severity::Error,
            None => self.severity() == "ERROR",
        }
    }
}

fn unknown(transaction: &Shared, why: &str) -> Error {
    if let Some(shard) = transaction.lease.shard() {
        metrics::counter!(crate::observe::COMMITS_UNKNOWN, "shard" => shard.to_string())
            .increment(1);
    }
    transaction.lease.locate(
        Error::new(
            ErrorKind::CommitUnknown,
            format!(
                "{why}: the transaction may or may not be durable; look before you repeat it, or \
                 use an idempotency key"
            ),
        )
        .with_label(Label::OUTCOME_UNKNOWN)
        .in_phase(Phase::Commit),
    )
}
