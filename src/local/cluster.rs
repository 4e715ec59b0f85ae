//! A local cluster: its life, and what can be done to its nodes.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};

use super::home::Home;
use crate::host::NodeState;
use crate::host::account::Account;
use crate::host::binaries::Binaries;

use super::node::LocalNode;
use super::secrets::{APP, OWNER, SUPERUSER, Secrets};
use super::server::Server;
use super::shard::LocalShard;
use super::spec::{LocalSpec, StopMode};
use super::state::State;

/// The database of every local cluster.
pub(super) const DATABASE: &str = "bankdb";

/// Shards that are made at the same time: `initdb` keeps a core busy.
const AT_ONCE: usize = 2;

/// A cluster of real servers on loopback, which live as long as this value and this process.
///
/// Dropping it stops the servers, waiting a moment for them, and removes a temporary directory;
/// [`shutdown`](Self::shutdown) does the same without blocking the runtime, and cleanly.
///
/// ```no_run
/// # async fn example() -> pgshard::Result<()> {
/// use pgshard::local::{LocalCluster, LocalSpec};
///
/// let cluster = LocalCluster::start(LocalSpec { shards: 2, replicas: 1, ..Default::default() }).await?;
/// cluster.kill("s0a").await?;
/// cluster.promote("s0b").await?;
/// cluster.rejoin("s0a").await?;
/// cluster.shutdown().await
/// # }
/// ```
#[derive(Debug)]
pub struct LocalCluster {
    // Dropped in this order: the directory goes last.
    shards: Vec<LocalShard>,
    secrets: Secrets,
    synchronous: bool,
    major: u32,
    home: Home,
}

impl LocalCluster {
    /// Makes a cluster, or starts again the one that an earlier run made in `spec.dir`, and returns
    /// when all servers accept sessions and all replicas stream.
    ///
    /// Every shard has its own system identifier; the roles `postgres` (superuser), `replicator`,
    /// `pgshard_owner` (owner of the database `bankdb`) and `app` have generated passwords, kept in
    /// the file `pgpass` of the cluster's directory.
    ///
    /// # Errors
    ///
    /// If the specification cannot be met, PostgreSQL is not found, the directory is in use, holds
    /// another cluster or other files, or a server fails; the message holds the end of its log.
    pub async fn start(spec: LocalSpec) -> Result<Self> {
        Self::start_with(spec, |_| ()).await
    }

