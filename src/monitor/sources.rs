//! Who else knows of a shard's nodes: a failover manager that lists its members and tells who holds its
//! lock. Without one, the nodes are those of the configuration, and nothing is asked.

use crate::config::NodeConfig;
use crate::id::NodeIndex;
use crate::topology::Tags;

#[cfg(feature = "patroni")]
mod followed;
#[cfg(not(feature = "patroni"))]
mod none;

#[cfg(feature = "etcd")]
pub(super) use followed::Directory;
#[cfg(feature = "patroni")]
pub(super) use followed::Sources;
#[cfg(not(feature = "patroni"))]
pub(super) use none::Sources;

/// What a list of members means for a shard's nodes.
#[cfg_attr(not(feature = "patroni"), expect(dead_code))]
pub(super) enum NodeChange {
    /// A node at the position after the last.
    Found(NodeIndex, NodeConfig),
    /// A node that had left is another one now.
    Replaced(NodeIndex, NodeConfig),
    /// A node is elsewhere now.
    Moved(NodeIndex, NodeConfig),
    /// A node is listed.
    Listed(NodeIndex, Tags),
    /// A node that was found is not listed any more.
    Gone(NodeIndex),
}

impl NodeChange {
    /// The node's position.
    pub(super) fn node(&self) -> NodeIndex {
        match self {
            NodeChange::Found(node, _)
            | NodeChange::Replaced(node, _)
            | NodeChange::Moved(node, _)
            | NodeChange::Listed(node, _)
            | NodeChange::Gone(node) => *node,
        }
    }
}
