//! COMMIT is honest: `Ok` means committed, an error that is not labelled means that nothing was.

use std::time::Duration;

use pgshard::{Cluster, CustomerId, Error, ErrorKind, Label};
use uuid::Uuid;

use crate::support::{installed, superuser};

async fn customers(cluster: &Cluster, id: CustomerId) -> i64 {
    let (count,): (i64,) = cluster
        .session(&id)
        .unwrap()
        .read()
        .query_one(
            "SELECT count(*) FROM customers WHERE customer_id = $1",
            &[&id],
        )
        .await
        .unwrap();
    count
}

const INSERT: &str = "INSERT INTO customers (customer_id, full_name, email, country) \
                      VALUES ($1, 'Ada', 'ada@example.com', 'GB')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_does_what_it_says() {
    let (local, config) = installed(2, 0).await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();

    commits_and_rolls_back(&cluster).await;
    an_ignored_error_is_not_a_commit(&cluster).await;
    transaction_control_is_refused(&cluster).await;
    raw_control_is_found_out(&cluster).await;
    a_statement_given_up_is_not_committed(&cluster).await;
    a_serialization_failure_runs_the_closure_again(&cluster).await;
    a_deferred_constraint_is_a_definite_abort(&cluster, &local).await;
    a_kept_handle_is_dead(&cluster).await;
    the_future_is_send(cluster.clone()).await;

    cluster.close().await;
}

async fn commits_and_rolls_back(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let done = session
        .transaction(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await
        .unwrap();
    assert_eq!(done.value, 1);
    assert!(!done.replayed);
    let token = done.token.unwrap();
    assert_eq!(token.mark(session.shard()).unwrap().shard, session.shard());
    assert_eq!(customers(cluster, id).await, 1);

    let other = CustomerId(Uuid::new_v4());
    let error = cluster
        .session(&other)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute(INSERT, &[&other]).await?;
            Err::<(), _>(Error::abort("changed my mind"))
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Application);
    assert_eq!(customers(cluster, other).await, 0);
}

/// rust-postgres #1334: `commit()` answers Ok for a transaction that the server rolled back.
async fn an_ignored_error_is_not_a_commit(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let error = cluster
        .session(&id)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute(INSERT, &[&id]).await?;
            let _ignored = tx.execute("SELECT 1 / 0", &[]).await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(!error.has(Label::OUTCOME_UNKNOWN));
    assert!(error.to_string().contains("division by zero"), "{error}");
    assert_eq!(customers(cluster, id).await, 0);
}

async fn transaction_control_is_refused(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    for sql in [
        "COMMIT",
        "/* x */ rollback",
        "-- y\nEND",
        "PREPARE TRANSACTION 'x'",
    ] {
        let error = cluster
            .session(&id)
            .unwrap()
            .transaction(|tx| async move {
                tx.execute(INSERT, &[&id]).await?;
                tx.execute(sql, &[]).await
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{sql}");
    }
    assert_eq!(customers(cluster, id).await, 0);
    // Savepoints stay inside.
    cluster
        .session(&id)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute("SAVEPOINT a", &[]).await?;
            let _ = tx.execute("SELECT 1 / 0", &[]).await;
            tx.execute("ROLLBACK TO SAVEPOINT a", &[]).await?;
            tx.execute(INSERT, &[&id]).await
        })
        .await
        .unwrap();
    assert_eq!(customers(cluster, id).await, 1);
}

