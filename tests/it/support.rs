//! Clusters for the tests.

#[cfg(feature = "cli")]
pub(crate) mod acts;
pub(crate) mod authority;
#[cfg(feature = "cli")]
pub(crate) mod backed_up;
#[cfg(feature = "cli")]
pub(crate) mod cli;
pub(crate) mod failover;
mod faults;
pub(crate) mod history;
pub(crate) mod impostor;
pub(crate) mod linked;
#[cfg(feature = "cli")]
pub(crate) mod operated;
pub(crate) mod relay;
pub(crate) mod small_disk;
mod stacks;
pub(crate) mod stage;
#[cfg(feature = "cli")]
pub(crate) mod truth;

use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::ops::Credentials;
use tokio_postgres::{Client, Config, NoTls};

pub(crate) use faults::{INSERT, client, far_away, rows_of, through_proxy, until};
pub(crate) use stacks::installed_programs;

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

/// An owner's session on a node.
pub(crate) async fn owner(cluster: &LocalCluster, node: &str) -> Client {
    connect(cluster.owner_conninfo(node).expect("a node")).await
}

/// An application's session on a node.
pub(crate) async fn app(cluster: &LocalCluster, node: &str) -> Client {
    connect(cluster.app_conninfo(node).expect("a node")).await
}

/// The role that owns the databases.
pub(crate) fn ddl_role(cluster: &LocalCluster) -> Credentials {
    credentials(&cluster.owner_conninfo("s0a").expect("a node"))
}

/// The role that a driver's settings name.
pub(crate) fn credentials(settings: &Config) -> Credentials {
    let password = settings.get_password().expect("a password");
    Credentials {
        user: settings.get_user().expect("a user").to_owned(),
        password: Some(String::from_utf8_lossy(password).into_owned().into()),
    }
}

/// The configuration of a cluster that holds the example bank.
pub(crate) fn bank_config(cluster: &LocalCluster) -> pgshard::Config {
    cluster.config().expect("a configuration")
}

/// The text of that configuration, without a password.
pub(crate) fn bank_toml(cluster: &LocalCluster) -> String {
    let text = cluster.config_toml();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("password_file"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Creates the example bank's tables on every shard.
pub(crate) async fn load_bank_schema(cluster: &LocalCluster) {
    cluster.create_bank().await.expect("the bank's schema");
}

/// A cluster with the example bank's tables and the schema pgshard on every shard.
pub(crate) async fn installed(shards: usize, replicas: usize) -> (LocalCluster, pgshard::Config) {
    let cluster = start(shards, replicas).await;
    let config = install(&cluster).await;
    (cluster, config)
}

/// Makes a cluster of empty databases an installed one.
pub(crate) async fn install(cluster: &LocalCluster) -> pgshard::Config {
    cluster.install(|_| ()).await.expect("an installation")
}

/// A directory for temporary files that the servers' user can enter.
pub(crate) fn tmpdir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).expect("permissions");
    dir
}
