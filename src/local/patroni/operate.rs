//! What can be done to a cluster under Patroni: asked of Patroni, or done to its processes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::host::NodeState;
use crate::id::{NodeId, ShardId};
use crate::local::replication::{admin, in_recovery};
use crate::local::rest;

use super::cluster::{LocalPatroni, PATIENCE};
use super::node::PatroniNode;

/// Patroni answers a switchover when it is done.
const SWITCHOVER: Duration = Duration::from_secs(60);

impl LocalPatroni {
    /// The node that holds a shard's leader key, as its own Patroni says; `None` if no Patroni says
    /// so. (A leader whose Patroni is paused does not answer, though its key lives on for the ttl.)
    ///
    /// # Errors
    ///
    /// If there is no such shard.
    pub async fn leader(&self, shard: impl AsRef<str>) -> Result<Option<NodeId>> {
        let shard = self.shard(shard.as_ref())?;
        let asked = self.of_shard(shard).map(|node| async move {
            let runs = node.patroni_state() == NodeState::Running;
            (runs && node.is("/primary").await).then(|| node.id())
        });
        let answers = futures::future::join_all(asked).await;
        Ok(answers.into_iter().flatten().next())
    }

    /// Waits until a shard has a leader whose server is writable.
    ///
    /// # Errors
    ///
    /// If there is no such shard, or no leader within 90 seconds.
    pub async fn wait_leader(&self, shard: impl AsRef<str>) -> Result<NodeId> {
        let shard = self.shard(shard.as_ref())?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Some(leader) = self.leader(shard).await?
                && self.is_writable(self.node(leader)?).await
            {
                return Ok(leader);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(no_leader(shard))
    }

    /// Waits until a shard has a leader, all of its nodes whose Patroni runs lead or stream, and in
    /// synchronous mode one of them is known to be synchronous: until that is so, nobody may take
    /// over.
    ///
    /// # Errors
    ///
    /// If there is no such shard, or it takes longer than 90 seconds each.
    pub async fn wait_healthy(&self, shard: impl AsRef<str>) -> Result<()> {
        let shard = self.shard(shard.as_ref())?;
        let leader = self.wait_leader(shard).await?;
        let running = |node: &&PatroniNode| node.patroni_state() == NodeState::Running;
        for node in self.of_shard(shard).filter(running) {
            self.wait_member(node).await?;
        }
        if self.is_synchronous() {
            self.wait_synchronous(shard, self.node(leader)?).await?;
        }
        Ok(())
    }

    /// Has Patroni hand a shard's leadership to a node, and returns when that one is writable. If
    /// the shard has no leader, it is a failover by hand.
    ///
    /// # Errors
    ///
    /// If there is no such shard or node, or Patroni declines; the message says why.
    pub async fn switchover(&self, shard: impl AsRef<str>, to: impl AsRef<str>) -> Result<()> {
        let shard = self.shard(shard.as_ref())?;
        let to = self.node(to)?;
        let leader = self.leader(shard).await?;
        let (path, order, asked) = match leader {
            Some(leader) => (
                "/switchover",
                json!({ "leader": leader.as_str(), "candidate": to.id().as_str() }),
                self.node(leader)?,
            ),
            None => ("/failover", json!({ "candidate": to.id().as_str() }), to),
        };
        let credentials = self.rest_credentials();
        let password = credentials.password.as_ref().map(|p| p.expose_secret());
        let pair = format!("{}:{}", credentials.user, password.unwrap_or_default());
        let authorization = format!("Basic {}", STANDARD.encode(pair));
        let answer = rest::request(
            asked.rest_port(),
            "POST",
            path,
            Some(&authorization),
            Some(&order.to_string()),
            SWITCHOVER,
        )
        .await?;
        if answer.status != 200 {
            return Err(Error::refused(format!(
                "Patroni declined the switchover to {}: {} (status {})",
                to.id(),
                answer.body.trim(),
                answer.status
            ))
            .on_shard(shard)
            .on_node(to.id()));
        }
        let writable = || self.is_writable(to);
        to.until("writable leader", PATIENCE, writable).await
    }

    /// Kills a node's Patroni with SIGKILL. Its server goes on, until another leads and after.
    ///
    /// # Errors
    ///
    /// If there is no such node, or the process does not end.
    pub async fn kill_patroni(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.kill_patroni().await
    }

    /// Stops a node's Patroni with SIGSTOP. Its server goes on; another node leads after the ttl,
    /// and both take writes.
    ///
    /// # Errors
    ///
    /// If there is no such node, or its Patroni does not run.
    pub async fn pause_patroni(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.pause_patroni()
    }

    /// Lets a paused Patroni go on.
    ///
    /// # Errors
    ///
    /// If there is no such node, or its Patroni does not run.
    pub async fn resume_patroni(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.resume_patroni()
    }

    /// Kills all processes of a node's server with SIGKILL. Patroni fails over, or starts it again.
    ///
    /// # Errors
    ///
    /// If there is no such node, or a process does not end.
    pub async fn kill_postgres(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.kill_postgres().await
    }

    /// Stops all processes of a node's server with SIGSTOP.
    ///
    /// # Errors
    ///
    /// If there is no such node, or its server does not run.
    pub async fn pause_postgres(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.pause_postgres().await
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// If there is no such node, or its server does not run.
    pub async fn resume_postgres(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.resume_postgres().await
    }

    /// Kills a node's Patroni and its server, as a power cut would.
    ///
    /// # Errors
    ///
    /// If there is no such node, or a process does not end.
    pub async fn kill_node(&self, node: impl AsRef<str>) -> Result<()> {
        let node = self.node(node)?;
        node.kill_patroni().await?;
        node.kill_postgres().await
    }

    /// Stops a node's Patroni and its server with SIGSTOP, as a hung machine.
    ///
    /// # Errors
    ///
    /// If there is no such node, or one of the two does not run.
    pub async fn pause_node(&self, node: impl AsRef<str>) -> Result<()> {
        let node = self.node(node)?;
        node.pause_patroni()?;
        node.pause_postgres().await
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    ///
    /// If there is no such node, or one of the two does not run.
    pub async fn resume_node(&self, node: impl AsRef<str>) -> Result<()> {
        let node = self.node(node)?;
        node.resume_postgres().await?;
        node.resume_patroni()
    }

    /// Stops a node's Patroni, which stops its server cleanly and hands the leadership over.
    /// Stopping one that is down is no error.
    ///
    /// # Errors
    ///
    /// If there is no such node, it is paused, or it has not stopped after a minute.
    pub async fn stop_node(&self, node: impl AsRef<str>) -> Result<()> {
        let node = self.node(node)?;
        if node.patroni_state() == NodeState::Paused {
            return Err(
                Error::refused("the node is paused and cannot stop; resume or kill it")
                    .on_shard(node.shard())
                    .on_node(node.id()),
            );
        }
        node.stop().await
    }

    /// Starts a node's Patroni, which starts its server and has it follow the leader, by pg_rewind
    /// or a new copy if need be. Returns when the node streams or leads.
    ///
    /// # Errors
    ///
    /// If there is no such node, its Patroni runs already, or it does not get that far within 90
    /// seconds.
    pub async fn start_node(&self, node: impl AsRef<str>) -> Result<()> {
        let node = self.node(node)?;
        node.start().await?;
        self.wait_member(node).await
    }

    /// Starts a node's Patroni and does not wait for what it does.
    ///
    /// # Errors
    ///
    /// If there is no such node, or its Patroni runs already.
    pub async fn start_patroni(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.start().await
    }

    /// Kills etcd. After their `retry_timeout`, the Patronis demote their servers.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub async fn kill_etcd(&self) -> Result<()> {
        self.etcd.kill().await
    }

    /// Stops etcd with SIGSTOP.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub async fn pause_etcd(&self) -> Result<()> {
        self.etcd.pause()
    }

    /// Lets a paused etcd go on.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub async fn resume_etcd(&self) -> Result<()> {
        self.etcd.resume()
    }

