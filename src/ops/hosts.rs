//! The servers' machines: where their data directories are, and how commands run there.
//!
//! Stopping a server, rewinding it or copying another one needs its machine, not only its port. A
//! file says for each node where its data are and how to reach its machine: directly, if it is this one,
//! or through a program such as `ssh`. It is a file of its own, `hosts.toml`, because clients never need it.
//!
//! ```
//! use pgshard::ops::hosts::Hosts;
//!
//! let hosts = Hosts::parse(r#"
//! replication_user = "replicator"
//! conninfo = "sslmode=verify-full sslrootcert=/etc/ssl/bank.pem"
//!
//! [[host]]
//! node = "s0a"
//! data = "/var/lib/postgresql/15/main"
//! bin = "/usr/lib/postgresql/15/bin"
//! through = ["ssh", "-o", "BatchMode=yes", "postgres@db1"]
//! start = "sudo systemctl start postgresql@15-main"
//! stop = "sudo systemctl stop postgresql@15-main"
//! passfile = "/var/lib/postgresql/.pgpass"
//! "#)?;
//! assert_eq!(hosts.hosts.len(), 1);
//! # Ok::<(), pgshard::Error>(())
//! ```

mod host;
mod script;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;

pub use host::Stop;

pub(crate) use host::Host;
pub(crate) use script::Script;

/// The machines of a cluster's servers; `hosts.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Hosts {
    /// The role that standbys stream as.
    #[serde(default = "replicator")]
    pub replication_user: String,
    /// The role that `pg_rewind` reads the primary as: a superuser, or one with the rights to read files.
    #[serde(default = "postgres")]
    pub rewind_user: String,
    /// More of the connection string with which servers reach each other, such as `sslmode=verify-full`.
    /// No password: that is in the `passfile` of the machine that connects.
    #[serde(default)]
    pub conninfo: String,
    /// The machines.
    #[serde(rename = "host", default)]
    pub hosts: Vec<HostConfig>,
}

/// The machine of one node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HostConfig {
    /// The node, as the topology file names it.
    pub node: String,
    /// The server's data directory.
    pub data: PathBuf,
    /// The directory of PostgreSQL's programs. Without it they are found in `PATH`.
    pub bin: Option<PathBuf>,
    /// A program and arguments that run a shell command on the machine, given as one more argument:
    /// `["ssh", "postgres@db1"]`. Without it, the machine is this one, and commands run as the
    /// data directory's owner.
    #[serde(default)]
    pub through: Vec<String>,
    /// How the server is started, where something else than `pg_ctl` manages it.
    pub start: Option<String>,
    /// How it is stopped, likewise. It has to be a fast shutdown, which loses nothing.
    pub stop: Option<String>,
    /// Options of the server for `pg_ctl start`, such as `-c config_file=…`.
    pub options: Option<String>,
    /// Where `pg_ctl start` puts what the server says before its own log begins; `startup.log` in the
    /// data directory.
    pub log: Option<PathBuf>,
    /// The password file of the servers' own connections to each other, on that machine.
    pub passfile: Option<PathBuf>,
    /// Where the other servers reach this one, if not where clients do.
    pub address: Option<Address>,
}

/// Where a server is reached.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

fn replicator() -> String {
    "replicator".to_owned()
}

fn postgres() -> String {
    "postgres".to_owned()
}

impl Hosts {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// `Config` if it is not there, or wrong; the message has the line.
    pub fn load(path: impl AsRef<Path>) -> Result<Hosts> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::config(format!(
                "{} cannot be read: {error}; it says where the servers' data directories are and how to \
                 reach their machines (docs/operations/failover.md shows one)",
                path.display()
            ))
        })?;
        Hosts::parse(&text)
            .map_err(|error| Error::config(format!("{}: {}", path.display(), error.message())))
    }

    /// The same, from text.
    ///
    /// # Errors
    ///
    /// `Config`, with the line.
    pub fn parse(text: &str) -> Result<Hosts> {
        let hosts: Hosts =
            toml::from_str(text).map_err(|error| Error::config(error.to_string()))?;
        for (at, host) in hosts.hosts.iter().enumerate() {
            let wrong = |what: &str| Err(Error::config(format!("host of {}: {what}", host.node)));
            if !host.data.is_absolute() {
                return wrong("data has to be an absolute path");
            }
            if hosts.hosts[..at]
                .iter()
                .any(|other| other.node == host.node)
            {
                return wrong("is named twice");
            }
            if host.start.is_some() != host.stop.is_some() {
                return wrong("give both start and stop, or neither");
            }
        }
        if hosts.conninfo.contains("password=") {
            return Err(Error::config(
                "conninfo holds a password, which every superuser could then read from pg_settings: put \
                 it into a passfile on the machines",
            ));
        }
        Ok(hosts)
    }

    /// A node's machine.
    pub(crate) fn host(&self, config: &Config, node: NodeId) -> Result<Host> {
        let found = self.hosts.iter().find(|host| host.node == node.as_str());
        let known = config.node(node);
        match (found, known) {
            (Some(host), Some((_, _, known))) => Host::new(self, host, known),
            (_, None) => Err(Error::config(format!("there is no node {node}"))),
            (None, _) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the hosts' file does not say where node {node} is: add a [[host]] with its data \
                     directory"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Hosts::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(refusal("[[host]]\nnode = \"a\"\ndata = \"main\"").contains("absolute"));
        assert!(refusal("[[host]]\nnode = \"a\"\ndata = \"/d\"\nstart = \"x\"").contains("both"));
        assert!(refusal("conninfo = \"password=x\"").contains("passfile"));
        let twice = "[[host]]\nnode = \"a\"\ndata = \"/d\"\n".repeat(2);
        assert!(refusal(&twice).contains("twice"));
        assert!(refusal("[[host]]\nnode = \"a\"\ndata = \"/d\"\nwho = 1").contains("line 4"));
    }
}
