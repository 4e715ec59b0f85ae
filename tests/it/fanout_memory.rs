//! A merged stream takes the same memory however long it is; so does skipping rows.

use std::time::Duration;

use pgshard::Cluster;
use pgshard::fanout::{Merge, SortKey};

use crate::support::installed;

/// The process's resident memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

const ROWS: u64 = 100_000;
/// The rows are 100 MB a shard.
const MOST: usize = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded() {
    let (_local, config) = installed(3, 0).await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    // One key space for all shards, so that the merge takes from each in turn.
    let sql = format!("SELECT generate_series(1, {ROWS}) AS i, repeat('x', 1000) AS x");
    let order = || Merge::ordered([SortKey::asc("i")]);
    let merges = [order(), Merge::concat(), order().offset(3 * ROWS - 10)];
    for (merge, wanted) in merges.into_iter().zip([3 * ROWS, 3 * ROWS, 10]) {
        let before = resident();
        let mut rows = cluster.fan_out(&sql, &[], merge).stream().unwrap();
        let (mut count, mut most) = (0_u64, 0);
        while let Some(row) = rows.next().await {
            row.unwrap();
            count += 1;
            if count % 1000 == 1 {
                most = most.max(resident());
            }
        }
        let grown = most.saturating_sub(before);
        assert!(grown < MOST, "{grown} bytes for {wanted} rows");
        assert_eq!(count, wanted);
        let report = rows.into_report();
        assert!(report.shards.iter().all(|shard| shard.rows == ROWS));
    }

    // A reader that is slow: the servers wait, nothing piles up here.
    let before = resident();
    let mut rows = cluster.fan_out(&sql, &[], order()).stream().unwrap();
    for _ in 0..10 {
        rows.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(resident().saturating_sub(before) < MOST);
    drop(rows);
    cluster.close().await;
}
