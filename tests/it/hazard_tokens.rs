//! "At least what I wrote": a replica that is behind is not taken for one that is not, and a token of
//! a write that a failover lost is refused. A (timeline, position) pair would be "satisfied" there:
//! two replicas promoted separately carry the same timeline.

use std::time::{Duration, Instant};

use pgshard::local::{LocalCluster, StopMode};
use pgshard::{Cluster, CustomerId, ErrorKind, Label, ReadPreference, Token};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, superuser, until};

async fn write(cluster: &Cluster, id: CustomerId) -> Token {
    let session = cluster.session(&id).unwrap();
    let done = session.transaction(|tx| async move { tx.execute(INSERT, &[&id]).await });
    done.await.unwrap().token.unwrap()
}

async fn read(
    cluster: &Cluster,
    id: CustomerId,
    preference: ReadPreference,
    token: &Token,
) -> pgshard::Result<i64> {
    let read = cluster.session(&id)?.read();
    let read = read.preference(preference).at_least(token);
    let sql = "SELECT count(*) FROM customers WHERE customer_id = $1";
    let (count,) = read
        .within(Duration::from_secs(3))
        .query_one(sql, &[&id])
        .await?;
    Ok(count)
}

/// No replica of `s0a` is sent anything from now on.
async fn cut_off_replicas(local: &LocalCluster) {
    let admin = superuser(local, "s0a").await;
    admin
        .batch_execute("ALTER ROLE replicator NOLOGIN; SELECT pg_switch_wal()")
        .await
        .unwrap();
    admin
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        .await
        .unwrap();
    until(&admin, "SELECT count(*) = 0 FROM pg_stat_replication").await;
}

