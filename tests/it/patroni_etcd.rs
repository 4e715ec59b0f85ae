//! The watch over the leader's key is all that tells of the lock here: it may not go deaf.

use std::time::Duration;

use pgshard::config::{EtcdSettings, HttpUrl, PatroniShard};
use pgshard::id::ShardId;
use pgshard::local::{LocalPatroni, PatroniSpec};
use pgshard::topology::View;
use pgshard::{Cluster, Config};

use crate::support::installed_programs;
use crate::support::relay::Relay;
use crate::support::stage::impatient;

/// The Patronis are not found, so that only etcd is heard.
fn watched(mut config: Config, etcd: &str) -> Config {
    let url = |text: &str| HttpUrl::parse(text).unwrap();
    config.shards[0].patroni = Some(PatroniShard {
        scope: "s0".to_owned(),
        urls: vec![url("http://127.0.0.1:1")],
    });
    config.etcd = Some(EtcdSettings {
        endpoints: vec![url(etcd)],
        login: None,
    });
    impatient(&mut config);
    config
}

async fn leased(cluster: &Cluster, node: usize, within: Duration, what: &str) {
    let held = |view: &View| view.nodes[node].leased;
    let shard = ShardId::new("s0").unwrap();
    let reached = cluster.wait_for(shard, within, held).await.unwrap();
    assert!(reached, "{what}: {:#?}", cluster.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_on_which_nothing_arrives_is_given_up() {
    if !installed_programs(&["patroni", "etcd"]) {
        return;
    }
    let local = LocalPatroni::start(PatroniSpec::default()).await.unwrap();
    let config = local.install(|_| ()).await.unwrap();
    let etcd = local.etcd_url();
    let relay = Relay::start(etcd.strip_prefix("http://").unwrap().to_owned()).await;
    let config = watched(config, &format!("http://127.0.0.1:{}", relay.port()));
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    leased(&cluster, 0, Duration::from_secs(10), "at the start").await;

    // The stream hangs: its connection stays, and new ones work.
    relay.freeze();
    local.switchover("s0", "s0b").await.unwrap();
    leased(&cluster, 1, Duration::from_secs(12), "the stream is deaf").await;
    // By then there is a new stream, or soon: the next switchover is told at once.
    tokio::time::sleep(Duration::from_secs(4)).await;
    local.wait_healthy("s0").await.unwrap();
    local.switchover("s0", "s0a").await.unwrap();
    leased(&cluster, 0, Duration::from_secs(1), "by the new stream").await;

    // All of etcd hangs, and each connection to it: the watch asks again until it is answered.
    local.wait_healthy("s0").await.unwrap();
    local.pause_etcd().await.unwrap();
    let before = relay.accepted();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(relay.accepted() > before, "it is not asked");
    relay.freeze();
    local.resume_etcd().await.unwrap();
    local.wait_healthy("s0").await.unwrap();
    let leader = local.leader("s0").await.unwrap().unwrap();
    let other = match leader.as_str() {
        "s0a" => 1,
        _ => 0,
    };
    let new = ["s0a", "s0b"][other];
    // On a busy machine, a Patroni that has just seen etcd again may decline at first.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = local.switchover("s0", new).await {
        assert!(std::time::Instant::now() < deadline, "{error}");
        if let Ok(Some(leader)) = local.leader("s0").await
            && leader.as_str() == new
        {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    leased(&cluster, other, Duration::from_secs(12), "etcd goes on").await;

    cluster.close().await;
    local.shutdown().await.unwrap();
}
