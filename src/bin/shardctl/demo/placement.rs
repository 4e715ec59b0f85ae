//! Where the customers are: as this process computes it, as the servers do, and as it is.

use futures::future::try_join_all;
use pgshard::Cluster;
use pgshard::id::{Bucket, ShardIndex};
use pgshard::local::bank::Bank;
use serde_json::json;

use super::stage::Stage;
use crate::render::Report;

pub(super) async fn run(
    stage: &mut Stage<'_>,
    cluster: &Cluster,
    bank: &Bank,
) -> anyhow::Result<()> {
    stage.step("Placement: the shard map against the rows that are there");
    let map = &cluster.config().map;
    let shards = &cluster.config().shards;
    let mut expected = vec![0; shards.len()];
    for number in 0..bank.len() {
        let place = cluster.locate(&bank.customer_id(number))?;
        if let Some(count) = expected.get_mut(place.shard.index()) {
            *count += 1;
        }
    }
    // The servers compute the bucket themselves, by the SQL twin of the hash.
    let found: Vec<Vec<(i32, i64)>> = try_join_all(shards.iter().map(|shard| async {
        cluster
            .read_shard(shard.id)?
            .query(
                "SELECT pgshard.bucket(customer_id), count(*) FROM customers GROUP BY 1",
                &[],
            )
            .await
    }))
    .await?;

    let mut report = Report::new(["shard", "buckets", "expected", "found", "misplaced"]);
    let (mut right, mut misplaced_in_all) = (true, 0);
    for ((index, shard), (expected, found)) in (0..).zip(shards).zip(expected.iter().zip(&found)) {
        let index = ShardIndex(index);
        let rows: i64 = found.iter().map(|(_, rows)| rows).sum();
        let misplaced: i64 = found
            .iter()
            .filter(|(bucket, _)| {
                let bucket = u32::try_from(*bucket).ok().map(Bucket);
                bucket.and_then(|bucket| map.owner(bucket)) != Some(index)
            })
            .map(|(_, rows)| rows)
            .sum();
        right &= rows == *expected;
        misplaced_in_all += misplaced;
        report.row([
            json!(shard.id),
            json!(map.buckets_of(index).count()),
            json!(expected),
            json!(rows),
            json!(misplaced),
        ]);
    }
    stage.show(&report)?;
    stage.check(
        "every customer is where the map says",
        right,
        format_args!("{} customers on {} shards", bank.len(), shards.len()),
    );
    stage.check(
        "the servers compute the same buckets",
        misplaced_in_all == 0,
        "pgshard.bucket() against the map",
    );
    Ok(())
}
