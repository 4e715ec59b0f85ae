//! Writers that wait for a primary: as many as may, each no longer than it has time, and served in the
//! order in which they came.

use std::time::{Duration, Instant};

use pgshard::local::StopMode;
use pgshard::{Cluster, CustomerId, ErrorKind, Label, RetryPolicy};
use uuid::Uuid;

use crate::support::failover::shard;
use crate::support::{installed, owner};

const WRITERS: i32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_wait_is_kept() {
    let (local, mut config) = installed(1, 0).await;
    owner(&local, "s0a")
        .await
        .batch_execute(
            "CREATE TABLE served (place serial, writer int); \
             GRANT ALL ON served, served_place_seq TO app",
        )
        .await
        .unwrap();
    config.pool.max_size = 1;
    // Far fewer may wait for a connection than for a primary.
    config.pool.max_waiting = 5;
    config.failover.max_waiting = WRITERS as usize;
    config.timeouts.primary = Duration::from_secs(60);
    let once = RetryPolicy {
        attempts: 1,
        ..RetryPolicy::default()
    };
    let cluster = Cluster::with_retry(config, once).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    let write = |writer: i32, within: Duration| {
        let cluster = cluster.clone();
        async move {
            let id = CustomerId(Uuid::nil());
            let write = cluster.session(&id)?.write().within(within);
            let sql = "INSERT INTO served (writer) VALUES ($1)";
            let done = write.run(|tx| async move { tx.execute(sql, &[&writer]).await });
            done.await
        }
    };
    let long = Duration::from_secs(60);
    write(-1, long).await.unwrap();
    local.stop("s0a", StopMode::Immediate).await.unwrap();
    let gone = cluster.wait_for(shard(), long, |view| view.primary.is_none());
    assert!(gone.await.unwrap());

    let mut waiting = Vec::new();
    for writer in 0..WRITERS {
        // One of them has no time.
        let within = if writer == 20 {
            Duration::from_secs(1)
        } else {
            long
        };
        waiting.push(tokio::spawn(write(writer, within)));
        // So that they come in this order.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    let error = write(WRITERS, long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
    assert!(error.has(Label::NOT_SENT) && error.message().contains("failover.max_waiting"));
    assert!(started.elapsed() < Duration::from_secs(1), "at once");
    let error = waiting.remove(20).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "in its own time"
    );

    local.start_node("s0a").await.unwrap();
    for writer in waiting {
        writer.await.unwrap().unwrap();
    }
    let rows = owner(&local, "s0a")
        .await
        .query(
            "SELECT writer FROM served WHERE writer >= 0 ORDER BY place",
            &[],
        )
        .await
        .unwrap();
    let served: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    let came: Vec<i32> = (0..WRITERS).filter(|writer| *writer != 20).collect();
    assert_eq!(served, came);
    cluster.close().await;
}
