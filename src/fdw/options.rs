//! How a reporting server is set up.

use crate::config::{Config, NodeConfig, TlsConfig};
use crate::direct::{Credentials, Session};
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};

use super::observed::ObservedShard;

/// Which nodes the reporting server reads from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Replicas, or the primary where no replica answers. Reports may be seconds behind.
    #[default]
    Replicas,
    /// Primaries only. Reports compete with the application.
    Primaries,
}

/// How a sharded table's foreign tables become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// A view, the UNION ALL of the foreign tables. `WHERE shard = …` leaves shards out.
    #[default]
    Views,
    /// A parent, hash-partitioned by the key, whose partitions the foreign tables are, and a view of
    /// it. `WHERE key = …` leaves shards out. Only for `hash = "pg"` without pins, where each shard
    /// is one class of remainders modulo a power of two.
    Partitions,
}

/// What a foreign server names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// All nodes of the shard; libpq looks for the right one at each connect. A failover needs no
    /// change.
    #[default]
    All,
    /// The one that is right now; [`refresh`](super::refresh) repoints it after a failover.
    Current,
}

/// How the reporting server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FdwOptions {
    /// The role on the shards that reports read as. It needs SELECT on the tables and nothing else.
    pub remote: Credentials,
    /// Where reports read.
    pub source: Source,
    /// Shards where they read elsewhere.
    pub sources: Vec<(ShardId, Source)>,
    /// What the foreign servers name.
    pub hosts: Hosts,
    /// What is known of the shards' nodes. Needed for [`Hosts::Current`]; where it is absent, the
    /// nodes are those of the configuration.
    pub observed: Vec<ObservedShard>,
    /// How foreign tables become one.
    pub layout: Layout,
    /// The schema of the views on the reporting server.
    pub schema: String,
    /// The role on the reporting server that may read the views. It is created, without login, if
    /// it does not exist; grant it to people.
    pub reader: String,
    /// Whether the shards work at the same time (`async_capable`).
    pub asynchronous: bool,
    /// Rows fetched from a shard at a time. More is faster for reports that read much over a slow
    /// network, and slower for those that stop early, such as a top 100.
    pub fetch_size: u32,
    /// Whether the planner asks the shards what a part of a query would cost (`use_remote_estimate`):
    /// round trips before each query, and better joins.
    pub remote_estimate: bool,
    /// Whether the shards' transactions end at the same time (`parallel_commit`); a reporting server
    /// older than PostgreSQL 15 is not told.
    pub parallel_commit: bool,
    /// Whether a session of the reporting server keeps its connections to the shards.
    pub keep_connections: bool,
    /// Extensions whose functions and operators may run on the shards. They must be the same on all
    /// servers.
    pub extensions: Vec<String>,
    /// The file on the reporting server with the authorities that sign the shards' certificates;
    /// libpq's own default if absent.
    pub root_certificate: Option<String>,
}

impl FdwOptions {
    /// The defaults: from replicas, views in the schema `reporting`, for the role `pgshard_reader`,
    /// the shards at the same time, 100 rows at a time.
    pub fn new(remote: Credentials) -> Self {
        FdwOptions {
            remote,
            source: Source::default(),
            sources: Vec::new(),
            hosts: Hosts::default(),
            observed: Vec::new(),
            layout: Layout::default(),
            schema: "reporting".to_owned(),
            reader: "pgshard_reader".to_owned(),
            asynchronous: true,
            fetch_size: 100,
            remote_estimate: false,
            parallel_commit: false,
            keep_connections: true,
            extensions: Vec::new(),
            root_certificate: None,
        }
    }

    /// Where reports read a shard.
    pub(super) fn source_of(&self, shard: ShardId) -> Source {
        let own = self.sources.iter().find(|(named, _)| *named == shard);
        own.map_or(self.source, |(_, source)| *source)
    }

    pub(super) fn check(&self, config: &Config) -> Result<()> {
        for (what, name) in [("schema", &self.schema), ("reader", &self.reader)] {
            if name.is_empty() || name.len() > 63 || name.contains('\0') {
                return Err(Error::config(format!(
                    "{what} {name:?} is not an identifier: use 1 to 63 bytes"
                )));
            }
            if name.starts_with("pg_") {
                return Err(Error::config(format!(
                    "{what} {name:?}: PostgreSQL keeps names that begin with pg_ for itself"
                )));
            }
        }
        if self.schema == super::name::FOREIGN {
            return Err(Error::config(format!(
                "the schema {} is that of the foreign tables: choose another one for the views",
                self.schema
            )));
        }
        if self.fetch_size == 0 {
            return Err(Error::config("the fetch size must be at least 1"));
        }
        for (shard, _) in &self.sources {
            if !config.shards.iter().any(|known| known.id == *shard) {
                return Err(Error::config(format!(
                    "there is no shard {shard} to read from primaries or replicas"
                )));
            }
        }
        Ok(())
    }
}

/// A reporting server: a database on any PostgreSQL that can reach the shards.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// A host name, an address, or the directory of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role that is to own what is made. It needs the right to create schemas, and to use
    /// `postgres_fdw`; only a superuser may create the extension.
    pub role: Credentials,
    /// How the connection is encrypted.
    pub tls: TlsConfig,
}

impl Reporting {
    pub(super) async fn connect(&self, config: &Config) -> Result<Session> {
        let mut settings = config.clone();
        settings.database.clone_from(&self.database);
        settings.tls = self.tls.clone();
        let node = NodeConfig {
            id: NodeId::new("reporting")
                .map_err(|error| Error::config(error.to_string()).with_source(error))?,
            host: self.host.clone(),
            port: self.port,
            proxy: None,
        };
        Session::to_server(&settings, &node, &self.role).await
    }
}
