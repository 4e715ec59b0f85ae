//! What looks like a failover and is none: terminated sessions, read-only errors, `max_connections`.

use std::time::Duration;

use pgshard::CustomerId;
use pgshard::topology::TopologyEvent;
use uuid::Uuid;

use crate::support::failover::Watched;
use crate::support::{connect, superuser};

/// That the shard is steady in the same epoch, and was never without a primary for good.
async fn unchanged(shard: &Watched, epoch: pgshard::id::Epoch) {
    let view = shard.until_primary(0).await;
    assert_eq!(view.primary.unwrap().1, epoch);
    assert_eq!(view.nodes[0].generation, 1, "its pool was never cleared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_sessions() {
    let shard = Watched::start(1).await;
    let (_, epoch) = shard.view().await.primary.unwrap();
    let mut events = shard.cluster.events();
    let admin = superuser(&shard.local, "s0a").await;
    for _ in 0..5 {
        shard.write().await.unwrap();
        admin
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
                &[],
            )
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    shard.write().await.unwrap();
    unchanged(&shard, epoch).await;
    while let Ok(event) = events.try_recv() {
        let harmless = matches!(
            event.event,
            TopologyEvent::PrimarySuspected { .. }
                | TopologyEvent::PrimaryReturned { .. }
                // Of the start.
                | TopologyEvent::PrimaryAdopted { .. }
                | TopologyEvent::NodeUp { .. }
        );
        assert!(harmless, "{event:?}");
    }
    shard.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_errors() {
    let shard = Watched::start(0).await;
    let (_, epoch) = shard.view().await.primary.unwrap();
    let id = CustomerId(Uuid::new_v4());
    for _ in 0..20 {
        let error = shard
            .cluster
            .session(&id)
            .unwrap()
            .read()
            .query::<(Uuid,)>("DELETE FROM customers RETURNING customer_id", &[])
            .await
            .unwrap_err();
        assert_eq!(error.sqlstate().unwrap().as_str(), "25006", "{error:?}");
    }
    unchanged(&shard, epoch).await;
    shard.write().await.unwrap();
    shard.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connections_left() {
    let settings = vec![("max_connections".to_owned(), "12".to_owned())];
    let shard = Watched::configured(0, settings, |config, _| config.pool.max_size = 1).await;
    shard.write().await.unwrap();
    let (_, epoch) = shard.view().await.primary.unwrap();
    // Somebody else takes all that is left, for longer than failover.down_after, and the prober's
    // own session ends.
    let admin = superuser(&shard.local, "s0a").await;
    let app = shard.local.app_conninfo("s0a").unwrap();
    let mut taken = Vec::new();
    let fill = async |taken: &mut Vec<tokio_postgres::Client>| {
        // A session that ends gives its place back a moment later.
        for _ in 0..100 {
            match app.connect(tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    taken.push(client);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    // The prober may be quicker than the filling, so that its session is ended until it is turned away.
    let turned_away = loop {
        fill(&mut taken).await;
        admin
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE usename = 'app' AND query LIKE '%pg_control_checkpoint%'",
                &[],
            )
            .await
            .unwrap();
        fill(&mut taken).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let view = shard.view().await;
        let failure = view.nodes[0].failure.as_ref().map(ToString::to_string);
        if failure.is_some_and(|text| text.starts_with("too many connections")) {
            break view;
        }
    };
    assert!(turned_away.primary.is_some() || turned_away.state.as_str() == "suspect");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let view = shard.view().await;
    assert_eq!(
        view.primary.map(|(_, epoch)| epoch),
        Some(epoch),
        "{view:?}"
    );
    drop(taken);
    shard
        .until("an answer", |view| view.nodes[0].failure.is_none())
        .await;
    unchanged(&shard, epoch).await;
    shard.write().await.unwrap();
    let _ = connect(shard.local.app_conninfo("s0a").unwrap()).await;
    shard.finish().await;
}
