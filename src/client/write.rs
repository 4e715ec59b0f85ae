//! Write transactions: closures that are tried again until COMMIT is sent, and never after.

use std::future::Future;
use std::time::Duration;

use super::attempt::Attempt;
use super::core::Core;
use super::guard::Scope;
use super::idempotent::IdempotentWrite;
use super::ledger::{IdempotencyKey, Ledger};
use super::span;
use super::token::Token;
use super::tx::Tx;
use crate::error::Result;
#[cfg(feature = "sql")]
use crate::id::ShardIndex;
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
    pub(super) fn sql(self) -> &'static str {
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
    pub(super) cluster: &'a Core,
    pub(super) location: Location,
    pub(super) digest: u64,
    pub(super) scope: Scope,
    pub(super) isolation: Isolation,
    pub(super) within: Duration,
}

impl<'a> Write<'a> {
    pub(super) fn new(cluster: &'a Core, location: Location, digest: u64, scope: Scope) -> Self {
        let timeouts = &cluster.config.timeouts;
        Write {
            cluster,
            location,
            digest,
            scope,
            isolation: Isolation::default(),
            within: timeouts.primary.saturating_add(timeouts.statement),
        }
    }

    /// A transaction on a shard, whatever its keys; `None` for a shard that owns no bucket.
    #[cfg(feature = "sql")]
    pub(crate) fn on_shard(cluster: &'a Core, shard: ShardIndex) -> Option<Self> {
        let bucket = cluster.config.map.buckets_of(shard).next()?;
        let location = Location { bucket, shard };
        let scope = Scope::all(cluster.config.guard);
        Some(Write::new(cluster, location, 0, scope))
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
        let ledger = Ledger::new(key, request, self.location.bucket, self.digest)?;
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
    /// [`Label::OUTCOME_UNKNOWN`](crate::Label::OUTCOME_UNKNOWN), that COMMIT was not answered.
    pub async fn run<T, F, Fut>(self, closure: F) -> Result<Committed<T>>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if span::listened_to() {
            let place = (self.cluster, self.location.shard);
            return Box::pin(span::within("transaction", place, self.attempts(closure))).await;
        }
        self.attempts(closure).await
    }

    async fn attempts<T, F, Fut>(self, mut closure: F) -> Result<Committed<T>>
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
