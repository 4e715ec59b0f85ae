//! Totals and a top list over all shards.
//!
//! ```sh
//! cargo shardctl dev up --dir bank
//! cargo run --example fanout_report bank/shards.toml
//! ```

use std::time::Duration;

use pgshard::fanout::{Aggregate, GroupKey, Merge, SortKey};
use pgshard::{Cluster, Config, CustomerId, Result};
use uuid::Uuid;

pgshard::row! {
    /// A line of the report.
    struct Line {
        currency: String,
        accounts: i64,
        cents: i64,
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1);
    let file = file.or_else(|| std::env::var("SHARDCTL_CONFIG").ok());
    let config = Config::load(file.unwrap_or_else(|| "shards.toml".to_owned()))?;
    let cluster = Cluster::connect(config)?;
    cluster.ready(Duration::from_secs(10)).await?;
    for balance in 1..=20 {
        open(&cluster, CustomerId(Uuid::new_v4()), balance).await?;
    }

    // Every shard sums up its own rows; the merge says how the partial sums become one. Counts and
    // sums add up. An average would not: ask for the sum and the count.
    let totals = cluster
        .fan_out(
            "SELECT currency, count(*) AS accounts, sum(balance * 100)::bigint AS cents \
               FROM bank_accounts GROUP BY currency",
            &[],
            Aggregate::new()
                .group_by(GroupKey::new("currency").deterministic())
                .count("accounts")
                .sum("cents")
                .order_by([SortKey::desc("cents")]),
        )
        .query::<Line>()
        .await?;
    for line in &totals.rows {
        let (whole, cents) = (line.cents / 100, line.cents % 100);
        println!(
            "{}: {} accounts, {whole}.{cents:02}",
            line.currency, line.accounts
        );
    }
    for shard in &totals.report.shards {
        println!(
            "  shard {}: {} rows in {:?}",
            shard.shard, shard.rows, shard.time
        );
    }

    // The richest of all shards: each sends its own top 5, and the merge takes the first 5 of them
    // while they arrive.
    let richest = cluster
        .fan_out(
            "SELECT (balance * 100)::bigint AS cents, account_id FROM bank_accounts \
              ORDER BY cents DESC, account_id LIMIT 5",
            &[],
            Merge::ordered([SortKey::desc("cents"), SortKey::asc("account_id")]).limit(5),
        )
        .prefer_replica()
        .query::<(i64, Uuid)>()
        .await?;
    for (cents, account) in &richest.rows {
        println!("{account}: {}.{:02}", cents / 100, cents % 100);
    }
    assert!(richest.rows.is_sorted_by(|a, b| a.0 >= b.0));

    cluster.close().await;
    Ok(())
}

async fn open(cluster: &Cluster, customer: CustomerId, balance: i64) -> Result<()> {
    cluster
        .session(&customer)?
        .transaction(|tx| async move {
            tx.execute(
                "INSERT INTO customers (customer_id, full_name, email, country) \
                 VALUES ($1, 'Alan Turing', 'alan@example.com', 'GB')",
                &[&customer],
            )
            .await?;
            tx.execute(
                "INSERT INTO bank_accounts (customer_id, account_id, currency, balance) \
                 VALUES ($1, gen_random_uuid(), 'GBP', $2::bigint)",
                &[&customer, &balance],
            )
            .await
        })
        .await?;
    Ok(())
}
