//! Write transactions: closures that are tried again until COMMIT is sent, and never after.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use super::cluster::Inner;
use super::commit::{Outcome, Stored, commit};
use super::ledger::{IdempotencyKey, Ledger};
use super::retry::Retry;
use super::token::{Mark, Token};
use super::tx::{Nonce, Shared, Tx};
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{Epoch, Lsn};
use crate::pool::{Access, Lease};
use crate::routing::Location;

/// How a transaction is isolated from others; see PostgreSQL's chapter 13.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the first.
    RepeatableRead,
    /// As if transactions ran one after another.
    Serializable,
}

impl Isolation {
    fn sql(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        }
    }
}

/// The result of a transaction that is known to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// What the closure returned.
    pub value: T,
    /// For later reads that must see this write. `None` if the connection ended between COMMIT's
    /// answer and the log position: read from the primary then.
    pub token: Option<Token>,
    /// Whether the value is that of an earlier run under the same idempotency key.
    pub replayed: bool,
}

/// A write transaction being prepared: its settings, then [`run`](Self::run).
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `run`"]
pub struct Write<'a> {
    pub(super) cluster: &'a Inner,
    pub(super) location: Location,
    pub(super) isolation: Isolation,
    pub(super) within: Duration,
}

impl<'a> Write<'a> {
    pub(super) fn new(cluster: &'a Inner, location: Location) -> Self {
        let timeouts = &cluster.config.timeouts;
        Write {
            cluster,
            location,
            isolation: Isolation::default(),
            within: timeouts.primary + timeouts.statement,
        }
    }

    /// Sets the isolation level; READ COMMITTED otherwise.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets the time for all attempts together, until COMMIT is sent; otherwise
    /// `timeouts.primary` and `timeouts.statement` together. COMMIT has its own, `timeouts.commit`.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Makes the transaction repeatable: under one key the closure takes effect once at most, and
    /// an unknown outcome is resolved, after a failover too.
    ///
    /// `request` is what the key stands for; the same key with another request is refused. The
    /// closure's result is stored with the transaction (64 KiB of JSON at most) and returned again
    /// to whoever repeats the request.
    ///
    /// # Errors
    ///
    /// If the request cannot be written as JSON.
    pub fn idempotent<R>(self, key: &IdempotencyKey, request: &R) -> Result<IdempotentWrite<'a>>
    where
        R: serde::Serialize + ?Sized,
    {
        let ledger = Ledger::new(key, request, self.location.bucket)?;
        Ok(IdempotentWrite {
            write: self,
            ledger,
        })
    }

    /// Runs the closure in a transaction on the key's primary and commits it if the closure
    /// returns `Ok`.
    ///
    /// The closure runs again after a serialization failure, a deadlock, or a failover before COMMIT
    /// was sent, so it must not have effects outside the transaction. Once COMMIT was sent, nothing
    /// is tried again.
    ///
    /// # Errors
    ///
    /// The closure's own; why no attempt could succeed; or, with
    /// [`Label::OUTCOME_UNKNOWN`], that COMMIT was not answered.
    pub async fn run<T, F, Fut>(self, mut closure: F) -> Result<Committed<T>>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let attempt = Attempt::new(&self);
        let mut retry = attempt.retry();
        loop {
            let outcome = async {
                let (transaction, _) = attempt.begin(None).await?;
                let value = attempt
                    .body(&transaction, closure(transaction.handle()))
                    .await?;
                let lsn = attempt.commit(&transaction, None).await?;
                Ok(Committed {
                    value,
                    token: attempt.token(&transaction, lsn),
                    replayed: false,
                })
            }
            .await;
            match outcome {
                Ok(committed) => return Ok(committed),
                Err(error) => retry.after(error).await?,
            }
        }
    }
}

/// A [`Write`] under an idempotency key; see [`Write::idempotent`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `run`"]
pub struct IdempotentWrite<'a> {
    write: Write<'a>,
    ledger: Ledger,
}

