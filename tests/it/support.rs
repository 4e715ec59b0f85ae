//! Clusters for the tests.

#[cfg(feature = "cli")]
pub(crate) mod cli;

use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::ops::Credentials;
use pgshard::ops::install::{Install, InstallOptions};
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
    let text = bank_toml(cluster);
    let mut config = pgshard::Config::parse(&text, "shards.toml").expect("a configuration");
    config.password = credentials(&cluster.app_conninfo("s0a").expect("a node")).password;
    config
}

/// The text of that configuration, without a password.
pub(crate) fn bank_toml(cluster: &LocalCluster) -> String {
    let mut text = String::from(
        r#"
        cluster = "bank"
        database = "bankdb"
        user = "app"
        [routing]
        hash = "pg"
        "#,
    );
    for table in ["customers", "bank_accounts", "transactions"] {
        text += &format!("[[table]]\nname = \"{table}\"\nkey = \"customer_id\"\n");
    }
    text += "[[reference]]\nname = \"currencies\"\n";
    for shard in cluster.shards() {
        text += &format!("[[shard]]\nid = \"{}\"\n", shard.id());
        for node in shard.nodes() {
            text += &format!(
                "[[shard.node]]\nid = \"{}\"\nhost = \"127.0.0.1\"\nport = {}\n",
                node.id(),
                node.port()
            );
        }
    }
    text
}

/// Creates the example bank's tables on every shard.
pub(crate) async fn load_bank_schema(cluster: &LocalCluster) {
    for shard in cluster.shards() {
        let session = owner(cluster, shard.primary().id().as_str()).await;
        for sql in [
            include_str!("../../schema/bank/001_tables.sql"),
            include_str!("../../schema/bank/002_currencies.sql"),
            include_str!("../../schema/bank/003_grants.sql"),
        ] {
            session.batch_execute(sql).await.expect("the bank's schema");
        }
    }
}

/// A cluster with the example bank's tables and the schema pgshard on every shard.
pub(crate) async fn installed(shards: usize, replicas: usize) -> (LocalCluster, pgshard::Config) {
    let cluster = start(shards, replicas).await;
    let config = install(&cluster).await;
    (cluster, config)
}

/// Makes a cluster of empty databases an installed one.
pub(crate) async fn install(cluster: &LocalCluster) -> pgshard::Config {
    load_bank_schema(cluster).await;
    let config = bank_config(cluster);
    let mut options = InstallOptions::new(ddl_role(cluster));
    options.placement_check = true;
    let plan = Install::plan(&config, options).await.expect("a plan");
    plan.apply(|_| ()).await.expect("an installation");
    config
}
