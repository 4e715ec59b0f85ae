//! What a client knows of its shards and nodes, for people and machines.

use std::time::Duration;

use serde::Serialize;

use crate::id::{MapVersion, NodeId, NodeIndex, ReignId, ShardId, Timeline};
use crate::monitor::Shard;
use crate::pool::PoolStatus;
use crate::topology::{FailureKind, NodeState, NodeView};

/// What is known of a shard now.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    /// The shard.
    pub shard: ShardId,
    /// Its state: `steady`, `suspect`, `searching`, `contested` or `fenced`.
    pub state: &'static str,
    /// The mode that operators set: `open`, `read-only`, `drained` or `fenced`.
    pub mode: &'static str,
    /// What is the matter and what ends it, in words; absent while the shard is steady and open.
    pub reason: Option<String>,
    /// The primary that is written to now.
    pub primary: Option<NodeId>,
    /// The primary's term.
    pub reign: Option<ReignId>,
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
}

/// What is known of a node now.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Where it is: a host name, an address, or the directory of a Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its state: `primary`, `standby`, `superseded`, `forked`, `foreign`, `starting`, `down` or
    /// `unknown`.
    pub state: &'static str,
    /// The newest reign that it holds.
    pub reign: Option<ReignId>,
    /// Its timeline. A primary's whose newest reign began on another one was promoted, and nobody has
    /// adopted it yet. A standby's server tells that of its last checkpoint; its newest reign's, where that is later.
    pub timeline: Option<Timeline>,
    /// Its log position at the last probe: insert on a primary, replay on a standby.
    pub lsn: Option<String>,
    /// How many bytes of log its replay is behind, as of the last probe.
    pub lag_bytes: Option<u64>,
    /// How old what it shows may be, on a standby; known once a read has asked for a bound
    /// ([`Read::max_lag_time`](super::Read::max_lag_time)), or while nothing is written.
    pub lag_time: Option<Duration>,
    /// The round trip of a probe, smoothed.
    pub latency: Option<Duration>,
    /// Whether reads may go there.
    pub readable: bool,
    /// Whether it holds its failover manager's lock, as far as that is known.
    pub leased: bool,
    /// Whether its failover manager keeps reads away from it (the tag `noloadbalance`).
    pub noloadbalance: bool,
    /// Whether its failover manager will not promote it (the tag `nofailover`).
    pub nofailover: bool,
    /// Whether an operator fenced it.
    pub fenced: bool,
    /// The map version that it was last told.
    pub map_version: Option<MapVersion>,
    /// Whether a server answered the last probe, be it by refusing it.
    pub answers: bool,
    /// Why its last probe failed, if it did.
    pub failure: Option<String>,
    /// Its pools.
    pub pool: PoolStatus,
}

impl ShardStatus {
    pub(super) fn of(shard: &Shard) -> Self {
        let view = shard.view();
        let name = |index: NodeIndex| shard.node(index).map(|pool| pool.connector().node());
        let nodes = shard
            .nodes()
            .zip(&view.nodes)
            .filter(|(_, node)| node.state != NodeState::Retired)
            .map(|(pool, node)| (pool, pool.connector().address(), node))
            .map(|(pool, (host, port), node)| NodeStatus {
                node: pool.connector().node(),
                host,
                port,
                state: node.state.as_str(),
                reign: match node.state {
                    NodeState::Foreign { .. } => None,
                    _ => node.history.as_ref().map(|history| history.newest().id),
                },
                timeline: match node.state {
                    NodeState::Foreign { .. } => None,
                    // A standby's server tells that of its last checkpoint.
                    NodeState::Standby { .. } => node
                        .timeline
                        .max(node.history.as_ref().map(|h| h.newest().timeline)),
                    _ => node.timeline,
                },
                lsn: node.lsn.map(|lsn| lsn.to_string()),
                lag_bytes: node.lag,
                lag_time: shard.staleness(pool.connector().index()),
                latency: shard.latency(pool.connector().index()),
                readable: node.readable,
                leased: node.leased,
                noloadbalance: node.tags.noloadbalance,
                nofailover: node.tags.nofailover,
                fenced: node.fenced,
                map_version: node.map_version,
                answers: answers(node),
                failure: node.failure.as_ref().map(ToString::to_string),
                pool: pool.status(),
            });
        ShardStatus {
            shard: shard.id(),
            state: view.state.as_str(),
            mode: view.orders.mode.as_str(),
            reason: shard.explain(&view),
            primary: view.primary.and_then(|(node, _)| name(node)),
            reign: view.primary.map(|(_, epoch)| epoch.reign),
            nodes: nodes.collect(),
        }
    }
}

fn answers(node: &NodeView) -> bool {
    match &node.failure {
        Some(failure) => !matches!(failure.kind, FailureKind::Timeout | FailureKind::Refused),
        None => node.state != NodeState::Unknown,
    }
}
