//! What one probe of a node tells: a complete answer ([`NodeFacts`]), or why there is none
//! ([`ProbeFailure`]).

use std::fmt;
use std::sync::Arc;

use crate::id::{ClusterId, Lsn, MapVersion, ShardId, SystemId, Timeline};

mod history;
mod orders;

pub use history::{BrokenHistory, Reign, ReignHistory, Relation};
pub use orders::{Mode, Orders};

/// What a database says it is: the row `pgshard.identity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The shard it holds.
    pub shard: ShardId,
    /// The version of the shard map it was last told.
    pub map_version: MapVersion,
}

/// A complete answer of a node to a probe.
///
/// Every field can be read by any role that may use schema `pgshard`, except where it says
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// `pg_control_system().system_identifier`.
    pub system: SystemId,
    /// The row of `pgshard.identity`.
    pub identity: Identity,
    /// `pg_is_in_recovery()`: `false` means that the node takes writes.
    pub in_recovery: bool,
    /// The timeline: on a primary from `pg_walfile_name(pg_current_wal_lsn())`; on a standby, the
    /// best that is visible.
    pub timeline: Timeline,
    /// On a primary where `pg_current_wal_insert_lsn()` says that the log [ends](Lsn::written), on a standby `pg_last_wal_replay_lsn()`.
    pub lsn: Lsn,
    /// On a primary `pg_last_wal_replay_lsn()`: where the recovery before its promotion ended,
    /// absent if it was started without a recovery. After a promotion this is exactly where the
    /// new timeline began. On a standby it is ignored.
    pub recovered_to: Option<Lsn>,
    /// On a standby `pg_last_wal_receive_lsn()`.
    pub received: Option<Lsn>,
    /// On a standby: whether its WAL receiver's status is `streaming`; `None` where the role may
    /// not see it (`pg_read_all_stats`).
    pub streaming: Option<bool>,
    /// The rows of `pgshard.reign`.
    pub history: ReignHistory,
    /// What operators decided, if they ever did, by `pgshard.identity`.
    pub orders: Option<Arc<Orders>>,
}

impl NodeFacts {
    /// Whether the node is writable but nobody wrote a reign for its timeline yet: it was promoted
    /// (or upgraded) since its newest reign began.
    pub(crate) fn needs_reign(&self) -> bool {
        !self.in_recovery && self.history.newest().timeline != self.timeline
    }

    /// Where the node's present timeline began, at the latest.
    pub(crate) fn began(&self) -> Lsn {
        self.recovered_to
            .map_or(self.lsn, |ended| ended.min(self.lsn))
    }
}

/// Why a probe has no complete answer.
#[derive(Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// The kind, which the rules go by.
    pub kind: FailureKind,
    /// The cause in words, for people.
    pub detail: Arc<str>,
}

/// The kinds of failed probes.
///
/// They differ in what they prove. A server that may be taking this shard's writes through other
/// clients must never be counted as gone, however unhelpful its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer within the probe's deadline. Slow is not dead: one timeout proves nothing.
    Timeout,
    /// Refused, reset, closed without an answer, no route, or the name does not resolve.
    Refused,
    /// 57P03: starting, stopping, in crash recovery, or a standby that takes no connections yet.
    Starting,
    /// The credentials, `pg_hba.conf`, TLS or a privilege: the server lives.
    Auth,
    /// 53300: the server lives. Never a fact about the topology.
    TooManyConnections,
    /// The database has no schema `pgshard`, or no reign: not a server of this shard, for nothing
    /// can be written there through this library.
    NotInstalled,
    /// 3D000: the server has no such database: not a server of this shard.
    WrongDatabase,
    /// Any other error that a server answered: the server lives.
    Other,
}

impl FailureKind {
    /// Whether the failure shows a living server that may be taking this shard's writes. It then
    /// neither makes the primary suspect nor permits the adoption of another node.
    pub fn lives(self) -> bool {
        match self {
            FailureKind::Auth | FailureKind::TooManyConnections | FailureKind::Other => true,
            FailureKind::Timeout
            | FailureKind::Refused
            | FailureKind::Starting
            | FailureKind::NotInstalled
            | FailureKind::WrongDatabase => false,
        }
    }

    /// A word for logs and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Timeout => "timeout",
            FailureKind::Refused => "refused",
            FailureKind::Starting => "starting",
            FailureKind::Auth => "auth",
            FailureKind::TooManyConnections => "too many connections",
            FailureKind::NotInstalled => "not installed",
            FailureKind::WrongDatabase => "wrong database",
            FailureKind::Other => "error",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ProbeFailure {
    /// A failure of a kind, with its cause in words.
    pub fn new(kind: FailureKind, detail: impl Into<Arc<str>>) -> Self {
        ProbeFailure {
            kind,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            self.kind.fmt(f)
        } else {
            write!(f, "{}: {}", self.kind, self.detail)
        }
    }
}

impl fmt::Debug for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
