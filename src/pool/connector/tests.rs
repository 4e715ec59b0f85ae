use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::local::{LocalCluster, LocalSpec};
use crate::pool::{Lane, NodePool, Stamp};

#[tokio::test]
async fn a_cancel_goes_where_the_connection_was_dialled() {
    let local = LocalCluster::start(LocalSpec {
        shards: 1,
        replicas: 0,
        ..LocalSpec::default()
    });
    let local = local.await.unwrap();
    let config = local.install(|_| ()).await.unwrap();
    let shard = &config.shards[0];
    let (reports, _kept) = ReportSender::channel(64);
    let connector = Connector::new(&config, shard.id, NodeIndex(0), &shard.nodes[0], reports);
    let pool = NodePool::new(&config, connector.unwrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let stamp = Stamp::new(None, Lane::Routed);
    let lease = pool.lease(Access::Read, Instant::now(), || deadline, stamp);
    let lease = lease.await.unwrap();
    let asleep = lease.simple("SELECT pg_sleep(60)", Phase::Execute, deadline);
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cancelled = async {
        sleep(Duration::from_millis(300)).await;
        let mut moved = shard.nodes[0].clone();
        moved.port = elsewhere.local_addr().unwrap().port();
        pool.connector().move_to(&config, &moved).unwrap();
        let running = pool.running();
        assert_eq!(running.len(), 1);
        pool.cancel(running).await;
    };
    let asleep = async { timeout(Duration::from_secs(10), asleep).await };
    let (slept, ()) = tokio::join!(asleep, cancelled);
    let error = slept.expect("it is cancelled").expect_err("cancelled");
    let code = error.sqlstate().expect("an answer");
    assert_eq!(code.as_str(), "57014", "{error}");
    let other = timeout(Duration::from_millis(300), elsewhere.accept()).await;
    assert!(other.is_err(), "the other server is asked for nothing");
    local.shutdown().await.unwrap();
}
