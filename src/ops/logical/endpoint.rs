//! One end of a logical replication: a shard's primary, or a server that is no shard's.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::config::{Config, NodeConfig};
use crate::direct::{Credentials, Session, find, get};
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};
use crate::ops::hosts::Hosts;

/// Where rows come from, or go to.
///
/// ```
/// use pgshard::ops::logical::Endpoint;
///
/// let shard: Endpoint = "s0".parse()?;
/// let server: Endpoint = "reports.example.com:5432/reports".parse()?;
/// assert_eq!(server.to_string(), "reports.example.com:5432/reports");
/// # Ok::<(), pgshard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The primary of a shard, whichever node that is.
    Shard(ShardId),
    /// A server that is no shard's.
    Server {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// The database.
        database: String,
    },
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Endpoint> {
        let server = || {
            let (address, database) = text.split_once('/')?;
            let (host, port) = address.rsplit_once(':')?;
            let port = port.parse().ok()?;
            let there = !host.is_empty() && !database.is_empty();
            there.then(|| Endpoint::Server {
                host: host.to_owned(),
                port,
                database: database.to_owned(),
            })
        };
        let shard = || ShardId::new(text).ok().map(Endpoint::Shard);
        server().or_else(shard).ok_or_else(|| {
            Error::config(format!(
                "{text:?} is neither a shard nor HOST:PORT/DATABASE"
            ))
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Shard(shard) => shard.fmt(f),
            Endpoint::Server {
                host,
                port,
                database,
            } => write!(f, "{host}:{port}/{database}"),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Endpoint {
    /// Connects to the server that takes writes there.
    pub(super) async fn open(&self, config: &Config, role: &Credentials) -> Result<Session> {
        let (host, port, database) = match self {
            Endpoint::Shard(id) => {
                let (_, shard) = config
                    .shard(*id)
                    .ok_or_else(|| Error::config(format!("there is no shard {id}")))?;
                return Ok(find(config, shard, role).await?.session);
            }
            Endpoint::Server {
                host,
                port,
                database,
            } => (host, port, database),
        };
        let mut settings = config.clone();
        settings.database.clone_from(database);
        let node = NodeConfig {
            id: NodeId::new("server")
                .map_err(|error| Error::config(error.to_string()).with_source(error))?,
            host: host.clone(),
            port: *port,
            proxy: None,
        };
        let session = Session::to_server(&settings, &node, role).await?;
        let row = session.one("SELECT pg_is_in_recovery()", &[]).await?;
        match get(&row, 0)? {
            false => Ok(session),
            true => Err(Error::refused(format!(
                "{self} is a standby: name its primary"
            ))),
        }
    }

    pub(super) fn database<'a>(&'a self, config: &'a Config) -> &'a str {
        match self {
            Endpoint::Shard(_) => &config.database,
            Endpoint::Server { database, .. } => database,
        }
    }

    /// Where other servers reach it: of a shard, each node, for any may be the primary tomorrow.
    pub(super) fn addresses(&self, config: &Config, hosts: Option<&Hosts>) -> Vec<(String, u16)> {
        match self {
            Endpoint::Server { host, port, .. } => vec![(host.clone(), *port)],
            Endpoint::Shard(id) => {
                let nodes = config.shard(*id).map(|(_, shard)| shard.nodes.as_slice());
                let address = |node: &NodeConfig| {
                    let known = hosts.and_then(|hosts| {
                        let found = hosts.hosts.iter().find(|h| h.node == node.id.as_str())?;
                        found.address.as_ref()
                    });
                    match known {
                        Some(address) => (address.host.clone(), address.port),
                        None => (node.host.clone(), node.port),
                    }
                };
                nodes.unwrap_or_default().iter().map(address).collect()
            }
        }
    }
}
