//! A hung primary (SIGSTOP: the kernel accepts connections, nobody answers) holds no caller past its
//! deadline, is not given up for a moment of silence, and goes on as the same primary.

use std::time::{Duration, Instant};

use pgshard::topology::ShardState;

use crate::support::failover::Watched;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_primary_holds_nobody() {
    let shard = Watched::start(1).await;
    let written = shard.write().await.unwrap();
    shard.until_replicated(written, "s0b").await;
    let (_, epoch) = shard.view().await.primary.unwrap();

    shard.local.pause("s0a").await.unwrap();
    let started = Instant::now();
    let attempts = (0..8).map(|_| shard.write());
    let outcomes = futures::future::join_all(attempts).await;
    // timeouts.primary and timeouts.statement, and some room for a busy machine.
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    let view = shard.until_node(0, "down").await;
    assert!(
        matches!(view.state, ShardState::Searching { .. }),
        "{view:?}"
    );
    // Replicas are read meanwhile.
    let rows = shard
        .cluster
        .read_shard(crate::support::failover::shard())
        .unwrap()
        .prefer_replica()
        .query::<(uuid::Uuid,)>("SELECT customer_id FROM customers", &[])
        .await
        .unwrap();
    assert_eq!(rows, [(written,)]);

    shard.local.resume("s0a").await.unwrap();
    let view = shard.until_primary(0).await;
    assert_eq!(view.primary.unwrap().1, epoch, "the same term goes on");
    shard.write().await.unwrap();
    shard.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_primary_is_replaced() {
    let shard = Watched::start(1).await;
    shard.write().await.unwrap();
    shard.local.pause("s0a").await.unwrap();
    shard.local.promote("s0b").await.unwrap();
    shard.until_primary(1).await;
    let written = shard.write().await.unwrap();
    // It wakes up writable, in a term that is over.
    shard.local.resume("s0a").await.unwrap();
    let view = shard.until_node(0, "superseded").await;
    assert_eq!(view.primary.unwrap().0.0, 1);
    let second = shard.write().await.unwrap();
    let old = shard.customers("s0a").await;
    assert!(!old.contains(&written) && !old.contains(&second));
    shard.finish().await;
}
