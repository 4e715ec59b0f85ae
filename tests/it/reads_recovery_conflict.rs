//! A standby that cancels a read for what it has to replay: the read is tried again on another node,
//! not on the one that would cancel it again.

use std::time::Duration;

use pgshard::ReadPreference;
use pgshard::local::proxy::{Condition, Forged, Reaction, Rule, Severity};

use crate::support::failover::shard;
use crate::support::{client, far_away, installed, owner, superuser, through_proxy, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_tried_again_elsewhere() {
    let (local, mut config) = installed(1, 2).await;
    let proxy = through_proxy(&local, &mut config, "s0b").await;
    let other = through_proxy(&local, &mut config, "s0c").await;
    far_away(&other);
    let cluster = client(config).await;
    let found = cluster.wait_for(shard(), Duration::from_secs(30), |view| {
        view.nodes.iter().all(|node| node.readable)
    });
    assert!(found.await.unwrap());
    let replica = || {
        let read = cluster.read_shard(shard()).unwrap();
        read.preference(ReadPreference::Replica)
    };

    for (severity, code, text) in [
        (
            Severity::Error,
            "40001",
            "canceling statement due to conflict with recovery",
        ),
        (
            Severity::Fatal,
            "40001",
            "terminating connection due to conflict with recovery",
        ),
        (Severity::Error, "40P01", "deadlock detected"),
        (
            Severity::Fatal,
            "57P01",
            "terminating connection due to administrator command",
        ),
    ] {
        let forged = Reaction::Forge(Forged::new(severity, code, text));
        let rule = proxy
            .add(Rule::new(Condition::query("'conflict'"), forged))
            .unwrap();
        let mut met = 0;
        for _ in 0..15 {
            let before = rule.hits();
            replica().rows("SELECT 'conflict'", &[]).await.unwrap();
            let hits = rule.hits() - before;
            assert!(hits <= 1, "{code}: it went there again");
            met += hits;
        }
        assert!(met > 0, "{code}: none went there");
        rule.remove();
    }

    // A real one: the replica has to replay a lock on a table that is being read.
    let standby = superuser(&local, "s0b").await;
    standby
        .batch_execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
        .await
        .unwrap();
    standby
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    until(
        &standby,
        "SELECT current_setting('max_standby_streaming_delay') = '0'",
    )
    .await;
    let port = i32::from(local.node("s0b").unwrap().port());
    let read = async {
        // On every node; long only where the conflict is.
        let sql = "SELECT count(*)::int, CASE WHEN inet_server_port() = $1 THEN pg_sleep(3)::text END, \
                   inet_server_port() FROM (SELECT FROM customers LIMIT 1) c";
        let mut ports = Vec::new();
        for _ in 0..12 {
            let (_, _, answered): (i32, Option<String>, i32) =
                replica().query_one(sql, &[&port]).await.unwrap();
            ports.push(answered);
            if ports.len() >= 3 && answered != port {
                break;
            }
        }
        ports
    };
    let locks = async {
        let session = owner(&local, "s0a").await;
        loop {
            session
                .batch_execute("BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE; COMMIT")
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let ports = tokio::select! {
        ports = read => ports,
        () = locks => unreachable!("it goes on for ever"),
    };
    assert!(ports.iter().all(|answered| *answered != port), "{ports:?}");
    let met = "SELECT confl_lock > 0 FROM pg_stat_database_conflicts \
               WHERE datname = current_database()";
    until(&standby, met).await;
    cluster.close().await;
}
