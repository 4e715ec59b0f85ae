//! The primary hangs, or the network before it does, under a load whose history is checked.

use std::time::Duration;

use pgshard::local::proxy::{Condition, Reaction, Rule, Then};

use crate::support::history::Mix;
use crate::support::stage::Stage;

/// SIGSTOP, a promotion, SIGCONT: the primary that wakes up believes that it still is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_hangs_is_replaced_and_wakes() {
    let stage = Stage::start(1).await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    load.note("SIGSTOP s0a");
    stage.local.pause("s0a").await.unwrap();
    let new = stage.promote_best(&load).await;
    load.flows("after the failover").await;
    load.note("SIGCONT s0a");
    stage.local.resume("s0a").await.unwrap();
    load.flows("beside the old primary").await;
    // Frozen for a moment only, twice: it stays what it is.
    let reign = stage.reign().await;
    for pause in [300, 1500] {
        load.note(format!("{new} frozen for {pause} ms"));
        stage.local.pause(new).await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stage.local.resume(new).await.unwrap();
        load.flows("after a moment's freeze").await;
    }
    assert_eq!(stage.reign().await, reign);
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &[new.as_str()]).await;
    verdict.assert_clean();
    assert!(verdict.acknowledged > 100, "{verdict}");
}

/// The network before the primary: resets, a slow link, a black hole for a while, and lost answers
/// to COMMIT, all without a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_at_fault() {
    let stage = Stage::proxied().await;
    let reign = stage.reign().await;
    // A COMMIT whose answer was swallowed is never answered.
    let patience = Duration::from_secs(1);
    let load = stage.load(Mix {
        patience,
        ..Mix::default()
    });
    load.flows("at the start").await;
    let primary = &stage.proxies[0];
    for _ in 0..5 {
        load.note("all connections are reset");
        primary.now(Reaction::Reset).unwrap();
        load.flows("after a reset").await;
    }
    load.note("every third message or so takes 20 ms more");
    let slow = Reaction::Delay(Duration::from_millis(20));
    let rule = primary
        .add(Rule::new(Condition::Frontend(Some(b'Q')), slow))
        .unwrap();
    load.flows("on a slow link").await;
    rule.remove();
    for then in [Then::Reset, Then::Hang] {
        load.note(format!("the answers of ten COMMITs are lost: {then:?}"));
        let swallow = Reaction::SwallowReply(then);
        let rule = Rule::new(Condition::query("; commit"), swallow).times(10);
        let rule = primary.add(rule).unwrap();
        load.flows("while answers are lost").await;
        rule.remove();
    }
    load.note("requests are lost on their way");
    let lost = Rule::new(Condition::query("; commit"), Reaction::Reset).times(10);
    primary.add(lost).unwrap();
    load.flows("while requests are lost").await;
    load.note("black hole");
    primary.now(Reaction::BlackHole).unwrap();
    primary
        .add(Rule::new(Condition::Connect, Reaction::BlackHole))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.note("healed");
    primary.heal();
    load.flows("after the black hole").await;
    assert_eq!(stage.reign().await, reign, "that was no failover");
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &["s0a"]).await;
    verdict.assert_clean();
    assert!(verdict.unknown > 0, "no COMMIT was left unknown: {verdict}");
    // Whether a key is given up besides is a matter of who is first, its writer or its resolver; that a given up
    // one stays so, client_idempotency and hazard_commit_resolved prove.
}

/// The primary is cut off from the client by a black hole, another one is promoted, and the network
/// heals: what was under way on the old one must not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_cut_off_and_replaced() {
    let stage = Stage::proxied().await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    load.note("s0a is cut off");
    let cut = Rule::new(Condition::Connect, Reaction::BlackHole);
    stage.proxies[0].add(cut).unwrap();
    stage.proxies[0].now(Reaction::BlackHole).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let new = stage.promote_best(&load).await;
    load.flows("after the failover").await;
    load.note("s0a can be reached again");
    stage.proxies[0].heal();
    load.flows("beside the old primary").await;
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &[new.as_str()]).await;
    verdict.assert_clean();
}
