//! Connect, write a customer, read it back from a replica.
//!
//! ```sh
//! cargo shardctl dev up --dir bank
//! cargo run --example quickstart bank/shards.toml
//! ```
//!
//! The configuration may also be named by the variable SHARDCTL_CONFIG.

use std::time::Duration;

use pgshard::{Cluster, Config, CustomerId, Result};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1);
    let file = file.or_else(|| std::env::var("SHARDCTL_CONFIG").ok());
    let config = Config::load(file.unwrap_or_else(|| "shards.toml".to_owned()))?;

    let cluster = Cluster::connect(config)?;
    cluster.ready(Duration::from_secs(10)).await?;

    // The key says where the customer lives. Nothing is asked for that.
    let customer = CustomerId(Uuid::new_v4());
    let session = cluster.session(&customer)?;
    println!(
        "customer {customer} lives in bucket {} on shard {}",
        session.bucket(),
        session.shard()
    );

    // A write is a closure: it may run again, until COMMIT is sent.
    let opened = session
        .transaction(|tx| async move {
            tx.execute(
                "INSERT INTO customers (customer_id, full_name, email, country) \
                 VALUES ($1, 'Ada Lovelace', 'ada@example.com', 'GB')",
                &[&customer],
            )
            .await
        })
        .await?;
    println!("committed: {} row", opened.value);

    // A replica may be behind. With the write's token, the read waits for one that is not.
    let mut read = session.read().prefer_replica();
    if let Some(token) = &opened.token {
        println!("token: {token}");
        read = read.at_least(token);
    }
    let (name, on_replica): (String, bool) = read
        .query_one(
            "SELECT full_name, pg_is_in_recovery() FROM customers WHERE customer_id = $1",
            &[&customer],
        )
        .await?;
    let node = if on_replica {
        "a replica"
    } else {
        "the primary"
    };
    println!("{node} knows {name}");

    cluster.close().await;
    Ok(())
}
