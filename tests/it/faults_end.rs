//! The primary ends, in every way that a server can end, under a load whose history is checked: no
//! acknowledged write of a synchronous shard is lost, none is there twice, none went to a server
//! whose term was over, and no read missed what its token promised.

use std::time::Duration;

use pgshard::local::StopMode;

use crate::support::history::Mix;
use crate::support::stage::Stage;

/// Kill and stop, each followed by a promotion and by the old primary's return as a standby: the
/// role goes round all nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_ends_and_a_standby_takes_over() {
    let stage = Stage::start(1).await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    let mut primary = "s0a".to_owned();
    for way in [None, Some(StopMode::Immediate), Some(StopMode::Fast)] {
        load.note(format!("{primary} ends: {way:?}"));
        match way {
            None => stage.local.kill(&primary).await.unwrap(),
            Some(mode) => stage.local.stop(&primary, mode).await.unwrap(),
        }
        let new = stage.promote_best(&load).await;
        load.flows("after the failover").await;
        load.note(format!("{primary} rejoins"));
        stage.local.rejoin(&primary).await.unwrap();
        primary = new.to_string();
    }
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &[&primary]).await;
    verdict.assert_clean();
    assert!(verdict.acknowledged > 100, "{verdict}");
    assert!(verdict.reads > 100, "{verdict}");
}

/// Every node is restarted under load, the primary too, without a promotion; a smart stop first,
/// which new sessions notice and old ones do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart() {
    let stage = Stage::start(1).await;
    let reign = stage.reign().await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    for node in ["s0b", "s0c", "s0a"] {
        load.note(format!("smart stop of {node}"));
        let smart = stage.local.stop(node, StopMode::Smart);
        // Sessions that are held open go on: the load need not stop for it.
        let ended = tokio::time::timeout(Duration::from_millis(700), smart).await;
        load.note(format!("fast stop of {node}; smart: {}", ended.is_ok()));
        stage.local.stop(node, StopMode::Fast).await.unwrap();
        load.note(format!("start {node}"));
        stage.local.start_node(node).await.unwrap();
        load.flows("after a restart").await;
    }
    assert_eq!(stage.reign().await, reign, "a restart is no failover");
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &["s0a"]).await;
    verdict.assert_clean();
    assert!(verdict.acknowledged > 100, "{verdict}");
}
