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
        .run(&[
            "--output=csv",
            "query",
            "--each",
            "SELECT 1 AS a WHERE false",
            "-v",
        ])
        .await;
    assert_eq!((none.code, none.out.as_str()), (0, "shard,a\n"), "{none:?}");
    assert_eq!(none.err.matches("complete").count(), 2, "{none:?}");

    // Refused, each with its exit code, and nothing is written.
    let average = query(&["SELECT avg(balance) AS a FROM bank_accounts", "--sum=a"]).await;
    assert_eq!(average.code, 4, "{average:?}");
    let write = query(&["UPDATE customers SET full_name = 'Eve' RETURNING 1"]).await;
    assert_eq!(write.code, 4, "{write:?}");
    let point = query(&["SELECT point(1, 2) AS place"]).await;
    assert_eq!(point.code, 2, "{point:?}");
    assert!(point.err.contains("cast it to text"), "{point:?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_planned_shown_and_explained() {
    let (local, config) = installed(2, 0).await;
    let cluster = Cluster::connect(config).expect("a client");
    cluster.ready(Duration::from_secs(20)).await.expect("ready");
    fill(&cluster).await;
    let shardctl = Shardctl::new(&local);
    let sql = "SELECT currency, count(*) AS n, avg(balance)::numeric(9, 2) AS mean FROM bank_accounts \
               GROUP BY currency ORDER BY n, currency";
    let json = shardctl.run(&["--output=json", "query", sql]).await;
    assert_eq!(
        rows(&json),
        [
            json!({"currency": "CHF", "n": 12, "mean": "11.01"}),
            json!({"currency": "EUR", "n": 12, "mean": "12.01"}),
        ]
    );
    let csv = shardctl.run(&["--output=csv", "query", sql]).await;
    assert_eq!(
        csv.out, "currency,n,mean\nCHF,12,11.01\nEUR,12,12.01\n",
        "{csv:?}"
    );
    let table = shardctl.run(&["query", sql]).await;
    let lines: Vec<&str> = table
        .out
        .lines()
        .filter(|line| line.contains("12.01"))
        .collect();
    assert_eq!((table.code, lines.len()), (0, 1), "{table:?}");
    assert!(
        !table.err.contains("asking"),
        "no terminal, no progress: {table:?}"
    );

    let plan = shardctl
        .run(&["--output=json", "query", "--explain", sql])
        .await;
    let plan = rows(&plan);
    assert_eq!(
        plan[0],
        json!({"step": "tier", "where": null, "what": "split"})
    );
    assert_eq!(
        (&plan[1]["step"], &plan[1]["where"]),
        (&json!("shards"), &json!("s0 s1"))
    );
    assert_eq!(plan[3]["step"], "combine");
    let words = shardctl.run(&["query", "--explain", sql]).await;
    assert!(words.code == 0 && words.out.contains("split"), "{words:?}");
    let wrong = shardctl.run(&["query", "--explain", "--each", sql]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");

    // As it is on each shard, with the shard before the columns.
    let each = "SELECT count(*) AS n FROM customers";
    let each = rows(
        &shardctl
            .run(&["--output=json", "query", "--each", each])
            .await,
    );
    let sum: u64 = each.iter().filter_map(|row| row["n"].as_u64()).sum();
    assert_eq!((each.len(), sum), (2, CUSTOMERS as u64), "{each:?}");
    assert!(each.iter().any(|row| row["shard"] == "s1"), "{each:?}");

    for sql in [
        "SELECT random() FROM customers",
        "SELECT count(*) FROM pg_class",
        "UPDATE customers SET full_name = 'Eve' WHERE country = 'CH'",
    ] {
        for arguments in [&["query", sql][..], &["query", "--explain", sql]] {
            let refused = shardctl.run(arguments).await;
            assert_eq!((refused.code, refused.out.as_str()), (4, ""), "{refused:?}");
            assert!(!refused.err.is_empty(), "{refused:?}");
        }
    }

    // What each value is as text, PostgreSQL itself says (by a cast an inet has its mask always).
    let values = [
        "interval '1 year 2 mons -3 days 04:05:06.789'",
        "interval '-14 mons 1 day -0.000001 s'",
        "time with time zone '12:34:56.7-03:30'",
        "inet '10.0.0.1/24'",
        "inet '::ffff:10.0.0.1'",
        "cidr '2001:db8::/32'",
        "macaddr '08:00:2b:01:02:03'",
        "bit varying '1011010101'",
    ];
    for value in values {
        let sql = format!("SELECT {value} AS a, format('%s', {value}) AS b");
        let shown = rows(&shardctl.run(&["--output=json", "query", &sql]).await);
        assert_eq!(shown[0]["a"], shown[0]["b"], "{value}");
    }

    // On a terminal something moves meanwhile.
    let slow = "SELECT count(*) AS n FROM customers, generate_series(1, 200000) g";
    let seen = shardctl
        .answer("", &[("TERM", "xterm")], &["--output=json", "query", slow])
        .await;
    assert_eq!(
        seen.json()[0]["n"],
        json!(CUSTOMERS as u64 * 200_000),
        "{seen:?}"
    );
    assert!(seen.err.contains("asking the shards"), "{seen:?}");
    cluster.close().await;
}
