//! A transaction, as its closure sees it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::guard::Scope;
use super::row::FromRow;
use super::{control, deadline, one_row};
use crate::error::{Error, Label, Phase, Result};
use crate::pool::{FirstRow, Lease};
use crate::routing::Location;

/// A transaction on one shard, passed to the closure of
/// [`Session::transaction`](super::Session::transaction).
///
/// It ends with the closure: with COMMIT if that returns `Ok`, with ROLLBACK if it returns `Err`. A
/// `Tx` that is kept beyond refuses to be used. Statements that control the transaction are refused.
pub struct Tx {
    shared: Arc<Shared>,
}

/// What the closure's [`Tx`] and the code that ends the transaction share.
pub(super) struct Shared {
    pub(super) lease: Lease,
    pub(super) nonce: Nonce,
    location: Location,
    pub(super) scope: Scope,
    /// No statement of the transaction may be waited for beyond it.
    deadline: Instant,
    statement_timeout: Duration,
    /// Cleared before the transaction is ended.
    open: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

/// The first statement that failed: if the closure ignores it, COMMIT cannot succeed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) retryable: bool,
    pub(super) text: String,
}

/// Marks one transaction: set at its begin for its length only, compared at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nonce(u128);

impl Nonce {
    pub(super) fn new() -> Self {
        Nonce(u128::from(crate::random::number()) << 64 | u128::from(crate::random::number()))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Shared {
    pub(super) fn new(
        lease: Lease,
        nonce: Nonce,
        location: Location,
        scope: Scope,
        deadline: Instant,
        statement_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Shared {
            lease,
            nonce,
            location,
            scope,
            deadline,
            statement_timeout,
            open: AtomicBool::new(true),
            failure: Mutex::new(None),
        })
    }

    pub(super) fn handle(self: &Arc<Self>) -> Tx {
        Tx {
            shared: Arc::clone(self),
        }
    }

    /// Takes no more statements from now on.
    ///
    /// # Errors
    ///
    /// If one is still running, or was given up by its caller: what it did is not known to the
    /// closure, so the transaction must not be committed.
    pub(super) fn close(&self) -> Result<()> {
        self.open.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst); // with the one of `turn`
        if self.lease.link().is_busy() {
            return Err(self.lease.locate(
                Error::refused(
                    "the closure returned while a statement of its transaction was running, or \
                     after giving one up: await every statement; for a shorter deadline use the \
                     transaction's",
                )
                .in_phase(Phase::Execute),
            ));
        }
        Ok(())
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The deadline of a statement that starts now.
    pub(super) fn statement_deadline(&self) -> Instant {
        self.deadline
            .min(deadline::after(Instant::now(), self.statement_timeout))
    }

    fn usable(&self) -> Result<()> {
        if self.open.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(
            Error::refused("the transaction has ended: its handle cannot be used any more")
                .in_phase(Phase::Execute)
                .with_label(Label::NOT_SENT),
        )
    }

    /// The right to run one statement; the transaction cannot be ended while it is held.
    ///
    /// A handle that was moved to another task may start a statement in the very moment in which the
    /// closure returns. Sent after COMMIT or ROLLBACK, it would be a transaction of its own.
    fn turn(&self) -> Result<Turn<'_>> {
        self.usable()?;
        self.lease.link().sent();
        let turn = Turn(&self.lease);
        // Either this sees that the transaction is closed, or `close` sees the statement.
        fence(Ordering::SeqCst);
        self.usable()?;
        Ok(turn)
    }

    fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            if failure.is_none() {
                *failure = Some(Failure {
                    retryable: error.has(Label::RETRYABLE),
                    text: error.to_string(),
                });
            }
        }
        outcome
    }
}

/// Counts as in flight from before the first message of a statement until after its last.
struct Turn<'a>(&'a Lease);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.link().answered();
    }
}

impl Tx {
    /// Runs a statement and reads its rows.
    ///
    /// # Errors
    ///
    /// The server's error, [`ErrorKind::Decode`](crate::ErrorKind::Decode) for a row that does not
    /// fit `T`, a deadline, a lost connection, or the refusal of transaction control. Return it from
    /// the closure: the transaction is then tried again if that can help.
    pub async fn query<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>> {
        self.rows(sql, params)
            .await?
            .iter()
            .map(|row| T::from_row(&row.into()))
            .collect()
    }

    /// Runs a statement that answers exactly one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); and if there are no rows, or more than one.
    pub async fn query_one<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        one_row::one(&self.first(sql, params).await?)
    }

    /// Runs a statement that answers one row or none.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); and if there is more than one row.
    pub async fn query_opt<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        one_row::optional(&self.first(sql, params).await?)
    }

    /// Runs a statement and collects the driver's rows.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let shared = &self.shared;
        let _turn = self.check(sql)?;
        let outcome = shared
            .lease
            .query(sql, params, Phase::Execute, shared.statement_deadline())
            .await;
        shared.note(outcome)
    }

    async fn first(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<FirstRow> {
        let shared = &self.shared;
        let _turn = self.check(sql)?;
        let outcome = shared
            .lease
            .query_first(sql, params, Phase::Execute, shared.statement_deadline())
            .await;
        shared.note(outcome)
    }

    /// Runs a statement and counts the rows it touched.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let shared = &self.shared;
        let _turn = self.check(sql)?;
        let outcome = shared
            .lease
            .execute(sql, params, Phase::Execute, shared.statement_deadline())
            .await;
        shared.note(outcome)
    }

    /// The driver's own client, inside the transaction, for what this crate does not wrap.
    ///
    /// The honest COMMIT still holds. Deadlines, labels and the refusal of transaction control do
    /// not; if the transaction is ended with it, COMMIT fails with
    /// [`ErrorKind::TransactionControl`](crate::ErrorKind::TransactionControl).
    ///
    /// # Errors
    ///
    /// If the transaction has ended.
    pub fn raw(&self) -> Result<&tokio_postgres::Client> {
        self.shared.usable()?;
        self.shared.lease.refuse_raw()?;
        Ok(self.shared.lease.raw())
    }

    /// The bucket and shard of the session's key.
    pub fn location(&self) -> Location {
        self.shared.location
    }

    fn check(&self, sql: &str) -> Result<Turn<'_>> {
        let turn = self.shared.turn()?;
        control::refuse(sql)
            .and_then(|()| self.shared.scope.refuse(sql))
            .map_err(|error| self.shared.lease.locate(error))?;
        Ok(turn)
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx")
            .field("lease", &self.shared.lease)
            .finish_non_exhaustive()
    }
}