    /// Starts etcd again, with what it knew.
    ///
    /// # Errors
    ///
    /// If it runs already, or does not start.
    pub async fn start_etcd(&self) -> Result<()> {
        self.etcd.start().await
    }

    /// What etcd's process does.
    pub fn etcd_state(&self) -> NodeState {
        self.etcd.state()
    }

    /// Stops a node cleanly if that is possible, else kills it.
    pub(super) async fn stop_one(&self, node: &PatroniNode) -> Result<()> {
        let stopped = match node.patroni_state() {
            NodeState::Running => node.stop().await,
            NodeState::Paused => node.kill_patroni().await,
            NodeState::Down => Ok(()),
        };
        if stopped.is_err() {
            node.kill_patroni().await?;
        }
        // What an unmanaged server leaves.
        stopped.and(node.kill_postgres().await)
    }

    /// The node that leads a shard now.
    pub(super) async fn leading(&self, shard: ShardId) -> Result<&PatroniNode> {
        match self.leader(shard).await? {
            Some(leader) => self.node(leader),
            None => Err(no_leader(shard)),
        }
    }

    async fn is_writable(&self, node: &PatroniNode) -> bool {
        let ask = async {
            let session = admin(node, &self.secrets, "postgres").await?;
            in_recovery(node, &session).await
        };
        ask.await.is_ok_and(|recovering| !recovering)
    }

    fn shard(&self, name: &str) -> Result<ShardId> {
        let mut shards = self.shards().iter();
        shards
            .find(|shard| shard.as_str() == name)
            .copied()
            .ok_or_else(|| Error::config(format!("there is no shard {name:?}")))
    }
}

fn no_leader(shard: ShardId) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the shard has no leader; see the logs of its nodes",
    )
    .on_shard(shard)
}
