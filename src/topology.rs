//! Who is primary now, and which replicas may be read: decided from what the nodes say.
//!
//! [`Machine`] is a pure state machine, one per shard: [`Event`]s and the time go in, [`Action`]s
//! and an immutable [`View`] come out. It has no clock, no I/O and no randomness. Around it, an
//! asynchronous shell probes the nodes, carries the actions out and publishes the view; the pools
//! report what they meet as [`Hint`]s. [`select`](select()) chooses the node of a read from a view.
//!
//! - `facts`: what one probe of a node tells, and the chain of reigns;
//! - `machine`: events, rules, actions, view;
//! - `select`: read preferences, staleness bounds, consistency tokens.

mod facts;
mod machine;
mod select;

pub use facts::{
    BrokenHistory, FailureKind, Identity, Mode, NodeFacts, Orders, ProbeFailure, Reign,
    ReignHistory, Relation,
};
pub use machine::{
    Action, Cadence, Event, FenceReason, Hint, Loss, Machine, NodeState, NodeView, OperatorAct,
    Settings, ShardState, Tags, TopologyEvent, View, Waiting,
};
pub use select::{Floor, Measures, NoNode, Read, ReadPreference, select};

pub(crate) use select::{ended, holds};
