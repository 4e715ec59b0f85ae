//! How old what a replica shows may be: an idle primary is no lag, and a replica that stands still, is
//! cut off or has no primary any more gets older. `pg_last_xact_replay_timestamp` says the same of the
//! first and of the others.

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
