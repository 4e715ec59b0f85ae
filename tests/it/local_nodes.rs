//! What can be done to the nodes of a local cluster, on real servers.

use std::time::Duration;

use pgshard::ErrorKind;
use pgshard::local::{LocalCluster, LocalSpec, NodeState, StopMode};
use tokio::time::timeout;

use crate::support::{start, start_spec, superuser};

async fn system_identifier(cluster: &LocalCluster, node: &str) -> i64 {
    superuser(cluster, node)
        .await
        .query_one("SELECT system_identifier FROM pg_control_system()", &[])
        .await
        .unwrap()
        .get(0)
}

async fn count(cluster: &LocalCluster, node: &str) -> i64 {
    superuser(cluster, node)
        .await
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap()
        .get(0)
}

async fn write(cluster: &LocalCluster, node: &str) {
    let session = superuser(cluster, node).await;
    session
        .batch_execute("CREATE TABLE IF NOT EXISTS t (i int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
}

/// Waits until a standby has replayed what the primary has written.
async fn caught_up(cluster: &LocalCluster, primary: &str, standby: &str) {
    let target: String = superuser(cluster, primary)
        .await
        .query_one("SELECT pg_current_wal_lsn()::text", &[])
        .await
        .unwrap()
        .get(0);
    let session = superuser(cluster, standby).await;
    for _ in 0..500 {
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{target}'");
        if session.query_one(&sql, &[]).await.unwrap().get(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{standby} did not catch up with {primary}");
}

#[tokio::test]
async fn shards_differ_in_identity_and_their_nodes_do_not() {
    let cluster = start(2, 2).await;
    let names: Vec<String> = cluster.nodes().map(|node| node.id().to_string()).collect();
    assert_eq!(names, ["s0a", "s0b", "s0c", "s1a", "s1b", "s1c"]);
    let mut identities = Vec::new();
    for shard in cluster.shards() {
        let first = system_identifier(&cluster, shard.primary().id().as_str()).await;
        for replica in shard.replicas() {
            assert_eq!(
                system_identifier(&cluster, replica.id().as_str()).await,
                first
            );
        }
        identities.push(first);
    }
    assert_ne!(identities[0], identities[1]);
    // The roles: an application that owns nothing, and an owner.
    let app = crate::support::connect(cluster.app_conninfo("s0a").unwrap()).await;
    assert!(app.batch_execute("CREATE TABLE t (i int)").await.is_err());
    let owner = crate::support::connect(cluster.owner_conninfo("s0a").unwrap()).await;
    owner
        .batch_execute("CREATE SCHEMA x; CREATE TABLE x.t (i int)")
        .await
        .unwrap();
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_killed_primary_comes_back_by_rewinding() {
    let cluster = start(1, 1).await;
    write(&cluster, "s0a").await;
    caught_up(&cluster, "s0a", "s0b").await;
    cluster.kill("s0a").await.unwrap();
    assert_eq!(cluster.node("s0a").unwrap().state(), NodeState::Down);
    let refused = cluster
        .app_conninfo("s0a")
        .unwrap()
        .connect(tokio_postgres::NoTls)
        .await;
    assert!(refused.is_err());
    cluster.promote("s0b").await.unwrap();
    write(&cluster, "s0b").await;
    cluster.rejoin("s0a").await.unwrap();
    caught_up(&cluster, "s0b", "s0a").await;
    assert_eq!(count(&cluster, "s0a").await, 2);
    // And back again.
    cluster.stop("s0b", StopMode::Fast).await.unwrap();
    cluster.promote("s0a").await.unwrap();
    write(&cluster, "s0a").await;
    cluster.rejoin("s0b").await.unwrap();
    caught_up(&cluster, "s0a", "s0b").await;
    assert_eq!(count(&cluster, "s0b").await, 3);
}

#[tokio::test]
async fn two_living_primaries_diverge_and_one_rejoins() {
    let cluster = start(1, 1).await;
    write(&cluster, "s0a").await;
    caught_up(&cluster, "s0a", "s0b").await;
    cluster.promote("s0b").await.unwrap();
    for _ in 0..3 {
        write(&cluster, "s0a").await;
    }
    write(&cluster, "s0b").await;
    assert_eq!(count(&cluster, "s0a").await, 4);
    assert_eq!(count(&cluster, "s0b").await, 2);
    cluster.rejoin("s0a").await.unwrap();
    caught_up(&cluster, "s0b", "s0a").await;
    assert_eq!(count(&cluster, "s0a").await, 2);
}

#[tokio::test]
async fn a_rewind_that_refuses_ends_in_a_new_copy() {
    let cluster = start(1, 1).await;
    write(&cluster, "s0a").await;
    caught_up(&cluster, "s0a", "s0b").await;
    cluster.kill("s0a").await.unwrap();
    cluster.promote("s0b").await.unwrap();
    write(&cluster, "s0b").await;
    let control = cluster
        .node("s0a")
        .unwrap()
        .data_dir()
        .join("global/pg_control");
    std::fs::remove_file(control).unwrap();
    cluster.rejoin("s0a").await.unwrap();
    caught_up(&cluster, "s0b", "s0a").await;
    assert_eq!(count(&cluster, "s0a").await, 2);
}

#[tokio::test]
async fn replicas_promoted_separately_share_a_timeline() {
    let cluster = start(1, 2).await;
    write(&cluster, "s0a").await;
    caught_up(&cluster, "s0a", "s0b").await;
    caught_up(&cluster, "s0a", "s0c").await;
    cluster.kill("s0a").await.unwrap();
    cluster.promote("s0b").await.unwrap();
    cluster.promote("s0c").await.unwrap();
    for node in ["s0b", "s0c"] {
        let file: String = superuser(&cluster, node)
            .await
            .query_one("SELECT pg_walfile_name(pg_current_wal_lsn())", &[])
            .await
            .unwrap()
            .get(0);
        assert!(file.starts_with("00000002"), "{node}: {file}");
    }
    // The one promoted last is the one that the others rejoin.
    cluster.rejoin("s0b").await.unwrap();
    cluster.rejoin("s0a").await.unwrap();
    write(&cluster, "s0c").await;
    caught_up(&cluster, "s0c", "s0a").await;
    caught_up(&cluster, "s0c", "s0b").await;
}

#[tokio::test]
async fn a_living_standby_follows_a_new_primary_without_a_restart() {
    let cluster = start(1, 2).await;
    cluster.kill("s0a").await.unwrap();
    cluster.promote("s0b").await.unwrap();
    let before = cluster.node("s0c").unwrap().process_id();
    cluster.rejoin("s0c").await.unwrap();
    assert_eq!(cluster.node("s0c").unwrap().process_id(), before);
    write(&cluster, "s0b").await;
    caught_up(&cluster, "s0b", "s0c").await;
}

#[tokio::test]
async fn a_paused_server_answers_nobody_until_it_is_resumed() {
    let cluster = start(1, 0).await;
    let session = superuser(&cluster, "s0a").await;
    cluster.pause("s0a").await.unwrap();
    assert_eq!(cluster.node("s0a").unwrap().state(), NodeState::Paused);
    let wait = Duration::from_millis(300);
    assert!(
        timeout(wait, session.query("SELECT 1", &[])).await.is_err(),
        "an open session"
    );
    let mut config = cluster.superuser_conninfo("s0a").unwrap();
    config.connect_timeout(Duration::from_secs(60));
    let connecting = config.connect(tokio_postgres::NoTls);
    assert!(timeout(wait, connecting).await.is_err(), "a new session");
    let error = cluster.stop("s0a", StopMode::Fast).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    cluster.resume("s0a").await.unwrap();
    session.query("SELECT 1", &[]).await.unwrap();
    cluster.stop("s0a", StopMode::Immediate).await.unwrap();
    cluster.start_node("s0a").await.unwrap();
    superuser(&cluster, "s0a").await;
}

#[tokio::test]
async fn a_smart_stop_waits_for_sessions() {
    let cluster = start(1, 0).await;
    let session = superuser(&cluster, "s0a").await;
    let mut stop = std::pin::pin!(cluster.stop("s0a", StopMode::Smart));
    assert!(
        timeout(Duration::from_millis(300), &mut stop)
            .await
            .is_err()
    );
    drop(session);
    stop.await.unwrap();
}

#[tokio::test]
async fn a_promoted_synchronous_standby_does_not_hang() {
    let cluster = start_spec(LocalSpec {
        synchronous: true,
        ..LocalSpec::default()
    })
    .await;
    let wait = Duration::from_secs(20);
    timeout(wait, write(&cluster, "s0a")).await.unwrap();
    cluster.kill("s0a").await.unwrap();
    cluster.promote("s0b").await.unwrap();
    timeout(wait, write(&cluster, "s0b"))
        .await
        .expect("the first write hangs");
    assert_eq!(
        count(&cluster, "s0b").await,
        2,
        "an acknowledged write is lost"
    );
    cluster.rejoin("s0a").await.unwrap();
    timeout(wait, write(&cluster, "s0b")).await.unwrap();
    // From now on a COMMIT waits for the rejoined node.
    cluster.kill("s0a").await.unwrap();
    let stuck = timeout(Duration::from_millis(500), write(&cluster, "s0b")).await;
    assert!(stuck.is_err(), "the commit did not wait");
    cluster.start_node("s0a").await.unwrap();
    timeout(wait, write(&cluster, "s0b")).await.unwrap();
    // And back. A new copy of a primary that waits for standbys must not inherit their names.
    cluster.kill("s0a").await.unwrap();
    let control = cluster
        .node("s0a")
        .unwrap()
        .data_dir()
        .join("global/pg_control");
    std::fs::remove_file(control).unwrap();
    cluster.rejoin("s0a").await.unwrap();
    cluster.kill("s0b").await.unwrap();
    cluster.promote("s0a").await.unwrap();
    let first = timeout(wait, write(&cluster, "s0a")).await;
    first.expect("the first write hangs");
}

/// A standby is promoted by accident. It can be taken back, to the primary that it left.
#[tokio::test]
async fn who_was_promoted_by_accident_rejoins_the_other() {
    let cluster = start(1, 1).await;
    cluster.promote("s0b").await.unwrap();
    cluster.rejoin("s0b").await.unwrap();
    let s0b = superuser(&cluster, "s0b").await;
    let row = s0b.query_one("SELECT pg_is_in_recovery()", &[]).await;
    assert!(row.unwrap().get::<_, bool>(0));
    assert_eq!(cluster.shards()[0].primary().id().as_str(), "s0a");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_way_out() {
    let cluster = start(1, 1).await;
    let text = |error: pgshard::Error| error.to_string();
    assert!(text(cluster.kill("s9z").await.unwrap_err()).contains("there are s0a, s0b"));
    assert!(text(cluster.promote("s0a").await.unwrap_err()).contains("primary already"));
    assert!(text(cluster.rejoin("s0a").await.unwrap_err()).contains("promote another"));
    assert!(text(cluster.start_node("s0a").await.unwrap_err()).contains("running already"));
    cluster.kill("s0a").await.unwrap();
    assert!(text(cluster.rejoin("s0b").await.unwrap_err()).contains("does not run"));
    assert!(text(cluster.pause("s0a").await.unwrap_err()).contains("not running"));
}
