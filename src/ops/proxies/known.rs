//! What the servers behind a proxy are.

use crate::client::ShardStatus;
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};

/// A server, as a client of the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// The shard.
    pub shard: ShardId,
    /// The node.
    pub node: NodeId,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `primary`, `standby`, `superseded`, `forked`, `foreign`, `starting`, `down` or `unknown`.
    pub state: &'static str,
    /// Whether it is the shard's primary, adopted and not contested.
    pub primary: bool,
}

/// The servers of a cluster; of a [`Cluster`](crate::Cluster) take [`status`](crate::Cluster::status).
pub fn known(status: &[ShardStatus]) -> Vec<Known> {
    let of = |shard: &ShardStatus| {
        let (id, primary) = (shard.shard, shard.primary);
        let steady = shard.state == "steady";
        let nodes = shard.nodes.iter();
        let nodes = nodes.map(move |node| Known {
            shard: id,
            node: node.node,
            host: node.host.clone(),
            port: node.port,
            state: node.state,
            primary: steady && primary == Some(node.node),
        });
        nodes.collect::<Vec<_>>()
    };
    status.iter().flat_map(of).collect()
}

/// A shard's primary, if there is one beyond doubt.
pub(super) fn primary(known: &[Known], shard: ShardId) -> Result<&Known> {
    let mut found = known.iter().filter(|server| server.shard == shard);
    if found.clone().next().is_none() {
        return Err(Error::config(format!("there is no shard {shard}")));
    }
    found.find(|server| server.primary).ok_or_else(|| {
        Error::refused(format!(
            "shard {shard} has no primary beyond doubt, or it was just promoted and no client has adopted it: see \
             shardctl status"
        ))
    })
}

pub(super) fn at<'k>(known: &'k [Known], host: &str, port: u16) -> Option<&'k Known> {
    known
        .iter()
        .find(|server| server.host == host && server.port == port)
}