/// As after a primary was set back to an old copy of its disk: its reign is the token's, and its log
/// ends before the token's position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ahead_of_the_primary_are_refused() {
    let (_local, config) = installed(1, 1).await;
    let cluster = client(config).await;
    let id = CustomerId(Uuid::new_v4());
    let text = write(&cluster, id).await.to_string();
    let (head, _) = text.split_once('@').unwrap();
    let ahead: Token = format!("{head}@FF/0").parse().unwrap();
    for preference in [
        ReadPreference::PreferReplica,
        ReadPreference::Nearest,
        ReadPreference::Primary,
    ] {
        let error = read(&cluster, id, preference, &ahead).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(error.message().contains("lost"), "{error:?}");
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_kept_or_refused() {
    let (local, config) = installed(1, 2).await;
    let cluster = client(config).await;
    let preferences = [
        ReadPreference::PreferReplica,
        ReadPreference::Nearest,
        ReadPreference::Primary,
    ];
    // Replicas that are up to date are used.
    for _ in 0..20 {
        let id = CustomerId(Uuid::new_v4());
        let token = write(&cluster, id).await;
        for preference in preferences {
            assert_eq!(read(&cluster, id, preference, &token).await.unwrap(), 1);
        }
    }
    // Replicas that replay nothing are not.
    let replicas = [
        superuser(&local, "s0b").await,
        superuser(&local, "s0c").await,
    ];
    for replica in &replicas {
        replica
            .batch_execute("SELECT pg_wal_replay_pause()")
            .await
            .unwrap();
        until(replica, "SELECT pg_get_wal_replay_pause_state() = 'paused'").await;
    }
    let id = CustomerId(Uuid::new_v4());
    let token = write(&cluster, id).await;
    for preference in preferences {
        assert_eq!(read(&cluster, id, preference, &token).await.unwrap(), 1);
    }
    let started = Instant::now();
    let error = read(&cluster, id, ReadPreference::Replica, &token).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(8));
    for replica in &replicas {
        replica
            .batch_execute("SELECT pg_wal_replay_resume()")
            .await
            .unwrap();
    }
    assert_eq!(
        read(&cluster, id, ReadPreference::Replica, &token)
            .await
            .unwrap(),
        1
    );
    let kept = (id, token);

    // The replicas are cut off, one more write is acknowledged, and its primary dies.
    cut_off_replicas(&local).await;
    let id = CustomerId(Uuid::new_v4());
    let lost = write(&cluster, id).await;
    local.kill("s0a").await.unwrap();
    local.promote("s0b").await.unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    // The new primary's log grows far past the token's position.
    let admin = superuser(&local, "s0b").await;
    for _ in 0..3 {
        admin
            .batch_execute("SELECT pg_switch_wal(); INSERT INTO pgshard.tx_ledger SELECT gen_random_uuid()::text, '\\x00', 0, 'committed', NULL, now() FROM generate_series(1, 1000)")
            .await
            .unwrap();
    }
    for preference in preferences {
        let started = Instant::now();
        let error = read(&cluster, id, preference, &lost).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(error.message().contains("lost"), "{error:?}");
        assert!(
            !error.has(Label::RETRYABLE),
            "waiting is of no use: {error:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(2));
        // What was replicated is still found by its token.
        let found = read(&cluster, kept.0, preference, &kept.1).await;
        assert_eq!(found.unwrap(), 1);
    }
    // A token of a term that nobody here has heard of is waited for, not believed.
    let text = lost.to_string();
    let (head, tail) = text.split_once('=').unwrap();
    let (_, position) = tail.split_once('@').unwrap();
    let unknown: Token = format!("{head}={}@{position}", Uuid::new_v4())
        .parse()
        .unwrap();
    let error = read(&cluster, id, ReadPreference::Primary, &unknown).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    cluster.close().await;
}

/// A read that began while there was no primary must not take the next one for the one that its
/// token was of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_for_reads_that_wait_for_a_failover() {
    let (local, config) = installed(1, 1).await;
    let shard = config.shards[0].id;
    let cluster = client(config).await;
    cut_off_replicas(&local).await;
    let id = CustomerId(Uuid::new_v4());
    let lost = write(&cluster, id).await;
    let within = Duration::from_secs(30);
    local.kill("s0a").await.unwrap();
    let gone = cluster.wait_for(shard, within, |view| view.primary.is_none());
    assert!(gone.await.unwrap());
    let preferences = [
        ReadPreference::PreferReplica,
        ReadPreference::Nearest,
        ReadPreference::Primary,
    ];
    let reads = preferences.map(|preference| {
        let (cluster, lost) = (cluster.clone(), lost.clone());
        tokio::spawn(async move {
            let read = cluster.session(&id)?.read().preference(preference);
            let sql = "SELECT count(*) FROM customers WHERE customer_id = $1";
            // The replica is behind: the read waits for a primary.
            read.at_least(&lost)
                .max_lag(0)
                .within(Duration::from_secs(20))
                .query_one::<(i64,)>(sql, &[&id])
                .await
        })
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    local.promote("s0b").await.unwrap();
    for (read, preference) in reads.into_iter().zip(preferences) {
        let error = read.await.unwrap().unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Refused,
            "{preference:?}: {error:?}"
        );
    }
    cluster.close().await;
}

/// A replica that comes back with an older copy of its disk holds the token's term, and lacks the write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_not_kept_by_a_replica_set_back_to_an_old_copy() {
    let (local, config) = installed(1, 1).await;
    let cluster = client(config.clone()).await;
    let first = CustomerId(Uuid::new_v4());
    let before = write(&cluster, first).await;
    let old = read(&cluster, first, ReadPreference::Replica, &before).await;
    assert_eq!(old.unwrap(), 1);

    let data = local.node("s0b").unwrap().data_dir();
    let copy = data.with_extension("copy");
    let run = |program: &str, args: &[&std::path::Path]| {
        let done = std::process::Command::new(program).args(args).status();
        assert!(done.unwrap().success(), "{program} {args:?}");
    };
    local.stop("s0b", StopMode::Fast).await.unwrap();
    run("cp", &["-a".as_ref(), &data, &copy]);
    local.start_node("s0b").await.unwrap();
    let id = CustomerId(Uuid::new_v4());
    let token = write(&cluster, id).await;
    let seen = cluster.wait_for(config.shards[0].id, Duration::from_secs(30), |view| {
        view.nodes[1].readable
    });
    assert!(seen.await.unwrap());
    let kept = read(&cluster, id, ReadPreference::Replica, &token).await;
    assert_eq!(kept.unwrap(), 1, "it had the write");

    local.stop("s0b", StopMode::Fast).await.unwrap();
    run("rm", &["-r".as_ref(), &data]);
    run("mv", &[&copy, &data]);
    // It finds nobody to catch up with.
    cut_off_replicas(&local).await;
    local.start_node("s0b").await.unwrap();
    let standby = superuser(&local, "s0b").await;
    let here = "SELECT count(*) = 1 FROM customers";
    until(&standby, here).await;
    for preference in [ReadPreference::PreferReplica, ReadPreference::Nearest] {
        for _ in 0..5 {
            let found = read(&cluster, id, preference, &token).await;
            assert_eq!(found.unwrap(), 1, "{preference:?}");
        }
    }
    let error = read(&cluster, id, ReadPreference::Replica, &token).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    cluster.close().await;
}