    /// As [`start`](Self::start), and calls `ready` with each node once it accepts sessions and, if
    /// it is a replica, streams.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn start_with(spec: LocalSpec, ready: impl Fn(&LocalNode) + Sync) -> Result<Self> {
        spec.check()?;
        let account = Account::find()?;
        let binaries = Binaries::find_for(&account, spec.bindir.as_deref()).await?;
        let home = match &spec.dir {
            Some(dir) => Home::kept(dir, &account)?,
            None => Home::temporary(&account)?,
        };
        let saved = State::read(&home.state())?;
        let secrets = match &saved {
            Some(saved) => {
                saved.check(&spec, &binaries, false)?;
                Secrets::read(&home.passwords())?
            }
            None => {
                home.clear(&account)?;
                let secrets = Secrets::generate();
                home.make_secrets(&secrets)?;
                secrets
            }
        };
        let shards = (0..spec.shards)
            .map(|index| {
                let saved = saved.as_ref().and_then(|saved| saved.shards.get(index));
                LocalShard::new(index, spec.replicas, saved, &home, &account, &binaries)
            })
            .collect::<Result<Vec<_>>>()?;
        let cluster = LocalCluster {
            shards,
            secrets,
            synchronous: spec.synchronous,
            major: binaries.major(),
            home,
        };
        let again = saved.is_some();
        stream::iter(&cluster.shards)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |shard| {
                let (cluster, spec, ready) = (&cluster, &spec, &ready);
                let secrets = &cluster.secrets;
                async move {
                    if again {
                        shard.restart(secrets, cluster.synchronous, ready).await
                    } else {
                        let settings = &spec.settings;
                        shard
                            .build(secrets, settings, cluster.synchronous, ready)
                            .await
                    }
                }
            })
            .await?;
        cluster.save()?;
        Ok(cluster)
    }

    /// The shards, `s0` first.
    pub fn shards(&self) -> &[LocalShard] {
        &self.shards
    }

    /// All nodes, shard by shard.
    pub fn nodes(&self) -> impl Iterator<Item = &LocalNode> {
        self.shards.iter().flat_map(LocalShard::nodes)
    }

    /// The node of a name.
    ///
    /// # Errors
    ///
    /// If there is no such node; the message names those that there are.
    pub fn node(&self, name: impl AsRef<str>) -> Result<&LocalNode> {
        self.find(name.as_ref()).map(|(_, node)| node)
    }

    /// The cluster's directory.
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// The major version of its servers.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Whether a COMMIT waits for a replica.
    pub fn is_synchronous(&self) -> bool {
        self.synchronous
    }

    /// Kills all processes of a node's server with SIGKILL, and returns when they are gone.
    ///
    /// # Errors
    ///
    /// If there is no such node, or a process does not end.
    pub async fn kill(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.kill().await
    }

    /// Stops all processes of a node's server with SIGSTOP: connections are accepted by the kernel
    /// and never answered.
    ///
    /// # Errors
    ///
    /// If there is no such node, or it is not running.
    pub async fn pause(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.pause().await
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    ///
    /// If there is no such node, or it is not running.
    pub async fn resume(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.resume().await
    }

    /// Stops a node's server and returns when it has ended. Stopping one that is down is no error.
    ///
    /// # Errors
    ///
    /// If there is no such node, it is paused, or it has not stopped after 30 seconds.
    pub async fn stop(&self, node: impl AsRef<str>, mode: StopMode) -> Result<()> {
        self.node(node)?.stop(mode, Duration::from_secs(30)).await
    }

    /// Starts a node's server as it was, and returns when it accepts sessions. A former primary
    /// comes back as a primary: to make it a standby, [`rejoin`](Self::rejoin) it.
    ///
    /// # Errors
    ///
    /// If there is no such node, it runs already, or does not start.
    pub async fn start_node(&self, node: impl AsRef<str>) -> Result<()> {
        self.node(node)?.start().await
    }

    /// Makes a standby the primary of its shard and returns when it is writable. Nothing else is
    /// touched: an old primary that lives stays writable, and other standbys keep their source
    /// until they [rejoin](Self::rejoin). The new primary waits for no standby until one rejoins.
    ///
    /// # Errors
    ///
    /// If there is no such node, it does not run, or it is a primary already.
    pub async fn promote(&self, node: impl AsRef<str>) -> Result<()> {
        let (shard, node) = self.find(node.as_ref())?;
        shard.promote(node.id(), &self.secrets).await?;
        self.save()
    }

    /// Makes a node a standby of its shard's primary, that is, of the node promoted last, or of
    /// the only other one that is writable: by changing a standby's source, else by `pg_rewind`, else by a new copy. Writes that only the
    /// node has are lost. In a synchronous cluster the primary waits for standbys again.
    ///
    /// # Errors
    ///
    /// If there is no such node, it is the primary, or it is paused; or the primary does not run.
    pub async fn rejoin(&self, node: impl AsRef<str>) -> Result<()> {
        let (shard, node) = self.find(node.as_ref())?;
        shard.rejoin(node, &self.secrets, self.synchronous).await?;
        self.save()
    }

    /// Stops all servers, cleanly if the directory is kept, and removes a temporary directory.
    ///
    /// # Errors
    ///
    /// If a server does not stop; it is killed then.
    pub async fn shutdown(self) -> Result<()> {
        let temporary = self.home.is_temporary();
        let stops = self.shards.iter().map(|shard| shard.shutdown(temporary));
        let results = futures::future::join_all(stops).await;
        results.into_iter().collect()
    }

    /// How a superuser connects to a node's `bankdb`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn superuser_conninfo(&self, node: impl AsRef<str>) -> Result<tokio_postgres::Config> {
        self.conninfo(node.as_ref(), SUPERUSER)
    }

    /// How the role that owns the database connects to a node's `bankdb`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn owner_conninfo(&self, node: impl AsRef<str>) -> Result<tokio_postgres::Config> {
        self.conninfo(node.as_ref(), OWNER)
    }

    /// How the application connects to a node's `bankdb`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn app_conninfo(&self, node: impl AsRef<str>) -> Result<tokio_postgres::Config> {
        self.conninfo(node.as_ref(), APP)
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn conninfo(&self, node: &str, role: &str) -> Result<tokio_postgres::Config> {
        Ok(conninfo(self.node(node)?, &self.secrets, role))
    }

    fn find(&self, name: &str) -> Result<(&LocalShard, &LocalNode)> {
        self.shards
            .iter()
            .flat_map(|shard| shard.nodes().iter().map(move |node| (shard, node)))
            .find(|(_, node)| node.id().as_str() == name)
            .ok_or_else(|| {
                let names: Vec<NodeId> = self.nodes().map(LocalNode::id).collect();
                no_node(name, names.iter())
            })
    }

    fn save(&self) -> Result<()> {
        State {
            major: self.major,
            synchronous: self.synchronous,
            shards: self.shards.iter().map(LocalShard::saved).collect(),
            patroni: None,
        }
        .write(&self.home.state())
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        let running = || self.nodes().filter(|node| node.state() != NodeState::Down);
        running().for_each(LocalNode::signal_end);
        let deadline = Instant::now() + Duration::from_secs(6);
        running().for_each(|node| node.wait_end(deadline));
        // What still lives is killed when the directory is given up.
    }
}

/// How a role connects to a server's database.
pub(super) fn conninfo(
    server: &impl Server,
    secrets: &Secrets,
    role: &str,
) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(server.port())
        .user(role)
        .password(secrets.password(role))
        .dbname(DATABASE)
        .ssl_mode(tokio_postgres::config::SslMode::Disable)
        .connect_timeout(Duration::from_secs(5));
    config
}

/// The error of a name that no node has.
pub(super) fn no_node<'a>(name: &str, nodes: impl Iterator<Item = &'a NodeId>) -> Error {
    let names: Vec<&str> = nodes.map(NodeId::as_str).collect();
    Error::config(format!(
        "there is no node {name:?}; there are {}",
        names.join(", ")
    ))
}

/// The name of a shard.
pub(super) fn shard_name(shard: usize) -> Result<ShardId> {
    ShardId::new(&format!("s{shard}")).map_err(|e| Error::config(e.to_string()))
}

/// The name of a node: its shard's, and a letter.
pub(super) fn node_name(shard: usize, node: usize) -> Result<NodeId> {
    let letter = char::from(b'a' + u8::try_from(node).unwrap_or_default());
    NodeId::new(&format!("s{shard}{letter}")).map_err(|e| Error::config(e.to_string()))
}
