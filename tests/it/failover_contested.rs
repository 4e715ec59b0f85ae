//! A replica promoted beside a living primary: writes are refused on both until one of them is gone,
//! and the promoted one was never written to.

use std::time::{Duration, Instant};

use pgshard::ErrorKind;
use pgshard::local::StopMode;

use crate::support::failover::{Watched, contested};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promoted_beside_a_living_primary() {
    let shard = Watched::start(1).await;
    let before = shard.write().await.unwrap();
    let (_, epoch) = shard.view().await.primary.unwrap();
    shard.until_replicated(before, "s0b").await;

    shard.local.promote("s0b").await.unwrap();
    shard
        .until("both", |view| contested(view) == Some(vec![0, 1]))
        .await;
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        let error = shard.write().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contested, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shard.customers("s0a").await, [before]);
    assert_eq!(shard.customers("s0b").await, [before]);

    // The operator stops the wrong one: the old term goes on.
    shard.local.stop("s0b", StopMode::Fast).await.unwrap();
    let view = shard.until_primary(0).await;
    assert_eq!(view.primary.unwrap().1, epoch);
    shard.write().await.unwrap();
    shard.finish().await;
}
