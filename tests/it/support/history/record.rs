//! What a client's callers asked and were told.

use std::time::Instant;

use pgshard::CommitOutcome;
use pgshard::id::{ReignId, ShardId};
use uuid::Uuid;

/// All that was recorded with one client.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) began: Instant,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    /// Reads that were refused or timed out.
    pub(crate) failed_reads: usize,
    /// The newer reigns that the client heard of.
    pub(crate) learned: Vec<Learned>,
    /// What was done to the servers.
    pub(crate) notes: Vec<(Instant, String)>,
}

/// One attempt to write, as its caller saw it. Attempts of one operation are repetitions under one
/// idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) operation: Uuid,
    /// The shard that the client's map names.
    pub(crate) shard: ShardId,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged.
    Done {
        /// Which run of the closure took effect.
        run: Uuid,
        /// The term of the primary that acknowledged it, from the token.
        reign: Option<ReignId>,
        /// It was an earlier run under the same key.
        replayed: bool,
    },
    /// The caller was told that it is not known, and what became of it if that came out later.
    Unknown(Option<CommitOutcome>),
    /// Not committed, and its key is used up.
    GivenUp,
    /// Not committed.
    Failed(String),
}

/// A read with a token.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// The operation whose token it was given.
    pub(crate) must_see: Uuid,
    pub(crate) saw: Vec<Uuid>,
}

/// The client heard of a new primary's term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learned {
    pub(crate) shard: ShardId,
    pub(crate) reign: ReignId,
    pub(crate) at: Instant,
}
