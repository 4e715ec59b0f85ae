//! Closing a client: whoever waits gets an error at once, and no session stays behind on a server
//! (`Object::take` and drop without a cancel leaves the query running; deadpool:
//! `close()` neither waits for nor interrupts what is lent).

use std::time::{Duration, Instant};

use pgshard::local::StopMode;
use pgshard::{CustomerId, ErrorKind};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, rows_of, superuser, until};

const QUICK: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_everyone_and_leaves_nothing() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 2;
    config.timeouts.checkout = Duration::from_secs(60);
    config.timeouts.primary = Duration::from_secs(60);
    let admin = superuser(&local, "s0a").await;
    let cluster = client(config.clone()).await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    let id = CustomerId(Uuid::new_v4());

    // Two read, one waits for a connection, one is inside a transaction.
    let read = || session.read().rows("SELECT pg_sleep(100)", &[]);
    let write = session.transaction(|tx| async move {
        tx.execute(INSERT, &[&id]).await?;
        tx.execute("SELECT pg_sleep(100)", &[]).await
    });
    let close = async {
        until(
            &admin,
            "SELECT count(*) = 3 FROM pg_stat_activity \
             WHERE usename = 'app' AND query LIKE 'SELECT pg_sleep%' AND state = 'active'",
        )
        .await;
        let started = Instant::now();
        cluster.close().await;
        started
    };
    let (a, b, c, write, closed) = tokio::join!(read(), read(), read(), write, close);
    assert!(closed.elapsed() < QUICK, "{:?}", closed.elapsed());
    for outcome in [a.map(drop), b.map(drop), c.map(drop), write.map(drop)] {
        let error = outcome.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Connection | ErrorKind::Unavailable),
            "{error:?}"
        );
    }
    let nobody = "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'";
    let started = Instant::now();
    until(&admin, nobody).await;
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    assert_eq!(rows_of(&admin, id).await, 0);

    // Afterwards, at once.
    let started = Instant::now();
    let error = session.read().rows("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.message().contains("shut down"), "{error}");
    assert!(cluster.ready(Duration::from_secs(60)).await.is_err());
    cluster.close().await;
    assert!(started.elapsed() < QUICK);

    // Whoever waits for a primary gets an answer, too.
    let cluster = client(config).await;
    local.stop("s0a", StopMode::Fast).await.unwrap();
    let shard = cluster.status()[0].shard;
    let lost = cluster.wait_for(shard, Duration::from_secs(20), |view| {
        view.primary.is_none()
    });
    assert!(lost.await.unwrap());
    let session = cluster.session(&Uuid::nil()).unwrap();
    let write = session.transaction(|tx| async move { tx.execute("SELECT 1", &[]).await });
    let read = session.read().rows("SELECT 1", &[]);
    let replica = session.read().prefer_replica().rows("SELECT 1", &[]);
    let close = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.close().await;
        Instant::now()
    };
    let (write, read, replica, closed) = tokio::join!(write, read, replica, close);
    assert!(closed.elapsed() < QUICK, "{:?}", closed.elapsed());
    for outcome in [write.map(drop), read.map(drop), replica.map(drop)] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

/// A client that is dropped without being closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_it_leaves_nothing_either() {
    let (local, config) = installed(1, 0).await;
    let admin = superuser(&local, "s0a").await;
    let cluster = client(config).await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    session.read().rows("SELECT 1", &[]).await.unwrap();
    let write = session.transaction(|tx| async move { tx.execute("SELECT 1", &[]).await });
    write.await.unwrap();
    drop(cluster);
    let nobody = "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'";
    until(&admin, nobody).await;
}
