//! A lease can be dropped at any moment: the next caller never waits behind abandoned work and never
//! sees its answers or its session's state.

use std::time::{Duration, Instant};

use pgshard::{Cluster, CustomerId, ErrorKind};
use uuid::Uuid;

use crate::support::{installed, superuser};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_any_moment() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 1;
    config.timeouts.checkout = Duration::from_secs(3);
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let admin = superuser(&local, "s0a").await;
    let sleeping = async || -> i64 {
        admin
            .query_one(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                 AND state <> 'idle' AND query LIKE '%pg_sleep%'",
                &[],
            )
            .await
            .unwrap()
            .get(0)
    };
    let id = CustomerId(Uuid::nil());
    let session = cluster.session(&id).unwrap();

    // A read that is given up is cancelled on the server.
    let given_up = session
        .read()
        .query::<(String,)>("SELECT pg_sleep(60)::text", &[]);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), given_up)
            .await
            .is_err()
    );
    let started = Instant::now();
    let (one,): (i32,) = session.read().query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(one, 1);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(sleeping().await, 0);

    // Its own deadline does the same.
    let error = session
        .read()
        .within(Duration::from_millis(200))
        .query::<(String,)>("SELECT pg_sleep(60)::text", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    session
        .read()
        .query_one::<(i32,)>("SELECT 1", &[])
        .await
        .unwrap();
    assert_eq!(sleeping().await, 0);

    // A transaction that is given up is rolled back, and its connection not lent again.
    let given_up = session.transaction(|tx| async move {
        tx.execute("UPDATE pgshard.tx_ledger SET version = 1", &[])
            .await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    assert!(
        tokio::time::timeout(Duration::from_millis(300), given_up)
            .await
            .is_err()
    );
    session
        .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap();
    let open: i64 = admin
        .query_one(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
             AND state LIKE 'idle in transaction%'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(open, 0);

    // What a raw user leaves behind in the session is gone.
    let lease = session.read().lease().await.unwrap();
    lease
        .raw()
        .batch_execute("SET TimeZone = 'Asia/Tokyo'; SET search_path = pg_catalog; LISTEN x")
        .await
        .unwrap();
    drop(lease);
    let (zone, path): (String, String) = session
        .read()
        .query_one(
            "SELECT current_setting('TimeZone'), current_setting('search_path')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((zone.as_str(), path.as_str()), ("UTC", "public"));

    // A raw transaction left open is not inherited.
    let lease = session.read().lease().await.unwrap();
    lease.raw().batch_execute("BEGIN").await.unwrap();
    let before: i32 = lease
        .raw()
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    drop(lease);
    let (after,): (i32,) = session
        .read()
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    assert_ne!(before, after);

    // A session that an administrator ended is replaced without a word.
    admin
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
            &[],
        )
        .await
        .unwrap();
    session
        .read()
        .query_one::<(i32,)>("SELECT 1", &[])
        .await
        .unwrap();
    session
        .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap();
    cluster.close().await;
}

/// A "SELECT w()" writes on a primary: reading has to be read-only on the server's side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_handle_cannot_write() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 1;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    superuser(&local, "s0a")
        .await
        .batch_execute(
            "CREATE TABLE scratch (n int); GRANT ALL ON scratch TO app; \
             CREATE FUNCTION w() RETURNS int LANGUAGE sql AS \
             'INSERT INTO public.scratch VALUES (1) RETURNING 1'",
        )
        .await
        .unwrap();
    let id = CustomerId(Uuid::nil());
    let read = cluster.session(&id).unwrap().read();
    let error = read.query::<(i32,)>("SELECT w()", &[]).await.unwrap_err();
    assert_eq!(error.sqlstate().unwrap().as_str(), "25006");
    // Not even when the session is talked into it first.
    read.rows(
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        &[],
    )
    .await
    .unwrap();
    let error = read.query::<(i32,)>("SELECT w()", &[]).await.unwrap_err();
    assert_eq!(error.sqlstate().unwrap().as_str(), "25006");
    let (count,): (i64,) = read
        .query_one("SELECT count(*) FROM scratch", &[])
        .await
        .unwrap();
    assert_eq!(count, 0);
    cluster.close().await;
}

/// 0A000, "cached plan must not change result type", after a change of the schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_table_does_not_break_prepared_reads() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 1;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let admin = superuser(&local, "s0a").await;
    admin
        .batch_execute(
            "CREATE TABLE shape (a int); GRANT ALL ON shape TO app; INSERT INTO shape VALUES (1)",
        )
        .await
        .unwrap();
    let read = cluster.session(&Uuid::nil()).unwrap().read();
    let rows = read.rows("SELECT * FROM shape", &[]).await.unwrap();
    assert_eq!(rows[0].len(), 1);
    admin
        .batch_execute("ALTER TABLE shape ADD COLUMN b int")
        .await
        .unwrap();
    let rows = read.rows("SELECT * FROM shape", &[]).await.unwrap();
    assert_eq!(rows[0].len(), 2);
    cluster.close().await;
}
