//! Changing a shard's primary by hand, where no Patroni does it.
//!
//! [`Switchover`] hands the role to a standby and loses nothing. [`Failover`] promotes the most advanced
//! standby of a primary that is dead. [`Rejoin`] makes a former primary a standby again. What a server holds
//! that the primary lacks, [`divergence`] tells, before a rewind would throw it away.
//!
//! Each looks first and refuses before anything is changed; its plan can be shown; each step is written
//! to a [journal](super::journal), from which an interrupted run goes on.

mod admin;
pub mod divergence;
mod failover;
mod follow;
mod history;
mod promote;
mod rejoin;
mod survey;
mod switchover;
mod synchronous;
mod waldump;

pub use admin::Admin;
pub use failover::{Failover, FailoverOptions, Fence};
pub use rejoin::{Rejoin, RejoinOptions, Rejoined};
pub use switchover::{Switchover, SwitchoverOptions};

pub(crate) use follow::{point, until_streaming};

use serde::Serialize;

use crate::id::{NodeId, Timeline};

/// A step of a plan, for people.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// Its name in the journal.
    pub name: String,
    /// The node that it changes or looks at.
    pub node: NodeId,
    /// What is done there.
    pub what: String,
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, node: NodeId, what: impl Into<String>) -> Step {
        Step {
            name: name.into(),
            node,
            what: what.into(),
        }
    }
}

/// What came of a change of primaries.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Changed {
    /// The new primary.
    pub primary: NodeId,
    /// Its timeline.
    pub timeline: Timeline,
    /// The standbys that stream from it now.
    pub streaming: Vec<NodeId>,
    /// For how long no server took writes, in seconds, as far as one run saw it.
    pub gap: Option<f64>,
}
