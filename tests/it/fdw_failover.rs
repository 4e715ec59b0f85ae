//! Reports after a failover: single-host servers are repointed, by hand and by `shardctl watch`; those
//! that name all nodes need nothing.

use std::time::Duration;

use pgshard::fdw::{
    Change, Fdw, FdwOptions, Hosts, ObservedRole, ObservedShard, Source, observe, refresh,
};

use pgshard::{Cluster, CustomerId};
use uuid::Uuid;

use crate::fdw_views::Stage;
use crate::support::{installed, start, superuser};

/// Two installed shards with a replica each, a customer on either, a client, and a reporting server.
async fn stage() -> (Stage, Cluster) {
    let ((shards, config), server) = tokio::join!(installed(2, 1), start(1, 0));
    let stage = Stage::over(shards, config, server).await;
    for (n, node) in ["s0a", "s1a"].into_iter().enumerate() {
        let here = |key: &Uuid| {
            let place = stage.config.map.locate(&CustomerId(*key)).unwrap();
            place.shard.index() == n
        };
        let key = std::iter::repeat_with(Uuid::new_v4).find(here).unwrap();
        superuser(&stage.shards, node)
            .await
            .execute(
                "INSERT INTO customers VALUES ($1, 'Ada', 'a@example.com', 'DE')",
                &[&key],
            )
            .await
            .unwrap();
    }
    let cluster = Cluster::connect(stage.config.clone()).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    (stage, cluster)
}

fn options(stage: &Stage, hosts: Hosts, observed: Vec<ObservedShard>) -> FdwOptions {
    let mut options = stage.options();
    options.source = Source::Primaries;
    options.hosts = hosts;
    options.observed = observed;
    options
}

async fn customers(stage: &Stage) -> Result<i64, tokio_postgres::Error> {
    let session = stage.session().await;
    let row = session.query_one("SELECT count(*) FROM reporting.customers", &[]);
    row.await.map(|row| row.get(0))
}

/// Kills the primary of the first shard, promotes its replica, and waits for the client to adopt it.
async fn fail_over(stage: &Stage, cluster: &Cluster) {
    stage.shards.kill("s0a").await.unwrap();
    stage.shards.promote("s0b").await.unwrap();
    let shard = stage.config.shards[0].id;
    let adopted = cluster
        .wait_for(shard, Duration::from_secs(30), |view| {
            view.primary.is_some_and(|(node, _)| node.index() == 1)
        })
        .await
        .unwrap();
    assert!(adopted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_hosts_are_repointed_by_hand() {
    let (stage, cluster) = stage().await;
    // Nobody can say which node is right without looking.
    let blind = options(&stage, Hosts::Current, Vec::new());
    let error = Fdw::plan(&stage.config, blind).await.unwrap_err();
    assert!(error.to_string().contains("must be observed"), "{error}");

    let seen = observe(&cluster.status());
    assert_eq!(seen[0].nodes[0].role, ObservedRole::Primary, "{seen:?}");
    let fdw = Fdw::plan(&stage.config, options(&stage, Hosts::Current, seen.clone()));
    fdw.await.unwrap().apply(&stage.reporting()).await.unwrap();
    assert_eq!(customers(&stage).await.unwrap(), 2);
    assert_eq!(
        refresh(&stage.config, &stage.reporting(), &seen)
            .await
            .unwrap(),
        []
    );

    fail_over(&stage, &cluster).await;
    assert!(customers(&stage).await.is_err());
    let seen = observe(&cluster.status());
    let done = refresh(&stage.config, &stage.reporting(), &seen)
        .await
        .unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(done[0].change, Change::Alter);
    assert_eq!(done[0].object, "server \"pgshard_s0\"");
    assert_eq!(customers(&stage).await.unwrap(), 2);
    assert_eq!(
        refresh(&stage.config, &stage.reporting(), &seen)
            .await
            .unwrap(),
        []
    );
    // A plan of now agrees.
    let fdw = Fdw::plan(&stage.config, options(&stage, Hosts::Current, seen));
    assert_eq!(
        fdw.await.unwrap().diff(&stage.reporting()).await.unwrap(),
        []
    );

    // While no node is known, the server stays, and that is said.
    let mut unknown = observe(&cluster.status());
    for node in &mut unknown[0].nodes {
        node.role = ObservedRole::Unusable;
    }
    let kept = refresh(&stage.config, &stage.reporting(), &unknown)
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].change, Change::Keep);
    assert_eq!(customers(&stage).await.unwrap(), 2);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hosts_need_nothing() {
    let (stage, cluster) = stage().await;
    let fdw = Fdw::plan(&stage.config, options(&stage, Hosts::All, Vec::new()));
    fdw.await.unwrap().apply(&stage.reporting()).await.unwrap();
    assert_eq!(customers(&stage).await.unwrap(), 2);
    fail_over(&stage, &cluster).await;
    assert_eq!(customers(&stage).await.unwrap(), 2);
    let seen = observe(&cluster.status());
    assert_eq!(
        refresh(&stage.config, &stage.reporting(), &seen)
            .await
            .unwrap(),
        []
    );

    // A member that was found, and one that left.
    let mut joined = seen.clone();
    let mut third = joined[1].nodes[0].clone();
    third.port += 1;
    joined[1].nodes.push(third);
    let done = refresh(&stage.config, &stage.reporting(), &joined)
        .await
        .unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(done[0].object, "server \"pgshard_s1\"");
    assert_eq!(customers(&stage).await.unwrap(), 2);
    let done = refresh(&stage.config, &stage.reporting(), &seen)
        .await
        .unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
    cluster.close().await;
}

/// Primary for one shard, replica for the other.
#[tokio::test]
async fn a_source_for_each_shard() {
    let stage = Stage::new().await;
    let mut own = stage.options();
    own.sources = vec![(stage.config.shards[1].id, Source::Primaries)];
    let fdw = Fdw::plan(&stage.config, own).await.unwrap();
    fdw.apply(&stage.reporting()).await.unwrap();
    let session = stage.session().await;
    let sql = "SELECT srvname::text, srvoptions @> '{target_session_attrs=primary}'
                 FROM pg_foreign_server ORDER BY 1";
    let rows = session.query(sql, &[]).await.unwrap();
    let found: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("pgshard_s0", false), ("pgshard_s1", true)];
    assert_eq!(
        found,
        expected.map(|(name, writes)| (name.to_owned(), writes))
    );

    let mut wrong = stage.options();
    wrong.sources = vec![(pgshard::id::ShardId::new("s9").unwrap(), Source::Primaries)];
    let error = Fdw::plan(&stage.config, wrong).await.unwrap_err();
    assert!(error.to_string().contains("no shard s9"), "{error}");
}
