//! A shard that is dead or hangs holds no caller past the deadline, and is never silently left out.

use std::time::{Duration, Instant};

use pgshard::fanout::{Aggregate, Merge, Outcome, SortKey};
use pgshard::{Cluster, ErrorKind};

use crate::support::{installed, owner, superuser};

const WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_fails() {
    let (local, mut config) = installed(3, 0).await;
    config.timeouts.connect = Duration::from_secs(1);
    for shard in local.shards() {
        let session = owner(&local, shard.primary().id().as_str()).await;
        session
            .batch_execute(
                "CREATE SCHEMA f; GRANT USAGE ON SCHEMA f TO app; CREATE TABLE f.t AS
                 SELECT i FROM generate_series(1, 1000) i; GRANT SELECT ON f.t TO app",
            )
            .await
            .unwrap();
    }
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let merges = || -> [(&str, Merge); 3] {
        [
            (
                "SELECT count(*) AS n FROM f.t",
                Aggregate::new().count("n").into(),
            ),
            (
                "SELECT i::bigint FROM f.t ORDER BY 1",
                Merge::ordered([SortKey::asc(0)]),
            ),
            ("SELECT i::bigint FROM f.t", Merge::concat()),
        ]
    };
    let s1 = "s1".parse().unwrap();

    // Hung: its connections are open, nothing answers.
    local.pause("s1a").await.unwrap();
    check(&cluster, merges(), s1).await;
    local.resume("s1a").await.unwrap();
    settle(&cluster).await;

    // Fails midway: the rows before the failure are no part of an aggregate.
    let session = superuser(&local, "s1a").await;
    session
        .batch_execute(
            "ALTER TABLE f.t RENAME TO u; CREATE VIEW f.t AS
             SELECT i / (CASE WHEN i = 900 THEN 0 ELSE 1 END) AS i FROM f.u; GRANT SELECT ON f.t TO app",
        )
        .await
        .unwrap();
    let sql = "SELECT i, count(*) AS n FROM f.t GROUP BY i";
    let merge = || Aggregate::new().group_by("i").count("n");
    // Not sorted, not hashed: rows come before the failure does.
    let streamed = "SELECT i, 1::bigint AS n FROM f.t";
    for sql in [sql, streamed] {
        let error = cluster
            .fan_out(sql, &[], merge())
            .query::<(i32, i64)>()
            .await
            .unwrap_err();
        assert_eq!(error.sqlstate().unwrap().as_str(), "22012");
        assert_eq!(error.shard(), Some(s1));
        let answer = cluster
            .fan_out(sql, &[], merge())
            .partial()
            .query::<(i32, i64)>()
            .await
            .unwrap();
        assert_eq!(answer.rows.len(), 1000);
        assert!(
            answer.rows.iter().all(|(_, n)| *n == 2),
            "a torn shard took part"
        );
        assert!(!answer.report.is_complete());
    }

    every_shard_fails_midway(&local, &cluster).await;

    // Dead.
    local.kill("s1a").await.unwrap();
    check(&cluster, merges(), s1).await;

    // All dead: there is no answer to be partial.
    local.kill("s0a").await.unwrap();
    local.kill("s2a").await.unwrap();
    for (sql, merge) in merges() {
        let answer = cluster
            .fan_out(sql, &[], merge)
            .within(WITHIN)
            .partial()
            .query::<(i64,)>()
            .await;
        assert!(answer.is_err());
    }
    cluster.close().await;
}

/// Shard s1 does not answer; the others do.
async fn check(cluster: &Cluster, merges: [(&str, Merge); 3], s1: pgshard::id::ShardId) {
    for (sql, merge) in merges {
        let started = Instant::now();
        let fan_out = || cluster.fan_out(sql, &[], merge.clone()).within(WITHIN);
        let error = fan_out().query::<(i64,)>().await.unwrap_err();
        assert!(
            started.elapsed() < WITHIN * 2,
            "{sql}: {:?}",
            started.elapsed()
        );
        assert_eq!(error.shard(), Some(s1), "{sql}: {error}");
        assert_ne!(error.kind(), ErrorKind::Database, "{sql}: {error}");

        let started = Instant::now();
        let answer = fan_out().partial().query::<(i64,)>().await.unwrap();
        assert!(
            started.elapsed() < WITHIN * 2,
            "{sql}: {:?}",
            started.elapsed()
        );
        match answer.rows.as_slice() {
            [(count,)] => assert_eq!(*count, 2000),
            rows => assert_eq!(rows.len(), 2000),
        }
        let missing: Vec<_> = answer.report.missing().map(|(shard, _)| shard).collect();
        assert_eq!(missing, [s1]);
        for shard in &answer.report.shards {
            match &shard.outcome {
                Outcome::Complete => {
                    assert_eq!(shard.node.unwrap().to_string(), format!("{}a", shard.shard));
                    assert!(shard.rows == 1 || shard.rows == 1000);
                    assert!(shard.time < WITHIN);
                }
                Outcome::Failed(_) => assert_eq!((shard.shard, shard.node), (s1, None)),
                outcome => panic!("{outcome:?}"),
            }
        }
        assert!(fan_out().query_one::<(i64,)>().await.is_err());
    }
}

/// Waits until all shards answer again.
async fn settle(cluster: &Cluster) {
    let started = Instant::now();
    loop {
        let all = cluster
            .fan_out("SELECT 1", &[], Merge::concat())
            .within(WITHIN);
        match all.query::<(i32,)>().await {
            Ok(_) => return,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(20), "{error}"),
        }
    }
}

/// There is nothing that an aggregate could be of, and 0 is not it.
async fn every_shard_fails_midway(local: &pgshard::local::LocalCluster, cluster: &Cluster) {
    for shard in local.shards() {
        let session = owner(local, shard.primary().id().as_str()).await;
        session
            .batch_execute(
                "CREATE VIEW f.late AS
                 SELECT 1 / (CASE WHEN i = 900 THEN 0 ELSE 1 END)::bigint AS n
                 FROM generate_series(1, 1000) i; GRANT SELECT ON f.late TO app",
            )
            .await
            .unwrap();
    }
    let merges: [(&str, Merge); 2] = [
        ("SELECT n FROM f.late", Aggregate::new().count("n").into()),
        ("SELECT n FROM f.late", Merge::concat()),
    ];
    for (sql, merge) in merges {
        let answer = cluster
            .fan_out(sql, &[], merge)
            .partial()
            .query::<(i64,)>()
            .await;
        let error = answer.expect_err(sql);
        assert_eq!(error.sqlstate().unwrap().as_str(), "22012");
    }
}
