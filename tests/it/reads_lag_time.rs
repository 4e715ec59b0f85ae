//! How old what a replica shows may be: an idle primary is no lag, and a replica that stands still, is
//! cut off or has no primary any more gets older. `pg_last_xact_replay_timestamp` says the same of the
//! first and of the others. A log that ends with its page, or its segment, is one that is replayed whole
//! although the next record would begin a little later.

use std::time::Duration;

use pgshard::{ErrorKind, ReadPreference};

use crate::support::failover::{Watched, shard};
use crate::support::{superuser, until};

async fn on_replica(
    watched: &Watched,
    preference: ReadPreference,
    age: Duration,
) -> pgshard::Result<bool> {
    let read = watched.cluster.read_shard(shard())?;
    let (standby,) = read
        .preference(preference)
        .max_lag_time(age)
        .within(Duration::from_millis(1500))
        .query_one("SELECT pg_is_in_recovery()", &[])
        .await?;
    Ok(standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_told_apart_from_an_idle_primary() {
    use ReadPreference::{PreferReplica, Replica};
    let watched = Watched::configured(1, vec![], |config, _| {
        config.failover.probe_interval = Duration::from_millis(200);
    })
    .await;
    let age = Duration::from_secs(1);
    watched.write().await.unwrap();
    // Idle for longer than that: the replica shows all there is.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..5 {
        assert!(on_replica(&watched, Replica, age).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Less than can be known.
    assert!(
        !on_replica(&watched, PreferReplica, Duration::ZERO)
            .await
            .unwrap()
    );

    // The replay stands still. That is no lag before something was written.
    let replica = superuser(&watched.local, "s0b").await;
    replica
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    until(
        &replica,
        "SELECT pg_get_wal_replay_pause_state() = 'paused'",
    )
    .await;
    watched.write().await.unwrap();
    tokio::time::sleep(2 * age).await;
    assert!(!on_replica(&watched, PreferReplica, age).await.unwrap());
    let error = on_replica(&watched, Replica, age).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(
        on_replica(&watched, Replica, Duration::from_secs(600))
            .await
            .unwrap()
    );
    let lag = watched.cluster.status()[0].nodes[1].lag_time.unwrap();
    assert!(lag >= Duration::from_secs(2), "{lag:?}");
    // A read that waits for the replica gets it as soon as it has caught up.
    let waiting = on_replica(&watched, Replica, age);
    let resume = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        replica
            .batch_execute("SELECT pg_wal_replay_resume()")
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, resume);
    assert!(answer.unwrap());

    // Without a primary nobody knows what was written elsewhere.
    watched.local.pause("s0a").await.unwrap();
    tokio::time::sleep(2 * age).await;
    let error = on_replica(&watched, PreferReplica, age).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(
        on_replica(&watched, PreferReplica, Duration::from_secs(600))
            .await
            .unwrap()
    );
    watched.local.resume("s0a").await.unwrap();
    watched.finish().await;
}

/// Fills the page of the log up to its end, so that nothing follows there.
async fn end_the_page(admin: &tokio_postgres::Client) {
    let emit = async |length: i64| -> (i64, i64) {
        let sql = format!(
            "SELECT a - '0/0'::pg_lsn, pg_current_wal_insert_lsn() - '0/0'::pg_lsn FROM \
             (SELECT pg_current_wal_insert_lsn() AS a, \
             pg_logical_emit_message(false, 'x', repeat('x', {length}))) e"
        );
        let rows = admin.simple_query(&sql).await.unwrap();
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let number = |at| row.unwrap().get(at).unwrap().parse().unwrap();
        (number(0), number(1))
    };
    for _ in 0..50 {
        let (before, after) = emit(1024).await;
        let overhead = after - before - 1024;
        let left = 8192 - after % 8192;
        if !(0..=200).contains(&overhead) || left < 1024 {
            continue;
        }
        if emit(left - overhead).await.1 % 8192 == 24 {
            return;
        }
    }
    panic!("no record ends with its page");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_with_its_page_or_segment_is_replayed_whole() {
    let watched = Watched::configured(1, vec![], |config, _| {
        config.failover.probe_interval = Duration::from_millis(100);
    })
    .await;
    let primary = superuser(&watched.local, "s0a").await;
    for segment in [true, false] {
        let (mut seen, mut stale) = (0, Vec::new());
        for _ in 0..4 {
            watched.write().await.unwrap();
            match segment {
                true => primary
                    .batch_execute("SELECT pg_switch_wal()")
                    .await
                    .unwrap(),
                false => end_the_page(&primary).await,
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
            let node = watched.cluster.status()[0].nodes[1].clone();
            if node.lag_bytes != Some(0) || node.lag_time.is_none_or(|lag| lag.as_millis() > 450) {
                stale.push((node.lag_bytes, node.lag_time));
            }
            seen += 1;
        }
        // Something else may have been written in between.
        assert!(stale.len() < 2, "{segment}: {stale:?} of {seen}");
    }
    watched.finish().await;
}
