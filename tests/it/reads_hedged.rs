//! A node that is slow for a moment: a second one is asked, the first answer counts, and what the
//! other still sends is nobody else's (PgDog #759: another query's rows under overload).

use std::time::{Duration, Instant};

use pgshard::config::HedgeAfter;
use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{Cluster, CustomerId, ReadPreference};
use uuid::Uuid;

use crate::support::failover::shard;
use crate::support::{client, far_away, installed, superuser, through_proxy, until};

const AFTER: HedgeAfter = HedgeAfter::Time(Duration::from_millis(20));

async fn replicas(cluster: &Cluster, count: usize) {
    let seen = cluster
        .wait_for(shard(), Duration::from_secs(30), |view| {
            view.nodes.iter().filter(|node| node.readable).count() > count
        })
        .await;
    assert!(seen.unwrap());
}

async fn number(cluster: &Cluster, n: i32, after: HedgeAfter) -> (i32, Duration) {
    let started = Instant::now();
    let read = cluster.session(&CustomerId(Uuid::nil())).unwrap().read();
    let (answer,): (i32,) = read
        .preference(ReadPreference::Replica)
        .hedge_after(after)
        .within(Duration::from_secs(20))
        .query_one("SELECT 'hedged', $1::int", &[&n])
        .await
        .map(|(_, n): (String, i32)| (n,))
        .unwrap();
    (answer, started.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_answer_counts() {
    let (local, mut config) = installed(1, 2).await;
    let slow = through_proxy(&local, &mut config, "s0b").await;
    let other = through_proxy(&local, &mut config, "s0c").await;
    config.reads.hedge_budget = 100;
    config.pool.max_size = 16;
    // Its probes take longer, so that reads go to the other one first.
    far_away(&other);
    let cluster = client(config.clone()).await;
    replicas(&cluster, 2).await;
    for n in 0..50 {
        assert_eq!(number(&cluster, n, HedgeAfter::Never).await.0, n);
    }
    // They go to the slow one first. None waits for it, and each gets its own answer.
    let delay = Reaction::Delay(Duration::from_millis(400));
    let rule = slow
        .add(Rule::new(Condition::query("'hedged'"), delay))
        .unwrap();
    let mut times = Vec::new();
    for n in 0..60 {
        let (answer, time) = number(&cluster, n, AFTER).await;
        assert_eq!(answer, n);
        times.push(time);
    }
    times.sort();
    assert!(rule.hits() >= 5, "{}", rule.hits());
    assert!(times[55] < Duration::from_millis(300), "{times:?}");
    rule.remove();
    for n in 0..50 {
        assert_eq!(number(&cluster, n, AFTER).await.0, n);
    }

    // A statement that would run on at the loser is cancelled there.
    let (port,) = (i32::from(local.node("s0b").unwrap().port()),);
    let read = cluster.session(&CustomerId(Uuid::nil())).unwrap().read();
    for _ in 0..8 {
        let started = Instant::now();
        read.preference(ReadPreference::Replica)
            .hedge_after(AFTER)
            .rows(
                "SELECT CASE WHEN inet_server_port() = $1 THEN pg_sleep(20)::text END",
                &[&port],
            )
            .await
            .unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let admin = superuser(&local, "s0b").await;
    let sleeping = "SELECT count(*) = 0 FROM pg_stat_activity \
                    WHERE state = 'active' AND query LIKE 'SELECT CASE WHEN inet_server_port%'";
    until(&admin, sleeping).await;
    // No place of a pool is lost by all that.
    let deadline = Instant::now() + Duration::from_secs(20);
    while cluster.status()[0].nodes.iter().any(|n| n.pool.lent > 0) {
        assert!(Instant::now() < deadline, "{:?}", cluster.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.close().await;

    // Within the budget: when all are slow, load is not doubled.
    config.reads.hedge_budget = 10;
    let cluster = client(config).await;
    replicas(&cluster, 2).await;
    let condition = || Condition::query("'hedged'");
    let delay = || Reaction::Delay(Duration::from_millis(40));
    let rules = [&slow, &other].map(|p| p.add(Rule::new(condition(), delay())).unwrap());
    for n in 0..60 {
        let (answer, _) = number(&cluster, n, HedgeAfter::Time(Duration::from_millis(5))).await;
        assert_eq!(answer, n);
    }
    let asked: u64 = rules.iter().map(|rule| rule.hits()).sum();
    // Ten at once are allowed, and a tenth of sixty.
    assert!((70..=76).contains(&asked), "{asked}");

    // By the times that the nodes had: nothing is asked twice before there are some.
    let asked = || -> u64 { rules.iter().map(|rule| rule.hits()).sum() };
    let before = asked();
    for n in 0..20 {
        number(&cluster, n, HedgeAfter::Percentile(95)).await;
    }
    assert_eq!(asked(), before + 20);
    cluster.close().await;
}
