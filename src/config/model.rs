//! The checked configuration. Whoever holds a [`Config`] need not check it again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{HttpUrl, PasswordSource};
use crate::id::{ClusterId, NodeId, NodeIndex, ShardId, ShardIndex};
use crate::routing::ShardMap;

/// A cluster: how keys map to shards, where the shards' nodes are, and how to connect to them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's name, stored on every shard and compared at connect.
    pub cluster: ClusterId,
    /// The database's name, the same on every node.
    pub database: String,
    /// The application's role.
    pub user: String,
    /// Where the role's password comes from, asked at each connect.
    pub password: Option<PasswordSource>,
    /// What connections call themselves in `pg_stat_activity`.
    pub application_name: String,
    /// The schemas that unqualified names are looked up in, as `search_path` has them.
    pub search_path: String,
    /// How connections are encrypted.
    pub tls: TlsConfig,
    /// Key → bucket → shard.
    pub map: ShardMap,
    /// Pools of connections, per node.
    pub pool: PoolSettings,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Probing and adoption of primaries.
    pub failover: FailoverSettings,
    /// Asking the shards' Patronis.
    pub patroni: PatroniSettings,
    /// Watching the Patronis' store, if that is wanted.
    pub etcd: Option<EtcdSettings>,
    /// How reads are done, unless a read says otherwise.
    pub reads: ReadSettings,
    /// Whether a statement may see the rows of its handle's key only.
    pub guard: GuardMode,
    /// The sharded tables.
    pub tables: Vec<ShardedTable>,
    /// Tables that are the same on every shard.
    pub references: Vec<TableName>,
    /// The shards, in the order of the map's [`ShardIndex`](crate::id::ShardIndex).
    pub shards: Vec<ShardConfig>,
}

/// A shard: one primary and its replicas; which is which, the servers know.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// The shard's name.
    pub id: ShardId,
    /// Its nodes, at least one.
    pub nodes: Vec<NodeConfig>,
    /// The Patroni that manages it, if that is to be asked.
    pub patroni: Option<PatroniShard>,
}

/// A shard's Patroni.
#[derive(Clone, Debug)]
pub struct PatroniShard {
    /// Patroni's own name for the cluster; answers of another one are not heeded.
    pub scope: String,
    /// REST addresses of its members, at least one; the others are found.
    pub urls: Vec<HttpUrl>,
}

/// Asking Patronis.
#[derive(Clone, Debug)]
pub struct PatroniSettings {
    /// Between two questions to each member of a steady shard.
    pub poll_interval: Duration,
    /// The deadline of one question.
    pub timeout: Duration,
    /// Where the store keeps the clusters: the leader of one is `<namespace>/<scope>/leader`.
    pub namespace: String,
    /// Basic authentication, where something in front of the interface wants it.
    pub login: Option<HttpLogin>,
}

/// The etcd in which the Patronis keep who leads.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// Addresses of its members, at least one.
    pub endpoints: Vec<HttpUrl>,
    /// A user of etcd who may read the leaders' keys, where it asks for one.
    pub login: Option<HttpLogin>,
}

/// A user of an HTTP interface.
#[derive(Clone, Debug)]
pub struct HttpLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// A server.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The node's name, unique in the cluster.
    pub id: NodeId,
    /// A host name, an address, or the directory of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What answers there in front of the server. `None`: the server itself.
    pub proxy: Option<Proxy>,
}

/// A program that lends its clients a server for one transaction at a time. Nothing that a session
/// keeps is relied on behind one, and every transaction checks which server it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proxy {
    /// PgBouncer with `pool_mode = transaction`.
    PgBouncer,
    /// Pgpool-II in streaming replication mode. It is one node, whatever is behind it, and only
    /// the primary is used through it.
    Pgpool,
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// Whether to, and what to verify. `None`: verify-full, but plaintext to loopback and sockets.
    pub mode: Option<TlsMode>,
    /// The authorities that may sign a server's certificate, as PEM; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain, as PEM.
    pub cert_file: Option<PathBuf>,
    /// The client's private key, as PEM.
    pub key_file: Option<PathBuf>,
    /// Whether the login has to be bound to the encrypted channel.
    pub channel_binding: ChannelBinding,
}

/// Whether a login is bound to the channel that it goes through, which shows a man in the middle
/// even if he holds a certificate that an authority signed.
///
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CHANNEL-BINDING>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Always: a connection is refused if it is not encrypted, if its server asks for no password,
    /// or for one in another way than SCRAM, or has a certificate without a digest (Ed25519).
    Require,
}

/// Whether connections are encrypted, and what is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Encrypted; the certificate's chain and its host name are verified.
    VerifyFull,
    /// Not encrypted. To a host that is not loopback it must be asked for.
    Plaintext,
}

/// The bounds of a node's pool of connections.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Connections to a node for writing, and as many for reading.
    pub max_size: usize,
    /// Callers that may wait for a connection of one pool; more are turned away at once.
    pub max_waiting: usize,
    /// The share of a node's connections for reading, in percent, that queries over many shards may
    /// hold; the rest is kept for reads of one key.
    pub fan_out_share: u32,
    /// A connection older than this, less up to a tenth at random, is closed when idle.
    pub max_lifetime: Duration,
    /// A connection idle for longer is closed.
    pub idle_timeout: Duration,
    /// A connection idle for longer is checked by a round trip before it is lent.
    pub check_after_idle: Duration,
}

