//! Queries over many shards cannot take all connections of a node: short reads find some.

use std::time::{Duration, Instant};

use pgshard::fanout::Merge;
use pgshard::{ErrorKind, Label};
use uuid::Uuid;

use crate::support::{client, installed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_room_for_short_reads() {
    let (_local, mut config) = installed(1, 0).await;
    config.pool.max_size = 4;
    config.pool.max_waiting = 6;
    config.timeouts.checkout = Duration::from_secs(2);
    let sql = "SELECT i::bigint FROM generate_series(1, 3000000) i";
    for (share, starved) in [(50, false), (100, true)] {
        config.pool.fan_out_share = share;
        let cluster = client(config.clone()).await;
        // Streams that nobody reads on.
        let mut streams = Vec::new();
        for _ in 0..if starved { 4 } else { 2 } {
            let mut rows = cluster.fan_out(sql, &[], Merge::concat()).stream().unwrap();
            rows.next().await.unwrap().unwrap();
            streams.push(rows);
        }
        let more: Vec<_> = (0..3)
            .map(|_| {
                let cluster = cluster.clone();
                tokio::spawn(async move {
                    let fan_out = cluster.fan_out("SELECT 1", &[], Merge::concat());
                    let within = fan_out.within(Duration::from_millis(2500));
                    within.query::<(i32,)>().await
                })
            })
            .collect();
        while cluster.status()[0].nodes[0].pool.waiting < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let started = Instant::now();
        let mut failed = 0;
        for _ in 0..20 {
            let read = cluster.session(&Uuid::nil()).unwrap().read();
            let read = read.within(Duration::from_millis(500));
            failed += u32::from(read.rows("SELECT 1", &[]).await.is_err());
            if starved {
                break;
            }
        }
        assert_eq!(
            failed > 0,
            starved,
            "{share}: {failed} in {:?}",
            started.elapsed()
        );
        // Those over the share waited, and say why they gave up.
        for one in more {
            let error = one.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            assert!(error.has(Label::OVERLOAD), "{error:?}");
        }
        // The share comes back with the streams.
        drop(streams);
        for _ in 0..8 {
            let fan_out = cluster.fan_out("SELECT 1", &[], Merge::concat());
            fan_out.query::<(i32,)>().await.unwrap();
        }
        cluster.close().await;
    }
}
