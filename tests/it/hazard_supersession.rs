//! A primary that hangs and is superseded: callers stuck on it are interrupted at once, and none of
//! its connections is lent again (HikariCP #1802: stuck on a demoted primary for days; PgDog #1255:
//! stayed on the dead primary; deadpool: `close()` neither waits for nor interrupts what is lent).

use std::time::{Duration, Instant};

use pgshard::error::Phase;
use pgshard::local::StopMode;
use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::topology::NodeState;
use pgshard::{Cluster, CustomerId, ErrorKind, Label};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, superuser, through_proxy};

async fn is_down(cluster: &Cluster, node: usize) {
    let shard = cluster.status()[0].shard;
    let down = cluster
        .wait_for(shard, Duration::from_secs(30), |view| {
            matches!(view.nodes[node].state, NodeState::Down { .. })
        })
        .await;
    assert!(down.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_in_flight_is_interrupted() {
    let (local, config) = installed(1, 1).await;
    let cluster = client(config).await;
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let long = Duration::from_secs(300);

    // One caller inside a transaction, one in its COMMIT.
    let (stuck, begun) = tokio::sync::oneshot::channel();
    let mut stuck = Some(stuck);
    let mut runs = 0;
    let in_flight = session.write().within(long).run(|tx| {
        let first = stuck.take();
        runs += 1;
        async move {
            match first {
                Some(begun) => {
                    begun.send(()).unwrap();
                    tx.query::<(String,)>("SELECT pg_sleep(300)::text", &[])
                        .await
                        .inspect_err(|error| {
                            assert_eq!(error.phase(), Phase::Execute, "{error:?}");
                            assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
                            assert!(error.has(Label::RETRYABLE), "{error:?}");
                        })
                        .map(drop)
                }
                None => tx.execute(INSERT, &[&id]).await.map(drop),
            }
        }
    });
    let failover = async {
        begun.await.unwrap();
        local.pause("s0a").await.unwrap();
        is_down(&cluster, 0).await;
        local.promote("s0b").await.unwrap();
        Instant::now()
    };
    let (outcome, promoted) = tokio::join!(in_flight, failover);
    outcome.unwrap();
    assert!(promoted.elapsed() < Duration::from_secs(20));
    assert_eq!(runs, 2);
    let status = &cluster.status()[0];
    assert_eq!(status.primary.unwrap().as_str(), "s0b");

    // The old primary wakes and is writable. It is told apart, and gets nothing.
    local.resume("s0a").await.unwrap();
    let known = cluster
        .wait_for(status.shard, Duration::from_secs(30), |view| {
            matches!(view.nodes[0].state, NodeState::Superseded { .. })
        })
        .await;
    assert!(known.unwrap());
    for _ in 0..20 {
        let id = CustomerId(Uuid::new_v4());
        let done = cluster
            .session(&id)
            .unwrap()
            .transaction(|tx| async move {
                tx.execute(INSERT, &[&id]).await?;
                tx.query_one::<(i32,)>("SELECT inet_server_port()", &[])
                    .await
            })
            .await;
        let (port,) = done.unwrap().value;
        assert_eq!(port, i32::from(local.node("s0b").unwrap().port()));
    }
    let old = superuser(&local, "s0a").await;
    let rows: i64 = old
        .query_one("SELECT count(*) FROM customers", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 0);
    cluster.close().await;
}

/// A connection that is being made while its node is given up is of the old generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_while_connecting() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.timeouts.connect = Duration::from_secs(30);
    config.timeouts.checkout = Duration::from_secs(30);
    let cluster = client(config).await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    let pid = async || {
        let read = session.read();
        let (pid,): (i32,) = read.query_one("SELECT pg_backend_pid()", &[]).await?;
        Ok::<_, pgshard::Error>(pid)
    };
    let slow = Reaction::Delay(Duration::from_secs(4));
    let connecting = proxy.add(Rule::new(Condition::Connect, slow)).unwrap();
    let given_up = async {
        connecting.hit(1).await;
        proxy.now(Reaction::BlackHole).unwrap();
        is_down(&cluster, 0).await;
        proxy.heal();
    };
    let (first, ()) = tokio::join!(pid(), given_up);
    // One of the old generation would not be lent a second time.
    assert_eq!(first.unwrap(), pid().await.unwrap());
    cluster.close().await;
}

/// A node that was down and comes back in the same term: what was connected before is not lent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_generation_is_not_lent_again() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 1;
    // One has an idle connection, the other has lent its only one.
    let (cluster, lender) = (client(config.clone()).await, client(config).await);
    let session = cluster.session(&Uuid::nil()).unwrap();
    let pid = async |cluster: &Cluster| {
        let read = cluster.session(&Uuid::nil()).unwrap().read();
        let (pid,): (i32,) = read
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap();
        pid
    };
    let lent = lender
        .session(&Uuid::nil())
        .unwrap()
        .read()
        .lease()
        .await
        .unwrap();
    let before = pid(&cluster).await;
    local.pause("s0a").await.unwrap();
    is_down(&cluster, 0).await;
    is_down(&lender, 0).await;
    local.resume("s0a").await.unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    lender.ready(Duration::from_secs(30)).await.unwrap();
    assert_ne!(pid(&cluster).await, before);
    let of_lent: i32 = lent
        .raw()
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    drop(lent);
    assert_ne!(pid(&lender).await, of_lent);
    lender.close().await;

    // Stopped for good: an error in time that says why.
    local.stop("s0a", StopMode::Fast).await.unwrap();
    let error = session
        .read()
        .within(Duration::from_secs(3))
        .rows("SELECT 1", &[])
        .await
        .unwrap_err();
    assert!(error.has(Label::RETRYABLE), "{error:?}");
    cluster.close().await;
}
