//! A local cluster under Patroni: its life.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;
use crate::error::Result;
use crate::host::account::Account;
use crate::host::binaries::{Binaries, find_program};
use crate::host::spawn::io_error;
use crate::id::{NodeId, ShardId};
use crate::local::bank_cluster::{
    bank_toml, create_bank_on, hosts_toml, install, load, secret_file,
};
use crate::local::cluster::{DATABASE, conninfo, no_node, node_name, shard_name};
use crate::local::etcd::Etcd;
use crate::local::home::Home;
use crate::local::provision;
use crate::local::replication::{admin, streaming};
use crate::local::secrets::{APP, OWNER, SUPERUSER, Secrets, random, write_private};
use crate::local::state::{SavedPatroni, SavedShard, State};
use crate::local::status::{NodeStatus, of_servers};
use crate::ops::Credentials;

use super::config::{REST_USER, patroni_yml};
use super::node::{Parts, PatroniNode};
use super::sentry::Sentry;
use super::spec::PatroniSpec;

/// Shards that are made at the same time: `initdb` keeps a core busy.
const AT_ONCE: usize = 2;

/// How long a node may take to become what it shall be.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// The file with the password of the REST interfaces.
const REST_SECRET: &str = "patroni";

/// A cluster of real servers on loopback that Patroni and etcd manage; it lives as long as this
/// value and this process.
///
/// Dropping it kills everything, waiting a moment for it, and removes a temporary directory;
/// [`shutdown`](Self::shutdown) does the same without blocking the runtime, and cleanly.
///
/// ```no_run
/// # async fn example() -> pgshard::Result<()> {
/// use pgshard::local::{LocalPatroni, PatroniSpec};
///
/// let cluster = LocalPatroni::start(PatroniSpec { synchronous: true, ..Default::default() }).await?;
/// cluster.install(|_| ()).await?;
/// cluster.switchover("s0", "s0b").await?;
/// cluster.kill_node("s0b").await?; // and s0a leads again, a few seconds later
/// cluster.shutdown().await
/// # }
/// ```
#[derive(Debug)]
pub struct LocalPatroni {
    // Dropped in this order: the directory goes last.
    nodes: Vec<PatroniNode>,
    shards: Vec<ShardId>,
    pub(super) etcd: Etcd,
    pub(super) secrets: Secrets,
    rest_password: SecretString,
    spec: PatroniSpec,
    major: u32,
    _sentry: Sentry,
    home: Home,
}

impl LocalPatroni {
    /// Makes a cluster, or starts again the one that an earlier run made in `spec.dir`, and returns
    /// when every shard has a leader and all other nodes stream from it.
    ///
    /// Roles, passwords and database are as in a [`LocalCluster`](crate::local::LocalCluster). The
    /// REST interfaces ask for a password before they change anything; it is in the file
    /// `secrets/patroni` of the cluster's directory, for the user `patroni`.
    ///
    /// # Errors
    ///
    /// If the specification cannot be met, a program is missing (the message names the package),
    /// the directory is in use, holds another cluster or other files, or something does not start;
    /// the message holds the end of its log.
    pub async fn start(spec: PatroniSpec) -> Result<Self> {
        Self::start_with(spec, |_| ()).await
    }

