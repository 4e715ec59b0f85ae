//! Clusters for the tests.

use pgshard::local::{LocalCluster, LocalSpec};
use tokio_postgres::{Client, Config, NoTls};

/// An asynchronous cluster of empty databases, in a temporary directory.
pub(crate) async fn start(shards: usize, replicas: usize) -> LocalCluster {
    start_spec(LocalSpec {
        shards,
        replicas,
        ..LocalSpec::default()
    })
    .await
}

/// A cluster of empty databases.
pub(crate) async fn start_spec(spec: LocalSpec) -> LocalCluster {
    LocalCluster::start(spec).await.expect("a local cluster")
}

/// A session whose connection is driven in the background.
pub(crate) async fn connect(config: Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a session");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

/// A superuser's session on a node.
pub(crate) async fn superuser(cluster: &LocalCluster, node: &str) -> Client {
    connect(cluster.superuser_conninfo(node).expect("a node")).await
}
