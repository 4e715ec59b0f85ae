//! Under one idempotency key a request takes effect once at most.

use std::time::{Duration, SystemTime};

use pgshard::{Cluster, CustomerId, ErrorKind, IdempotencyKey, Label};
use uuid::Uuid;

use crate::support::{installed, superuser};

const INSERT: &str = "INSERT INTO customers (customer_id, full_name, email, country) \
                      VALUES ($1, 'Ada', 'ada@example.com', 'GB')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_at_most() {
    let (local, config) = installed(1, 0).await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let key = IdempotencyKey::generate();

    let run = async |key: &IdempotencyKey, request: &str| {
        session
            .write()
            .idempotent(key, request)
            .unwrap()
            .run(|tx| async move {
                tx.execute(INSERT, &[&id]).await?;
                Ok("it's done\\".to_owned())
            })
            .await
    };
    let first = run(&key, "open").await.unwrap();
    assert_eq!(
        (first.value.as_str(), first.replayed),
        ("it's done\\", false)
    );

    // The second run would violate the primary key if the closure ran.
    let second = run(&key, "open").await.unwrap();
    assert_eq!(
        (second.value.as_str(), second.replayed),
        ("it's done\\", true)
    );
    assert!(second.token.is_some());

    let other = run(&key, "close").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Idempotency);
    assert!(!other.has(Label::KEY_GIVEN_UP));

    // JSON has no NaN: the answer to a repeated request would be an error.
    let unreadable = session
        .write()
        .idempotent(&IdempotencyKey::generate(), "rate")
        .unwrap()
        .run(|_| async { Ok(f64::NAN) })
        .await
        .unwrap_err();
    assert_eq!(unreadable.kind(), ErrorKind::Idempotency);
    assert!(!unreadable.has(Label::OUTCOME_UNKNOWN), "{unreadable:?}");

    let week = Duration::from_secs(8 * 24 * 3600);
    let old = IdempotencyKey::issued("old", SystemTime::now() - week).unwrap();
    assert_eq!(
        run(&old, "open").await.unwrap_err().kind(),
        ErrorKind::Idempotency
    );

    // A closure that fails leaves no trace: the key can be used again.
    let key = IdempotencyKey::generate();
    assert_eq!(
        run(&key, "again").await.unwrap_err().kind(),
        ErrorKind::Database
    );
    let write = session.write().idempotent(&key, "again").unwrap();
    let done = write
        .run(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap();
    assert!(!done.replayed);

    // A key that was given up stays so, and says so.
    let key = IdempotencyKey::generate();
    let admin = superuser(&local, "s0a").await;
    admin
        .execute(
            "INSERT INTO pgshard.tx_ledger (key, fingerprint, bucket, state, issued_at) \
             SELECT $1, fingerprint, bucket, 'aborted', now() FROM pgshard.tx_ledger LIMIT 1",
            &[&key.to_string()],
        )
        .await
        .unwrap();
    let given_up = run(&key, "open").await.unwrap_err();
    assert!(given_up.has(Label::KEY_GIVEN_UP), "{given_up:?}");

    // Too much to store is refused before COMMIT.
    let write = session
        .write()
        .idempotent(&IdempotencyKey::generate(), "big")
        .unwrap();
    let error = write
        .run(|_| async { Ok("x".repeat(70_000)) })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Idempotency);

    // Concurrent repetitions: one runs, the others wait for it and get its result.
    let key = IdempotencyKey::generate();
    let fresh = CustomerId(Uuid::new_v4());
    let runs = (0..8).map(|_| async {
        cluster
            .session(&id)?
            .write()
            .idempotent(&key, "concurrent")?
            .run(|tx| async move {
                tx.execute(INSERT, &[&fresh]).await?;
                Ok(7)
            })
            .await
    });
    let results: Vec<_> = futures::future::join_all(runs).await;
    let fresh_runs = results
        .iter()
        .filter(|result| !result.as_ref().unwrap().replayed)
        .count();
    assert_eq!(fresh_runs, 1);
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().unwrap().value == 7)
    );
    cluster.close().await;
}
