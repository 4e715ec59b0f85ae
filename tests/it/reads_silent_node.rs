//! A node whose probes are answered and whose reads are not, as with a disk that hangs under a warm
//! cache: reads avoid it, try it now and then, and come back to it. It is no matter of topology.

use std::time::{Duration, Instant};

use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{Cluster, ErrorKind, ReadPreference};

use crate::support::failover::shard;
use crate::support::{client, installed, through_proxy};

async fn read(cluster: &Cluster) -> pgshard::Result<bool> {
    read_within(cluster, 300).await
}

async fn read_within(cluster: &Cluster, millis: u64) -> pgshard::Result<bool> {
    let read = cluster.read_shard(shard())?;
    let (_, standby): (i64, bool) = read
        .preference(ReadPreference::PreferReplica)
        .within(Duration::from_millis(millis))
        .query_one("SELECT count(*), pg_is_in_recovery() FROM customers", &[])
        .await?;
    Ok(standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_avoided_until_it_answers() {
    let (local, mut config) = installed(1, 1).await;
    let proxy = through_proxy(&local, &mut config, "s0b").await;
    config.timeouts.connect = Duration::from_secs(1);
    let cluster = client(config).await;
    let found = cluster.wait_for(shard(), Duration::from_secs(30), |v| v.nodes[1].readable);
    assert!(found.await.unwrap());
    assert!(read(&cluster).await.unwrap());
    let before = cluster.status()[0].clone();

    let hole = Rule::new(Condition::query("from customers"), Reaction::BlackHole);
    let rule = proxy.add(hole).unwrap();
    // Callers in a hurry do not take the replica from others.
    for _ in 0..8 {
        assert!(!read_within(&cluster, 30).await.is_ok_and(|standby| standby));
    }
    let mut timeouts = 0;
    while let Err(error) = read(&cluster).await {
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        timeouts += 1;
        assert!(timeouts < 20, "it is not avoided");
    }
    assert!(timeouts >= 5, "{timeouts}");
    // But for one trial now and then, all go to the primary.
    let (mut trials, started) = (0, Instant::now());
    for _ in 0..60 {
        match read(&cluster).await {
            Ok(standby) => assert!(!standby),
            Err(_) => trials += 1,
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(trials <= 4, "{trials} in {:?}", started.elapsed());
    // Nothing of that is topology.
    let now = cluster.status()[0].clone();
    assert_eq!((now.state, now.reign), (before.state, before.reign));
    assert!(now.nodes[1].readable);

    rule.remove();
    proxy.heal();
    let healed = Instant::now();
    while !read(&cluster).await.is_ok_and(|standby| standby) {
        assert!(
            healed.elapsed() < Duration::from_secs(20),
            "it is not tried"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..10 {
        assert!(read(&cluster).await.unwrap());
    }
    cluster.close().await;
}
