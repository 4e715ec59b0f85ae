//! What the nodes of a local cluster are doing, asked of the servers themselves.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::id::{NodeId, ShardId};

use super::cluster::{LocalCluster, node_name, shard_name};
use super::replication::admin;
use super::secrets::Secrets;
use super::server::Server;
use super::state::{STATE, State};
use crate::host::NodeState;

/// How long one node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A node, as seen by the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node's shard.
    pub shard: ShardId,
    /// The node.
    pub node: NodeId,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What its processes do.
    pub state: NodeState,
    /// What its Patroni does, if it has one.
    #[serde(default)]
    pub manager: Option<NodeState>,
    /// Whether it is writable or follows another; `None` if it does not answer.
    pub role: Option<NodeRole>,
    /// Its timeline, if it is a primary that answers.
    pub timeline: Option<u32>,
    /// For a standby: the state of its stream as its primary sees it, such as `streaming`.
    pub stream: Option<String>,
    /// For a standby: `async`, or `sync` or `quorum` if a COMMIT may wait for it.
    pub sync: Option<String>,
    /// For a standby: how many bytes of the log it has still to replay.
    pub lag_bytes: Option<i64>,
}

impl NodeStatus {
    /// The nodes of a cluster that nobody runs, as they were when it was last used.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read, or its description is damaged.
    pub fn at_rest(dir: &Path) -> Result<Vec<Self>> {
        let Some(state) = State::read(&dir.join(STATE))? else {
            return Ok(Vec::new());
        };
        let shards = state.shards;
        let manager = state.patroni.map(|_| NodeState::Down);
        let mut nodes = Vec::new();
        for (shard, saved) in shards.iter().enumerate() {
            for (node, &port) in saved.ports.iter().enumerate() {
                nodes.push(NodeStatus {
                    shard: shard_name(shard)?,
                    node: node_name(shard, node)?,
                    port,
                    state: NodeState::Down,
                    manager,
                    role: None,
                    timeline: None,
                    stream: None,
                    sync: None,
                    lag_bytes: None,
                });
            }
        }
        Ok(nodes)
    }
}

/// Whether a node is in recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Writable.
    Primary,
    /// In recovery: it follows a primary, or waits for one.
    Standby,
}

struct Answer {
    role: NodeRole,
    timeline: Option<u32>,
    followers: Vec<Follower>,
}

struct Follower {
    name: String,
    state: String,
    sync: String,
    lag: Option<i64>,
}

impl LocalCluster {
    /// Asks every node that runs what it is doing. A node that does not answer in time has no
    /// role; it is no error.
    pub async fn status(&self) -> Vec<NodeStatus> {
        of_servers(&self.nodes().collect::<Vec<_>>(), self.secrets()).await
    }
}

/// Asks servers what they are doing.
pub(super) async fn of_servers(nodes: &[&impl Server], secrets: &Secrets) -> Vec<NodeStatus> {
    let asked = nodes.iter().map(|node| ask(*node, secrets));
    let answers = futures::future::join_all(asked).await;
    let mut followers: HashMap<&str, &Follower> = HashMap::new();
    for answer in answers.iter().flatten() {
        followers.extend(answer.followers.iter().map(|f| (f.name.as_str(), f)));
    }
    nodes
        .iter()
        .zip(&answers)
        .map(|(node, answer)| {
            let role = answer.as_ref().map(|answer| answer.role);
            let id = node.id();
            let follower = followers
                .get(id.as_str())
                .filter(|_| role != Some(NodeRole::Primary));
            NodeStatus {
                shard: node.shard(),
                node: id,
                port: node.port(),
                state: node.state(),
                manager: node.manager(),
                role,
                timeline: answer.as_ref().and_then(|answer| answer.timeline),
                stream: follower.map(|f| f.state.clone()),
                sync: follower.map(|f| f.sync.clone()),
                lag_bytes: follower.and_then(|f| f.lag),
            }
        })
        .collect()
}

async fn ask(node: &impl Server, secrets: &Secrets) -> Option<Answer> {
    if node.state() != NodeState::Running {
        return None;
    }
    let asked = tokio::time::timeout(PATIENCE, query(node, secrets)).await;
    asked.ok()?.ok()
}

async fn query(node: &impl Server, secrets: &Secrets) -> Result<Answer> {
    let failed = super::replication::db_error(node);
    let session = admin(node, secrets, "postgres").await?;
    let sql = "SELECT pg_is_in_recovery(),
            CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END";
    let row = session.query_one(sql, &[]).await.map_err(&failed)?;
    let recovering: bool = row.try_get(0).map_err(&failed)?;
    let file: Option<String> = row.try_get(1).map_err(&failed)?;
    let timeline = file
        .and_then(|file| Some(u32::from_str_radix(file.get(..8)?, 16)))
        .and_then(|timeline| timeline.ok());
    if recovering {
        return Ok(Answer {
            role: NodeRole::Standby,
            timeline: None,
            followers: Vec::new(),
        });
    }
    let sql = "SELECT application_name, state, sync_state,
            pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint FROM pg_stat_replication";
    let rows = session.query(sql, &[]).await.map_err(&failed)?;
    let followers = rows
        .iter()
        .map(|row| {
            Ok(Follower {
                name: row.try_get(0)?,
                state: row.try_get(1)?,
                sync: row.try_get(2)?,
                lag: row.try_get(3)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(&failed)?;
    Ok(Answer {
        role: NodeRole::Primary,
        timeline,
        followers,
    })
}