/// The driver's own client can end the transaction; the nonce tells.
async fn raw_control_is_found_out(cluster: &Cluster) {
    for control in ["COMMIT", "COMMIT; BEGIN", "ROLLBACK; BEGIN", "ROLLBACK"] {
        let id = CustomerId(Uuid::new_v4());
        let error = cluster
            .session(&id)
            .unwrap()
            .transaction(|tx| async move {
                tx.execute(INSERT, &[&id]).await?;
                tx.raw()?.batch_execute(control).await.unwrap();
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::TransactionControl,
            "{control}: {error:?}"
        );
        assert!(error.has(Label::OUTCOME_UNKNOWN), "{control}");
        assert!(!error.has(Label::RETRYABLE), "{control}");
    }
}

/// A statement whose future was dropped may have done anything.
async fn a_statement_given_up_is_not_committed(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let error = cluster
        .session(&id)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute(INSERT, &[&id]).await?;
            let slow = tx.execute("SELECT pg_sleep(5)", &[]);
            let _ = tokio::time::timeout(Duration::from_millis(50), slow).await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(customers(cluster, id).await, 0);
}

async fn a_serialization_failure_runs_the_closure_again(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    session
        .transaction(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await
        .unwrap();
    let mut runs = 0;
    session
        .write()
        .isolation(pgshard::Isolation::RepeatableRead)
        .run(|tx| {
            runs += 1;
            let first = runs == 1;
            async move {
                tx.rows(
                    "SELECT full_name FROM customers WHERE customer_id = $1",
                    &[&id],
                )
                .await?;
                if first {
                    session
                        .transaction(|tx| async move {
                            tx.execute(
                                "UPDATE customers SET full_name = 'X' WHERE customer_id = $1",
                                &[&id],
                            )
                            .await
                        })
                        .await?;
                }
                tx.execute(
                    "UPDATE customers SET full_name = full_name || 'Y' WHERE customer_id = $1",
                    &[&id],
                )
                .await
            }
        })
        .await
        .unwrap();
    assert_eq!(runs, 2);
    let (name,): (String,) = session
        .read()
        .query_one(
            "SELECT full_name FROM customers WHERE customer_id = $1",
            &[&id],
        )
        .await
        .unwrap();
    assert_eq!(name, "XY");
}

async fn a_deferred_constraint_is_a_definite_abort(
    cluster: &Cluster,
    local: &pgshard::local::LocalCluster,
) {
    for shard in local.shards() {
        superuser_in_bank(local, shard.primary().id().as_str())
            .await
            .batch_execute(
                "CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); \
                 GRANT ALL ON deferred TO app",
            )
            .await
            .unwrap();
    }
    let id = CustomerId(Uuid::new_v4());
    let error = cluster
        .session(&id)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute(INSERT, &[&id]).await?;
            tx.execute("INSERT INTO deferred VALUES (1), (1)", &[])
                .await
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert_eq!(error.phase(), pgshard::error::Phase::Commit);
    assert!(!error.has(Label::OUTCOME_UNKNOWN));
    assert_eq!(customers(cluster, id).await, 0);
}

async fn superuser_in_bank(
    local: &pgshard::local::LocalCluster,
    node: &str,
) -> tokio_postgres::Client {
    superuser(local, node).await
}

async fn a_kept_handle_is_dead(cluster: &Cluster) {
    let id = CustomerId(Uuid::new_v4());
    let kept = std::sync::Mutex::new(None);
    let keep = &kept;
    cluster
        .session(&id)
        .unwrap()
        .transaction(|tx| async move {
            tx.execute(INSERT, &[&id]).await?;
            *keep.lock().unwrap() = Some(tx);
            Ok(())
        })
        .await
        .unwrap();
    let tx = kept.into_inner().unwrap().unwrap();
    let error = tx.execute("DELETE FROM customers", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(tx.raw().is_err());
}

/// A service spawns its requests: the futures must be `Send`, with borrowed arguments too.
async fn the_future_is_send(cluster: Cluster) {
    let names = vec!["a".to_owned(), "b".to_owned()];
    tokio::spawn(async move {
        let id = CustomerId(Uuid::new_v4());
        let names = &names;
        let session = cluster.session(&id)?;
        session
            .transaction(|tx| async move {
                for name in names {
                    tx.query_opt::<(String,)>("SELECT $1::text", &[name])
                        .await?;
                }
                Ok(())
            })
            .await?;
        session
            .write()
            .idempotent(&pgshard::IdempotencyKey::generate(), "request")?
            .run(|tx| async move { tx.execute("SELECT 1", &[]).await })
            .await?;
        session
            .read()
            .prefer_replica()
            .query::<(i32,)>("SELECT 1", &[])
            .await?;
        Ok::<(), Error>(())
    })
    .await
    .unwrap()
    .unwrap();
}
