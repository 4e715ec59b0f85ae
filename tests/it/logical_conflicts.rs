//! `shardctl logical`: what stops a subscription is shown row by row, mended or left out, and never twice the same.

use serde_json::Value;

use crate::support::linked::{Ends, count, fill};
use crate::support::superuser;

const SAME: &str = "00000000-0000-0000-0000-000000000001";
const OTHER: &str = "00000000-0000-0000-0000-000000000002";

fn insert(key: &str, name: &str) -> String {
    format!(
        "INSERT INTO customers VALUES ('{key}', '{name}', 'a@b.com', 'GB', 'active', '2026-01-01 12:00+00')"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_shown_row_by_row_and_mended() {
    let ends = Ends::start().await;
    let shard = superuser(&ends.local, "s0a").await;
    // Any key will do here.
    shard
        .batch_execute("ALTER TABLE customers DROP CONSTRAINT pgshard_placement")
        .await
        .unwrap();
    fill(&shard, 50, "true").await;
    let tables = ["--from", "s0", "--to", ends.to.as_str(), "--table"];
    let create = [&tables[..], &["customers"]].concat();
    let created = ends.create("reports", &create).await;
    assert_eq!(created.code, 0, "{created:?}");
    let caught_up = async || ends.on(&["wait", "reports", "--wait", "60s"]).await;
    assert_eq!(caught_up().await.code, 0);
    let ran = ends.on(&["conflicts", "reports"]).await;
    Ends::refused(&ran, "is enabled");
    let ran = ends.on(&["conflicts", "none"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");

    // One transaction with a row that is there already, as it is; one that is another; a row that is missing; and
    // one that only the subscriber's constraint refuses. And one good transaction before it, and one after.
    let planted = [insert(SAME, "Same"), insert(OTHER, "Theirs")].join(";");
    let constraint =
        "ALTER TABLE customers ADD CONSTRAINT european CHECK (country <> 'US') NOT VALID";
    ends.other
        .batch_execute(&format!(
            "{planted}; {constraint}; DELETE FROM customers WHERE customer_id IN
               (SELECT customer_id FROM customers WHERE full_name = 'Ada' ORDER BY customer_id LIMIT 1)"
        ))
        .await
        .unwrap();
    let all = [
        "UPDATE customers SET country = 'FR' WHERE full_name = 'Ada'".to_owned(),
        insert(SAME, "Same"),
        insert(OTHER, "Ours"),
        "INSERT INTO customers VALUES (gen_random_uuid(), 'Bob', 'b@b.com', 'US')".to_owned(),
    ]
    .join(";");
    fill(&shard, 5, "true").await;
    shard
        .batch_execute(&format!("BEGIN; {all}; COMMIT"))
        .await
        .unwrap();
    fill(&shard, 7, "true").await;
    Ends::refused(&caught_up().await, "is disabled");
    let ran = ends.on(&["status"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "shardctl logical conflicts reports";
    assert!(ran.json()[0]["problems"].as_str().unwrap().contains(told));

    let before = count(&ends.other).await;
    let ran = ends.on(&["conflicts", "reports", "--rows"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let Value::Array(found) = ran.json() else {
        panic!("{ran:?}");
    };
    let of = |column: &'static str, value: &'static str| -> Vec<&Value> {
        found.iter().filter(|row| row[column] == value).collect()
    };
    assert_eq!(found.len(), 4, "{ran:?}");
    let missing = of("change", "UPDATE");
    assert_eq!(missing.len(), 1, "{ran:?}");
    assert_eq!(missing[0]["stops"], false);
    let keyed = |key: &str| {
        let mut rows = found.iter().filter(|row| row["key"]["customer_id"] == key);
        rows.next().unwrap()
    };
    let same = keyed(SAME);
    assert!(
        same["remedy"]
            .as_str()
            .unwrap()
            .starts_with("the very same row is there already: DELETE FROM")
    );
    let other = keyed(OTHER);
    assert_eq!(other["arriving"]["full_name"], "Ours");
    assert_eq!(other["present"]["full_name"], "Theirs");
    assert_eq!(other["stops"], true);
    assert!(other["reason"].as_str().unwrap().contains("customers_pkey"));
    let american = of("change", "INSERT")
        .into_iter()
        .find(|row| row["arriving"]["country"] == "US");
    assert!(
        american.unwrap()["remedy"]
            .as_str()
            .unwrap()
            .contains("european")
    );
    assert_eq!(
        count(&ends.other).await,
        before,
        "a rehearsal changes nothing"
    );
    let ran = ends.on(&["resume", "reports", "--yes"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");

    // As the remedies say.
    let delete = |row: &Value| {
        let remedy = row["remedy"].as_str().unwrap();
        let from = remedy.find("DELETE").unwrap();
        remedy[from..].split(';').next().unwrap().to_owned()
    };
    for statement in [
        delete(same),
        delete(other),
        "ALTER TABLE customers DROP CONSTRAINT european".to_owned(),
    ] {
        ends.other.batch_execute(&statement).await.unwrap();
    }
    let ran = ends.on(&["resume", "reports", "--dry-run"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = ends.on(&["resume", "reports", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    // From PostgreSQL 18 on, servers count what found no row.
    let ran = caught_up().await;
    let problems = ran.json()[0]["problems"].as_str().unwrap().to_owned();
    assert!(
        problems.is_empty() || problems.contains("found no row"),
        "{ran:?}"
    );
    // One row was deleted on the subscriber, of another the name is changed, and one is its own.
    assert_eq!(count(&ends.other).await, count(&shard).await - 1);
    let own = "00000000-0000-0000-0000-000000000003";
    let rename = format!("UPDATE customers SET full_name = 'Other' WHERE customer_id = '{OTHER}'");
    ends.other
        .batch_execute(&format!("{rename}; {}", insert(own, "Own")))
        .await
        .unwrap();
    let ran = ends.on(&["compare", "reports"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let Value::Array(found) = ran.json() else {
        panic!("{ran:?}");
    };
    assert_eq!(found.len(), 3, "{ran:?}");
    for row in &found {
        match row["key"]["customer_id"].as_str().unwrap() {
            OTHER => {
                assert_eq!(row["published"], serde_json::json!({"full_name": "Ours"}));
                assert_eq!(row["subscribed"], serde_json::json!({"full_name": "Other"}));
            }
            key if key == own => assert!(row["published"].is_null(), "{row}"),
            _ => assert!(
                row["subscribed"].is_null() && !row["published"].is_null(),
                "{row}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_transaction_is_left_out_and_no_other() {
    let ends = Ends::start().await;
    let shard = superuser(&ends.local, "s0a").await;
    shard
        .batch_execute("ALTER TABLE customers DROP CONSTRAINT pgshard_placement")
        .await
        .unwrap();
    let create = [
        "--from",
        "s0",
        "--to",
        ends.to.as_str(),
        "--table",
        "customers",
    ];
    let created = ends.create("reports", &create).await;
    assert_eq!(created.code, 0, "{created:?}");
    let caught_up = async || ends.on(&["wait", "reports", "--wait", "60s"]).await;
    assert_eq!(caught_up().await.code, 0);
    let planted = [insert(SAME, "Own"), insert(OTHER, "Own")].join(";");
    ends.other.batch_execute(&planted).await.unwrap();
    fill(&shard, 3, "true").await;
    for key in [SAME, OTHER] {
        shard
            .batch_execute(&format!("BEGIN; {}", insert(key, "Shards")))
            .await
            .unwrap();
        fill(&shard, 2, "true").await;
        shard.batch_execute("COMMIT").await.unwrap();
    }
    fill(&shard, 4, "true").await;
    Ends::refused(&caught_up().await, "is disabled");
    assert_eq!(count(&ends.other).await, 5);

    let ran = ends.on(&["skip", "reports", "--dry-run"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["changes"]["public.customers"], 3, "{ran:?}");
    // The first is left out, and then the second one stops it.
    let ran = ends.on(&["skip", "reports", "--yes"]).await;
    assert!(matches!(ran.code, 0 | 4), "{ran:?}");
    Ends::refused(&caught_up().await, "is disabled");
    let ran = ends.on(&["conflicts", "reports"]).await;
    assert_eq!(ran.json()[0]["key"]["customer_id"], OTHER, "{ran:?}");
    let ran = ends.on(&["skip", "reports", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(caught_up().await.code, 0);
    // Its own two, and what was not in the two transactions.
    assert_eq!(count(&ends.other).await, 2 + 3 + 4);
    let delete =
        format!("DELETE FROM customers WHERE customer_id IN ('{SAME}', '{OTHER}') RETURNING 1");
    ends.other.query(&delete, &[]).await.unwrap();
    shard.query(&delete, &[]).await.unwrap();
    let rest = "DELETE FROM customers WHERE ctid NOT IN (SELECT ctid FROM customers ORDER BY ctid LIMIT 3) RETURNING 1";
    shard.query(rest, &[]).await.unwrap();
    let ran = ends.on(&["compare", "reports"]).await;
    assert_eq!((ran.code, ran.json()), (0, Value::Array(vec![])), "{ran:?}");
    let disable = "ALTER SUBSCRIPTION reports DISABLE";
    ends.other.batch_execute(disable).await.unwrap();
    let ran = ends.on(&["conflicts", "reports"]).await;
    assert_eq!((ran.code, ran.json()), (0, Value::Array(vec![])), "{ran:?}");
    let ran = ends.on(&["skip", "reports", "--yes"]).await;
    assert_eq!(ran.code, 4, "nothing is left out for nothing: {ran:?}");
}
