//! A client with an old shard map writes nothing, also when the map changes between its BEGIN and its
//! first statement: a check of the version that re-reads at COMMIT is blind under REPEATABLE READ
//! (design: routing; Vitess #6951: switched before catch-up).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pgshard::{Cluster, CustomerId, ErrorKind, Isolation, Label};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, owner, rows_of, superuser, until};

async fn write(
    cluster: &Cluster,
    id: CustomerId,
    isolation: Isolation,
    runs: &AtomicU32,
) -> pgshard::Result<()> {
    let write = cluster.session(&id)?.write().isolation(isolation);
    let closure = |tx: pgshard::Tx| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move { tx.execute(INSERT, &[&id]).await }
    };
    write.run(closure).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_nothing() {
    let (local, config) = installed(1, 0).await;
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let mut mover = owner(&local, "s0a").await;
    let runs = AtomicU32::new(0);
    let levels = [
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ];
    for isolation in levels {
        let id = CustomerId(Uuid::new_v4());
        let moved = async {
            let moving = mover.transaction().await.unwrap();
            moving
                .batch_execute("LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE")
                .await
                .unwrap();
            until(
                &admin,
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'pgshard.gate'::regclass)",
            )
            .await;
            moving
                .batch_execute("UPDATE pgshard.identity SET map_version = map_version + 1")
                .await
                .unwrap();
            moving.commit().await.unwrap();
        };
        let begun = async {
            // The mover's lock comes first.
            until(
                &admin,
                "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                 AND relation = 'pgshard.gate'::regclass)",
            )
            .await;
            write(&cluster, id, isolation, &runs).await
        };
        let (outcome, ()) = tokio::join!(begun, moved);
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StaleMap, "{isolation:?} {error:?}");
        assert!(!error.has(Label::RETRYABLE), "{error:?}");
        // And afterwards.
        let error = write(&cluster, id, isolation, &runs).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StaleMap, "{error:?}");
        assert!(error.message().contains("reload"), "{error}");
        assert_eq!(rows_of(&admin, id).await, 0);
        mover
            .batch_execute("UPDATE pgshard.identity SET map_version = map_version - 1")
            .await
            .unwrap();
    }
    assert_eq!(runs.load(Ordering::Relaxed), 0, "no closure ran");

    // A mover waits for the writers that are inside, so that none commits after the version changed.
    let id = CustomerId(Uuid::new_v4());
    let (inside, entered) = tokio::sync::oneshot::channel();
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let mut once = Some((inside, gone));
    let session = cluster.session(&id).unwrap();
    let writer = session.transaction(|tx| {
        let (inside, gone) = once.take().unwrap();
        async move {
            inside.send(()).unwrap();
            gone.await.unwrap();
            tx.execute(INSERT, &[&id]).await
        }
    });
    let moving = async {
        entered.await.unwrap();
        let sql = "SET lock_timeout = '300ms'; LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE";
        let held = mover.batch_execute(sql).await;
        assert!(held.is_err(), "the mover did not wait for the writer");
        go.send(()).unwrap();
    };
    let (written, ()) = tokio::join!(writer, moving);
    written.unwrap();

    // A mover that never ends holds a writer only until its deadline.
    let moving = mover.transaction().await.unwrap();
    let lock = "LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE";
    moving.batch_execute(lock).await.unwrap();
    let write = session.write().within(Duration::from_millis(500));
    let outcome = write
        .run(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    cluster.close().await;
}
