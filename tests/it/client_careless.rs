//! A careless service: handles that outlive their closure, panics, keys of other customers, retries
//! beyond reason. Nothing is written that was not asked for, and everything goes on afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgshard::{Cluster, CustomerId, Error, ErrorKind, IdempotencyKey, Label, RetryPolicy};
use uuid::Uuid;

use crate::support::{installed, superuser};

const INSERT: &str = "INSERT INTO customers (customer_id, full_name, email, country) \
                      VALUES ($1, 'Ada', 'ada@example.com', 'GB')";

const FAIL: &str = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_careless_service_loses_nothing() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 4;
    let patience = RetryPolicy {
        first_pause: Duration::from_micros(10),
        longest_pause: Duration::from_micros(10),
        ..RetryPolicy::default()
    };
    let cluster = Cluster::with_retry(config, patience).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let admin = superuser(&local, "s0a").await;

    a_statement_never_runs_behind_its_transaction(&cluster, &admin).await;
    a_panic_rolls_back(&cluster, &admin).await;
    a_key_of_another_customer_is_refused(&cluster).await;
    writes_earn_their_retries(&cluster).await;
    a_thousand_sessions_share_four_connections(&cluster, &admin).await;
    no_limit_is_no_mistake(&cluster).await;
    what_the_drivers_client_meets_is_tried_again(&cluster).await;
    after_close_everything_is_refused(&cluster).await;
}

/// The longest time that there is, added to the present one, is no time at all.
async fn no_limit_is_no_mistake(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    cluster.ready(Duration::MAX).await.unwrap();
    let (one,): (i32,) = session
        .read()
        .within(Duration::MAX)
        .query_one("SELECT 1", &[])
        .await
        .unwrap();
    assert_eq!(one, 1);
    session
        .write()
        .within(Duration::MAX)
        .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await
        .unwrap();
    let answer = cluster
        .fan_out("SELECT 1::bigint", &[], pgshard::fanout::Merge::concat())
        .within(Duration::MAX)
        .query::<(i64,)>()
        .await
        .unwrap();
    assert_eq!(answer.rows, [(1,)]);
}

async fn count(admin: &tokio_postgres::Client) -> i64 {
    let row = admin.query_one("SELECT count(*) FROM customers", &[]).await;
    row.unwrap().get(0)
}

/// The handle is used by another task in the moment in which the closure gives up.
async fn a_statement_never_runs_behind_its_transaction(
    cluster: &Cluster,
    admin: &tokio_postgres::Client,
) {
    let before = count(admin).await;
    for round in 0..600_u32 {
        let id = CustomerId(Uuid::new_v4());
        let (sender, task) = tokio::sync::oneshot::channel();
        let mut sender = Some(sender);
        let outcome = cluster
            .session(&id)
            .unwrap()
            .transaction(|tx| {
                let sender = sender.take();
                async move {
                    // Prepared, so that there is one message only.
                    tx.rows("SELECT 1", &[]).await?;
                    let task = tokio::spawn(async move { tx.execute(INSERT, &[&id]).await });
                    let _ = sender.unwrap().send(task);
                    (0..round % 300 * 20).for_each(|_| std::hint::spin_loop());
                    Err::<(), _>(Error::abort("no"))
                }
            })
            .await;
        assert!(outcome.is_err());
        let _ = task.await.unwrap().await.unwrap();
    }
    assert_eq!(count(admin).await, before);
}

async fn a_panic_rolls_back(cluster: &Cluster, admin: &tokio_postgres::Client) {
    let before = count(admin).await;
    for _ in 0..10 {
        let cluster = cluster.clone();
        let id = CustomerId(Uuid::new_v4());
        let task = tokio::spawn(async move {
            cluster
                .session(&id)?
                .transaction(|tx| async move {
                    tx.execute(INSERT, &[&id]).await?;
                    if id.0.is_nil() {
                        return Ok(());
                    }
                    panic!("careless")
                })
                .await
        });
        assert!(task.await.unwrap_err().is_panic());
    }
    assert_eq!(count(admin).await, before);
}

/// Clients choose their own keys: two customers with the same must not get each other's results.
async fn a_key_of_another_customer_is_refused(cluster: &Cluster) {
    let key = IdempotencyKey::issued("order-1", std::time::SystemTime::now()).unwrap();
    let run = async |id: CustomerId| {
        cluster
            .session(&id)
            .unwrap()
            .write()
            .idempotent(&key, "pay 5")
            .unwrap()
            .run(|tx| async move {
                tx.execute(INSERT, &[&id]).await?;
                Ok(id)
            })
            .await
    };
    let first = CustomerId(Uuid::from_u128(1));
    assert_eq!(run(first).await.unwrap().value, first);
    assert!(run(first).await.unwrap().replayed);
    let error = run(CustomerId(Uuid::from_u128(2))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Idempotency);
}

/// A service that only writes would otherwise use up its retries for ever.
async fn writes_earn_their_retries(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let write = async |failures: usize| {
        let attempts = AtomicUsize::new(0);
        let attempts = &attempts;
        cluster
            .session(&id)
            .unwrap()
            .transaction(|tx| async move {
                let sql = match attempts.fetch_add(1, Ordering::Relaxed) < failures {
                    true => FAIL,
                    false => "SELECT 1",
                };
                tx.execute(sql, &[]).await
            })
            .await
    };
    let mut spent = 0;
    while write(1).await.is_ok() {
        spent += 1;
        assert!(spent < 1000, "retries are not bounded");
    }
    assert!(write(1).await.unwrap_err().has(Label::RETRYABLE));
    for _ in 0..20 {
        write(0).await.unwrap();
    }
    write(1).await.expect("twenty successes pay for a retry");
}

async fn a_thousand_sessions_share_four_connections(
    cluster: &Cluster,
    admin: &tokio_postgres::Client,
) {
    let before = count(admin).await;
    let tasks = (0..1000).map(|_| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            let id = CustomerId(Uuid::new_v4());
            let session = cluster.session(&id)?;
            session
                .write()
                .within(Duration::from_secs(60))
                .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
                .await
        })
    });
    let outcomes = futures::future::join_all(tasks).await;
    let mut written = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(_) => written += 1,
            Err(error) => assert!(error.has(Label::NOT_SENT), "{error:?}"),
        }
    }
    eprintln!("{written} of 1000");
    assert_eq!(count(admin).await - before, written);
}

async fn after_close_everything_is_refused(cluster: &Cluster) {
    cluster.close().await;
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let read = session.read().query::<(i32,)>("SELECT 1", &[]).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable);
    let write = session
        .transaction(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await;
    assert_eq!(write.unwrap_err().kind(), ErrorKind::Unavailable);
    cluster.close().await;
}

/// Its errors are passed on with `?`.
async fn what_the_drivers_client_meets_is_tried_again(cluster: &Cluster) {
    let attempts = AtomicUsize::new(0);
    let session = cluster.session(&CustomerId(Uuid::new_v4())).unwrap();
    let done = session.transaction(|tx| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let sql = if first { FAIL } else { "SELECT 1" };
            tx.raw()?.batch_execute(sql).await?;
            Ok(())
        }
    });
    done.await.unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}
