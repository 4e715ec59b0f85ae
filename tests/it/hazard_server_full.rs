//! 53300, too many connections, says nothing about roles: whoever takes it for a dead server drives
//! an overloaded shard into a failover (facts: "53300 is never topology").

use std::time::Duration;

use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{ErrorKind, Label};
use uuid::Uuid;

use crate::support::{client, installed, superuser, through_proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_overload_and_no_topology() {
    let (local, mut config) = installed(1, 0).await;
    config.timeouts.primary = Duration::from_secs(2);
    config.timeouts.statement = Duration::from_secs(2);
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    let reign = cluster.status()[0].reign;
    // The prober's connection, and one more.
    let kept = session.read().lease().await.unwrap();
    admin
        .batch_execute("ALTER ROLE app CONNECTION LIMIT 2")
        .await
        .unwrap();
    let write = session.transaction(|tx| async move { tx.execute("SELECT 1", &[]).await });
    let error = write.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
    assert!(error.has(Label::OVERLOAD) && error.has(Label::NOT_SENT));
    assert!(!error.has(Label::FAILOVER));
    assert!(error.message().contains("pool.max_size"), "{error}");

    // The prober finds no place either, for longer than it takes to give a node up.
    admin
        .batch_execute(
            "ALTER ROLE app CONNECTION LIMIT 0; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
        )
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let state = cluster.status()[0].nodes[0].state;
    assert_ne!(state, "down");
    drop(kept);
    admin
        .batch_execute("ALTER ROLE app CONNECTION LIMIT -1")
        .await
        .unwrap();
    cluster.ready(Duration::from_secs(20)).await.unwrap();
    assert_eq!(cluster.status()[0].reign, reign);
    cluster.close().await;
}

/// The server takes no more connections: those that are open serve everybody, and nobody dials on and
/// on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_go_on() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.pool.max_size = 8;
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    let two = (0..2).map(|_| session.read().rows("SELECT pg_sleep(0.3)", &[]));
    for outcome in futures::future::join_all(two).await {
        outcome.unwrap();
    }
    admin
        .batch_execute("ALTER ROLE app CONNECTION LIMIT 1")
        .await
        .unwrap();
    let soon = Reaction::Delay(Duration::from_millis(1));
    let dialled = proxy.add(Rule::new(Condition::Connect, soon)).unwrap();
    let started = std::time::Instant::now();
    let callers = (0..32).map(|_| async {
        for _ in 0..10 {
            session.read().rows("SELECT pg_sleep(0.005)", &[]).await?;
        }
        Ok::<_, pgshard::Error>(())
    });
    for outcome in futures::future::join_all(callers).await {
        outcome.unwrap();
    }
    let (dialled, took) = (dialled.hits(), started.elapsed());
    // 320 reads. It is asked for more at growing intervals of up to 2 s, from 50 ms.
    assert!(dialled <= 10 + took.as_secs(), "{dialled} in {took:?}");
    // With none of its own, a caller is told what to do.
    let write = session.write().within(Duration::from_secs(2));
    let outcome = write.run(|tx| async move { tx.execute("SELECT 1", &[]).await });
    let error = outcome.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
    assert!(error.message().contains("CONNECTION LIMIT"), "{error}");
    admin
        .batch_execute("ALTER ROLE app CONNECTION LIMIT -1")
        .await
        .unwrap();
    let write = session.write().within(Duration::from_secs(20));
    let outcome = write.run(|tx| async move { tx.execute("SELECT 1", &[]).await });
    outcome.await.unwrap();
    cluster.close().await;
}
