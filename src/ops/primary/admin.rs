//! With what a procedure reaches servers and machines.

use std::time::{Duration, Instant};

use crate::config::{Config, NodeConfig, ShardConfig};
use crate::direct::{Credentials, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};
use crate::ops::hosts::{Host, Hosts};
use crate::ops::replication::Server;

/// How often a change is looked for.
const EVERY: Duration = Duration::from_millis(20);

/// The configuration, the machines, and the superuser's login.
#[derive(Clone, Copy, Debug)]
pub struct Admin<'c> {
    /// The topology.
    pub config: &'c Config,
    /// The machines.
    pub hosts: &'c Hosts,
    /// A superuser.
    pub role: &'c Credentials,
}

impl<'c> Admin<'c> {
    /// All three.
    pub fn new(config: &'c Config, hosts: &'c Hosts, role: &'c Credentials) -> Self {
        Admin {
            config,
            hosts,
            role,
        }
    }

    pub(crate) fn shard(&self, id: ShardId) -> Result<&'c ShardConfig> {
        let (_, shard) = self
            .config
            .shard(id)
            .ok_or_else(|| Error::config(format!("there is no shard {id}")))?;
        if shard.patroni.is_some() {
            return Err(Error::refused(
                "Patroni manages this shard, and would undo what is done behind its back: use its own \
                 switchover, failover and reinit",
            )
            .on_shard(id));
        }
        Ok(shard)
    }

    pub(crate) fn node(&self, id: NodeId) -> Result<(&'c ShardConfig, &'c NodeConfig)> {
        let found = self.config.shards.iter().find_map(|shard| {
            let node = shard.nodes.iter().find(|node| node.id == id)?;
            Some((shard.id, node))
        });
        let (shard, node) = found.ok_or_else(|| Error::config(format!("there is no node {id}")))?;
        Ok((self.shard(shard)?, node))
    }

    pub(crate) fn host(&self, node: NodeId) -> Result<Host> {
        self.hosts.host(self.config, node)
    }

    pub(crate) async fn session(&self, node: NodeId) -> Result<Session> {
        let (shard, node) = self.node(node)?;
        Session::to_node(self.config, shard.id, node, self.role).await
    }

    pub(crate) async fn server(&self, node: NodeId) -> Result<Server> {
        Server::read(&self.session(node).await?).await
    }

    /// Asks a server until it says what is waited for.
    ///
    /// # Errors
    ///
    /// `Timeout` with what was waited for; a server that does not answer is asked again.
    pub(crate) async fn until<T>(
        &self,
        node: NodeId,
        patience: Duration,
        what: &str,
        mut seen: impl FnMut(&Server) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let mut session = None;
        loop {
            let last = match self.ask(node, &mut session).await {
                Ok(server) => match seen(&server) {
                    Some(value) => return Ok(value),
                    None => format!("its log ends at {}", server.end),
                },
                Err(error) => {
                    session = None;
                    error.to_string()
                }
            };
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!("{what}: not within {} s ({last})", patience.as_secs()),
                )
                .on_node(node));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn ask(&self, node: NodeId, session: &mut Option<Session>) -> Result<Server> {
        if session.is_none() {
            *session = Some(self.session(node).await?);
        }
        match session {
            Some(open) => Server::read(open).await,
            None => self.server(node).await,
        }
    }
}
