//! A fan-out that is dropped, or that has enough, leaves no work on the servers.

use std::time::{Duration, Instant};

use pgshard::Cluster;
use pgshard::fanout::{Merge, Outcome, SortKey};
use pgshard::local::LocalCluster;
use tokio_postgres::Client;

use crate::support::{installed, superuser};

struct Watch(Vec<Client>);

impl Watch {
    async fn of(local: &LocalCluster) -> Watch {
        let mut sessions = Vec::new();
        for shard in local.shards() {
            sessions.push(superuser(local, shard.primary().id().as_str()).await);
        }
        Watch(sessions)
    }

    /// The application's statements that run now, on all shards.
    async fn running(&self) -> i64 {
        let mut running = 0;
        for session in &self.0 {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                       AND state <> 'idle' AND query LIKE '%fan-out%'";
            running += session.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
        }
        running
    }

    /// The application's sessions, on all shards.
    async fn backends(&self) -> Vec<i32> {
        let mut backends = Vec::new();
        for session in &self.0 {
            let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'app' ORDER BY pid";
            let rows = session.query(sql, &[]).await.unwrap();
            backends.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
        }
        backends
    }

    async fn wait_for(&self, wanted: i64) {
        let started = Instant::now();
        while self.running().await != wanted {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{}",
                self.running().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_running() {
    let (local, mut config) = installed(3, 0).await;
    // A lease that is not given back would be missed at once.
    config.pool.max_size = 2;
    config.timeouts.checkout = Duration::from_secs(5);
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let watch = Watch::of(&local).await;

    for _ in 0..3 {
        // Given up before the first row.
        let asleep = "SELECT pg_sleep(60)::text /* fan-out */";
        let query = cluster.fan_out(asleep, &[], Merge::concat());
        let mut query = Box::pin(query.query::<(String,)>());
        assert!(
            tokio::time::timeout(Duration::from_millis(10), &mut query)
                .await
                .is_err()
        );
        tokio::select! {
            answer = &mut query => panic!("{answer:?}"),
            () = watch.wait_for(3) => {}
        }
        drop(query);
        watch.wait_for(0).await;

        // Given up in the middle of a stream.
        let endless = "SELECT generate_series(1, 100000000) AS i /* fan-out */";
        let mut rows = cluster
            .fan_out(endless, &[], Merge::concat())
            .stream()
            .unwrap();
        for _ in 0..100 {
            rows.next().await.unwrap().unwrap();
        }
        assert!(watch.running().await > 0);
        drop(rows);
        watch.wait_for(0).await;

        // Has enough.
        let merge = Merge::ordered([SortKey::asc("i")]).offset(10).limit(5);
        let answer = cluster
            .fan_out(endless, &[], merge)
            .query::<(i32,)>()
            .await
            .unwrap();
        assert_eq!(answer.rows, [(4,), (4,), (5,), (5,), (5,)]);
        assert!(answer.report.is_complete());
        assert!(
            answer
                .report
                .shards
                .iter()
                .all(|s| matches!(s.outcome, Outcome::Stopped))
        );
        watch.wait_for(0).await;

        // One shard fails: the others stop.
        let sql = "SELECT CASE current_setting('port')::int WHEN $1 THEN 1 / 0 \
                   ELSE (SELECT count(*) FROM generate_series(1, 1000000000))::int END /* fan-out */";
        let port = i32::from(local.node("s1a").unwrap().port());
        let started = Instant::now();
        let error = cluster
            .fan_out(sql, &[&port], Merge::concat())
            .query::<(i32,)>()
            .await
            .unwrap_err();
        assert_eq!(error.sqlstate().unwrap().as_str(), "22012");
        assert!(started.elapsed() < Duration::from_secs(5));
        watch.wait_for(0).await;
    }

    // The pools are whole.
    let two = (0..2).map(|_| {
        cluster
            .fan_out("SELECT 1", &[], Merge::concat())
            .query::<(i32,)>()
    });
    for answer in futures::future::join_all(two).await {
        assert_eq!(answer.unwrap().rows.len(), 3);
    }
    cluster.close().await;
}

/// What a shard had to say beyond the limit is let come and thrown away: to cancel it would cost the
/// connection, and the next such query would begin by making another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_enough_keeps_the_connections() {
    let (local, mut config) = installed(3, 0).await;
    // One for fan-outs: the next waits for it, and makes no other meanwhile.
    config.pool.max_size = 2;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let watch = Watch::of(&local).await;
    let first = async || {
        let sql = "SELECT i FROM generate_series(1, 5000) i ORDER BY i LIMIT 200 /* fan-out */";
        let merge = Merge::ordered([SortKey::asc("i")]).limit(100);
        let answer = cluster.fan_out(sql, &[], merge).query::<(i32,)>().await;
        assert_eq!(answer.unwrap().rows.len(), 100);
    };
    first().await;
    let before = watch.backends().await;
    for _ in 0..10 {
        first().await;
    }
    assert_eq!(watch.backends().await, before);
    cluster.close().await;
}

/// At most so many shards work at once, also where an ordered merge needs a row of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrency_is_bounded() {
    let (_local, config) = installed(4, 0).await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let merges = || [Merge::concat(), Merge::ordered([SortKey::asc(0)])];
    for (at_once, least) in [(1, 1200), (2, 600)] {
        for merge in merges() {
            let started = Instant::now();
            let query = cluster.fan_out("SELECT 1 FROM pg_sleep(0.3)", &[], merge);
            let answer = query.concurrency(at_once).query::<(i32,)>().await.unwrap();
            assert_eq!(answer.rows.len(), 4);
            let took = started.elapsed();
            assert!(
                took >= Duration::from_millis(least),
                "{at_once} at once: {took:?}"
            );
        }
    }
    cluster.close().await;
}
