//! An asynchronous shard may lose what it acknowledged. Then the client says so, goes no further
//! without an operator if it was told to be strict or if a whole reign is gone, and nothing is
//! doubled, phantom or read stale for it.

use std::time::Duration;

use pgshard::local::StopMode;
use pgshard::topology::{FenceReason, OperatorAct, ShardState, View};

use crate::support::failover::shard;
use crate::support::history::Mix;
use crate::support::stage::Stage;

/// Waits for a shard's state.
async fn until(stage: &Stage, what: &str, condition: impl Fn(&View) -> bool) {
    let patience = Duration::from_secs(30);
    let found = stage.cluster.wait_for(shard(), patience, condition).await;
    assert!(found.unwrap(), "not {what}: {:#?}", stage.cluster.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_writes_fence_a_strict_shard() {
    let stage = Stage::configured(1, false, false, |config| config.failover.strict = true).await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    for standby in ["s0b", "s0c"] {
        stage.local.stop(standby, StopMode::Fast).await.unwrap();
    }
    load.note("without standbys");
    load.flows("without standbys").await;
    load.note("kill s0a");
    stage.local.kill("s0a").await.unwrap();
    for standby in ["s0b", "s0c"] {
        stage.local.start_node(standby).await.unwrap();
    }
    let new = stage.promote_best(&load).await;
    until(&stage, "fenced for lost writes", |view| {
        let lost = |reason: &FenceReason| matches!(reason, FenceReason::WritesLost(_));
        matches!(&view.state, ShardState::Fenced { reason } if lost(reason))
    })
    .await;
    let before = load.acknowledged();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(load.acknowledged(), before, "acknowledged while fenced");

    load.note("the loss is accepted");
    let accept = OperatorAct::AcceptWritesLost;
    stage.cluster.decide(shard(), accept).await.unwrap();
    load.flows("after the loss was accepted").await;
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &[new.as_str()]).await;
    verdict.assert_clean_but_lost();
    assert!(verdict.lost() > 0, "nothing was lost: {verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reign_fences_until_it_returns() {
    let stage = Stage::configured(1, false, false, |_| ()).await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    load.note("kill s0a");
    stage.local.kill("s0a").await.unwrap();
    // The other standby goes on waiting for the old primary, and never hears of the new reign.
    load.note("promote s0b");
    stage.local.promote("s0b").await.unwrap();
    load.flows("after the failover").await;
    load.note("kill s0b, promote s0c");
    stage.local.kill("s0b").await.unwrap();
    stage.local.promote("s0c").await.unwrap();
    until(&stage, "fenced for a lost reign", |view| {
        let lost = |reason: &FenceReason| matches!(reason, FenceReason::ReignLost { .. });
        matches!(&view.state, ShardState::Fenced { reason } if lost(reason))
    })
    .await;
    let before = load.acknowledged();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(load.acknowledged(), before, "acknowledged while fenced");

    load.note("start s0b");
    stage.local.start_node("s0b").await.unwrap();
    load.flows("after the lost reign returned").await;
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &["s0b"]).await;
    // The first failover was asynchronous, too.
    verdict.assert_clean_but_lost();
}
