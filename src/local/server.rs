//! What all of the launcher's servers have, whoever starts and ends them.

use crate::id::{NodeId, ShardId};

use crate::host::NodeState;

/// A PostgreSQL server on loopback.
pub(super) trait Server: Sync {
    /// Its name.
    fn id(&self) -> NodeId;

    /// The shard's name.
    fn shard(&self) -> ShardId;

    /// The port on 127.0.0.1.
    fn port(&self) -> u16;

    /// What its processes do.
    fn state(&self) -> NodeState;

    /// What the program that manages the server does, if there is one.
    fn manager(&self) -> Option<NodeState> {
        None
    }
}
