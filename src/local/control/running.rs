//! What a supervisor runs.

use std::path::Path;

use crate::error::{Error, Result};
use crate::local::cluster::LocalCluster;
use crate::local::patroni::LocalPatroni;
use crate::local::spec::StopMode;
use crate::local::status::NodeStatus;

use super::{Part, Request};

/// The name that stands for etcd where a node is expected.
const ETCD: &str = "etcd";

/// A cluster of either kind.
#[derive(Debug)]
pub enum Running {
    /// Without Patroni.
    Plain(Box<LocalCluster>),
    /// Under Patroni.
    Patroni(Box<LocalPatroni>),
}

impl From<LocalCluster> for Running {
    fn from(cluster: LocalCluster) -> Self {
        Running::Plain(Box::new(cluster))
    }
}

impl From<LocalPatroni> for Running {
    fn from(cluster: LocalPatroni) -> Self {
        Running::Patroni(Box::new(cluster))
    }
}

impl Running {
    pub(super) fn dir(&self) -> &Path {
        match self {
            Running::Plain(cluster) => cluster.dir(),
            Running::Patroni(cluster) => cluster.dir(),
        }
    }

    pub(super) async fn status(&self) -> Vec<NodeStatus> {
        match self {
            Running::Plain(cluster) => cluster.status().await,
            Running::Patroni(cluster) => cluster.status().await,
        }
    }

    pub(super) async fn shutdown(self) -> Result<()> {
        match self {
            Running::Plain(cluster) => cluster.shutdown().await,
            Running::Patroni(cluster) => cluster.shutdown().await,
        }
    }

    pub(super) async fn carry_out(&self, request: Request) -> Result<()> {
        match self {
            Running::Plain(cluster) => plain(cluster, request).await,
            Running::Patroni(cluster) => patroni(cluster, request).await,
        }
    }
}

async fn plain(cluster: &LocalCluster, request: Request) -> Result<()> {
    match request {
        Request::Status | Request::Down => Ok(()),
        Request::Kill { only: Some(_), .. }
        | Request::Pause { only: Some(_), .. }
        | Request::Resume { only: Some(_), .. } => Err(Error::refused(
            "the cluster is not under Patroni, so that its nodes have no parts; leave --only out",
        )),
        Request::Kill { node, only: None } => cluster.kill(node).await,
        Request::Pause { node, only: None } => cluster.pause(node).await,
        Request::Resume { node, only: None } => cluster.resume(node).await,
        Request::Stop { node, mode } => cluster.stop(node, mode).await,
        Request::Start { node } => cluster.start_node(node).await,
        Request::Promote { node } => cluster.promote(node).await,
        Request::Rejoin { node } => cluster.rejoin(node).await,
    }
}

async fn patroni(cluster: &LocalPatroni, request: Request) -> Result<()> {
    match request {
        Request::Status | Request::Down => Ok(()),
        Request::Kill { node, .. } if node == ETCD => cluster.kill_etcd().await,
        Request::Kill { node, only } => match only {
            None => cluster.kill_node(node).await,
            Some(Part::Patroni) => cluster.kill_patroni(node).await,
            Some(Part::Postgres) => cluster.kill_postgres(node).await,
        },
        Request::Pause { node, .. } if node == ETCD => cluster.pause_etcd().await,
        Request::Pause { node, only } => match only {
            None => cluster.pause_node(node).await,
            Some(Part::Patroni) => cluster.pause_patroni(node).await,
            Some(Part::Postgres) => cluster.pause_postgres(node).await,
        },
        Request::Resume { node, .. } if node == ETCD => cluster.resume_etcd().await,
        Request::Resume { node, only } => match only {
            None => cluster.resume_node(node).await,
            Some(Part::Patroni) => cluster.resume_patroni(node).await,
            Some(Part::Postgres) => cluster.resume_postgres(node).await,
        },
        Request::Stop {
            node,
            mode: StopMode::Fast,
        } => cluster.stop_node(node).await,
        Request::Stop { .. } => Err(Error::refused(
            "Patroni stops its server in its own way: leave --mode out, or kill the node",
        )),
        Request::Start { node } if node == ETCD => cluster.start_etcd().await,
        Request::Start { node } => cluster.start_node(node).await,
        Request::Promote { node } => {
            let shard = cluster.node(&node)?.shard();
            cluster.switchover(shard, node).await
        }
        Request::Rejoin { .. } => Err(Error::refused(
            "Patroni has a node follow the leader by itself: start the node if it is down",
        )),
    }
}
