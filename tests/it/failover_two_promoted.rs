//! Two replicas are promoted separately: same timeline number, same system identifier, different
//! histories. Nothing is written until an operator decides; then one term goes on everywhere.

use pgshard::ErrorKind;
use pgshard::id::NodeIndex;
use pgshard::topology::OperatorAct;

use crate::support::failover::{Watched, contested, is_readable_standby, shard as id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_promoted() {
    let shard = Watched::start(2).await;
    let before = shard.write().await.unwrap();
    shard.until_replicated(before, "s0b").await;
    shard.until_replicated(before, "s0c").await;
    shard.local.kill("s0a").await.unwrap();
    // Both before the client can adopt either.
    let (b, c) = tokio::join!(shard.local.promote("s0b"), shard.local.promote("s0c"));
    b.unwrap();
    c.unwrap();
    let view = shard
        .until("both", |view| contested(view) == Some(vec![1, 2]))
        .await;
    let timelines: Vec<_> = view.nodes[1..]
        .iter()
        .map(|node| node.history.as_ref().unwrap().newest().id)
        .collect();
    assert_eq!(timelines[0], timelines[1], "nothing tells them apart");
    let error = shard.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contested);
    // Not even once the old primary counts as gone for good.
    shard.until_node(0, "down").await;
    assert_eq!(contested(&shard.view().await), Some(vec![1, 2]));

    let act = OperatorAct::NamePrimary(NodeIndex(2));
    shard.cluster.decide(id(), act).await.unwrap();
    shard.until_primary(2).await;
    shard.until_node(1, "superseded").await;
    let after = shard.write().await.unwrap();
    assert_eq!(shard.customers("s0b").await, [before]);
    let mut held = shard.customers("s0c").await;
    held.sort_unstable();
    let mut written = vec![before, after];
    written.sort_unstable();
    assert_eq!(held, written);

    // A client that starts now sees the decision in the histories.
    let fresh = pgshard::Cluster::connect(shard.cluster.config().clone()).unwrap();
    fresh
        .ready(std::time::Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(fresh.status()[0].primary.unwrap().as_str(), "s0c");
    fresh.close().await;
    // It is the local cluster's primary too, if it was promoted last.
    shard
        .local
        .stop("s0b", pgshard::local::StopMode::Fast)
        .await
        .unwrap();
    shard.until_node(1, "down").await;
    assert!(!is_readable_standby(&shard.view().await.nodes[1]));
    shard.finish().await;
}
