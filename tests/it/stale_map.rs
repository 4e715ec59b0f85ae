//! A process with another shard map than the shards' is told so: a write at once, a read as soon as
//! a probe has seen the new version, and any first connection if only the layout differs.

use std::time::Duration;

use pgshard::routing::ShardMap;
use pgshard::{Cluster, ErrorKind};
use uuid::Uuid;

use crate::support::{installed, owner};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_map_is_refused() {
    let (local, config) = installed(2, 0).await;

    // The same version, but the shards' order in the file was changed.
    let mut reordered = config.clone();
    let map = &config.map;
    let owners: Vec<_> = (0..map.buckets())
        .map(|bucket| map.owner(pgshard::id::Bucket(bucket)).unwrap())
        .map(|shard| pgshard::id::ShardIndex(1 - shard.0))
        .collect();
    reordered.map = ShardMap::builder(map.hash(), map.key_type())
        .owners(2, owners)
        .build()
        .unwrap();
    let wrong = Cluster::connect(reordered).unwrap();
    let session = wrong.session(&Uuid::nil()).unwrap();
    let error = session
        .read()
        .query::<(i32,)>("SELECT 1", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StaleMap, "{error}");
    let error = session
        .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StaleMap, "{error}");
    wrong.close().await;

    // The map moves on under a running process.
    let cluster = Cluster::connect(config).unwrap();
    let session = cluster.session(&Uuid::nil()).unwrap();
    session
        .read()
        .query::<(i32,)>("SELECT 1", &[])
        .await
        .unwrap();
    session
        .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap();
    for shard in local.shards() {
        owner(&local, shard.primary().id().as_str())
            .await
            .batch_execute("UPDATE pgshard.identity SET map_version = 2")
            .await
            .unwrap();
    }
    let error = session
        .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StaleMap, "{error}");
    let refused = async {
        loop {
            if let Err(error) = session.read().query::<(i32,)>("SELECT 1", &[]).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::StaleMap, "{error}");
    cluster.close().await;
}
