//! Under an idempotency key an unknown outcome is found out: what is committed is answered with its
//! result, and what is not can never be committed later (Citus #3780: a failed commit phase was
//! reported as success; PgDog #1175: recovery looked for another id and swallowed that it was not
//! there; facts: `pg_xact_status` answers "committed" for a row that does not exist).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pgshard::local::LocalSpec;
use pgshard::local::proxy::{Condition, Reaction, Rule, Then};
use pgshard::{Cluster, Committed, CustomerId, ErrorKind, IdempotencyKey, Isolation, Label};
use uuid::Uuid;

use crate::support::{
    INSERT, client, install, installed, rows_of, start_spec, superuser, through_proxy,
};

async fn write(
    cluster: &Cluster,
    key: &IdempotencyKey,
    id: CustomerId,
    isolation: Isolation,
    runs: &AtomicU32,
) -> pgshard::Result<Committed<u64>> {
    let write = cluster.session(&id)?.write().isolation(isolation);
    let closure = |tx: pgshard::Tx| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move { tx.execute(INSERT, &[&id]).await }
    };
    write.idempotent(key, &id)?.run(closure).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_tells() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.timeouts.commit = Duration::from_secs(1);
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let rule = |reaction| Rule::new(Condition::query("pgshard.ledger_leave"), reaction).once();

    for isolation in [Isolation::ReadCommitted, Isolation::Serializable] {
        // Committed, and the answer lost.
        for then in [Then::Reset, Then::Hang] {
            let (key, id) = (IdempotencyKey::generate(), CustomerId(Uuid::new_v4()));
            let runs = AtomicU32::new(0);
            proxy.add(rule(Reaction::SwallowReply(then))).unwrap();
            let done = write(&cluster, &key, id, isolation, &runs).await.unwrap();
            assert!(done.replayed);
            assert_eq!((done.value, runs.into_inner()), (1, 1));
            assert_eq!(rows_of(&admin, id).await, 1);
        }

        // The server never saw COMMIT.
        let (key, id) = (IdempotencyKey::generate(), CustomerId(Uuid::new_v4()));
        let runs = AtomicU32::new(0);
        proxy.add(rule(Reaction::Reset)).unwrap();
        let error = write(&cluster, &key, id, isolation, &runs).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Idempotency, "{error:?}");
        assert!(!error.has(Label::OUTCOME_UNKNOWN) && !error.has(Label::RETRYABLE));
        // The key is used up, whoever comes with it.
        let error = write(&cluster, &key, id, isolation, &runs).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Idempotency);
        assert_eq!(runs.into_inner(), 1);
        assert_eq!(rows_of(&admin, id).await, 0);
    }

    // The resolver's own COMMIT loses its answer too: it asks again.
    let (key, id) = (IdempotencyKey::generate(), CustomerId(Uuid::new_v4()));
    let runs = AtomicU32::new(0);
    proxy
        .add(rule(Reaction::SwallowReply(Then::Reset)))
        .unwrap();
    let again = proxy
        .add(
            Rule::new(
                Condition::query("pgshard.leave"),
                Reaction::SwallowReply(Then::Reset),
            )
            .times(2),
        )
        .unwrap();
    let done = write(&cluster, &key, id, Isolation::ReadCommitted, &runs).await;
    assert!(done.unwrap().replayed);
    assert_eq!(again.hits(), 2);
    assert_eq!(rows_of(&admin, id).await, 1);

    // An unknown outcome of something else inside the closure is not this transaction's.
    let (key, id) = (IdempotencyKey::generate(), CustomerId(Uuid::new_v4()));
    let session = cluster.session(&id).unwrap();
    let error = session
        .write()
        .idempotent(&key, &id)
        .unwrap()
        .run(|_| async {
            let error = pgshard::Error::abort("another service did not answer");
            Err::<(), _>(error.with_label(Label::OUTCOME_UNKNOWN))
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Application, "{error:?}");
    let runs = AtomicU32::new(0);
    let done = write(&cluster, &key, id, Isolation::ReadCommitted, &runs).await;
    assert!(!done.unwrap().replayed, "the key is not used up by it");
    cluster.close().await;
}

/// The primary dies with the answer, and a replica is promoted before anybody can ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_too() {
    let local = start_spec(LocalSpec {
        shards: 1,
        replicas: 2,
        synchronous: true,
        ..LocalSpec::default()
    })
    .await;
    let mut config = install(&local).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.timeouts.commit = Duration::from_secs(20);
    let cluster = client(config).await;

    let committed = CustomerId(Uuid::new_v4());
    let lost = CustomerId(Uuid::new_v4());
    let (key, lost_key) = (IdempotencyKey::generate(), IdempotencyKey::generate());
    let runs = AtomicU32::new(0);
    // One COMMIT takes effect, the other does not arrive.
    let text = format!("ledger_leave('{key}'");
    let swallow = Reaction::SwallowReply(Then::Hang);
    let answered = proxy
        .add(Rule::new(Condition::query(&text), swallow))
        .unwrap();
    let text = format!("ledger_leave('{lost_key}'");
    let unsent = proxy
        .add(Rule::new(Condition::query(&text), Reaction::BlackHole))
        .unwrap();
    let failover = async {
        answered.hit(1).await;
        unsent.hit(1).await;
        local.kill("s0a").await.unwrap();
        proxy.now(Reaction::Reset).unwrap();
        local.promote("s0b").await.unwrap();
    };
    let (done, refused, ()) = tokio::join!(
        write(&cluster, &key, committed, Isolation::ReadCommitted, &runs),
        write(&cluster, &lost_key, lost, Isolation::ReadCommitted, &runs),
        failover
    );
    let done = done.unwrap();
    assert!(done.replayed);
    assert_eq!(runs.into_inner(), 2);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Idempotency);
    let admin = superuser(&local, "s0b").await;
    assert_eq!(rows_of(&admin, committed).await, 1);
    assert_eq!(rows_of(&admin, lost).await, 0);
    // The token is of the new reign and holds there.
    let token = done.token.unwrap();
    let (count,): (i64,) = cluster
        .session(&committed)
        .unwrap()
        .read()
        .at_least(&token)
        .query_one(
            "SELECT count(*) FROM customers WHERE customer_id = $1",
            &[&committed],
        )
        .await
        .unwrap();
    assert_eq!(count, 1);
    cluster.close().await;
}