/// A replica that follows a node which was promoted, and which no client has adopted yet, may be past a token's position
/// without what the token stands for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_not_proven_by_what_follows_a_promoted_node() {
    let (local, mut config) = installed(1, 2).await;
    // Its adoption takes a while.
    config.failover.down_after = Duration::from_secs(4);
    let cluster = client(config).await;
    cut_off_replicas(&local).await;
    let id = CustomerId(Uuid::new_v4());
    let token = write(&cluster, id).await;
    local.kill("s0a").await.unwrap();
    local.promote("s0b").await.unwrap();
    let promoted = superuser(&local, "s0b").await;
    promoted
        .batch_execute("ALTER ROLE replicator LOGIN")
        .await
        .unwrap();
    local.rejoin("s0c").await.unwrap();
    let long = "SELECT pg_logical_emit_message(true, 'long', repeat('x', 500000))";
    promoted.batch_execute(long).await.unwrap();
    let mut refused = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        match read(&cluster, id, ReadPreference::Replica, &token).await {
            Ok(count) => assert_eq!(count, 1, "the write is lost, and nobody says so"),
            Err(error) if error.message().contains("lost") => {
                refused += 1;
                break;
            }
            Err(_) => {}
        }
    }
    assert!(refused > 0, "it was never told that the write is lost");
}

/// Has `s0c` promoted, and `s0b` follow it past everything that `s0a` ever wrote.
async fn lead_astray(local: &LocalCluster) {
    let promoted = superuser(local, "s0c").await;
    let promote = "SELECT pg_promote()";
    promoted.batch_execute(promote).await.unwrap();
    until(&promoted, "SELECT NOT pg_is_in_recovery()").await;
    promoted
        .batch_execute("ALTER ROLE replicator LOGIN")
        .await
        .unwrap();
    let follower = superuser(local, "s0b").await;
    let conninfo = "SHOW primary_conninfo";
    let row = follower.query_one(conninfo, &[]).await.unwrap();
    let port = |node: &str| format!("port={}", local.node(node).unwrap().port());
    let conninfo: String = row.get(0);
    let other = conninfo.replace(&port("s0a"), &port("s0c"));
    assert_ne!(conninfo, other, "the port is not where it was looked for");
    let other = other.replace('\'', "''");
    for sql in [
        "ALTER SYSTEM SET primary_slot_name = ''",
        &format!("ALTER SYSTEM SET primary_conninfo = '{other}'"),
        "SELECT pg_reload_conf()",
    ] {
        follower.batch_execute(sql).await.unwrap();
    }
    let long = "SELECT pg_logical_emit_message(true, 'long', repeat('x', 2000000))";
    promoted.batch_execute(long).await.unwrap();
    let row = promoted
        .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
        .await
        .unwrap();
    let end: String = row.get(0);
    let passed = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
    until(&follower, &passed).await;
}

/// The promoted node may be one that nobody here has heard of, or the news of it may be late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_not_proven_by_what_follows_a_node_that_is_not_known() {
    let (local, mut config) = installed(1, 2).await;
    config.shards[0].nodes.truncate(2);
    let cluster = client(config).await;
    cut_off_replicas(&local).await;
    let id = CustomerId(Uuid::new_v4());
    let token = write(&cluster, id).await;
    local.kill("s0a").await.unwrap();
    lead_astray(&local).await;
    for preference in [
        ReadPreference::Replica,
        ReadPreference::PreferReplica,
        ReadPreference::Nearest,
    ] {
        let count = read(&cluster, id, preference, &token).await;
        let error = count.expect_err("the write is lost, and nobody says so");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    cluster.close().await;
}

/// Two primaries: what a replica received tells whose it is, to a role that may see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_not_proven_by_the_other_side_of_a_split() {
    let (local, mut config) = installed(1, 2).await;
    config.shards[0].nodes.truncate(2);
    let admin = superuser(&local, "s0a").await;
    admin
        .batch_execute("GRANT pg_read_all_stats TO app")
        .await
        .unwrap();
    let cluster = client(config).await;
    let id = CustomerId(Uuid::new_v4());
    let before = write(&cluster, id).await;
    let count = read(&cluster, id, ReadPreference::Replica, &before).await;
    assert_eq!(count.unwrap(), 1);
    cut_off_replicas(&local).await;
    let id = CustomerId(Uuid::new_v4());
    let token = write(&cluster, id).await;
    lead_astray(&local).await;
    for preference in [ReadPreference::PreferReplica, ReadPreference::Nearest] {
        let count = read(&cluster, id, preference, &token).await;
        assert_eq!(count.unwrap(), 1, "{preference:?}");
    }
    let error = read(&cluster, id, ReadPreference::Replica, &token).await;
    let error = error.expect_err("the replica is not this primary's");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    cluster.close().await;
}
