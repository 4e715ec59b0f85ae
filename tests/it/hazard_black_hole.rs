//! A peer that takes everything and answers nothing: no read timeout hangs for ever (rust-postgres
//! #246, #869), `is_closed()` is false (deadpool #191), and a checkout recycles dead connections one
//! by one without a total deadline (deadpool: pool.rs).

use std::time::{Duration, Instant};

use pgshard::local::proxy::{Condition, Reaction, Rule, Then};
use pgshard::{Cluster, CustomerId, ErrorKind, Label, RetryPolicy};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, through_proxy};

async fn many_at_once(cluster: &Cluster, count: usize) {
    let session = cluster.session(&Uuid::nil()).unwrap();
    let reads = (0..count).map(|_| session.read().rows("SELECT pg_sleep(0.3)", &[]));
    for outcome in futures::future::join_all(reads).await {
        outcome.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_nobody_past_a_deadline() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.pool.max_size = 8;
    config.pool.check_after_idle = Duration::from_millis(200);
    config.timeouts.checkout = Duration::from_secs(4);
    config.timeouts.connect = Duration::from_secs(1);
    let cluster = client(config).await;
    let session = cluster.session(&Uuid::nil()).unwrap();

    // All idle connections go dead without a word, as behind a firewall that forgot them. The first
    // one that is found out speaks for the others: one caller does not try each in turn.
    many_at_once(&cluster, 8).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.now(Reaction::BlackHole).unwrap();
    let started = Instant::now();
    session.read().rows("SELECT 1", &[]).await.unwrap();
    let took = started.elapsed();
    assert!(took < Duration::from_millis(3500), "{took:?}");

    // In the middle of a statement: the caller's deadline counts.
    let hole = |text| Rule::new(Condition::query(text), Reaction::BlackHole);
    let rule = proxy.add(hole("select 'lost'")).unwrap();
    let reads = (0..20).map(|_| {
        let read = session.read().within(Duration::from_secs(2));
        async move {
            let started = Instant::now();
            let error = read.rows("SELECT 'lost'", &[]).await.unwrap_err();
            (error, started.elapsed())
        }
    });
    for (error, took) in futures::future::join_all(reads).await {
        assert!(took < Duration::from_secs(5), "{took:?} {error:?}");
        assert!(
            matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
            "{error:?}"
        );
    }
    // In BEGIN and in a statement of a transaction too.
    let id = CustomerId(Uuid::new_v4());
    for text in ["pgshard.enter", "insert into customers"] {
        let rule = proxy.add(hole(text).once()).unwrap();
        let started = Instant::now();
        let write = session.write().within(Duration::from_secs(2));
        let outcome = write
            .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
            .await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(!error.has(Label::OUTCOME_UNKNOWN), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(6));
        rule.remove();
    }
    // No more connections than the pools may have (8 and 8), the prober's and one cancel each.
    assert!(
        proxy.connections() <= 2 * (8 + 8) + 1,
        "{}",
        proxy.connections()
    );
    rule.remove();

    // All of it is over by itself: the dead connections are given up, and the pool is whole again.
    let healed = Instant::now();
    loop {
        let read = session.read().within(Duration::from_secs(2));
        if read.rows("SELECT 1", &[]).await.is_ok() {
            break;
        }
        assert!(healed.elapsed() < Duration::from_secs(20));
    }
    many_at_once(&cluster, 8).await;
    cluster.close().await;
}

/// New connections that are accepted and never answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_have_a_deadline() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.pool.max_size = 4;
    config.timeouts.connect = Duration::from_secs(1);
    config.timeouts.checkout = Duration::from_secs(60);
    // One connection's own, for a caller that has more time than that.
    let once = RetryPolicy {
        attempts: 1,
        ..RetryPolicy::default()
    };
    let cluster = Cluster::with_retry(config.clone(), once).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    let hole = Rule::new(Condition::Connect, Reaction::BlackHole);
    proxy.add(hole).unwrap();
    let started = Instant::now();
    let read = cluster.session(&Uuid::nil()).unwrap().read();
    let read = read.within(Duration::from_secs(60));
    let error = read.rows("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.message().contains("timeouts.connect"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    cluster.close().await;
    proxy.heal();

    config.timeouts.checkout = Duration::from_secs(3);
    let cluster = client(config).await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    for condition in [
        Condition::Connect,
        Condition::query("pgshard.identity i, pg_catalog"),
    ] {
        // The prober's connection lives on; that of the caller does not come about.
        proxy
            .add(Rule::new(condition, Reaction::BlackHole))
            .unwrap();
        let started = Instant::now();
        let attempts = (0..8).map(|_| {
            let write = session.write().within(Duration::from_secs(4));
            write.run(|tx| async move { tx.execute("SELECT 1", &[]).await })
        });
        for outcome in futures::future::join_all(attempts).await {
            let error = outcome.unwrap_err();
            assert!(error.has(Label::NOT_SENT), "{error:?}");
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        proxy.heal();
        cluster.ready(Duration::from_secs(20)).await.unwrap();
        session
            .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
            .await
            .unwrap();
        proxy.now(Reaction::Reset).unwrap();
    }

    // A lost answer to a statement: what was abandoned is cancelled and given up, and it does not
    // hold its place in the pool for ever.
    cluster.ready(Duration::from_secs(20)).await.unwrap();
    let hang = Reaction::SwallowReply(Then::Hang);
    let rule = proxy
        .add(Rule::new(Condition::query("select 'hang'"), hang))
        .unwrap();
    for _ in 0..2 {
        let reads = (0..4).map(|_| {
            let read = session.read().within(Duration::from_secs(1));
            read.rows("SELECT 'hang'", &[])
        });
        for outcome in futures::future::join_all(reads).await {
            outcome.unwrap_err();
        }
    }
    rule.remove();
    let (one,): (i32,) = session
        .read()
        .within(Duration::from_secs(20))
        .query_one("SELECT 1", &[])
        .await
        .unwrap();
    assert_eq!(one, 1);
    cluster.close().await;
}