impl IdempotentWrite<'_> {
    /// As [`Write::run`], once at most under the key.
    ///
    /// # Errors
    ///
    /// As [`Write::run`]. [`ErrorKind::Idempotency`] if the key was used with another request, was
    /// given up, or is older than the ledger's retention. An unknown outcome is resolved first: the
    /// error says that it is unknown only if the shard could not be asked in time.
    pub async fn run<T, F, Fut>(self, mut closure: F) -> Result<Committed<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let attempt = Attempt::new(&self.write);
        let mut retry = attempt.retry();
        loop {
            let error = match self.attempt(&attempt, &mut closure).await {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            if error.has(Label::OUTCOME_UNKNOWN) {
                return self.resolve(error).await;
            }
            retry.after(error).await?;
        }
    }

    async fn attempt<T, F, Fut>(
        &self,
        attempt: &Attempt<'_>,
        closure: &mut F,
    ) -> Result<Committed<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let (transaction, earlier) = attempt.begin(Some(&self.ledger)).await?;
        if let Some(result) = earlier {
            // This transaction changed nothing, but its COMMIT waits for the standby that the
            // earlier one's may still lack.
            let value = self.ledger.read(&result);
            let lsn = attempt
                .commit(&transaction, None)
                .await
                .map_err(read_again)?;
            let token = attempt.token(&transaction, lsn);
            return Ok(Committed {
                value: value?,
                token,
                replayed: true,
            });
        }
        let value = attempt
            .body(&transaction, closure(transaction.handle()))
            .await?;
        let result = self.ledger.write(&value)?;
        let stored = Stored {
            key: self.ledger.key(),
            result: &result,
        };
        let lsn = attempt.commit(&transaction, Some(stored)).await?;
        Ok(Committed {
            value,
            token: attempt.token(&transaction, lsn),
            replayed: false,
        })
    }

    /// Asks the ledger what became of a COMMIT without an answer. The question leaves a tombstone
    /// if the key is not there, so that the answer stays true.
    async fn resolve<T: serde::de::DeserializeOwned>(self, unknown: Error) -> Result<Committed<T>> {
        let attempt = Attempt::new(&self.write);
        let mut retry = attempt.retry();
        let outcome = loop {
            match self.ask(&attempt).await {
                Err(error) => match retry.after(error).await {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                },
                answer => break answer,
            }
        };
        match outcome {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => Err(Error::new(
                ErrorKind::Idempotency,
                "the transaction was not committed, and its key is given up: repeat the request \
                 under a new key",
            )
            .in_phase(Phase::Resolve)
            .with_source(unknown)),
            Err(error) if error.kind() == ErrorKind::Idempotency => Err(error),
            Err(error) => {
                tracing::warn!(%error, "an unknown outcome could not be resolved yet");
                Err(unknown)
            }
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        attempt: &Attempt<'_>,
    ) -> Result<Option<Committed<T>>> {
        let (transaction, _) = attempt.begin(None).await?;
        let question = self.ledger.resolve_sql();
        let answers = transaction
            .lease
            .simple(&question, Phase::Resolve, attempt.deadline)
            .await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                roll_back(&transaction.lease).await;
                return Err(error);
            }
        };
        let (state, result) = two_columns(&answers);
        // Whatever it is, it is true only once it is as durable as any other write. To ask again is
        // safe.
        let lsn = attempt
            .commit(&transaction, None)
            .await
            .map_err(read_again)?;
        if state.as_deref() != Some("committed") {
            return Ok(None);
        }
        let value = self.ledger.read(result.as_deref().unwrap_or("null"))?;
        Ok(Some(Committed {
            value,
            token: attempt.token(&transaction, lsn),
            replayed: true,
        }))
    }
}

/// A transaction that wrote nothing of the caller's may be repeated whatever became of its COMMIT.
fn read_again(error: Error) -> Error {
    error
        .without_label(Label::OUTCOME_UNKNOWN)
        .with_label(Label::RETRYABLE)
}

/// What the attempts of one transaction have in common.
struct Attempt<'a> {
    write: &'a Write<'a>,
    deadline: Instant,
}

impl<'a> Attempt<'a> {
    fn new(write: &'a Write<'a>) -> Self {
        Attempt {
            write,
            deadline: Instant::now() + write.within,
        }
    }

    fn retry(&self) -> Retry<'a> {
        self.write
            .cluster
            .retry(self.write.location.shard, self.deadline)
    }

    /// The first round trip: BEGIN, the gate, and the checks of `pgshard.enter`; with a ledger, its
    /// row. Yields the result of an earlier run under the same key.
    async fn begin(&self, ledger: Option<&Ledger>) -> Result<(Arc<Shared>, Option<String>)> {
        let Write {
            cluster,
            location,
            isolation,
            ..
        } = self.write;
        let shard = cluster.shard(location.shard);
        let lease = shard.lease_primary(Access::Write, self.deadline).await?;
        let Some(epoch) = lease.epoch() else {
            return Err(lease.locate(Error::refused("the lease is not for a primary")));
        };
        let nonce = Nonce::new();
        // The gate comes before anything that takes a snapshot: see schema/pgshard.
        let mut sql = format!(
            "BEGIN ISOLATION LEVEL {} READ WRITE; \
             LOCK TABLE pgshard.gate IN ACCESS SHARE MODE; \
             SELECT pgshard.enter('{nonce}', '{}', '{}', {}, '{}')",
            isolation.sql(),
            cluster.config.cluster,
            shard.id(),
            cluster.config.map.version(),
            epoch.reign,
        );
        if let Some(ledger) = ledger {
            sql.push_str("; ");
            sql.push_str(&ledger.enter_sql());
        }
        let deadline = self
            .deadline
            .min(Instant::now() + cluster.config.timeouts.statement);
        lease.link().set_in_transaction(true);
        let answers = match lease.simple(&sql, Phase::Begin, deadline).await {
            Ok(answers) => answers,
            Err(error) => {
                roll_back(&lease).await;
                return Err(error);
            }
        };
        shard.proved(&lease, epoch);
        let earlier = match ledger {
            Some(_) => match two_columns(&answers) {
                (Some(fresh), result) if fresh == "f" => Some(result.unwrap_or("null".into())),
                _ => None,
            },
            None => None,
        };
        let timeout = cluster.config.timeouts.statement;
        let transaction = Shared::new(lease, nonce, *location, self.deadline, timeout);
        Ok((transaction, earlier))
    }

    /// Runs the closure; rolls back if it fails.
    async fn body<T>(
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

    async fn commit(
        &self,
        transaction: &Arc<Shared>,
        stored: Option<Stored<'_>>,
    ) -> Result<Option<Lsn>> {
        // Also where no closure ran: nothing may follow COMMIT.
        transaction.close()?;
        let wait = self.write.cluster.config.timeouts.commit;
        match commit(transaction, stored, wait).await {
            Outcome::Committed { lsn } => {
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

    fn token(&self, transaction: &Shared, lsn: Option<Lsn>) -> Option<Token> {
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
async fn roll_back(lease: &Lease) {
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
fn two_columns(answers: &[SimpleQueryMessage]) -> (Option<String>, Option<String>) {
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
