//! `shardctl query` gives one right answer over all shards, or says why not; it never writes.

use std::time::Duration;

use pgshard::{Cluster, CustomerId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::cli::{Ran, Shardctl};
use crate::support::{installed, superuser};

const CUSTOMERS: u128 = 24;

fn customer(number: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(number * 7919))
}

/// Customer number n has n francs or euros.
async fn fill(cluster: &Cluster) {
    for number in 0..CUSTOMERS {
        let id = customer(number);
        let currency = if number % 2 == 0 { "CHF" } else { "EUR" };
        let balance = number as i64;
        cluster
            .session(&id)
            .expect("a session")
            .transaction(|tx| async move {
                tx.execute(
                    "INSERT INTO customers (customer_id, full_name, email, country) \
                     VALUES ($1, 'Ada', 'ada@example.com', 'CH')",
                    &[&id],
                )
                .await?;
                tx.execute(
                    "INSERT INTO bank_accounts (customer_id, account_id, currency, balance) \
                     VALUES ($1, $1, $2, $3::bigint + 0.01)",
                    &[&id, &currency, &balance],
                )
                .await
            })
            .await
            .expect("a customer");
    }
}

#[track_caller]
fn rows(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json().as_array().expect("an array").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_right_answer_or_a_refusal() {
    let (local, config) = installed(2, 1).await;
    let cluster = Cluster::connect(config).expect("a client");
    cluster.ready(Duration::from_secs(20)).await.expect("ready");
    fill(&cluster).await;
    let shardctl = Shardctl::new(&local);
    let query = async |arguments: &[&str]| {
        let all = [&["--output", "json", "query"], arguments].concat();
        shardctl.run(&all).await
    };

    let count = query(&["SELECT count(*) AS n FROM customers", "--count", "n"]).await;
    assert_eq!(rows(&count), [json!({"n": CUSTOMERS as u64})]);

    let groups = query(&[
        "SELECT currency, count(*) AS n, sum(balance) AS total, max(balance) AS most \
           FROM bank_accounts GROUP BY currency",
        "--group-by=currency",
        "--count=n",
        "--sum=total",
        "--max=most",
        "--order-by=total:desc",
    ])
    .await;
    assert_eq!(
        rows(&groups),
        [
            json!({"currency": "EUR", "n": 12, "total": "144.12", "most": "23.01"}),
            json!({"currency": "CHF", "n": 12, "total": "132.12", "most": "22.01"}),
        ]
    );

    // Ordered over both shards; each row says where it came from.
    let top = query(&[
        "SELECT customer_id, balance FROM bank_accounts ORDER BY balance DESC LIMIT 5",
        "--order-by=balance:desc",
        "--limit=5",
        "--preference=prefer-replica",
    ])
    .await;
    let top = rows(&top);
    for (row, number) in top.iter().zip((0..CUSTOMERS).rev()) {
        let session = cluster.session(&customer(number)).expect("a session");
        assert_eq!(row["customer_id"], customer(number).to_string());
        assert_eq!(row["shard"], session.shard().to_string());
    }
    assert_eq!(top.len(), 5);

    // One key: one shard, and its own bookkeeping column does not hide the statement's.
    let key = customer(3).to_string();
    let one = query(&["SELECT 'x' AS shard, 1 AS a, 2 AS a", "--key", &key]).await;
    let shard = cluster.session(&customer(3)).expect("a session").shard();
    assert_eq!(
        rows(&one),
        [json!({"shard": shard, "shard_2": "x", "a": 1, "a_2": 2})]
    );

    let none = shardctl
        .run(&["--output=csv", "query", "SELECT 1 AS a WHERE false", "-v"])
        .await;
    assert_eq!((none.code, none.out.as_str()), (0, "shard,a\n"), "{none:?}");
    assert_eq!(none.err.matches("complete").count(), 2, "{none:?}");

    // Refused, each with its exit code, and nothing is written.
    let average = query(&["SELECT avg(balance) AS a FROM bank_accounts", "--sum=a"]).await;
    assert_eq!(average.code, 4, "{average:?}");
    let write = query(&["UPDATE customers SET full_name = 'Eve' RETURNING 1"]).await;
    assert_eq!(write.code, 4, "{write:?}");
    let interval = query(&["SELECT interval '1 day' AS span"]).await;
    assert_eq!(interval.code, 2, "{interval:?}");
    assert!(interval.err.contains("cast it to text"), "{interval:?}");
    let unknown = query(&["SELECT 1", "--shard=s7"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    let wrong = query(&["SELECT no_such_column FROM customers"]).await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let many = query(&["SELECT 1 FROM customers", "--max-rows=3"]).await;
    assert_eq!(many.code, 4, "{many:?}");
    let names = query(&["SELECT DISTINCT full_name FROM customers", "--shard=s0,s1"]).await;
    assert!(rows(&names).iter().all(|row| row["full_name"] == "Ada"));

    // By a collation like this, equal bytes are not all that is equal.
    for shard in ["s0a", "s1a"] {
        let admin = superuser(&local, shard).await;
        let made = admin.batch_execute(
            "CREATE COLLATION odd (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        );
        // Some servers are built without ICU: they can have no such collation.
        if made.await.is_err() {
            return the_dead(&local, &shardctl).await;
        }
    }
    let odd = query(&[
        "SELECT currency, count(*) AS n FROM bank_accounts GROUP BY currency",
        "--group-by=currency",
        "--count=n",
    ])
    .await;
    assert_eq!(odd.code, 4, "{odd:?}");
    the_dead(&local, &shardctl).await;
    cluster.close().await;
}

/// A shard without servers is an error, or by choice missing, and then said to be.
async fn the_dead(local: &pgshard::local::LocalCluster, shardctl: &Shardctl) {
    for node in ["s1a", "s1b"] {
        local.kill(node).await.expect("killed");
    }
    let sql = "SELECT count(*) AS n FROM customers";
    let failed = shardctl
        .run(&["query", sql, "--count=n", "--within=2s"])
        .await;
    assert_eq!(failed.code, 3, "{failed:?}");
    assert_eq!(failed.out, "");
    let partial = shardctl
        .run(&[
            "--output=json",
            "query",
            sql,
            "--count=n",
            "--within=2s",
            "--partial",
        ])
        .await;
    assert_eq!(partial.code, 1, "{partial:?}");
    assert_eq!(partial.json().as_array().expect("an array").len(), 1);
    assert!(partial.err.contains("missing: shard s1"), "{partial:?}");
}
