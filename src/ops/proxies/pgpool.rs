//! What a Pgpool-II believes of its servers, and what they are.

use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::direct::{Console, Credentials, column};
use crate::error::Result;
use crate::id::{NodeId, ShardId};

use super::Address;
use super::known::{Known, at};

/// It answers this itself.
const PROMPT: Duration = Duration::from_secs(10);

/// A server behind a Pgpool-II.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Backend {
    /// Its number there.
    pub number: u32,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The node that it is, if it is one of the cluster's.
    pub node: Option<NodeId>,
    /// Its shard.
    pub shard: Option<ShardId>,
    /// What Pgpool-II does with it: `up`, `waiting` (no client yet), `down`, `unused`, `quarantine`.
    pub status: String,
    /// What Pgpool-II takes it for: `primary` or `standby`.
    pub role: String,
    /// What it is.
    pub is: Option<&'static str>,
    /// How far behind Pgpool-II has it.
    pub delay: String,
    /// Whether it is the shard's primary beyond doubt.
    #[serde(skip)]
    pub(super) primary: bool,
    /// What is wrong, and what to do.
    pub problems: Vec<String>,
}

impl Backend {
    /// Whether Pgpool-II lends it.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.status.as_str(), "up" | "waiting")
    }
}

/// A Pgpool-II.
#[derive(Clone)]
pub struct Pgpool<'c> {
    config: &'c Config,
    role: Credentials,
    known: Vec<Known>,
    /// Where its clients connect.
    pub place: Address,
    /// Its servers.
    pub backends: Vec<Backend>,
}

impl std::fmt::Debug for Pgpool<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pgpool")
            .field("place", &self.place)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

impl<'c> Pgpool<'c> {
    /// Asks it, as a client of a database, for `SHOW POOL_NODES`. Changes nothing.
    ///
    /// # Errors
    ///
    /// If it does not answer, or does not take the role.
    pub async fn look(
        config: &'c Config,
        place: &Address,
        role: &Credentials,
        known: &[Known],
    ) -> Result<Pgpool<'c>> {
        let mut pgpool = Pgpool {
            config,
            role: role.clone(),
            known: known.to_vec(),
            place: place.clone(),
            backends: Vec::new(),
        };
        pgpool.backends = pgpool.ask().await?;
        Ok(pgpool)
    }

    /// What it believes now.
    pub(super) async fn ask(&self) -> Result<Vec<Backend>> {
        let (config, place, role) = (self.config, &self.place, &self.role);
        let (host, port) = (&place.host, place.port);
        let console = Console::open(config, host, port, &config.database, role).await?;
        let rows = console.ask("SHOW POOL_NODES", PROMPT).await?;
        let backend = |row: &_| {
            let text = |name| column::<String>(row, name).unwrap_or_default();
            Backend {
                number: column(row, "node_id").unwrap_or_default(),
                host: text("hostname"),
                port: column(row, "port").unwrap_or_default(),
                status: text("status"),
                role: text("role"),
                delay: text("replication_delay"),
                ..Backend::default()
            }
        };
        let mut backends: Vec<Backend> = rows.iter().map(backend).collect();
        judge(&mut backends, &self.known);
        Ok(backends)
    }
}

fn judge(backends: &mut [Backend], known: &[Known]) {
    for backend in backends {
        let server = at(known, &backend.host, backend.port);
        backend.node = server.map(|server| server.node);
        backend.shard = server.map(|server| server.shard);
        backend.is = server.map(|server| server.state);
        backend.primary = server.is_some_and(|server| server.primary);
        let mut problems = Vec::new();
        match server {
            None => problems.push(format!(
                "{}:{} is no node of the topology file",
                backend.host, backend.port
            )),
            Some(server) => {
                let good = matches!(server.state, "primary" | "standby");
                if server.primary && backend.role != "primary" {
                    problems.push(format!(
                        "it is the primary, and Pgpool-II does not know: shardctl pgpool promote {}",
                        server.node
                    ));
                }
                if backend.role == "primary" && server.state != "primary" {
                    problems.push(format!(
                        "Pgpool-II takes it for the primary, and it is {}: writes fail",
                        server.state
                    ));
                }
                if good && !backend.is_up() {
                    problems.push(format!(
                        "it is well, and Pgpool-II does not use it: shardctl pgpool attach {}",
                        server.node
                    ));
                }
                if !good && backend.is_up() {
                    problems.push(format!(
                        "it is {}, and Pgpool-II uses it: shardctl pgpool detach {}",
                        server.state, server.node
                    ));
                }
            }
        }
        backend.problems = problems;
    }
}

#[cfg(test)]
impl Pgpool<'_> {
    /// One of the shard `s0`: what its two servers are, and their status and role here.
    pub(super) fn planted(servers: [(&'static str, &str, &str); 2]) -> Pgpool<'static> {
        const FILE: &str = "cluster = 'bank'\ndatabase = 'bankdb'\nuser = 'app'\n[routing]\nhash = 'pg'\n\
            key = 'uuid'\nbuckets = 4096\nversion = 1\n[[table]]\nname = 'customers'\nkey = 'customer_id'\n\
            [[shard]]\nid = 's0'\nbuckets = ['0-4095']\n[[shard.node]]\nid = 's0a'\nhost = '127.0.0.1'\nport = 5432\n";
        let config = Box::leak(Box::new(Config::parse(FILE, "shards.toml").unwrap()));
        let mut pgpool = Pgpool {
            config,
            role: Credentials {
                user: "app".to_owned(),
                password: None,
            },
            known: Vec::new(),
            place: "10.0.0.9:9999".parse().unwrap(),
            backends: Vec::new(),
        };
        for ((is, status, role), (at, node)) in servers.into_iter().zip([(0, "s0a"), (1, "s0b")]) {
            pgpool.known.push(Known {
                shard: ShardId::new("s0").unwrap(),
                node: NodeId::new(node).unwrap(),
                host: "10.0.0.1".to_owned(),
                port: 5432 + at,
                state: is,
                primary: is == "primary",
            });
            pgpool.backends.push(Backend {
                number: u32::from(at),
                host: "10.0.0.1".to_owned(),
                port: 5432 + at,
                status: status.to_owned(),
                role: role.to_owned(),
                ..Backend::default()
            });
        }
        judge(&mut pgpool.backends, &pgpool.known);
        pgpool
    }
}
