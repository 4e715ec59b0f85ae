//! A COMMIT sent to a frozen server keeps its place in the pool, as long as it may still commit: it is
//! counted, and ends with the server's answer or with a failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use pgshard::{
    Cluster, CommitOutcome, CustomerId, Error, ErrorKind, Label, PendingCommit, observe,
};
use uuid::Uuid;

use crate::support::INSERT;
use crate::support::failover::Watched;

/// Holds the one gauge, as the bits of an `f64`.
#[derive(Clone, Default)]
struct Held(Arc<AtomicU64>);

impl Held {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Acquire))
    }
}

impl Recorder for Held {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == observe::COMMITS_HELD {
            Gauge::from_arc(Arc::clone(&self.0))
        } else {
            Gauge::noop()
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Freezes the primary after the last statement of a transaction, and has it committed.
async fn commit_frozen(shard: &Watched, id: CustomerId) -> Error {
    let local = &shard.local;
    let closure = |tx: pgshard::Tx| async move {
        tx.execute(INSERT, &[&id]).await?;
        local.pause("s0a").await?;
        Ok(())
    };
    let session = shard.cluster.session(&id).unwrap();
    session.transaction(closure).await.unwrap_err()
}

fn lent(cluster: &Cluster) -> usize {
    cluster.status()[0].nodes[0].pool.lent
}

// On one thread, since the recorder is that thread's.
#[tokio::test]
async fn keeps_its_place_and_is_counted() {
    let held = Held::default();
    let _recorder = metrics::set_default_local_recorder(&held);
    let shard = Watched::configured(1, vec![], |config, _| {
        config.timeouts.commit = Duration::from_secs(1);
    })
    .await;
    let pending = |error: &Error| {
        assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
        assert!(error.has(Label::OUTCOME_UNKNOWN));
        PendingCommit::of(error).expect("a pending COMMIT").clone()
    };

    // The server goes on.
    let id = CustomerId(Uuid::new_v4());
    let error = commit_frozen(&shard, id).await;
    let commit = pending(&error);
    assert_eq!((held.get(), lent(&shard.cluster)), (1.0, 1));
    // That the node is down is no reason to give it up.
    shard.until_node(0, "down").await;
    assert_eq!(commit.wait(Duration::from_millis(100)).await, None);
    assert_eq!((held.get(), lent(&shard.cluster)), (1.0, 1));
    shard.local.resume("s0a").await.unwrap();
    let outcome = commit.wait(Duration::from_secs(20)).await;
    assert_eq!(outcome, Some(CommitOutcome::Committed));
    freed(&shard, &held).await;
    shard.until_primary(0).await;
    shard.until_replicated(id.0, "s0b").await;

    // It does not, and another takes over.
    let error = commit_frozen(&shard, CustomerId(Uuid::new_v4())).await;
    let commit = pending(&error);
    assert_eq!((held.get(), lent(&shard.cluster)), (1.0, 1));
    shard.local.promote("s0b").await.unwrap();
    shard.until_primary(1).await;
    let outcome = commit.wait(Duration::from_secs(20)).await;
    assert_eq!(outcome, Some(CommitOutcome::Unknown));
    freed(&shard, &held).await;
    shard.finish().await;
}

/// The place is free a moment after the outcome is told.
async fn freed(shard: &Watched, held: &Held) {
    let freed = async {
        while held.get() != 0.0 || lent(&shard.cluster) != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed)
        .await
        .unwrap_or_else(|_| panic!("held {}, lent {}", held.get(), lent(&shard.cluster)));
}
