//! What was acknowledged, against what is there.

use std::collections::HashMap;

use futures::future::try_join_all;
use pgshard::Cluster;

use super::stage::Stage;
use super::workload::{MARK, Writes};

pub(super) async fn check(
    stage: &mut Stage<'_>,
    cluster: &Cluster,
    writes: &Writes,
) -> anyhow::Result<()> {
    stage.step("Every acknowledged write, exactly once");
    let pattern = format!("{MARK}%");
    let shards = cluster.config().shards.iter();
    let found = try_join_all(shards.map(|shard| {
        let pattern = &pattern;
        async move {
            let read = cluster.read_shard(shard.id)?;
            let rows: Vec<(String, i64)> = read
                .query(
                    "SELECT description, count(*) FROM transactions \
                     WHERE description LIKE $1 GROUP BY 1",
                    &[pattern],
                )
                .await?;
            let (unbalanced,): (i64,) = read
                .query_one(
                    "SELECT count(*) FROM bank_accounts a WHERE a.balance <> (SELECT sum(t.amount) \
                       FROM transactions t WHERE (t.customer_id, t.account_id) \
                                               = (a.customer_id, a.account_id))",
                    &[],
                )
                .await?;
            Ok::<_, pgshard::Error>((rows, unbalanced))
        }
    }))
    .await?;
    let unbalanced: i64 = found.iter().map(|(_, unbalanced)| unbalanced).sum();
    let rows = found.iter().flat_map(|(rows, _)| rows);
    let mut there: HashMap<&str, i64> = HashMap::new();
    for (mark, count) in rows {
        *there.entry(mark).or_default() += count;
    }
    let lost = writes
        .acknowledged
        .iter()
        .filter(|write| !there.contains_key(write.mark.as_str()))
        .count();
    let doubled = there.values().filter(|count| **count > 1).count();
    let unasked = there.len() + lost - writes.distinct();
    stage.check(
        "no acknowledged write is lost",
        lost == 0,
        format_args!("{} acknowledged, {lost} lost", writes.acknowledged.len()),
    );
    stage.check(
        "none is there twice",
        doubled == 0,
        format_args!("{} there, {doubled} twice", there.len()),
    );
    stage.check(
        "nothing is there that was not acknowledged",
        unasked == 0,
        format_args!(
            "{unasked}; {} requests were given up and repeated under a new key",
            writes.repeated
        ),
    );
    stage.check(
        "every balance is the sum of its transactions",
        unbalanced == 0,
        format_args!("{unbalanced} accounts differ"),
    );
    Ok(())
}
