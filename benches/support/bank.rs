//! Four shards of the example bank, and three ways to reach them.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use futures::future::join_all;
use pgshard::config::GuardMode;
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::ops::install::{Install, InstallOptions};
use pgshard::{Cluster, Config, CustomerId};
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

/// Shards.
const SHARDS: usize = 4;
/// Connections of each pool on each shard.
const POOL: usize = 16;
/// The most callers that are measured.
const CALLERS: usize = 64;
/// Customers, on all shards together.
const CUSTOMERS: usize = 8192;

/// The read by primary key.
pub(crate) const READ: &str = "SELECT full_name FROM customers WHERE customer_id = $1";
/// The write by primary key.
pub(crate) const WRITE: &str = "UPDATE bank_accounts SET balance = balance + 1 \
                                WHERE customer_id = $1 AND account_id = $1";

/// A connection of one caller's own.
pub(crate) struct Pinned {
    pub(crate) client: Client,
    pub(crate) read: Statement,
    pub(crate) write: Statement,
}

/// What the contestants work on.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// A plain pool a shard.
    pub(crate) pools: Vec<Pool>,
    /// By caller, then by shard.
    pub(crate) pinned: Vec<Vec<Pinned>>,
    /// Customers with their shards.
    customers: Vec<(CustomerId, usize)>,
}

impl World {
    /// Starts the servers, creates the bank, connects; pinned connections only where they are
    /// used. The world lives as long as the process.
    pub(crate) async fn start(with_pinned: bool) -> (LocalCluster, &'static World) {
        Self::guarded(with_pinned, GuardMode::Off).await
    }

    /// The same with the guard, if the client requires it.
    pub(crate) async fn guarded(
        with_pinned: bool,
        guard: GuardMode,
    ) -> (LocalCluster, &'static World) {
        let spec = LocalSpec {
            shards: SHARDS,
            replicas: 0,
            settings: vec![("max_connections".into(), "200".into())],
            ..LocalSpec::default()
        };
        let servers = LocalCluster::start(spec).await.expect("servers");
        let mut config = servers.install(|_| ()).await.expect("an installation");
        config.pool.max_size = POOL;
        config.guard = guard;
        if guard != GuardMode::Off {
            let mut options = InstallOptions::new(servers.owner());
            options.guard = true;
            let install = Install::plan(&config, options).await.expect("a plan");
            install.apply(|_| ()).await.expect("the guard");
        }
        let customers = load(&servers, &config).await;
        let cluster = Cluster::connect(config).expect("a client");
        cluster
            .ready(Duration::from_secs(30))
            .await
            .expect("primaries");
        let pools = servers
            .shards()
            .iter()
            .map(|shard| pool(&servers, shard.primary().id().as_str()))
            .collect();
        let mut pinned = Vec::new();
        for _ in 0..if with_pinned { CALLERS } else { 0 } {
            let connections = servers
                .shards()
                .iter()
                .map(|shard| pin(&servers, shard.primary().id().as_str().to_owned()));
            pinned.push(join_all(connections).await);
        }
        let world = World {
            cluster,
            pools,
            pinned,
            customers,
        };
        (servers, Box::leak(Box::new(world)))
    }

    /// A customer and the shard: no two callers get the same at a time.
    pub(crate) fn customer(&self, caller: usize, turn: usize) -> &(CustomerId, usize) {
        // A stride without a common factor visits all groups before it comes back.
        let group = turn * 61 % (CUSTOMERS / CALLERS);
        &self.customers[group * CALLERS + caller % CALLERS]
    }
}

/// A plain pool in the same mode and of the same size.
fn pool(servers: &LocalCluster, node: &str) -> Pool {
    let manager = Manager::from_config(
        servers.app_conninfo(node).expect("a node"),
        NoTls,
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    Pool::builder(manager)
        .max_size(POOL)
        .queue_mode(deadpool::managed::QueueMode::Lifo)
        .build()
        .expect("a pool")
}

async fn pin(servers: &LocalCluster, node: String) -> Pinned {
    let client = connect(servers.app_conninfo(&node).expect("a node")).await;
    Pinned {
        read: client.prepare(READ).await.expect("a statement"),
        write: client.prepare(WRITE).await.expect("a statement"),
        client,
    }
}

/// A session whose connection is driven in the background.
async fn connect(config: tokio_postgres::Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// Writes the customers, each with an account, on their shards.
async fn load(servers: &LocalCluster, config: &Config) -> Vec<(CustomerId, usize)> {
    let customers: Vec<_> = pgshard::local::bank::Bank::new(1, CUSTOMERS as u64)
        .customers()
        .map(|customer| {
            let place = config.map.locate(&customer.id).expect("a place");
            (customer, place.shard.index())
        })
        .collect();
    for (index, shard) in servers.shards().iter().enumerate() {
        let here = || customers.iter().filter(|(_, at)| *at == index);
        let ids: Vec<Uuid> = here().map(|(customer, _)| customer.id.0).collect();
        let names: Vec<&str> = here().map(|(c, _)| c.full_name.as_str()).collect();
        let owner = servers.owner_conninfo(shard.primary().id());
        let owner = connect(owner.expect("a node")).await;
        owner
            .execute(
                "INSERT INTO customers (customer_id, full_name, email, country) \
                 SELECT id, name, id || '@example.org', 'DE' \
                 FROM unnest($1::uuid[], $2::text[]) t (id, name)",
                &[&ids, &names],
            )
            .await
            .expect("customers");
        for sql in [
            "INSERT INTO bank_accounts (customer_id, account_id, currency) \
             SELECT customer_id, customer_id, 'EUR' FROM customers",
            "VACUUM ANALYZE customers",
            "VACUUM ANALYZE bank_accounts",
        ] {
            owner.batch_execute(sql).await.expect("accounts");
        }
    }
    customers
        .into_iter()
        .map(|(customer, at)| (customer.id, at))
        .collect()
}
