//! What is known, and what was: no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use pgshard::ShardEvent;
use pgshard::client::{NodeStatus, ShardStatus};
use pgshard::id::{NodeId, ShardId};
use pgshard::ops::glance::{Glance, Prepared};
use serde_json::{Value, json};

use super::facts::Latest;
use crate::watch::utc;

/// So many lags of a node are remembered.
const LAGS: usize = 60;

/// So many events are remembered.
const EVENTS: usize = 200;

pub(super) struct Model {
    pub(super) cluster: String,
    pub(super) at: SystemTime,
    pub(super) shards: Vec<ShardStatus>,
    pub(super) lags: BTreeMap<NodeId, VecDeque<Option<u64>>>,
    pub(super) servers: Latest,
    /// The newest first.
    pub(super) events: VecDeque<ShardEvent>,
    /// The chosen node, counted over all shards.
    pub(super) chosen: usize,
    pub(super) held: bool,
    pub(super) help: bool,
}

impl Model {
    pub(super) fn new(cluster: String) -> Self {
        Model {
            cluster,
            at: SystemTime::now(),
            shards: Vec::new(),
            lags: BTreeMap::new(),
            servers: Latest::new(),
            events: VecDeque::new(),
            chosen: 0,
            held: false,
            help: false,
        }
    }

    /// The present, as a client and the servers have it.
    pub(super) fn see(&mut self, shards: &[ShardStatus], servers: &Latest) {
        if self.held {
            return;
        }
        self.at = SystemTime::now();
        self.shards = shards.to_vec();
        self.servers.clone_from(servers);
        let mut lags = std::mem::take(&mut self.lags);
        for node in shards.iter().flat_map(|shard| &shard.nodes) {
            // A node that is gone is forgotten.
            let mut known = lags.remove(&node.node).unwrap_or_default();
            let standby = node.state == "standby";
            known.push_back(node.lag_bytes.filter(|_| standby));
            while known.len() > LAGS {
                known.pop_front();
            }
            self.lags.insert(node.node, known);
        }
        self.chosen = self.chosen.min(self.nodes().count().saturating_sub(1));
    }

    pub(super) fn hear(&mut self, event: ShardEvent) {
        self.events.push_front(event);
        self.events.truncate(EVENTS);
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&ShardStatus, &NodeStatus)> {
        self.shards
            .iter()
            .flat_map(|shard| std::iter::repeat(shard).zip(&shard.nodes))
    }

    pub(super) fn choose(&mut self, by: isize) {
        let last = self.nodes().count().saturating_sub(1);
        self.chosen = self.chosen.saturating_add_signed(by).min(last);
    }

    pub(super) fn server(&self, node: NodeId) -> Option<&Glance> {
        self.servers.get(&node)?.as_ref().ok()
    }

    /// Transactions that are prepared and not decided, on the primaries; the oldest first.
    pub(super) fn in_doubt(&self) -> Vec<(ShardId, &Prepared)> {
        let of = |(shard, node): (&ShardStatus, &NodeStatus)| {
            let id = shard.shard;
            let primary = shard.primary == Some(node.node);
            let prepared = self.server(node.node).filter(|_| primary);
            let prepared = prepared.into_iter().flat_map(|server| &server.prepared);
            prepared.map(|one| (id, one)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.nodes().flat_map(of).collect();
        all.sort_by(|(_, one), (_, other)| other.seconds.total_cmp(&one.seconds));
        all
    }

    /// For programs.
    pub(super) fn facts(&self) -> Value {
        let nodes = self.nodes().map(|(shard, node)| {
            json!({
                "shard": shard.shard,
                "status": node,
                "server": self.server(node.node),
            })
        });
        let events = self.events.iter().map(|event| {
            json!({
                "at": utc(event.at),
                "shard": event.shard,
                "event": event.event.as_str(),
                "good": event.good,
                "text": event.text,
            })
        });
        let in_doubt = self.in_doubt().into_iter().map(|(shard, prepared)| {
            json!({"shard": shard, "gid": prepared.gid, "owner": prepared.owner, "seconds": prepared.seconds})
        });
        let shards = self.shards.iter().map(|shard| {
            json!({
                "shard": shard.shard,
                "state": shard.state,
                "mode": shard.mode,
                "primary": shard.primary,
                "reason": shard.reason,
            })
        });
        json!({
            "cluster": self.cluster,
            "at": utc(self.at),
            "shards": shards.collect::<Vec<_>>(),
            "nodes": nodes.collect::<Vec<_>>(),
            "events": events.collect::<Vec<_>>(),
            "in_doubt": in_doubt.collect::<Vec<_>>(),
        })
    }
}
