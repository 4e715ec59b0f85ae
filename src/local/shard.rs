//! A shard of a local cluster: who of its nodes is primary, and the changes of that.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::Client;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};

use super::cluster::{DATABASE, node_name, shard_name};
use super::home::Home;
use crate::host::NodeState;
use crate::host::account::Account;
use crate::host::binaries::Binaries;

use super::node::LocalNode;
use super::port::ReservedPort;
use super::replication::{self, admin};
use super::secrets::{APP, OWNER, REPLICATOR, Secrets};
use super::spec::StopMode;
use super::state::SavedShard;
use super::{provision, settings};

/// How long a new standby may take to stream.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shard of a local cluster.
pub struct LocalShard {
    id: ShardId,
    nodes: Vec<LocalNode>,
    primary: AtomicUsize,
    /// One change of roles at a time.
    change: Semaphore,
}

impl LocalShard {
    pub(super) fn new(
        index: usize,
        replicas: usize,
        saved: Option<&SavedShard>,
        home: &Home,
        account: &Account,
        binaries: &Binaries,
    ) -> Result<Self> {
        let id = shard_name(index)?;
        let nodes = (0..=replicas)
            .map(|node| {
                let name = node_name(index, node)?;
                let wanted = saved.and_then(|saved| saved.ports.get(node).copied());
                let port = ReservedPort::preferring(wanted)?;
                let dir = home.node(name);
                Ok(LocalNode::new(
                    name,
                    id,
                    port,
                    dir,
                    account.clone(),
                    binaries.clone(),
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(LocalShard {
            id,
            nodes,
            primary: AtomicUsize::new(saved.map_or(0, |saved| saved.primary).min(replicas)),
            change: Semaphore::new(1),
        })
    }

    /// The shard's name.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Its nodes; the first was made as the primary.
    pub fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// The node that was promoted last, else the first: the one that others rejoin. It may be down,
    /// and others may be writable beside it.
    pub fn primary(&self) -> &LocalNode {
        &self.nodes[self.primary.load(Ordering::Acquire)]
    }

    /// The others.
    pub fn replicas(&self) -> impl Iterator<Item = &LocalNode> {
        let primary = self.primary().id();
        self.nodes.iter().filter(move |node| node.id() != primary)
    }

    pub(super) fn saved(&self) -> SavedShard {
        SavedShard {
            primary: self.primary.load(Ordering::Acquire),
            ports: self.nodes.iter().map(LocalNode::port).collect(),
        }
    }

    /// Makes all servers.
    pub(super) async fn build(
        &self,
        secrets: &Secrets,
        settings: &[(String, String)],
        synchronous: bool,
        ready: &(impl Fn(&LocalNode) + Sync),
    ) -> Result<()> {
        let primary = self.primary();
        for node in &self.nodes {
            provision::make_node_dir(node, secrets)?;
        }
        provision::init(primary, secrets, settings).await?;
        primary.start().await?;
        let session = admin(primary, secrets, "postgres").await?;
        provision::create_roles(primary, &session, secrets, &[REPLICATOR, OWNER, APP]).await?;
        let inside = admin(primary, secrets, DATABASE).await?;
        provision::prepare_database(primary, &inside).await?;
        drop(inside);
        replication::ensure_slots(primary, &session, self.nodes.iter()).await?;
        ready(primary);
        for replica in self.replicas() {
            provision::clone(replica, primary).await?;
            replica.start().await?;
            replication::wait_streaming(primary, &session, replica, PATIENCE).await?;
            ready(replica);
        }
        // Last, so that no copy inherits it.
        self.wait_for_standbys(&session, synchronous).await
    }

    /// Starts all servers of an earlier run. Ports may have changed.
    pub(super) async fn restart(
        &self,
        secrets: &Secrets,
        synchronous: bool,
        ready: &(impl Fn(&LocalNode) + Sync),
    ) -> Result<()> {
        let primary = self.primary();
        for node in &self.nodes {
            provision::make_node_dir(node, secrets)?;
        }
        primary.start().await?;
        let session = admin(primary, secrets, "postgres").await?;
        if replication::in_recovery(primary, &session).await? {
            return Err(primary.refused(
                "was the primary when the cluster was stopped and is a standby now; remove the \
                 directory and make the cluster anew",
            ));
        }
        replication::ensure_slots(primary, &session, self.nodes.iter()).await?;
        ready(primary);
        for replica in self.replicas() {
            if !self.follows_again(replica, &session).await? {
                replication::rejoin(replica, primary, &session, secrets).await?;
            }
            ready(replica);
        }
        self.wait_for_standbys(&session, synchronous).await
    }

    /// Starts a node that was a standby; false if it was none, or cannot follow.
    async fn follows_again(&self, replica: &LocalNode, session: &Client) -> Result<bool> {
        if !replica.data_dir().join("standby.signal").exists() {
            return Ok(false);
        }
        let primary = self.primary();
        provision::make_standby(replica, primary)?;
        replica.start().await?;
        let patience = Duration::from_secs(10);
        let streams = replication::wait_streaming(primary, session, replica, patience).await;
        Ok(streams.is_ok())
    }

    pub(super) async fn promote(&self, node: NodeId, secrets: &Secrets) -> Result<()> {
        let _change = self.one_change().await?;
        let Some(index) = self.nodes.iter().position(|other| other.id() == node) else {
            return Ok(());
        };
        replication::promote(&self.nodes[index], secrets).await?;
        self.primary.store(index, Ordering::Release);
        Ok(())
    }

    pub(super) async fn rejoin(
        &self,
        node: &LocalNode,
        secrets: &Secrets,
        synchronous: bool,
    ) -> Result<()> {
        let _change = self.one_change().await?;
        if node.id() == self.primary().id() {
            // Promoted by accident, say, and another was named the primary.
            let Some(other) = self.other_writable(node, secrets).await else {
                return Err(node.refused(
                    "is the shard's primary; promote another node before this one can rejoin it",
                ));
            };
            self.primary.store(other, Ordering::Release);
        }
        let primary = self.primary();
        if node.state() == NodeState::Paused {
            return Err(node.refused("is paused; resume or kill it first"));
        }
        if primary.state() != NodeState::Running {
            return Err(primary.refused(
                "is the shard's primary and does not run; start or resume it, or promote another",
            ));
        }
        let session = admin(primary, secrets, "postgres").await?;
        if replication::in_recovery(primary, &session).await? {
            return Err(primary.refused("is a standby; promote a node of the shard first"));
        }
        replication::ensure_slots(primary, &session, self.nodes.iter()).await?;
        replication::rejoin(node, primary, &session, secrets).await?;
        self.wait_for_standbys(&session, synchronous).await
    }

    /// The one writable node beside this one.
    async fn other_writable(&self, node: &LocalNode, secrets: &Secrets) -> Option<usize> {
        let mut found = None;
        for (index, other) in self.nodes.iter().enumerate() {
            if other.id() == node.id() || other.state() != NodeState::Running {
                continue;
            }
            let session = admin(other, secrets, "postgres").await.ok()?;
            if !replication::in_recovery(other, &session).await.ok()? {
                if found.is_some() {
                    return None;
                }
                found = Some(index);
            }
        }
        found
    }

    /// Stops all servers: the primary first, which so hands its last log to the standbys.
    pub(super) async fn shutdown(&self, in_haste: bool) -> Result<()> {
        let mode = if in_haste {
            StopMode::Immediate
        } else {
            StopMode::Fast
        };
        let mut result = Ok(());
        for node in std::iter::once(self.primary()).chain(self.replicas()) {
            let stopped = match node.state() {
                NodeState::Down => Ok(()),
                NodeState::Paused => node.kill().await,
                NodeState::Running => match node.stop(mode, Duration::from_secs(15)).await {
                    Err(error) => node.kill().await.and(Err(error)),
                    ok => ok,
                },
            };
            result = result.and(stopped);
        }
        result
    }

    /// In a synchronous cluster, has the primary wait for those standbys that stream now: names of
    /// nodes that are down would hang it.
    async fn wait_for_standbys(&self, session: &Client, synchronous: bool) -> Result<()> {
        if !synchronous {
            return Ok(());
        }
        let primary = self.primary();
        let streaming = replication::streaming(primary, session).await?;
        let names = self
            .replicas()
            .map(|node| node.id())
            .filter(|id| streaming.iter().any(|name| name == id.as_str()));
        let names: Vec<NodeId> = names.collect();
        let value = settings::any_one(names.iter().map(NodeId::as_str));
        replication::set_synchronous(primary, session, &value).await
    }

    async fn one_change(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.change
            .acquire()
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "the cluster is shutting down"))
    }
}

impl fmt::Debug for LocalShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalShard")
            .field("id", &self.id)
            .field("nodes", &self.nodes)
            .field("primary", &self.primary().id())
            .finish_non_exhaustive()
    }
}
