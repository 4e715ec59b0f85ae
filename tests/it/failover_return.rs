//! An old primary that comes back after a failover is never written to; rejoined, it is a replica.

use pgshard::ReadPreference;
use uuid::Uuid;

use crate::support::failover::{Watched, is_readable_standby, shard as id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_returns() {
    let shard = Watched::start(1).await;
    let before = shard.write().await.unwrap();
    shard.until_replicated(before, "s0b").await;
    shard.local.kill("s0a").await.unwrap();
    shard.local.promote("s0b").await.unwrap();
    shard.until_primary(1).await;
    let after = shard.write().await.unwrap();

    // It starts as what it was: writable, on the old timeline.
    shard.local.start_node("s0a").await.unwrap();
    let view = shard.until_node(0, "superseded").await;
    assert_eq!(view.primary.unwrap().0.0, 1, "the shard stays steady");
    let mut written = vec![before, after];
    for _ in 0..20 {
        written.push(shard.write().await.unwrap());
    }
    assert_eq!(shard.customers("s0a").await, [before]);
    let fresh = pgshard::Cluster::connect(shard.cluster.config().clone()).unwrap();
    fresh
        .ready(std::time::Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(fresh.status()[0].primary.unwrap().as_str(), "s0b");
    fresh.close().await;

    shard.local.rejoin("s0a").await.unwrap();
    shard
        .until("a rejoined replica", |view| {
            is_readable_standby(&view.nodes[0])
        })
        .await;
    let mut rows: Vec<Uuid> = shard
        .cluster
        .read_shard(id())
        .unwrap()
        .preference(ReadPreference::Replica)
        .max_lag(0)
        .query::<(Uuid,)>("SELECT customer_id FROM customers", &[])
        .await
        .unwrap()
        .into_iter()
        .map(|(customer,)| customer)
        .collect();
    rows.sort_unstable();
    written.sort_unstable();
    assert_eq!(rows, written);
    shard.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_primary_is_the_same_one() {
    let shard = Watched::start(1).await;
    let first = shard.write().await.unwrap();
    let (_, epoch) = shard.view().await.primary.unwrap();
    shard.local.kill("s0a").await.unwrap();
    shard.until_node(0, "down").await;
    shard.local.start_node("s0a").await.unwrap();
    let view = shard.until_primary(0).await;
    assert_eq!(view.primary.unwrap().1, epoch, "no new term for a restart");
    let second = shard.write().await.unwrap();
    let mut held = shard.customers("s0a").await;
    held.sort_unstable();
    let mut written = vec![first, second];
    written.sort_unstable();
    assert_eq!(held, written);
    shard.finish().await;
}
