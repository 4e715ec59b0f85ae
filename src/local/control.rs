//! A cluster that another process runs: the supervisor serves a Unix socket in the cluster's
//! directory, and `shardctl dev` speaks to it.
//!
//! Each line is a JSON object, a [`Request`] one way and a [`Reply`] the other. Only the user who
//! started the supervisor can open the socket.

mod client;
mod running;
mod server;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};

use super::home::SUPERVISOR_LOG;
use super::spec::StopMode;
use super::status::NodeStatus;
use crate::host::spawn::io_error;

pub use client::Remote;
pub use running::Running;
pub use server::serve;

/// The longest line, in bytes.
const LONGEST: u64 = 1 << 20;

/// What a supervisor is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Say what the nodes are doing.
    Status,
    /// Stop all servers and end.
    Down,
    /// [`LocalCluster::kill`](super::LocalCluster::kill).
    Kill {
        /// The node, or `etcd`.
        node: String,
        /// Not all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Part>,
    },
    /// [`LocalCluster::pause`](super::LocalCluster::pause).
    Pause {
        /// The node, or `etcd`.
        node: String,
        /// Not all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Part>,
    },
    /// [`LocalCluster::resume`](super::LocalCluster::resume).
    Resume {
        /// The node, or `etcd`.
        node: String,
        /// Not all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Part>,
    },
    /// [`LocalCluster::stop`](super::LocalCluster::stop).
    Stop {
        /// The node.
        node: String,
        /// How.
        mode: StopMode,
    },
    /// [`LocalCluster::start_node`](super::LocalCluster::start_node).
    Start {
        /// The node, or `etcd`.
        node: String,
    },
    /// [`LocalCluster::promote`](super::LocalCluster::promote), or a switchover by Patroni.
    Promote {
        /// The node.
        node: String,
    },
    /// [`LocalCluster::rejoin`](super::LocalCluster::rejoin).
    Rejoin {
        /// The node.
        node: String,
    },
}

/// A part of a node under Patroni.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Patroni without its server.
    Patroni,
    /// The server without its Patroni.
    Postgres,
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// It is done; the nodes as they are now, unless the servers are down.
    Done(Vec<NodeStatus>),
    /// It failed.
    Failed(Failure),
}

/// An error that crosses a process boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    kind: String,
    message: String,
    shard: Option<ShardId>,
    node: Option<NodeId>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Failure {
            kind: error.kind().name().to_owned(),
            message: error.message().to_owned(),
            shard: error.shard(),
            node: error.node(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        // Those that the launcher and the installation report; whatever else, it was I/O.
        let kinds = [
            ErrorKind::Config,
            ErrorKind::Refused,
            ErrorKind::Unavailable,
            ErrorKind::Contested,
            ErrorKind::StaleMap,
            ErrorKind::WrongNode,
            ErrorKind::Timeout,
            ErrorKind::Connection,
            ErrorKind::Auth,
            ErrorKind::Database,
            ErrorKind::CommitUnknown,
        ];
        let kind = kinds.into_iter().find(|kind| kind.name() == failure.kind);
        let mut error = Error::new(kind.unwrap_or(ErrorKind::Io), failure.message);
        if let Some(shard) = failure.shard {
            error = error.on_shard(shard);
        }
        if let Some(node) = failure.node {
            error = error.on_node(node);
        }
        error
    }
}

/// The socket in a directory, by a path that is short enough for a socket's address (108 bytes)
/// however long the directory's is. It is valid as long as the file is open.
fn socket_in(dir: &Path, name: &str) -> Result<(File, PathBuf)> {
    let open =
        File::open(dir).map_err(|e| io_error(format!("cannot open {}", dir.display()), e))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
    Ok((open, path))
}

/// The file in a cluster's directory that takes what its supervisor prints.
pub fn log_file(dir: &Path) -> PathBuf {
    dir.join(SUPERVISOR_LOG)
}

/// The name of the socket.
const SOCKET: &str = "control.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_errors_survive_the_wire() {
        let text = serde_json::to_string(&Request::Stop {
            node: "s0a".into(),
            mode: StopMode::Fast,
        })
        .unwrap();
        assert_eq!(text, r#"{"do":"stop","node":"s0a","mode":"fast"}"#);
        assert!(serde_json::from_str::<Request>(r#"{"do":"explode"}"#).is_err());
        let error = Error::refused("the node is paused").on_node(NodeId::new("s0a").unwrap());
        let back = Error::from(Failure::from(&error));
        assert_eq!(back.kind(), ErrorKind::Refused);
        assert_eq!(back.to_string(), error.to_string());
    }
}
