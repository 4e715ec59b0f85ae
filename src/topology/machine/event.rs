//! What goes into the machine.

use std::time::Duration;

use super::Tags;
use crate::id::{Epoch, NodeIndex, SystemId};
use crate::topology::facts::{Mode, NodeFacts, ProbeFailure, ReignHistory};

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
    /// A failover manager knows this node. The position after the last one is that of a new node.
    Member {
        /// The node.
        node: NodeIndex,
        /// What the manager says of it.
        tags: Tags,
    },
    /// A failover manager does not know this node any more. It is given up as soon as it does not
    /// answer as writable.
    Gone {
        /// The node.
        node: NodeIndex,
    },
    /// A node has another address from now on.
    Moved {
        /// The node.
        node: NodeIndex,
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

/// A decision of an operator. As an event of the machine it is valid for this process; the same acts,
/// stored on the shard's servers, reach all processes with the servers' answers to probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperatorAct {
    /// Go on although acknowledged writes, or whole reigns, were lost.
    AcceptWritesLost,
    /// Lend no primary, and interrupt what is in flight there: an emergency.
    Fence,
    /// Take the fence away.
    Unfence,
    /// Refuse write transactions; reads go on.
    ReadOnly,
    /// Refuse write transactions and reads.
    Drain,
    /// End read-only or drained mode.
    Open,
    /// Use this node neither for reads nor for writes.
    FenceNode(NodeIndex),
    /// Use this node again.
    UnfenceNode(NodeIndex),
    /// This writable node is the primary, whatever the others say. A new reign is written there, so
    /// that other clients follow where the histories allow it.
    NamePrimary(NodeIndex),
    /// The shard's servers have this system identifier from now on, as after `pg_upgrade`.
    AdoptIdentity {
        /// The new system identifier.
        system: SystemId,
    },
}

impl OperatorAct {
    /// The word in `pgshard.act`, in logs and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            OperatorAct::AcceptWritesLost => "accept-loss",
            OperatorAct::Fence => "fence",
            OperatorAct::Unfence => "unfence",
            OperatorAct::ReadOnly => "read-only",
            OperatorAct::Drain => "drain",
            OperatorAct::Open => "open",
            OperatorAct::FenceNode(_) => "node-fence",
            OperatorAct::UnfenceNode(_) => "node-unfence",
            OperatorAct::NamePrimary(_) => "name-primary",
            OperatorAct::AdoptIdentity { .. } => "adopt",
        }
    }

    /// The mode of a shard after this act; `None` if it has nothing to do with the mode.
    ///
    /// # Errors
    ///
    /// Why the act makes no sense in the present mode. A fence is ended by its own act only, so that
    /// whoever ends a planned maintenance does not lift an emergency's fence.
    pub fn mode(self, now: Mode) -> Result<Option<Mode>, &'static str> {
        let next = match self {
            OperatorAct::Fence => Mode::Fenced,
            OperatorAct::ReadOnly => Mode::ReadOnly,
            OperatorAct::Drain => Mode::Drained,
            OperatorAct::Unfence | OperatorAct::Open => Mode::Open,
            _ => return Ok(None),
        };
        match (self, now) {
            (OperatorAct::Unfence, Mode::Fenced) => Ok(Some(next)),
            (OperatorAct::Unfence, _) => Err("the shard is not fenced"),
            (OperatorAct::Fence, Mode::Fenced) => Err("the shard is fenced already"),
            (_, Mode::Fenced) => Err("the shard is fenced; only unfence ends that"),
            (OperatorAct::Open, Mode::Open) => Err("the shard is open already"),
            (OperatorAct::ReadOnly, Mode::ReadOnly) => Err("the shard is read-only already"),
            (OperatorAct::Drain, Mode::Drained) => Err("the shard is drained already"),
            _ => Ok(Some(next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unfence_ends_a_fence() {
        use OperatorAct::{Drain, Fence, Open, ReadOnly, Unfence};
        for act in [Open, ReadOnly, Drain, Fence] {
            assert!(act.mode(Mode::Fenced).is_err(), "{act:?}");
        }
        assert_eq!(Unfence.mode(Mode::Fenced), Ok(Some(Mode::Open)));
        assert!(Unfence.mode(Mode::Drained).is_err());
        assert_eq!(Open.mode(Mode::Drained), Ok(Some(Mode::Open)));
        assert_eq!(Drain.mode(Mode::ReadOnly), Ok(Some(Mode::Drained)));
        assert_eq!(Fence.mode(Mode::Open), Ok(Some(Mode::Fenced)));
        assert!(Open.mode(Mode::Open).is_err());
        assert_eq!(OperatorAct::AcceptWritesLost.mode(Mode::Fenced), Ok(None));
    }
}
