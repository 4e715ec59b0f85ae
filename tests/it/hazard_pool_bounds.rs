//! The bounds of a pool: waiting callers, connections in the making, age and idleness. deadpool has
//! no reaper and no lifetime, is first-in-first-out by default, and its timeouts default to none
//! (deadpool: pool.rs).

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{Cluster, ErrorKind, Label};
use uuid::Uuid;

use crate::support::{client, installed, superuser, through_proxy, until};

async fn pid(cluster: &Cluster) -> i32 {
    let read = cluster.session(&Uuid::nil()).unwrap().read();
    let (pid,) = read
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    pid
}

async fn pids_at_once(cluster: &Cluster, count: usize) -> HashSet<i32> {
    let session = cluster.session(&Uuid::nil()).unwrap();
    let reads = (0..count).map(|_| {
        session
            .read()
            .query_one::<(i32, String)>("SELECT pg_backend_pid(), pg_sleep(0.5)::text", &[])
    });
    let answers = futures::future::join_all(reads).await;
    answers.into_iter().map(|row| row.unwrap().0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.pool.max_size = 4;
    config.pool.max_waiting = 3;
    config.timeouts.checkout = Duration::from_secs(2);
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let session = cluster.session(&Uuid::nil()).unwrap();

    // Two connections in the making at once: of four slow ones the last two come later.
    let slow = Reaction::Delay(Duration::from_millis(600));
    let rule = proxy.add(Rule::new(Condition::Connect, slow)).unwrap();
    let leases = (0..4).map(|_| async {
        let lease = session.read().lease().await.unwrap();
        (lease, Instant::now())
    });
    let started = Instant::now();
    let mut leases = futures::future::join_all(leases).await;
    leases.sort_by_key(|(_, at)| *at);
    let at = |n: usize| leases[n].1 - started;
    assert!(at(2) >= Duration::from_millis(1150), "{:?}", at(2));
    rule.remove();

    // All lent: three may wait, for a while; the fourth is turned away at once.
    let started = Instant::now();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move {
                let session = cluster.session(&Uuid::nil()).unwrap();
                session.read().lease().await.map(drop)
            })
        })
        .collect();
    while cluster.status()[0].nodes[0].pool.waiting < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let turned_away = Instant::now();
    // Without retries: these are the caller's to make.
    let error = session
        .read()
        .within(Duration::from_millis(50))
        .lease()
        .await
        .unwrap_err();
    assert!(turned_away.elapsed() < Duration::from_secs(1));
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
    assert!(error.has(Label::OVERLOAD) && error.has(Label::NOT_SENT));
    for waiter in waiting {
        let error = waiter.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(error.has(Label::OVERLOAD));
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let status = cluster.status()[0].nodes[0].pool;
    assert_eq!((status.read, status.lent, status.waiting), (4, 4, 0));
    drop(leases);

    // The one that was used last is lent first, so that the others can go idle.
    let all = pids_at_once(&cluster, 4).await;
    assert_eq!(all.len(), 4);
    let first = pid(&cluster).await;
    for _ in 0..10 {
        assert_eq!(pid(&cluster).await, first);
    }
    // Never more than there may be, whatever is given up on the way.
    for _ in 0..5 {
        let reads = (0..8).map(|_| {
            let read = session.read().rows("SELECT pg_sleep(100)", &[]);
            tokio::time::timeout(Duration::from_millis(150), read)
        });
        futures::future::join_all(reads).await;
    }
    let sql = "SELECT count(*) <= 4 + 1 FROM pg_stat_activity WHERE usename = 'app'";
    until(&admin, sql).await;
    assert!(cluster.status()[0].nodes[0].pool.read <= 4);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn age_and_idleness() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_lifetime = Duration::from_secs(2);
    let aging = client(config.clone()).await;
    let admin = superuser(&local, "s0a").await;
    let old = pid(&aging).await;
    assert_eq!(pid(&aging).await, old);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_ne!(pid(&aging).await, old, "past its lifetime");
    aging.close().await;

    // Idle ones go, without anybody asking for a connection.
    config.pool.max_lifetime = Duration::from_secs(600);
    config.pool.idle_timeout = Duration::from_secs(1);
    let idle = client(config).await;
    assert_eq!(pids_at_once(&idle, 6).await.len(), 6);
    let sql = "SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'app'";
    until(&admin, sql).await;
    assert_eq!(idle.status()[0].nodes[0].pool.read, 0);
    idle.close().await;
}
