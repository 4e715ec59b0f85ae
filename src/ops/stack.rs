//! Files for the programs around the servers, from the topology: Patroni, etcd, systemd, PgBouncer, Pgpool-II, HAProxy.
//!
//! They hold no passwords: those come from the environment of the programs, or from files that you make. What is
//! rendered is shown or written, and never copied to a server.

mod etcd;
mod haproxy;
mod patroni;
mod pgbouncer;
mod pgpool;
mod systemd;

use std::path::{Path, PathBuf};

use crate::config::{Config, NodeConfig, ShardConfig};
use crate::error::{Error, Result};
use crate::host::spawn::io_error;
use crate::ops::hosts::Hosts;

pub use etcd::etcd;
pub use haproxy::haproxy;
pub use patroni::patroni;
pub use pgbouncer::pgbouncer;
pub use pgpool::pgpool;
pub use systemd::systemd;

/// What the files cannot take from the topology.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StackOptions {
    /// The members of etcd, as `host:port` for clients.
    pub etcd: Vec<String>,
    /// From where servers and clients connect, as `pg_hba.conf` writes it: `10.0.0.0/24`.
    pub networks: Vec<String>,
    /// Whether COMMIT waits for a standby, and refuses to do without.
    pub synchronous: bool,
    /// Whether connections are encrypted; then the servers have to have certificates.
    pub tls: bool,
    /// The port of PgBouncer, Pgpool-II or HAProxy. HAProxy's reading port is the next one, and each further
    /// shard's two after that; Pgpool-II's likewise.
    pub port: u16,
    /// The address that they listen on.
    pub listen: String,
    /// The directory that PgBouncer or Pgpool-II has its files in.
    pub dir: PathBuf,
}

impl Default for StackOptions {
    fn default() -> Self {
        StackOptions {
            etcd: Vec::new(),
            networks: Vec::new(),
            synchronous: true,
            tls: true,
            port: 6432,
            listen: "127.0.0.1".to_owned(),
            dir: PathBuf::from("/etc/pgshard"),
        }
    }
}

impl StackOptions {
    /// The members of etcd.
    fn members(&self) -> Result<Vec<(&str, u16)>> {
        let members = self.etcd.iter().map(|member| {
            member
                .rsplit_once(':')
                .filter(|(host, _)| is_plain(host))
                .and_then(|(host, port)| Some((host, port.parse().ok()?)))
                .ok_or_else(|| {
                    Error::config(format!("{member:?} is no member of etcd: give host:port"))
                })
        });
        members.collect()
    }

    /// The networks, as `pg_hba.conf` may have them.
    fn networks(&self) -> Result<&[String]> {
        match self.networks.iter().find(|network| !is_plain(network)) {
            None => Ok(&self.networks),
            Some(network) => Err(Error::config(format!(
                "{network:?} is no network: write it as 10.0.0.0/24"
            ))),
        }
    }
}

/// Whether a file takes it as one word, without quotes.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".:/_-[]".contains(c))
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Its name; below a directory of the node's name where each node has its own.
    pub name: PathBuf,
    /// Its contents.
    pub text: String,
    /// Whether it is a program.
    pub program: bool,
}

impl Rendered {
    fn file(name: impl Into<PathBuf>, text: String) -> Rendered {
        Rendered {
            name: name.into(),
            text,
            program: false,
        }
    }

    /// Writes files below a directory; those that are there with the same contents stay.
    ///
    /// # Errors
    ///
    /// `Refused`, before anything is written, if one is there with other contents and `force` is not set.
    pub fn write(files: &[Rendered], dir: &Path, force: bool) -> Result<()> {
        for file in files {
            let path = dir.join(&file.name);
            let other = std::fs::read(&path).is_ok_and(|old| old != file.text.as_bytes());
            if other && !force {
                return Err(Error::refused(format!(
                    "{} is there with other contents: compare, then pass --force",
                    path.display()
                )));
            }
        }
        for file in files {
            use std::os::unix::fs::PermissionsExt as _;
            let path = dir.join(&file.name);
            let failed = |e| io_error(format!("cannot write {}", path.display()), e);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            std::fs::write(&path, &file.text).map_err(failed)?;
            let mode = if file.program { 0o755 } else { 0o644 };
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).map_err(failed)?;
        }
        Ok(())
    }
}

/// Where a node's Patroni is reached: as `[shard.patroni]` has it, in the order of the nodes, else at port 8008.
fn rest(shard: &ShardConfig, at: usize) -> (String, u16) {
    let url = shard
        .patroni
        .as_ref()
        .and_then(|patroni| patroni.urls.get(at));
    match url {
        Some(url) => (url.host().to_owned(), url.port()),
        None => {
            let host = shard.nodes.get(at).map(|node| node.host.clone());
            (host.unwrap_or_default(), 8008)
        }
    }
}

fn servers(config: &Config) -> impl Iterator<Item = (&ShardConfig, usize, &NodeConfig)> {
    config.shards.iter().flat_map(|shard| {
        let nodes = shard.nodes.iter().enumerate();
        nodes.map(move |(at, node)| (shard, at, node))
    })
}

/// Refuses a topology that is about proxies itself.
fn direct(config: &Config) -> Result<()> {
    match config.nodes().find(|(_, _, node)| node.proxy.is_some()) {
        Some((_, _, node)) => Err(Error::refused(format!(
            "{} is a proxy: use a topology file that names the servers themselves",
            node.id
        ))),
        None => Ok(()),
    }
}

/// A text in quotes, as YAML and JSON read it.
fn quoted(text: impl ToString) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}

fn place<'h>(hosts: &'h Hosts, node: &NodeConfig) -> Result<&'h crate::ops::hosts::HostConfig> {
    hosts
        .hosts
        .iter()
        .find(|host| host.node == node.id.as_str())
        .ok_or_else(|| {
            Error::config(format!(
                "the hosts' file does not say where node {} is",
                node.id
            ))
        })
}
