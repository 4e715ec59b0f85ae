//! Prepared statements: the cache of a connection has a bound (deadpool #281), and "cached plan must
//! not change result type" is tried again as a whole, never inside the aborted transaction
//! (deadpool PR 227).

use std::sync::atomic::{AtomicU32, Ordering};

use uuid::Uuid;

use crate::support::{client, installed, owner, superuser};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_bounded_and_survives_ddl() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 1;
    let cluster = client(config).await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    let read = session.read();
    let mut most = 0;
    for n in 0..1500 {
        read.rows(&format!("SELECT {n}"), &[]).await.unwrap();
        if n % 100 == 99 {
            let (count,): (i64,) = read
                .query_one("SELECT count(*) FROM pg_prepared_statements", &[])
                .await
                .unwrap();
            most = most.max(count);
        }
    }
    assert!(most <= 800, "{most}");

    owner(&local, "s0a")
        .await
        .batch_execute("CREATE TABLE shape (a int); GRANT ALL ON shape TO app")
        .await
        .unwrap();
    let runs = AtomicU32::new(0);
    let insert = async || {
        let closure = |tx: pgshard::Tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move {
                tx.execute("INSERT INTO shape (a) VALUES (1)", &[]).await?;
                Ok(tx.rows("SELECT * FROM shape", &[]).await?[0].len())
            }
        };
        session.transaction(closure).await.unwrap().value
    };
    assert_eq!(insert().await, 1);
    owner(&local, "s0a")
        .await
        .batch_execute("ALTER TABLE shape ADD COLUMN b int")
        .await
        .unwrap();
    assert_eq!(insert().await, 2);
    assert_eq!(runs.into_inner(), 3, "one run before, two after");
    let rows: i64 = superuser(&local, "s0a")
        .await
        .query_one("SELECT count(*) FROM shape", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 2);

    // Somebody deallocates behind the cache's back.
    let lease = read.lease().await.unwrap();
    lease.raw().batch_execute("DEALLOCATE ALL").await.unwrap();
    drop(lease);
    for n in 0..3 {
        read.rows(&format!("SELECT {}", 1490 + n), &[])
            .await
            .unwrap();
    }
    cluster.close().await;
}
