//! Where the shards' nodes are, and which of them a foreign server is to name: no I/O.

use crate::client::ShardStatus;
use crate::config::{Config, ShardConfig};
use crate::error::{Error, Result};
use crate::id::ShardId;

use super::options::{FdwOptions, Hosts, Source};

/// What is known of a shard's nodes, those that its failover manager named included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedShard {
    /// The shard.
    pub shard: ShardId,
    /// Its nodes.
    pub nodes: Vec<ObservedNode>,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNode {
    /// A host name, an address, or the directory of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What it is good for now.
    pub role: ObservedRole,
}

/// What a node is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedRole {
    /// It is the shard's primary, adopted and not contested.
    Primary,
    /// It may be read.
    Replica,
    /// Neither, now.
    Unusable,
}

/// What a client knows of its shards, for reports; of a [`Cluster`](crate::Cluster) take
/// [`status`](crate::Cluster::status).
pub fn observe(status: &[ShardStatus]) -> Vec<ObservedShard> {
    let shard = |shard: &ShardStatus| ObservedShard {
        shard: shard.shard,
        nodes: shard
            .nodes
            .iter()
            .map(|node| ObservedNode {
                host: node.host.clone(),
                port: node.port,
                role: if shard.primary == Some(node.node) {
                    ObservedRole::Primary
                } else if node.state == "standby" && node.readable {
                    ObservedRole::Replica
                } else {
                    ObservedRole::Unusable
                },
            })
            .collect(),
    };
    status.iter().map(shard).collect()
}

/// The hosts and ports of a foreign server.
pub(super) type Addresses = Vec<(String, u16)>;

/// What a shard's server is to name.
pub(super) fn addresses(
    config: &Config,
    options: &FdwOptions,
    shard: &ShardConfig,
) -> Result<Addresses> {
    debug_assert!(config.shards.iter().any(|known| known.id == shard.id));
    let observed = options.observed.iter().find(|seen| seen.shard == shard.id);
    match (options.hosts, observed) {
        (Hosts::All, Some(seen)) => Ok(all(seen)),
        (Hosts::All, None) => Ok(shard
            .nodes
            .iter()
            .map(|node| (node.host.clone(), node.port))
            .collect()),
        (Hosts::Current, Some(seen)) => {
            let source = options.source_of(shard.id);
            current(seen, source).map(|one| vec![one]).ok_or_else(|| {
                Error::refused(format!(
                    "no node is known now that reports may read as {}: wait for the shard, or name \
                     all its nodes",
                    match source {
                        Source::Primaries => "the primary",
                        Source::Replicas => "a replica or the primary",
                    }
                ))
                .on_shard(shard.id)
            })
        }
        (Hosts::Current, None) => Err(Error::config(
            "which node is right now must be observed: pass what a Cluster knows, or name all nodes",
        )
        .on_shard(shard.id)),
    }
}

/// All nodes of a shard.
pub(super) fn all(seen: &ObservedShard) -> Addresses {
    let address = |node: &ObservedNode| (node.host.clone(), node.port);
    seen.nodes.iter().map(address).collect()
}

/// The node to read now.
pub(super) fn current(seen: &ObservedShard, source: Source) -> Option<(String, u16)> {
    let of = |role| seen.nodes.iter().find(|node| node.role == role);
    let primary = of(ObservedRole::Primary);
    let node = match source {
        Source::Primaries => primary,
        Source::Replicas => of(ObservedRole::Replica).or(primary),
    };
    node.map(|node| (node.host.clone(), node.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_to_read() {
        let node = |port, role| ObservedNode {
            host: "h".to_owned(),
            port,
            role,
        };
        let mut seen = ObservedShard {
            shard: ShardId::new("s0").unwrap(),
            nodes: vec![
                node(1, ObservedRole::Primary),
                node(2, ObservedRole::Unusable),
                node(3, ObservedRole::Replica),
            ],
        };
        let port = |seen: &ObservedShard, source| current(seen, source).map(|(_, port)| port);
        assert_eq!(port(&seen, Source::Primaries), Some(1));
        assert_eq!(port(&seen, Source::Replicas), Some(3));
        seen.nodes[2].role = ObservedRole::Unusable;
        assert_eq!(port(&seen, Source::Replicas), Some(1));
        seen.nodes[0].role = ObservedRole::Unusable;
        assert_eq!(port(&seen, Source::Primaries), None);
        assert_eq!(all(&seen).len(), 3);
    }
}
