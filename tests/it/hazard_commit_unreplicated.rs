//! COMMIT and a synchronous standby that does not answer. PostgreSQL's wait cannot time out; if it is
//! cancelled, the COMMIT answers Ok with a WARNING, and if its backend is terminated, the connection
//! ends: both times the row is visible and not replicated (Patroni: replication_modes; Vitess
//! #16576: reported as committed, and was not).

use std::time::{Duration, Instant};

use pgshard::local::LocalSpec;
use pgshard::{
    Cluster, CommitOutcome, CustomerId, ErrorKind, IdempotencyKey, Label, PendingCommit,
};
use uuid::Uuid;

use crate::support::{INSERT, client, install, rows_of, start_spec, superuser, until};

/// Waits for a COMMIT that waits, and yields what its backend is called.
const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
const WAITING: &str = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

async fn write(cluster: &Cluster, id: CustomerId) -> pgshard::Result<()> {
    let session = cluster.session(&id)?;
    let closure = |tx: pgshard::Tx| async move { tx.execute(INSERT, &[&id]).await };
    session.transaction(closure).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_never_called_committed() {
    let local = start_spec(LocalSpec {
        shards: 1,
        replicas: 1,
        synchronous: true,
        // The sender must not give the standby up while it is paused.
        settings: vec![("wal_sender_timeout".into(), "0".into())],
        ..LocalSpec::default()
    })
    .await;
    let mut config = install(&local).await;
    config.timeouts.commit = Duration::from_secs(2);
    let cluster = client(config.clone()).await;
    let admin = superuser(&local, "s0a").await;
    let new = || CustomerId(Uuid::new_v4());
    write(&cluster, new()).await.unwrap();
    local.pause("s0b").await.unwrap();

    // The caller's wait ends; the COMMIT is not cancelled.
    let id = new();
    let started = Instant::now();
    let error = write(&cluster, id).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert!(error.has(Label::OUTCOME_UNKNOWN) && !error.has(Label::RETRYABLE));
    let pending = PendingCommit::of(&error).unwrap().clone();
    assert_eq!(pending.wait(Duration::from_millis(200)).await, None);
    until(&admin, WAITS).await;
    assert_eq!(
        rows_of(&admin, id).await,
        0,
        "visible before it is replicated"
    );

    // A keyed write: the resolver waits for whoever holds the key, and says no more than it knows.
    let keyed = new();
    let key = IdempotencyKey::generate();
    let attempt = async |within| {
        cluster
            .session(&keyed)
            .unwrap()
            .write()
            .within(within)
            .idempotent(&key, &keyed)
            .unwrap()
            .run(|tx| async move { tx.execute(INSERT, &[&keyed]).await })
            .await
    };
    let error = attempt(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert!(error.has(Label::OUTCOME_UNKNOWN));
    let keyed_pending = PendingCommit::of(&error).unwrap().clone();
    // Somebody who repeats the request waits as well.
    let error = attempt(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");

    // The holder is killed: its row is visible at once, unreplicated. Still no "committed".
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) {WAITING} AND query LIKE '%ledger_leave%'"
    );
    let terminated: i64 = admin.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(terminated, 1);
    let outcome = keyed_pending.wait(Duration::from_secs(20)).await;
    assert_eq!(outcome, Some(CommitOutcome::Unknown));
    assert_eq!(rows_of(&admin, keyed).await, 1);
    let error = attempt(Duration::from_secs(3)).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::CommitUnknown | ErrorKind::Timeout),
        "{error:?}"
    );

    // Cancelled by an administrator: the server says COMMIT, and a warning.
    let id_of_cancelled = new();
    let cancel = async {
        until(
            &admin,
            "SELECT count(*) = 1 FROM pg_stat_activity \
             WHERE wait_event = 'SyncRep' AND clock_timestamp() - query_start < '1.5 s' \
             AND query LIKE '%leave%' AND query NOT LIKE '%ledger%'",
        )
        .await;
        let sql = format!("SELECT count(pg_cancel_backend(pid)) {WAITING}");
        admin.query_one(&sql, &[]).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(write(&cluster, id_of_cancelled), cancel);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert!(PendingCommit::of(&error).is_none(), "{error:?}");
    assert!(error.message().contains("replicated"), "{error}");
    assert_eq!(rows_of(&admin, id_of_cancelled).await, 1);
    // The same for the one that nobody waited for any more.
    let outcome = pending.wait(Duration::from_secs(20)).await;
    assert_eq!(outcome, Some(CommitOutcome::Unknown));

    // A client that is closed interrupts what runs, and cancels it on the server, but not this.
    let left_alone = new();
    let closing = client(config).await;
    let close = async {
        until(&admin, WAITS).await;
        closing.close().await;
    };
    let (outcome, ()) = tokio::join!(write(&closing, left_alone), close);
    assert!(outcome.unwrap_err().has(Label::OUTCOME_UNKNOWN));
    until(&admin, WAITS).await;
    assert_eq!(rows_of(&admin, left_alone).await, 0);

    // The standby is back: the keyed request is answered, once durable.
    local.resume("s0b").await.unwrap();
    let done = attempt(Duration::from_secs(30)).await.unwrap();
    assert!(done.replayed);
    assert_eq!(rows_of(&admin, keyed).await, 1);
    // Its session is told so at about the same time as that of the keyed one.
    let there = "SELECT EXISTS (SELECT FROM customers WHERE customer_id = ";
    until(&admin, &format!("{there}'{left_alone}')")).await;
    write(&cluster, new()).await.unwrap();
    cluster.close().await;
}

/// The only sign of a COMMIT whose wait was cut short is a warning, which a session may be told not to
/// be sent: by its role, its database, or the transaction itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_not_called_committed_where_warnings_are_turned_off() {
    let local = start_spec(LocalSpec {
        shards: 1,
        replicas: 1,
        synchronous: true,
        settings: vec![("wal_sender_timeout".into(), "0".into())],
        ..LocalSpec::default()
    })
    .await;
    let config = install(&local).await;
    let admin = superuser(&local, "s0a").await;
    admin
        .batch_execute("ALTER ROLE app SET client_min_messages = 'error'")
        .await
        .unwrap();
    let cluster = client(config).await;
    local.pause("s0b").await.unwrap();
    for quiet in ["SELECT 1", "SET LOCAL client_min_messages = 'error'"] {
        let id = CustomerId(Uuid::new_v4());
        let write = async {
            let session = cluster.session(&id).unwrap();
            let closure = |tx: pgshard::Tx| async move {
                tx.execute(quiet, &[]).await?;
                tx.execute(INSERT, &[&id]).await
            };
            session.transaction(closure).await
        };
        let cancel = async {
            until(&admin, WAITS).await;
            let sql = format!("SELECT count(pg_cancel_backend(pid)) {WAITING}");
            admin.query_one(&sql, &[]).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(write, cancel);
        let error = outcome.expect_err(quiet);
        assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    }
    local.resume("s0b").await.unwrap();
    cluster.close().await;
}
