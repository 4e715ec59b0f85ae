//! The server committed, and its answer never arrived. The driver reports a lost connection like any
//! other, so that a retry loop doubles the transaction (rust-postgres: transaction.rs, `commit`).
//!
//! Here the outcome is unknown, is said to be, and nothing is tried again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pgshard::error::Phase;
use pgshard::local::proxy::{Condition, Reaction, Rule, Then};
use pgshard::{CommitOutcome, CustomerId, ErrorKind, Label, PendingCommit};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, rows_of, superuser, through_proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_guessed_or_repeated() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.timeouts.commit = Duration::from_secs(1);
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let runs = AtomicU32::new(0);
    let write = async |id: CustomerId| {
        runs.store(0, Ordering::Relaxed);
        let session = cluster.session(&id).unwrap();
        let closure = |tx: pgshard::Tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move { tx.execute(INSERT, &[&id]).await }
        };
        session.transaction(closure).await
    };
    let lose = |reaction| {
        let rule = Rule::new(Condition::query("pgshard.leave"), reaction).once();
        proxy.add(rule).unwrap()
    };

    // The connection breaks after COMMIT took effect.
    let id = CustomerId(Uuid::new_v4());
    lose(Reaction::SwallowReply(Then::Reset));
    let error = write(id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert_eq!(error.phase(), Phase::Commit);
    assert!(error.has(Label::OUTCOME_UNKNOWN) && !error.has(Label::RETRYABLE));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(rows_of(&admin, id).await, 1);
    assert!(PendingCommit::of(&error).is_none(), "nothing is pending");

    // It breaks before the server saw COMMIT: that looks the same from here.
    let id = CustomerId(Uuid::new_v4());
    lose(Reaction::Reset);
    let error = write(id).await.unwrap_err();
    assert!(error.has(Label::OUTCOME_UNKNOWN), "{error:?}");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(rows_of(&admin, id).await, 0);

    // The answer never comes: the wait ends, the COMMIT does not, and a handle tells of it.
    let id = CustomerId(Uuid::new_v4());
    let started = Instant::now();
    lose(Reaction::SwallowReply(Then::Hang));
    let error = write(id).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(rows_of(&admin, id).await, 1);
    let pending = PendingCommit::of(&error).unwrap();
    assert_eq!(pending.wait(Duration::from_millis(100)).await, None);
    proxy.now(Reaction::Reset).unwrap();
    let outcome = pending.wait(Duration::from_secs(10)).await;
    assert_eq!(outcome, Some(CommitOutcome::Unknown));

    // A slow answer comes after all.
    let id = CustomerId(Uuid::new_v4());
    lose(Reaction::Delay(Duration::from_secs(2)));
    let error = write(id).await.unwrap_err();
    let pending = PendingCommit::of(&error).unwrap();
    let outcome = pending.wait(Duration::from_secs(20)).await;
    assert_eq!(outcome, Some(CommitOutcome::Committed));
    assert_eq!(rows_of(&admin, id).await, 1);

    // All of which leaves a client that works.
    let id = CustomerId(Uuid::new_v4());
    write(id).await.unwrap();
    assert_eq!(rows_of(&admin, id).await, 1);
    cluster.close().await;
}
