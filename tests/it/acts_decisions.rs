//! What only an operator can decide, decided once for all processes: which of two primaries is right,
//! that lost writes are lost, that a server with another identity is the shard's.

use std::time::Duration;

use pgshard::id::NodeIndex;
use pgshard::topology::{FenceReason, ShardState, View};
use pgshard::{Cluster, Config};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::support::acts::{act, done};
use crate::support::cli::Shardctl;
use crate::support::failover::{Watched, contested, shard as id};
use crate::support::{ddl_role, install, owner, start, superuser};

const PATIENCE: Duration = Duration::from_secs(30);

async fn until(cluster: &Cluster, what: &str, mut condition: impl FnMut(&View) -> bool) {
    let mut seen = None;
    let found = cluster.wait_for(id(), PATIENCE, |view| {
        seen = Some(view.clone());
        condition(view)
    });
    let found = found.await.unwrap();
    assert!(found, "not {what}: {seen:#?}");
}

async fn until_primary(cluster: &Cluster, node: u16) {
    until(cluster, "that primary", |view| {
        view.primary.map(|(node, _)| node) == Some(NodeIndex(node))
    })
    .await;
}

async fn fresh(config: &Config) -> Cluster {
    Cluster::connect(config.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contest_is_decided_for_everybody() {
    let shard = Watched::start(2).await;
    let other = fresh(shard.cluster.config()).await;
    other.ready(PATIENCE).await.unwrap();
    let shardctl = Shardctl::new(&shard.local);
    let before = shard.write().await.unwrap();
    shard.until_replicated(before, "s0b").await;
    shard.until_replicated(before, "s0c").await;
    shard.local.kill("s0a").await.unwrap();
    let (b, c) = tokio::join!(shard.local.promote("s0b"), shard.local.promote("s0c"));
    b.unwrap();
    c.unwrap();
    for cluster in [&shard.cluster, &other] {
        until(cluster, "contested", |view| {
            contested(view) == Some(vec![1, 2])
        })
        .await;
    }
    let ambiguous = ["shard", "accept-loss", "s0", "--reason", "x", "--yes"];
    let ambiguous = act(&shard.local, &shardctl, &ambiguous).await;
    assert_eq!(ambiguous.code, 4, "{ambiguous:?}");
    assert!(ambiguous.err.contains("name-primary"), "{ambiguous:?}");

    let named = done(
        &shard.local,
        &shardctl,
        &["shard", "name-primary", "s0", "s0c"],
    )
    .await;
    assert_eq!(named.json()[0]["node"], "s0c");
    assert_eq!(
        named.json()[1]["node"],
        "s0b",
        "it is told that it was given up"
    );
    let late = fresh(shard.cluster.config()).await;
    for cluster in [&shard.cluster, &other, &late] {
        until_primary(cluster, 2).await;
        until(cluster, "an old s0b", |view| {
            ["superseded", "forked"].contains(&view.nodes[1].state.as_str())
        })
        .await;
    }
    shard.write().await.unwrap();
    assert_eq!(shard.customers("s0b").await, [before]);
    late.close().await;

    // The one that was given up is alone: nobody takes it for the shard, not even who never saw the
    // right one.
    shard.local.kill("s0c").await.unwrap();
    let alone = fresh(shard.cluster.config()).await;
    until(&alone, "a shard without its primary", |view| {
        view.nodes[0].state.as_str() == "down" && view.nodes[2].state.as_str() == "down"
            || view.primary.is_some()
    })
    .await;
    until(&alone, "settled", |view| {
        view.nodes[1].state.as_str() != "unknown"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for cluster in [&alone, &shard.cluster, &other] {
        let status = &cluster.status()[0];
        assert_eq!(status.primary, None, "{status:?}");
    }
    assert_eq!(alone.status()[0].nodes[1].state, "forked");
    assert_eq!(shard.customers("s0b").await, [before]);
    alone.close().await;
    other.close().await;
    shard.finish().await;
}

fn lost(view: &View) -> bool {
    matches!(
        view.state,
        ShardState::Fenced {
            reason: FenceReason::WritesLost(_)
        }
    )
}

/// A replica stops following.
async fn cut_off(shard: &Watched, node: &str) {
    let replica = superuser(&shard.local, node).await;
    for sql in [
        "ALTER SYSTEM SET primary_conninfo = ''",
        "SELECT pg_reload_conf()",
    ] {
        replica.batch_execute(sql).await.unwrap();
    }
    loop {
        let receiver = "SELECT count(*) FROM pg_stat_wal_receiver";
        let row = replica.query_one(receiver, &[]).await.unwrap();
        if row.get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An act, and the reign that it began, are lost with the only server that held them. The next act is a
/// later one to those who have seen the first, and accepts the loss of the reign for everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_act_is_not_mistaken_for_a_later_one() {
    let shard = Watched::start(1).await;
    let other = fresh(shard.cluster.config()).await;
    other.ready(PATIENCE).await.unwrap();
    let shardctl = Shardctl::new(&shard.local);
    cut_off(&shard, "s0b").await;
    let first = shard.cluster.status()[0].reign;
    let admin = superuser(&shard.local, "s0a").await;
    let row = admin.query_one("SELECT system_identifier FROM pg_control_system()", &[]);
    let system = row.await.unwrap().get::<_, i64>(0).to_string();
    let adopt = ["shard", "adopt", "s0", "--system", &system];
    done(&shard.local, &shardctl, &adopt).await;
    for cluster in [&shard.cluster, &other] {
        until(cluster, "in the reign that the act began", |view| {
            let reign = view.primary.map(|(_, epoch)| epoch.reign);
            reign.is_some() && reign != first
        })
        .await;
    }
    let written = shard.write().await.unwrap();
    drop(admin);
    shard.local.kill("s0a").await.unwrap();
    shard.local.promote("s0b").await.unwrap();
    for cluster in [&shard.cluster, &other] {
        until(cluster, "fenced for the lost reign", |view| {
            matches!(
                view.state,
                ShardState::Fenced {
                    reason: FenceReason::ReignLost { .. }
                }
            )
        })
        .await;
    }
    assert!(shard.write().await.is_err());
    done(&shard.local, &shardctl, &["shard", "accept-loss", "s0"]).await;
    let late = fresh(shard.cluster.config()).await;
    for cluster in [&late, &shard.cluster, &other] {
        until_primary(cluster, 1).await;
    }
    let after = shard.write().await.unwrap();
    assert_eq!(shard.customers("s0b").await, [after], "{written} is lost");
    late.close().await;
    other.close().await;
    shard.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_accepted_for_everybody() {
    let shard = Watched::configured(1, vec![], |config, _| config.failover.strict = true).await;
    let other = fresh(shard.cluster.config()).await;
    other.ready(PATIENCE).await.unwrap();
    let shardctl = Shardctl::new(&shard.local);
    // The replica stops following, and both processes are told of writes that it will lack.
    cut_off(&shard, "s0b").await;
    shard.write().await.unwrap();
    let key = pgshard::CustomerId(Uuid::new_v4());
    other
        .session(&key)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute(
                "INSERT INTO customers (customer_id, full_name, email, country) \
                 VALUES ($1, 'Bob', 'bob@example.com', 'GB')",
                &[&key],
            )
            .await
        })
        .await
        .unwrap();
    shard.local.kill("s0a").await.unwrap();
    shard.local.promote("s0b").await.unwrap();
    for cluster in [&shard.cluster, &other] {
        until(cluster, "fenced for the loss", lost).await;
    }

    done(&shard.local, &shardctl, &["shard", "accept-loss", "s0"]).await;
    let late = fresh(shard.cluster.config()).await;
    for cluster in [&shard.cluster, &other, &late] {
        until_primary(cluster, 1).await;
    }
    shard.write().await.unwrap();
    // There is nothing more.
    let again = ["shard", "accept-loss", "s0", "--reason", "x", "--yes"];
    let again = act(&shard.local, &shardctl, &again).await;
    assert_eq!(again.code, 4, "{again:?}");
    assert!(again.err.contains("nothing to accept"), "{again:?}");
    late.close().await;
    other.close().await;
    shard.finish().await;
}

/// A server that came from another initdb takes over: its data were restored there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_is_adopted_by_everybody() {
    let old = start(1, 0).await;
    let mut config = install(&old).await;
    let new = start(1, 0).await;
    // Both are in the topology file; the new one has nothing yet.
    let mut node = config.shards[0].nodes[0].clone();
    node.id = pgshard::id::NodeId::new("s0b").unwrap();
    node.port = new.app_conninfo("s0a").unwrap().get_ports()[0];
    config.shards[0].nodes.push(node);
    config.timeouts.primary = Duration::from_secs(3);
    let shardctl = Shardctl::new(&old);
    let toml = std::fs::read_to_string(shardctl.dir().join("shards.toml")).unwrap();
    let port = config.shards[0].nodes[1].port;
    let mut lines: Vec<String> = toml.lines().map(str::to_owned).collect();
    lines.push(format!(
        "[[shard.node]]\nid = \"s0b\"\nhost = \"127.0.0.1\"\nport = {port}\n"
    ));
    std::fs::write(shardctl.dir().join("shards.toml"), lines.join("\n")).unwrap();
    // The roles are dumped and restored with their passwords.
    let admin = superuser(&new, "s0a").await;
    for conninfo in [old.app_conninfo("s0a"), old.owner_conninfo("s0a")] {
        let conninfo = conninfo.unwrap();
        let password = String::from_utf8_lossy(conninfo.get_password().unwrap()).into_owned();
        let user = conninfo.get_user().unwrap();
        let sql = format!("ALTER ROLE {user} PASSWORD '{password}'");
        admin.batch_execute(&sql).await.unwrap();
    }
    let running = fresh(&config).await;
    running.ready(PATIENCE).await.unwrap();
    until_primary(&running, 0).await;

    // The old server stops, its data go to the new one: the bank, and the shard's own schema.
    install_with_password(&old, &new).await;
    let reigns = owner(&old, "s0a").await;
    let row = reigns
        .query_one(
            "SELECT reign, timeline, start_lsn::text FROM pgshard.reign",
            &[],
        )
        .await
        .unwrap();
    let (reign, timeline, start_lsn): (Uuid, i32, String) = (row.get(0), row.get(1), row.get(2));
    admin
        .batch_execute(&format!(
            "DELETE FROM pgshard.reign;
             INSERT INTO pgshard.reign (reign, timeline, start_lsn)
             VALUES ('{reign}', {timeline}, '{start_lsn}')"
        ))
        .await
        .unwrap();
    drop(reigns);
    until(&running, "foreign", |view| {
        view.nodes[1].state.as_str() == "foreign"
    })
    .await;
    until_primary(&running, 0).await;
    old.kill("s0a").await.unwrap();
    until(&running, "down", |view| {
        view.nodes[0].state.as_str() == "down"
    })
    .await;
    assert_eq!(running.status()[0].primary, None);

    let row = admin.query_one("SELECT system_identifier FROM pg_control_system()", &[]);
    let system = row.await.unwrap().get::<_, i64>(0).to_string();
    let wrong = [
        "shard", "adopt", "s0", "--system", "1", "--reason", "x", "--yes",
    ];
    let wrong = act(&old, &shardctl, &wrong).await;
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert!(
        wrong.err.contains(&system),
        "it says which there are: {wrong:?}"
    );
    done(
        &old,
        &shardctl,
        &["shard", "adopt", "s0", "--system", &system],
    )
    .await;
    until_primary(&running, 1).await;

    // The old server comes back, writable, and it was not told: it is foreign, to those that start too.
    old.start_node("s0a").await.unwrap();
    let late = fresh(&config).await;
    for cluster in [&running, &late] {
        until(cluster, "foreign", |view| {
            view.nodes[0].state.as_str() == "foreign"
        })
        .await;
        until_primary(cluster, 1).await;
    }
    let again = [
        "shard", "adopt", "s0", "--system", &system, "--reason", "x", "--yes",
    ];
    assert_eq!(act(&old, &shardctl, &again).await.code, 4);
    let row = admin
        .query_one("SELECT count(*) FROM pgshard.reign", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 2);
    late.close().await;
    running.close().await;
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

/// The schema and tables on the new server, whose passwords are the old one's by now.
async fn install_with_password(
    old: &pgshard::local::LocalCluster,
    new: &pgshard::local::LocalCluster,
) {
    let role = ddl_role(old);
    let mut settings = new.owner_conninfo("s0a").unwrap();
    settings.password(role.password.as_ref().unwrap().expose_secret());
    let session = crate::support::connect(settings).await;
    for sql in [
        include_str!("../../schema/bank/001_tables.sql"),
        include_str!("../../schema/pgshard/001_entry.sql"),
        include_str!("../../schema/pgshard/002_ledger.sql"),
        include_str!("../../schema/pgshard/003_acts.sql"),
    ] {
        session.batch_execute(sql).await.unwrap();
    }
    let from = owner(old, "s0a").await;
    let row = from
        .query_one("SELECT to_jsonb(i)::text FROM pgshard.identity i", &[])
        .await
        .unwrap();
    session
        .execute(
            "INSERT INTO pgshard.identity
             SELECT (jsonb_populate_record(NULL::pgshard.identity, $1::text::jsonb)).*",
            &[&row.get::<_, String>(0)],
        )
        .await
        .unwrap();
    session
        .batch_execute(
            "GRANT USAGE ON SCHEMA pgshard TO app;
             GRANT SELECT ON ALL TABLES IN SCHEMA pgshard TO app;
             GRANT INSERT ON pgshard.reign TO app;
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgshard TO app",
        )
        .await
        .unwrap();
}

/// A fenced primary is written to by nobody, though it answers, and its successor is adopted at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_primary_is_left() {
    let shard = Watched::start(1).await;
    let other = fresh(shard.cluster.config()).await;
    other.ready(PATIENCE).await.unwrap();
    let shardctl = Shardctl::new(&shard.local);
    let before = shard.write().await.unwrap();
    shard.until_replicated(before, "s0b").await;
    let reign: Uuid = superuser(&shard.local, "s0a")
        .await
        .query_one("SELECT reign FROM pgshard.reign", &[])
        .await
        .unwrap()
        .get(0);

    done(&shard.local, &shardctl, &["node", "fence", "s0a"]).await;
    // The server itself lets nobody in, whoever has not heard of it yet.
    let session = superuser(&shard.local, "s0a").await;
    let version = shard.cluster.config().map.version();
    let enter = format!("SELECT pgshard.enter('n', 'bank', 's0', {version}, '{reign}')");
    let error = session.batch_execute(&enter).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "PGS02", "{error:?}");
    for cluster in [&shard.cluster, &other] {
        until(cluster, "without a primary", |view| {
            view.primary.is_none() && view.nodes[0].fenced
        })
        .await;
        let reason = cluster.status()[0].reason.clone().unwrap();
        assert!(reason.contains("node unfence"), "{reason}");
    }
    shard.local.promote("s0b").await.unwrap();
    for cluster in [&shard.cluster, &other] {
        until_primary(cluster, 1).await;
    }
    let after = shard.write().await.unwrap();
    assert_eq!(shard.customers("s0a").await, [before]);
    assert!(shard.customers("s0b").await.contains(&after));
    other.close().await;
    shard.finish().await;
}
