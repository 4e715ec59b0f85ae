//! The published picture of a shard: immutable, replaced whole.

use std::fmt;
use std::sync::Arc;

use crate::id::{Epoch, Lsn, MapVersion, NodeIndex, ReignId, SystemId, Timeline};
use crate::topology::facts::{FailureKind, Orders, ProbeFailure, ReignHistory};

/// What a shard looks like now.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The shard's state.
    pub state: ShardState,
    /// The node to lend for writing, and the epoch to stamp the lease with: there is one exactly
    /// while the shard is [`ShardState::Steady`].
    pub primary: Option<(NodeIndex, Epoch)>,
    /// The reigns of the shard, as far as they are known.
    pub history: Option<ReignHistory>,
    /// The highest position known in the newest reign: the primary's insert position, or what was
    /// acknowledged to this process.
    pub head: Option<Lsn>,
    /// What operators decided: the shard's mode, and nodes that are not to be used.
    pub orders: Arc<Orders>,
    /// The nodes, by [`NodeIndex`].
    pub nodes: Vec<NodeView>,
}

/// A node in a [`View`].
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Its state.
    pub state: NodeState,
    /// The generation of its pool: starts at 1, and grows by one with every
    /// [`Action::Clear`](super::Action::Clear).
    pub generation: u64,
    /// Whether reads may go there: a standby that holds the current reign, answers, and streams
    /// where that is visible; or the primary of a steady shard.
    pub readable: bool,
    /// Whether it holds the failover manager's lock, as far as that is known and beyond doubt.
    pub leased: bool,
    /// Whether an operator fenced it: it is used neither for reads nor for writes.
    pub fenced: bool,
    /// What its failover manager says of it.
    pub tags: Tags,
    /// How many bytes a standby's replay is behind the head, as of the last probe.
    pub lag: Option<u64>,
    /// The last answer's position: insert on a primary, replay on a standby.
    pub lsn: Option<Lsn>,
    /// The last answer's timeline. While the newest of its reigns has another one, nobody has adopted
    /// the node since it was promoted.
    pub timeline: Option<Timeline>,
    /// The last answer's reigns.
    pub history: Option<ReignHistory>,
    /// The last answer's map version.
    pub map_version: Option<MapVersion>,
    /// Why the last probe failed, if it did.
    pub failure: Option<ProbeFailure>,
}

/// What a failover manager says of a node, as far as clients care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    /// Its replicas' reads do not belong there.
    pub noloadbalance: bool,
    /// The manager will not promote it.
    pub nofailover: bool,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeState {
    /// It never gave a complete answer.
    Unknown,
    /// In recovery.
    Standby {
        /// Its newest reign. If that is not the shard's newest, the standby is behind, or diverged
        /// before it.
        reign: ReignId,
        /// Its replay position.
        replay: Lsn,
    },
    /// Writable. Whether it is the one to write to, [`View::primary`] says.
    Primary {
        /// Its newest reign.
        reign: ReignId,
        /// Its insert position.
        insert: Lsn,
    },
    /// Writable in a reign that has ended, or beside the primary, which holds the failover manager's
    /// lock: an old primary, or a replica promoted by accident. Never used.
    Superseded {
        /// Its newest reign.
        reign: ReignId,
    },
    /// Its history and the shard's have parted. Never used.
    Forked {
        /// Its newest reign.
        reign: ReignId,
    },
    /// Another server than one of this shard's. Never used.
    Foreign {
        /// Its system identifier.
        system: SystemId,
    },
    /// Its failover manager does not know it any more: it is not asked and never used.
    Retired,
    /// 57P03: starting, stopping or in crash recovery.
    Starting,
    /// Unreachable: no complete answer for `down_after`, and to three probes.
    Down {
        /// The last failure.
        cause: FailureKind,
    },
}

impl NodeState {
    /// A word for logs and tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            NodeState::Unknown => "unknown",
            NodeState::Standby { .. } => "standby",
            NodeState::Primary { .. } => "primary",
            NodeState::Superseded { .. } => "superseded",
            NodeState::Forked { .. } => "forked",
            NodeState::Foreign { .. } => "foreign",
            NodeState::Retired => "retired",
            NodeState::Starting => "starting",
            NodeState::Down { .. } => "down",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardState {
    /// It has a primary.
    Steady {
        /// The primary.
        primary: NodeIndex,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The primary may have failed. It is being probed, and not lent meanwhile.
    Suspect {
        /// The primary.
        primary: NodeIndex,
    },
    /// No primary is known.
    Searching {
        /// What it waits for.
        waiting: Waiting,
    },
    /// More than one node is writable, and nothing says which is right.
    Contested {
        /// The nodes.
        nodes: Vec<NodeIndex>,
    },
    /// Writes are refused until an operator decides.
    Fenced {
        /// Why.
        reason: FenceReason,
    },
}

impl ShardState {
    /// A word for logs and tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            ShardState::Steady { .. } => "steady",
            ShardState::Suspect { .. } => "suspect",
            ShardState::Searching { .. } => "searching",
            ShardState::Contested { .. } => "contested",
            ShardState::Fenced { .. } => "fenced",
        }
    }
}

/// What a shard without a primary waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Waiting {
    /// For this node to answer, or to have failed for long enough. A node that answers with an
    /// error (credentials, `max_connections`) may be the primary: mend it, or name the primary.
    Answer(NodeIndex),
    /// For the reign to be written on this node.
    Adoption(NodeIndex),
    /// For this node, which holds the failover manager's lock, to become writable.
    Promotion(NodeIndex),
    /// For the last primary to come back, or a replica to be promoted.
    Primary,
}

/// Why a shard is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FenceReason {
    /// An operator fenced it.
    Operator,
    /// A failover lost acknowledged writes, and the settings are strict.
    WritesLost(Loss),
    /// The last primary is gone, no node that answers holds the newest reign, and the only writable
    /// node lacks it: whatever was written in that reign would be lost.
    ReignLost {
        /// The writable node.
        node: NodeIndex,
        /// The reign that it lacks.
        reign: ReignId,
    },
    /// The nodes have different system identifiers, and neither is in the majority.
    SystemsDiffer,
}

/// Acknowledged writes that the present primary lacks, or may lack.
///
/// A position is taken after COMMIT and may include what other sessions had not committed, so `to`
/// is an upper bound: every acknowledged write up to `from` is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    /// The present primary.
    pub node: NodeIndex,
    /// The reign in which the writes were acknowledged.
    pub reign: ReignId,
    /// Where the history of the present primary leaves that reign.
    pub from: Lsn,
    /// The highest position acknowledged to this process in that reign.
    pub to: Lsn,
}