    /// As [`start`](Self::start), and calls `ready` with each node once it leads or streams.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn start_with(
        spec: PatroniSpec,
        ready: impl Fn(&PatroniNode) + Sync,
    ) -> Result<Self> {
        spec.check()?;
        let account = Account::find()?;
        let program = find_program(&account, "patroni", "patroni python3-etcd etcd-server")?;
        let binaries = Binaries::find_for(&account, spec.bindir.as_deref()).await?;
        let home = match &spec.dir {
            Some(dir) => Home::kept(dir, &account)?,
            None => Home::temporary(&account)?,
        };
        let saved = State::read(&home.state())?;
        let rest_file = secret_file(home.path(), REST_SECRET);
        let (secrets, rest_password) = match &saved {
            Some(saved) => {
                saved.check(&spec.as_local(), &binaries, true)?;
                let password = std::fs::read_to_string(&rest_file)
                    .map_err(|e| io_error(format!("cannot read {}", rest_file.display()), e))?;
                (Secrets::read(&home.passwords())?, password.trim().into())
            }
            None => {
                home.clear(&account)?;
                let (secrets, password) = (Secrets::generate(), random());
                home.make_secrets(&secrets)?;
                write_private(&rest_file, &format!("{}\n", password.expose_secret()))?;
                (secrets, password)
            }
        };
        let old = saved.as_ref().and_then(|state| state.patroni.as_ref());
        let etcd = Etcd::new(&home, &account, old.map(|old| old.etcd))?;
        let mut nodes = Vec::new();
        let mut shards = Vec::new();
        for index in 0..spec.shards {
            let shard = shard_name(index)?;
            shards.push(shard);
            let of_shard = saved.as_ref().and_then(|saved| saved.shards.get(index));
            let rests = old.and_then(|old| old.rest.get(index));
            for node in 0..spec.nodes {
                let id = node_name(index, node)?;
                let port = of_shard.and_then(|shard| shard.ports.get(node));
                let rest = rests.and_then(|rests| rests.get(node));
                nodes.push(PatroniNode::new(Parts {
                    id,
                    shard,
                    ports: port.copied().zip(rest.copied()),
                    dir: home.node(id),
                    account: &account,
                    binaries: &binaries,
                    program: &program,
                })?);
            }
        }
        let cluster = LocalPatroni {
            nodes,
            shards,
            etcd,
            secrets,
            rest_password,
            spec,
            major: binaries.major(),
            _sentry: Sentry::start(&home, &account).await?,
            home,
        };
        cluster.etcd.start().await?;
        for node in &cluster.nodes {
            node.write(&patroni_yml(
                node,
                &cluster.spec,
                &cluster.etcd.address(),
                &cluster.secrets,
                cluster.rest_password.expose_secret(),
            ))?;
        }
        let again = saved.is_some();
        stream::iter(cluster.shards.clone())
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |shard| {
                let (cluster, ready) = (&cluster, &ready);
                async move {
                    match again {
                        true => cluster.restart(shard, ready).await,
                        false => cluster.build(shard, ready).await,
                    }
                }
            })
            .await?;
        cluster.save()?;
        Ok(cluster)
    }

    /// Makes a shard: its first node first, so that this one leads.
    async fn build(&self, shard: ShardId, ready: &(impl Fn(&PatroniNode) + Sync)) -> Result<()> {
        let mut leader = None;
        for node in self.of_shard(shard) {
            node.start().await?;
            match leader {
                None => {
                    let leads = || node.is("/primary");
                    node.until("leader", PATIENCE, leads).await?;
                    leader = Some(node);
                }
                Some(leader) => self.wait_streaming(node, leader).await?,
            }
            if leader.is_none_or(|leader| leader.id() != node.id()) || !self.spec.synchronous {
                ready(node);
            }
        }
        let Some(leader) = leader else { return Ok(()) };
        if self.spec.synchronous {
            self.wait_synchronous(shard, leader).await?;
            ready(leader);
        }
        let session = admin(leader, &self.secrets, "postgres").await?;
        provision::create_roles(leader, &session, &self.secrets, &[OWNER, APP]).await?;
        let inside = admin(leader, &self.secrets, DATABASE).await?;
        provision::prepare_database(leader, &inside).await
    }

    /// Starts a shard of an earlier run: who leads is Patroni's choice.
    async fn restart(&self, shard: ShardId, ready: &(impl Fn(&PatroniNode) + Sync)) -> Result<()> {
        for node in self.of_shard(shard) {
            node.start().await?;
        }
        for node in self.of_shard(shard) {
            self.wait_member(node).await?;
            ready(node);
        }
        Ok(())
    }

    /// Waits until a node leads, or streams from the one that does.
    pub(super) async fn wait_member(&self, node: &PatroniNode) -> Result<()> {
        let member = || async {
            let Ok(Some(leader)) = self.leader(node.shard()).await else {
                return false;
            };
            leader == node.id()
                || match self.node(leader) {
                    Ok(leader) => self.streams(node, leader).await,
                    Err(_) => false,
                }
        };
        node.until("member that leads or streams", PATIENCE, member)
            .await
    }

    async fn wait_streaming(&self, node: &PatroniNode, leader: &PatroniNode) -> Result<()> {
        let streams = || async { node.is("/replica").await && self.streams(node, leader).await };
        node.until("streaming standby", PATIENCE, streams).await
    }

    /// Waits until a standby that etcd names would confirm a COMMIT: before
    /// that, nobody may take over in strict synchronous mode.
    pub(super) async fn wait_synchronous(
        &self,
        shard: ShardId,
        leader: &PatroniNode,
    ) -> Result<()> {
        let confirmed = || async {
            let standbys = self.of_shard(shard).map(|node| node.is("/synchronous"));
            futures::future::join_all(standbys).await.contains(&true)
        };
        leader
            .until("leader with a synchronous standby", PATIENCE, confirmed)
            .await
    }

    async fn streams(&self, node: &PatroniNode, leader: &PatroniNode) -> bool {
        let ask = async {
            let session = admin(leader, &self.secrets, "postgres").await?;
            streaming(leader, &session).await
        };
        ask.await
            .is_ok_and(|names| names.iter().any(|name| name == node.id().as_str()))
    }

    /// The names of the shards, `s0` first.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// All nodes, shard by shard.
    pub fn nodes(&self) -> impl Iterator<Item = &PatroniNode> {
        self.nodes.iter()
    }

    pub(super) fn of_shard(&self, shard: ShardId) -> impl Iterator<Item = &PatroniNode> {
        self.nodes.iter().filter(move |node| node.shard() == shard)
    }

    /// The node of a name.
    ///
    /// # Errors
    ///
    /// If there is no such node; the message names those that there are.
    pub fn node(&self, name: impl AsRef<str>) -> Result<&PatroniNode> {
        let name = name.as_ref();
        self.nodes
            .iter()
            .find(|node| node.id().as_str() == name)
            .ok_or_else(|| {
                let names: Vec<NodeId> = self.nodes.iter().map(PatroniNode::id).collect();
                no_node(name, names.iter())
            })
    }

    /// The cluster's directory.
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// The major version of its servers.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Whether strict synchronous mode is on.
    pub fn is_synchronous(&self) -> bool {
        self.spec.synchronous
    }

    /// Where etcd answers its clients: `http://127.0.0.1:…`.
    pub fn etcd_url(&self) -> String {
        format!("http://{}", self.etcd.address())
    }

    /// Where a node's Patroni answers: `http://127.0.0.1:…`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn rest_url(&self, node: impl AsRef<str>) -> Result<String> {
        let port = self.node(node)?.rest_port();
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// The user of the REST interfaces with the password, which every request that changes
    /// something has to carry.
    pub fn rest_credentials(&self) -> Credentials {
        Credentials {
            user: REST_USER.to_owned(),
            password: Some(self.rest_password.clone()),
        }
    }

    /// The cluster's configuration as text, as of a
    /// [`LocalCluster`](crate::local::LocalCluster::config_toml).
    pub fn config_toml(&self) -> String {
        self.config_toml_via(PatroniNode::port)
    }

    /// The configuration as text, with other ports for the nodes: those of proxies before them.
    ///
    /// If this crate has the feature `etcd`, it names Patroni and etcd as sources of the topology.
    pub fn config_toml_via(&self, port: impl Fn(&PatroniNode) -> u16) -> String {
        let mut text = bank_toml(self.nodes.iter().map(|node| (node, port(node))));
        if cfg!(feature = "etcd") {
            for shard in &self.shards {
                let urls = self.of_shard(*shard);
                let urls: Vec<_> = urls
                    .map(|node| format!("\"http://127.0.0.1:{}\"", node.rest_port()))
                    .collect();
                let named = format!("[[shard]]\nid = \"{shard}\"\n");
                let sources = format!(
                    "{named}[shard.patroni]\nscope = \"{shard}\"\nurls = [{}]\n",
                    urls.join(", ")
                );
                text = text.replace(&named, &sources);
            }
            text.push_str(&format!(
                "\n[patroni]\nuser = \"{REST_USER}\"\npassword_file = \"secrets/{REST_SECRET}\"\n\
                 \n[etcd]\nendpoints = [\"{}\"]\n",
                self.etcd_url()
            ));
        }
        text
    }

    /// The configuration, whatever this process's environment says.
    ///
    /// # Errors
    ///
    /// If the cluster's directory has lost its password files.
    pub fn config(&self) -> Result<Config> {
        load(&self.config_toml(), self.config_file())
    }

    /// Where [`write_config`](Self::write_config) writes the configuration: `shards.toml` in the
    /// cluster's directory.
    pub fn config_file(&self) -> PathBuf {
        self.dir().join("shards.toml")
    }

    /// Writes the configuration, and `hosts.toml` beside it, into the cluster's directory.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write_config(&self) -> Result<()> {
        write_private(&self.config_file(), &self.config_toml())?;
        let hosts = hosts_toml(self.nodes.iter().map(PatroniNode::host_toml));
        write_private(&self.dir().join("hosts.toml"), &hosts)
    }

    /// The role that owns the databases, for `shardctl install` and the like.
    pub fn owner(&self) -> Credentials {
        self.secrets.credentials(OWNER)
    }

    /// Creates the example bank's tables where they are missing, installs the schema `pgshard` with
    /// placement checks, and calls `done` after each shard. May be repeated.
    ///
    /// # Errors
    ///
    /// If a shard has no leader that answers, or a statement fails.
    pub async fn install(&self, done: impl FnMut(ShardId)) -> Result<Config> {
        for &shard in &self.shards {
            create_bank_on(self.leading(shard).await?, &self.secrets).await?;
        }
        let config = self.config()?;
        install(&config, self.owner(), done).await?;
        Ok(config)
    }

    /// How a superuser connects to a node's `bankdb`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn superuser_conninfo(&self, node: impl AsRef<str>) -> Result<tokio_postgres::Config> {
        Ok(conninfo(self.node(node)?, &self.secrets, SUPERUSER))
    }

    /// How the role that owns the database connects to a node's `bankdb`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn owner_conninfo(&self, node: impl AsRef<str>) -> Result<tokio_postgres::Config> {
        Ok(conninfo(self.node(node)?, &self.secrets, OWNER))
    }

    /// How the application connects to a node's `bankdb`.
    ///
    /// # Errors
    ///
    /// If there is no such node.
    pub fn app_conninfo(&self, node: impl AsRef<str>) -> Result<tokio_postgres::Config> {
        Ok(conninfo(self.node(node)?, &self.secrets, APP))
    }

    /// Asks every server that runs what it is doing. One that does not answer in time has no role;
    /// it is no error.
    pub async fn status(&self) -> Vec<NodeStatus> {
        of_servers(&self.nodes.iter().collect::<Vec<_>>(), &self.secrets).await
    }

    /// Ends everything, cleanly if the directory is kept (the standbys first, so that nobody takes
    /// over), and removes a temporary directory.
    ///
    /// # Errors
    ///
    /// If something does not stop; it is killed then.
    pub async fn shutdown(self) -> Result<()> {
        if self.home.is_temporary() {
            // Patroni before the server, which it would start again.
            for node in &self.nodes {
                node.kill_patroni().await?;
            }
            for node in &self.nodes {
                node.kill_postgres().await?;
            }
            return self.etcd.kill().await;
        }
        let mut leaders = Vec::new();
        for &shard in &self.shards {
            leaders.extend(self.leader(shard).await?);
        }
        let (last, first): (Vec<_>, Vec<_>) = self
            .nodes
            .iter()
            .partition(|node| leaders.contains(&node.id()));
        let mut result = Ok(());
        for nodes in [first, last] {
            let stops = nodes.iter().map(|node| self.stop_one(node));
            for stopped in futures::future::join_all(stops).await {
                result = result.and(stopped);
            }
        }
        // It has nothing to keep but what Patroni finds out again.
        let _ = self.etcd.resume();
        result.and(self.etcd.stop().await)
    }

    fn save(&self) -> Result<()> {
        let of = |port: fn(&PatroniNode) -> u16| -> Vec<Vec<u16>> {
            let ports = |&shard: &ShardId| self.of_shard(shard).map(port).collect();
            self.shards.iter().map(ports).collect()
        };
        let shards = of(PatroniNode::port)
            .into_iter()
            .map(|ports| SavedShard { primary: 0, ports });
        State {
            major: self.major,
            synchronous: self.spec.synchronous,
            shards: shards.collect(),
            patroni: Some(SavedPatroni {
                etcd: self.etcd.ports(),
                rest: of(PatroniNode::rest_port),
                ttl: self.spec.ttl,
                loop_wait: self.spec.loop_wait,
                retry_timeout: self.spec.retry_timeout,
                primary_start_timeout: self.spec.primary_start_timeout,
            }),
        }
        .write(&self.home.state())
    }
}

impl Drop for LocalPatroni {
    fn drop(&mut self) {
        self.nodes.iter().for_each(PatroniNode::signal_end);
        self.etcd.signal_end();
        let deadline = Instant::now() + Duration::from_secs(6);
        self.nodes.iter().for_each(|node| node.wait_end(deadline));
        self.etcd.wait_end(deadline);
        // Servers that still live are killed when the directory is given up.
    }
}
