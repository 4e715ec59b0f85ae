//! What comes out of the machine.

use std::sync::Arc;
use std::time::Duration;

use super::{FenceReason, Loss, OperatorAct, Settings, View};
use crate::id::{ClusterId, Epoch, Lsn, NodeIndex, ReignId, ShardId, SystemId};
use crate::topology::facts::{Mode, ProbeFailure};

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Publish this view. It comes before the clearing of pools, so that callers who are
    /// interrupted find the new view.
    Publish(Arc<View>),
    /// Discard the node's idle connections, and those in use when they return; connections made
    /// from now on carry the new generation.
    Clear {
        /// The node.
        node: NodeIndex,
        /// The generation from now on.
        generation: u64,
        /// Whether to interrupt the connections in use.
        interrupt: bool,
    },
    /// Write a reign on this node, with `ON CONFLICT (parent) DO NOTHING` and
    /// `synchronous_commit = local`, and read the history back: [`Event::Adopted`] or
    /// [`Event::AdoptionFailed`]. If none comes, the action is repeated after a while.
    ///
    /// [`Event::Adopted`]: super::Event::Adopted
    /// [`Event::AdoptionFailed`]: super::Event::AdoptionFailed
    Adopt {
        /// The node.
        node: NodeIndex,
        /// The new reign's parent: the newest that the node holds.
        parent: ReignId,
        /// The new reign's start.
        start: Lsn,
    },
    /// Probe these nodes now.
    ProbeNow(Vec<NodeIndex>),
    /// Probe all nodes at this pace from now on.
    Cadence(Cadence),
    /// Tell people.
    Emit(TopologyEvent),
}

/// How often to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cadence {
    /// The shard is steady.
    Steady,
    /// Something is wrong since less than [`Settings::URGENT_FOR`].
    Urgent,
    /// Something is wrong for longer; the step grows after each such time.
    Backoff {
        /// How far it backed off.
        step: u8,
    },
}

impl Cadence {
    /// The time between two probes of a node, to which the shell adds jitter.
    pub fn interval(self, settings: &Settings) -> Duration {
        let urgent = Settings::URGENT.min(settings.probe_interval);
        match self {
            Cadence::Steady => settings.probe_interval,
            Cadence::Urgent => urgent,
            Cadence::Backoff { step } => {
                (urgent * (1 << step.min(10))).min(settings.probe_interval)
            }
        }
    }
}

/// A change that operators should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyEvent {
    /// A node is primary from now on.
    PrimaryAdopted {
        /// The node.
        node: NodeIndex,
        /// The epoch.
        epoch: Epoch,
        /// Where its reign began.
        start: Lsn,
    },
    /// The primary may have failed; writers wait.
    PrimarySuspected {
        /// The node.
        node: NodeIndex,
    },
    /// There is no primary.
    PrimaryLost {
        /// The last one.
        node: NodeIndex,
    },
    /// The primary is back, in the same epoch.
    PrimaryReturned {
        /// The node.
        node: NodeIndex,
    },
    /// A failover lost writes that were acknowledged to this process, or may have.
    WritesLost(Loss),
    /// A primary came back with a log that ends before a position it had acknowledged: its storage
    /// lost data, or was restored. (A position is taken after COMMIT and may include what other
    /// sessions had not committed yet, so a crash under load can raise this without any loss.)
    LogWentBack {
        /// The node.
        node: NodeIndex,
        /// The highest position acknowledged to this process.
        acknowledged: Lsn,
        /// Where the node's log ends now.
        lsn: Lsn,
    },
    /// More than one node is writable, and nothing says which is right.
    Contested {
        /// The nodes.
        nodes: Vec<NodeIndex>,
    },
    /// A node is writable in a reign that has ended. It is never used; stop or rejoin it.
    Superseded {
        /// The node.
        node: NodeIndex,
    },
    /// A node's history left the shard's. It is never used; rebuild it.
    Forked {
        /// The node.
        node: NodeIndex,
    },
    /// Behind a node's address is a server of another shard, cluster or `initdb`. It is never used.
    Foreign {
        /// The node.
        node: NodeIndex,
        /// The server's identity.
        system: SystemId,
        /// The cluster it says it belongs to.
        cluster: ClusterId,
        /// The shard it says it holds.
        shard: ShardId,
    },
    /// A node is unreachable.
    NodeDown {
        /// The node.
        node: NodeIndex,
        /// The last failure.
        failure: ProbeFailure,
    },
    /// A standby answers as writable. Whether it is adopted, the rules say.
    Promoted {
        /// The node.
        node: NodeIndex,
    },
    /// A node that was down or never seen answers.
    NodeUp {
        /// The node.
        node: NodeIndex,
    },
    /// A node was added to the shard at run time, or is back.
    NodeJoined {
        /// The node.
        node: NodeIndex,
    },
    /// A node left the shard. It is not asked and not used any more.
    NodeLeft {
        /// The node.
        node: NodeIndex,
    },
    /// The shard takes no writes until an operator decides.
    Fenced {
        /// Why.
        reason: FenceReason,
    },
    /// The fence is gone.
    Unfenced,
    /// An operator changed the shard's mode, other than by a fence.
    ModeChanged {
        /// The mode from now on.
        mode: Mode,
        /// Who set it, when and why.
        note: Option<Arc<str>>,
    },
    /// An operator fenced a node: it is not used.
    NodeFenced {
        /// The node.
        node: NodeIndex,
    },
    /// An operator took the fence of a node away.
    NodeUnfenced {
        /// The node.
        node: NodeIndex,
    },
    /// An operator decided which history is the shard's: others that have parted from it were given
    /// up.
    Decided {
        /// The reign that the operator began.
        reign: ReignId,
    },
    /// An operator's decision was not carried out.
    OperatorRefused {
        /// The decision.
        act: OperatorAct,
        /// Why not, and what to do.
        reason: &'static str,
    },
}

impl TopologyEvent {
    /// A word for logs and programs, which stays.
    pub fn as_str(&self) -> &'static str {
        match self {
            TopologyEvent::PrimaryAdopted { .. } => "primary-adopted",
            TopologyEvent::PrimarySuspected { .. } => "primary-suspected",
            TopologyEvent::PrimaryLost { .. } => "primary-lost",
            TopologyEvent::PrimaryReturned { .. } => "primary-returned",
            TopologyEvent::WritesLost(_) => "writes-lost",
            TopologyEvent::LogWentBack { .. } => "log-went-back",
            TopologyEvent::Contested { .. } => "contested",
            TopologyEvent::Superseded { .. } => "superseded",
            TopologyEvent::Forked { .. } => "forked",
            TopologyEvent::Foreign { .. } => "foreign",
            TopologyEvent::NodeDown { .. } => "node-down",
            TopologyEvent::Promoted { .. } => "promoted",
            TopologyEvent::NodeUp { .. } => "node-up",
            TopologyEvent::Fenced { .. } => "fenced",
            TopologyEvent::Unfenced => "unfenced",
            TopologyEvent::ModeChanged { .. } => "mode-changed",
            TopologyEvent::NodeFenced { .. } => "node-fenced",
            TopologyEvent::NodeUnfenced { .. } => "node-unfenced",
            TopologyEvent::Decided { .. } => "decided",
            TopologyEvent::NodeJoined { .. } => "node-joined",
            TopologyEvent::NodeLeft { .. } => "node-left",
            TopologyEvent::OperatorRefused { .. } => "operator-refused",
        }
    }
}
