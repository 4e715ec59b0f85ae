//! One shard that answers nothing does not slow the others down, and a query over all of them fails, or
//! does without it, in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgshard::fanout::Merge;
use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{Cluster, ErrorKind};

use crate::support::{client, installed, through_proxy};

/// Reads a second and the 99th percentile, of eight callers of a shard.
async fn load(cluster: &Cluster, time: Duration) -> (f64, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (cluster, stop) = (cluster.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let read = cluster.read_shard("s0".parse().unwrap()).unwrap();
                    read.query_one::<(i32,)>("SELECT 1", &[]).await.unwrap();
                    times.push(started.elapsed());
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await.unwrap());
    }
    times.sort();
    (
        times.len() as f64 / time.as_secs_f64(),
        times[times.len() * 99 / 100],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_shard_is_its_own_matter() {
    let (local, mut config) = installed(2, 0).await;
    let proxy = through_proxy(&local, &mut config, "s1a").await;
    config.timeouts.connect = Duration::from_secs(1);
    config.timeouts.checkout = Duration::from_secs(1);
    config.timeouts.primary = Duration::from_secs(1);
    let cluster = client(config).await;
    let time = Duration::from_millis(1500);
    load(&cluster, Duration::from_millis(300)).await;
    let (reads, p99) = load(&cluster, time).await;

    proxy
        .add(Rule::new(Condition::Any, Reaction::BlackHole))
        .unwrap();
    proxy
        .add(Rule::new(Condition::Connect, Reaction::BlackHole))
        .unwrap();
    proxy.now(Reaction::BlackHole).unwrap();
    // Many callers go on wanting the silent shard.
    let stop = Arc::new(AtomicBool::new(false));
    let failed = Arc::new(AtomicU64::new(0));
    let stuck: Vec<_> = (0..64)
        .map(|_| {
            let (cluster, stop, failed) = (cluster.clone(), Arc::clone(&stop), Arc::clone(&failed));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let read = cluster.read_shard("s1".parse().unwrap()).unwrap();
                    let read = read.within(Duration::from_millis(800));
                    let started = Instant::now();
                    read.rows("SELECT 1", &[]).await.unwrap_err();
                    assert!(started.elapsed() < Duration::from_secs(5));
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let (reads_then, p99_then) = load(&cluster, 2 * time).await;
    println!("{reads:.0}/s and {p99:?} before, {reads_then:.0}/s and {p99_then:?} beside it");
    assert!(reads_then > reads * 0.5, "{reads_then} against {reads}");
    assert!(
        p99_then < p99 * 5 + Duration::from_millis(20),
        "{p99_then:?}"
    );

    // Over all shards: an error that names it, or an answer without it, in time.
    let sql = "SELECT 1 AS one";
    let within = Duration::from_secs(1);
    let started = Instant::now();
    let fan_out = cluster.fan_out(sql, &[], Merge::concat()).within(within);
    let error = fan_out.query::<(i32,)>().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!(error.shard(), Some("s1".parse().unwrap()), "{error:?}");
    assert!(
        matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
        "{error:?}"
    );
    let fan_out = cluster.fan_out(sql, &[], Merge::concat()).within(within);
    let answer = fan_out.partial().query::<(i32,)>().await.unwrap();
    assert_eq!(answer.rows, [(1,)]);
    stop.store(true, Ordering::Relaxed);
    for caller in stuck {
        caller.await.unwrap();
    }
    assert!(failed.load(Ordering::Relaxed) >= 64);
    proxy.heal();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    cluster.close().await;
}
