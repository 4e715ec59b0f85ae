//! Servers that claim to be what they are not, beside a living primary and under a load whose history
//! is checked: a replica promoted by accident, again and again, an old copy put back in a node's
//! place, one server under two names.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pgshard::local::StopMode;
use pgshard::topology::ShardState;
use pgshard::{Cluster, CustomerId, ErrorKind};
use uuid::Uuid;

use crate::support::failover::{contested, shard};
use crate::support::history::{Load, Mix};
use crate::support::stage::{Stage, impatient};
use crate::support::{install, start};

/// Waits until two nodes are seen to be writable, and for a while that nothing is acknowledged.
async fn nothing_is_written_while_contested(stage: &Stage, load: &Load) {
    let seen = stage
        .cluster
        .wait_for(shard(), Duration::from_secs(20), |view| {
            contested(view).is_some()
        });
    assert!(seen.await.unwrap(), "{:#?}", stage.cluster.status());
    // What was answered already is recorded in this time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = load.acknowledged();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(load.acknowledged(), before, "acknowledged while contested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promoted_by_accident_again_and_again() {
    let stage = Stage::start(1).await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    let reign = stage.reign().await;
    for _ in 0..2 {
        load.note("promote s0c beside s0a");
        stage.local.promote("s0c").await.unwrap();
        nothing_is_written_while_contested(&stage, &load).await;
        load.note("stop s0c");
        stage.local.stop("s0c", StopMode::Fast).await.unwrap();
        load.flows("after the wrong one was stopped").await;
        // The launcher takes the node that was promoted last for the primary: an operator makes it
        // a standby of the other one by hand.
        load.note("s0c starts as it is: writable on a branch of its own");
        stage.local.start_node("s0c").await.unwrap();
        nothing_is_written_while_contested(&stage, &load).await;
        stage.local.stop("s0c", StopMode::Immediate).await.unwrap();
        load.flows("after it was stopped again").await;
        load.note("s0c is made anew from s0b");
        restore(&stage).await;
    }
    assert_eq!(stage.reign().await, reign);
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &["s0a"]).await;
    verdict.assert_clean();
    assert_eq!(
        verdict.diverged, 0,
        "the wrong one was written to: {verdict}"
    );
}

/// Makes `s0c` a standby again, from a copy of the other standby.
async fn restore(stage: &Stage) {
    let from = stage.local.node("s0b").unwrap().data_dir();
    stage.local.stop("s0b", StopMode::Fast).await.unwrap();
    let data = stage.local.node("s0c").unwrap().data_dir();
    let own = std::fs::read(data.join("postgresql.auto.conf")).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&from, &data);
    let conf = data.join("postgresql.auto.conf");
    let conf = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(conf);
    std::io::Write::write_all(&mut conf.unwrap(), &own).unwrap();
    stage.local.start_node("s0b").await.unwrap();
    stage.local.start_node("s0c").await.unwrap();
}

/// Copies a stopped server's directory, owners included.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "cp -a {from:?} {to:?}");
}

/// An old copy of a node is put in its place and comes up writable: in the reign that is, and then in
/// one that has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_in_a_nodes_place() {
    let stage = Stage::start(1).await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    let data = stage.local.node("s0c").unwrap().data_dir();
    let backup = data.with_file_name("backup");
    stage.local.stop("s0c", StopMode::Fast).await.unwrap();
    copy(&data, &backup);
    // Started without a backup's signal files, it takes itself for a primary.
    std::fs::remove_file(backup.join("standby.signal")).unwrap();
    load.flows("while the copy grows old").await;
    let put = |note: &str| {
        load.note(note);
        std::fs::remove_dir_all(&data).unwrap();
        copy(&backup, &data);
    };

    put("an old copy comes up as s0c, in the present reign");
    stage.local.start_node("s0c").await.unwrap();
    nothing_is_written_while_contested(&stage, &load).await;
    load.note("it is stopped");
    stage.local.stop("s0c", StopMode::Fast).await.unwrap();
    load.flows("after it was stopped").await;

    load.note("kill s0a");
    stage.local.kill("s0a").await.unwrap();
    let new = stage.promote_best(&load).await;
    assert_eq!(new.as_str(), "s0b");
    load.flows("after the failover").await;
    put("the copy comes up again, in a reign that has ended");
    stage.local.start_node("s0c").await.unwrap();
    let superseded = stage
        .cluster
        .wait_for(shard(), Duration::from_secs(20), |view| {
            view.nodes[2].state.as_str() == "superseded"
        });
    assert!(superseded.await.unwrap(), "{:#?}", stage.cluster.status());
    load.flows("beside the old copy").await;
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &["s0b"]).await;
    verdict.assert_clean();
    assert_eq!(verdict.diverged, 0, "the copy was written to: {verdict}");
}

/// One server under two names seems to be two primaries: nothing is written, and the error says what
/// it may be. A client of the right names is not bothered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_under_two_names() {
    let local = start(1, 0).await;
    let mut config = install(&local).await;
    impatient(&mut config);
    let mut twin = config.shards[0].nodes[0].clone();
    twin.id = pgshard::id::NodeId::new("s0z").unwrap();
    twin.host = "localhost".to_owned();
    config.shards[0].nodes.push(twin);
    let cluster = Cluster::connect(config).unwrap();
    let id = CustomerId(Uuid::new_v4());
    for _ in 0..5 {
        let write = cluster.session(&id).unwrap();
        let write = write.transaction(|tx| async move { tx.execute("SELECT 1", &[]).await });
        let error = write.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contested, "{error:?}");
        assert!(error.message().contains("two names"), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let contested =
        |view: &pgshard::topology::View| matches!(view.state, ShardState::Contested { .. });
    let seen = cluster.wait_for(shard(), Duration::from_secs(1), contested);
    assert!(seen.await.unwrap());
    cluster.close().await;
    local.shutdown().await.unwrap();
}
