//! A killed primary whose replica is promoted is followed without a restart, and no acknowledged
//! write is lost or doubled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgshard::{Cluster, CustomerId, IdempotencyKey, Label};
use uuid::Uuid;

use crate::support::{install, start_spec, superuser};

const INSERT: &str = "INSERT INTO customers (customer_id, full_name, email, country) \
                      VALUES ($1, 'Ada', 'ada@example.com', 'GB')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_followed() {
    let local = start_spec(pgshard::local::LocalSpec {
        shards: 1,
        replicas: 1,
        synchronous: true,
        ..Default::default()
    })
    .await;
    let config = install(&local).await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let stop = AtomicBool::new(false);

    // Writers with and without idempotency keys; each counts what was acknowledged.
    let writer = async |keyed: bool| {
        let (mut acknowledged, mut unknown, mut refused) = (Vec::new(), Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            let id = CustomerId(Uuid::new_v4());
            let session = cluster.session(&id).unwrap();
            let outcome = if keyed {
                let key = IdempotencyKey::generate();
                let write = session.write().idempotent(&key, &id).unwrap();
                write
                    .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
                    .await
            } else {
                session
                    .transaction(|tx| async move { tx.execute(INSERT, &[&id]).await })
                    .await
            };
            match outcome {
                Ok(_) => acknowledged.push(id.0),
                Err(error) if error.has(Label::OUTCOME_UNKNOWN) => unknown.push(id.0),
                Err(error) => {
                    assert!(error.has(Label::KEY_GIVEN_UP), "{error:?}");
                    refused += 1;
                }
            }
        }
        (acknowledged, unknown, refused)
    };
    let failover = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        local.kill("s0a").await.unwrap();
        let killed = Instant::now();
        local.promote("s0b").await.unwrap();
        let id = CustomerId(Uuid::new_v4());
        cluster
            .session(&id)
            .unwrap()
            .transaction(|tx| async move { tx.execute("SELECT 1", &[]).await })
            .await
            .unwrap();
        let recovered = killed.elapsed();
        assert!(recovered < Duration::from_secs(10), "{recovered:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (a, b, c, ()) = tokio::join!(writer(false), writer(true), writer(true), failover);
    assert!(
        b.1.is_empty() && c.1.is_empty(),
        "keyed writes were left unknown: {b:?} {c:?}"
    );

    let admin = superuser(&local, "s0b").await;
    let rows: Vec<Uuid> = admin
        .query("SELECT customer_id FROM customers", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let present: std::collections::HashSet<_> = rows.iter().copied().collect();
    assert_eq!(present.len(), rows.len(), "doubled");
    let mut expected = std::collections::HashSet::new();
    for (acknowledged, ..) in [&a, &b, &c] {
        assert!(acknowledged.len() > 10, "{}", acknowledged.len());
        for id in acknowledged {
            assert!(present.contains(id), "an acknowledged write is lost");
            expected.insert(*id);
        }
    }
    // What is there beyond was reported as unknown.
    for id in present.difference(&expected) {
        assert!(
            a.1.contains(id),
            "a write that was reported as failed is there"
        );
    }
    cluster.close().await;
}