/// Deadlines. Each bounds a caller's wait; none is ever unbounded.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Name look-up, TCP, TLS and authentication together.
    pub connect: Duration,
    /// Waiting for a free connection, connecting included.
    pub checkout: Duration,
    /// One statement.
    pub statement: Duration,
    /// Waiting for COMMIT's answer. The COMMIT itself is never cancelled.
    pub commit: Duration,
    /// Waiting for a shard to have a primary.
    pub primary: Duration,
}

/// Probing and adoption of primaries.
#[derive(Clone, Debug)]
pub struct FailoverSettings {
    /// A node without a complete answer for this long, and to three probes, is unreachable.
    pub down_after: Duration,
    /// Between probes of a steady shard's nodes.
    pub probe_interval: Duration,
    /// The deadline of one probe.
    pub probe_timeout: Duration,
    /// Whether a shard stays fenced when a failover lost acknowledged writes, until an operator
    /// accepts it.
    pub strict: bool,
    /// Callers of one shard that may wait for a primary; more are turned away at once.
    pub max_waiting: usize,
}

/// How reads are done, unless a read says otherwise.
#[derive(Clone, Debug)]
pub struct ReadSettings {
    /// After how long without an answer a second node is asked.
    pub hedge_after: HedgeAfter,
    /// The most reads, in percent, of which a second node is asked.
    pub hedge_budget: u32,
}

/// When a read is slow enough to ask a second node for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HedgeAfter {
    /// Never: one node is asked at a time.
    #[default]
    Never,
    /// After so long.
    Time(Duration),
    /// After the time within which so many of a hundred such reads of this process were answered by
    /// the first node lately, from 50 to 99. While there were few, no second node is asked.
    Percentile(u8),
}

/// Whether a statement may see the rows of its handle's key only; see the chapter on the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardMode {
    /// Statements are sent as they are.
    #[default]
    Off,
    /// The servers are told the key. Those where the guard is installed hold to it; whether it is, is
    /// not looked at: for the time in which it is being installed.
    Send,
    /// The servers are told the key, and those where the guard is not installed for every sharded
    /// table are not used.
    Require,
}

/// A table that is spread over the shards by its key column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedTable {
    /// The table.
    pub name: TableName,
    /// The column that holds the key.
    pub key: String,
}

/// A table's schema and name.
///
/// ```
/// let table: pgshard::config::TableName = "bank.\"Order Items\"".parse()?;
/// assert_eq!((&*table.schema, &*table.name), ("bank", "Order Items"));
/// # Ok::<_, pgshard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema; `public` if the file gives none.
    pub schema: String,
    /// The table.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}",
            crate::sql::ident(&self.schema),
            crate::sql::ident(&self.name)
        )
    }
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings {
            max_size: 16,
            max_waiting: 1024,
            fan_out_share: 50,
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            check_after_idle: Duration::from_secs(30),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(3),
            checkout: Duration::from_secs(5),
            statement: Duration::from_secs(30),
            commit: Duration::from_secs(30),
            primary: Duration::from_secs(30),
        }
    }
}

impl Default for PatroniSettings {
    fn default() -> Self {
        PatroniSettings {
            poll_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            namespace: "/service/".to_owned(),
            login: None,
        }
    }
}

impl Default for FailoverSettings {
    fn default() -> Self {
        FailoverSettings {
            down_after: Duration::from_secs(2),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            strict: false,
            max_waiting: 10_000,
        }
    }
}

impl PoolSettings {
    /// The connections for reading from a node that queries over many shards may hold: at least one.
    pub fn fan_out_size(&self) -> usize {
        let share = self.max_size.saturating_mul(self.fan_out_share as usize) / 100;
        share.clamp(1, self.max_size.max(1))
    }
}

impl Default for ReadSettings {
    fn default() -> Self {
        ReadSettings {
            hedge_after: HedgeAfter::Never,
            hedge_budget: 5,
        }
    }
}

impl Config {
    /// All nodes, in the order of the shards, with the position of each.
    pub fn nodes(&self) -> impl Iterator<Item = (ShardIndex, NodeIndex, &NodeConfig)> {
        (0..).zip(&self.shards).flat_map(|(shard, config)| {
            (0..)
                .zip(&config.nodes)
                .map(move |(node, config)| (ShardIndex(shard), NodeIndex(node), config))
        })
    }

    /// The shard at a position of the map.
    pub fn shard_at(&self, index: ShardIndex) -> Option<&ShardConfig> {
        self.shards.get(index.index())
    }

    /// A shard by its name, with its position.
    pub fn shard(&self, id: ShardId) -> Option<(ShardIndex, &ShardConfig)> {
        (0..)
            .map(ShardIndex)
            .zip(&self.shards)
            .find(|(_, shard)| shard.id == id)
    }

    /// A node by its name, with its position.
    pub fn node(&self, id: NodeId) -> Option<(ShardIndex, NodeIndex, &NodeConfig)> {
        self.nodes().find(|(_, _, node)| node.id == id)
    }

    /// How a node's connections are encrypted: as configured, else plaintext to loopback and to
    /// sockets, else verify-full.
    pub fn tls_mode(&self, node: &NodeConfig) -> TlsMode {
        self.tls.mode.unwrap_or(if node.is_local() {
            TlsMode::Plaintext
        } else {
            TlsMode::VerifyFull
        })
    }
}

impl NodeConfig {
    /// Whether the host is loopback or the directory of a Unix socket.
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

pub(super) fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}
