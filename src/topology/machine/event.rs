//! What goes into the machine.

use std::time::Duration;

use crate::id::{Epoch, NodeIndex, SystemId};
use crate::topology::facts::{NodeFacts, ProbeFailure, ReignHistory};

/// Something that happened. Every step also takes the present time.
#[derive(Clone, Debug)]
pub enum Event {
    /// A probe was answered completely.
    Answered {
        /// The node.
        node: NodeIndex,
        /// When the probe was sent. An answer proves nothing about what was seen after that.
        asked_at: Duration,
        /// What it said.
        facts: NodeFacts,
    },
    /// A probe was not answered completely.
    Failed {
        /// The node.
        node: NodeIndex,
        /// When the probe was sent.
        asked_at: Duration,
        /// Why.
        failure: ProbeFailure,
    },
    /// Traffic proved the role: the node let a write transaction in under this epoch. It stands
    /// for a probe, which the shell may then skip.
    Proved {
        /// The node.
        node: NodeIndex,
        /// When the transaction was begun.
        asked_at: Duration,
        /// The epoch that the node confirmed.
        epoch: Epoch,
    },
    /// A pool met something that may be a change of the topology.
    Hint {
        /// The node.
        node: NodeIndex,
        /// The generation of the pool that the connection came from. Hints of an old one are
        /// ignored.
        generation: u64,
        /// What it met.
        hint: Hint,
    },
    /// The answer to [`Action::Adopt`](super::Action::Adopt): the reign is there, this process's or
    /// that of another client which was faster.
    Adopted {
        /// The node.
        node: NodeIndex,
        /// The rows of `pgshard.reign`, read after the insertion.
        history: ReignHistory,
    },
    /// The answer to [`Action::Adopt`](super::Action::Adopt): the reign could not be written or
    /// read.
    AdoptionFailed {
        /// The node.
        node: NodeIndex,
        /// Why.
        failure: ProbeFailure,
    },
    /// A failover manager (Patroni) says that a node holds its lock. A node that holds it and answers
    /// as writable is adopted at once.
    Leased {
        /// The node.
        node: NodeIndex,
        /// When the manager was asked.
        seen: Duration,
        /// When its word ends, unless it is heard again.
        until: Duration,
    },
    /// A failover manager says that a node does not hold its lock. Nothing follows from that for a
    /// node that is primary.
    Unleased {
        /// The node.
        node: NodeIndex,
        /// When the manager was asked.
        seen: Duration,
    },
    /// Time passed.
    Tick,
    /// An operator decided something.
    Operator(OperatorAct),
}

/// What a pool met on a connection.
///
/// None of them proves a change of roles; they make the machine look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// 25006. A read-only transaction on a primary raises it too.
    ReadOnly,
    /// 57P01. One `pg_terminate_backend` raises it too.
    Terminated,
    /// A connection was reset or closed without a word.
    ConnectionLost,
    /// A new connection was refused.
    Refused,
    /// A statement or a new connection timed out. Slow is not dead.
    TimedOut,
    /// The server reported another value of `in_hot_standby`.
    RoleChanged {
        /// The new value.
        in_hot_standby: bool,
    },
    /// PGS02: the server refused a write transaction because it is not the primary of its reign.
    WrongReign,
    /// PGS03: the server belongs to another cluster or shard.
    WrongIdentity,
}

/// A decision of an operator, valid for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperatorAct {
    /// Go on although acknowledged writes, or whole reigns, were lost.
    AcceptWritesLost,
    /// Lend no primary. Transactions that have begun run to their end.
    Fence,
    /// Take the fence away.
    Unfence,
    /// This writable node is the primary, whatever the others say. A new reign is written there, so
    /// that other clients follow where the histories allow it.
    NamePrimary(NodeIndex),
    /// The shard's servers have this system identifier from now on, as after `pg_upgrade`.
    AdoptIdentity {
        /// The new system identifier.
        system: SystemId,
    },
}
