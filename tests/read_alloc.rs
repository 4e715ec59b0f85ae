//! A routed read allocates what the driver does, and nothing of its own.
//!
//! Allocations are counted, so a busy machine does not disturb. All runs on one thread: the driver's
//! connection task is counted with its caller.
#![cfg(feature = "local")]

use std::hint::black_box;
use std::time::Duration;

use deadpool_postgres::{Manager, Pool};
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::{Cluster, CustomerId};
use tokio_postgres::NoTls;
use uuid::Uuid;

#[path = "support/counting.rs"]
mod counting;

const READ: &str = "SELECT name FROM currencies WHERE currency = $1";
const OPERATIONS: u64 = 300;

/// The fewest allocations of some hundred operations: a probe of the monitor may fall into one round,
/// not into all.
async fn fewest(mut operation: impl AsyncFnMut()) -> u64 {
    let mut fewest = u64::MAX;
    // The first rounds prepare the statement and grow the buffers.
    for round in 0..6 {
        let before = counting::total();
        for _ in 0..OPERATIONS {
            operation().await;
        }
        if round > 1 {
            fewest = fewest.min(counting::total() - before);
        }
    }
    fewest
}

#[test]
fn a_routed_read_allocates_nothing_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let spec = LocalSpec {
            replicas: 0,
            ..LocalSpec::default()
        };
        let servers = LocalCluster::start(spec).await.unwrap();
        let mut config = servers.install(|_| ()).await.unwrap();
        config.failover.probe_interval = Duration::from_secs(60);
        let cluster = Cluster::connect(config).unwrap();
        cluster.ready(Duration::from_secs(30)).await.unwrap();
        let id = CustomerId(Uuid::from_u128(7));

        let ours = fewest(async || {
            let read = cluster.session(&id).unwrap().read();
            let (name,): (String,) = read.query_one(READ, &[&"EUR"]).await.unwrap();
            black_box(name);
        })
        .await;
        let optional = fewest(async || {
            let read = cluster.session(&id).unwrap().read();
            let row: Option<(String,)> = read.query_opt(READ, &[&"EUR"]).await.unwrap();
            black_box(row);
        })
        .await;
        let checkout = fewest(async || {
            let read = cluster.session(&id).unwrap().read();
            black_box(read.lease().await.unwrap());
        })
        .await;

        let manager = Manager::new(servers.app_conninfo("s0a").unwrap(), NoTls);
        let pool = Pool::builder(manager).max_size(16).build().unwrap();
        let theirs = fewest(async || {
            let client = pool.get().await.unwrap();
            let statement = client.prepare_cached(READ).await.unwrap();
            let row = client.query_one(&statement, &[&"EUR"]).await.unwrap();
            black_box(row.try_get::<_, String>(0).unwrap());
        })
        .await;

        println!("{ours} and {optional} here, {theirs} in a plain pool; checkout {checkout}");
        assert_eq!(checkout, 0, "lending a connection allocates");
        // Where the network's buffers happen to grow differs by a few.
        let allowed = theirs + OPERATIONS / 50;
        assert!(theirs >= OPERATIONS, "the allocator does not count");
        assert!(ours <= allowed, "{ours} allocations against {theirs}");
        assert!(
            optional <= allowed,
            "{optional} allocations against {theirs}"
        );
        cluster.close().await;
    });
}
