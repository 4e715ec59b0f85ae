//! `shardctl logical`: tables are copied and followed, and what cannot work is refused.

use serde_json::Value;

use crate::support::linked::{Ends, count, fill};
use crate::support::superuser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_copied_and_followed() {
    let ends = Ends::start().await;
    let shard = superuser(&ends.local, "s0a").await;
    let mine = "pgshard.bucket(id) % 2 = 0";
    fill(&shard, 400, mine).await;

    // What cannot work.
    let both = ["--from", "s0", "--to", ends.to.as_str(), "--table"];
    let with = |table: &'static str| [&both[..], &[table]].concat();
    Ends::refused(&ends.create("r", &with("transactions")).await, "no table");
    Ends::refused(&ends.create("r", &with("nothing")).await, "no table");
    let same = ends
        .create(
            "r",
            &["--from", "s0", "--to", "s0", "--table", "currencies"],
        )
        .await;
    Ends::refused(&same, "same database");
    let foreign = [
        "--from",
        "s0",
        "--to",
        "s1",
        "--all-tables",
        "--buckets",
        "0-7",
    ];
    Ends::refused(
        &ends.create("r", &foreign).await,
        "bucket 0 does not belong",
    );
    let bad = ends.create("Reports!", &with("customers")).await;
    assert_eq!(bad.code, 2, "{bad:?}");
    shard
        .batch_execute("CREATE TABLE keyless (id int)")
        .await
        .unwrap();
    Ends::refused(
        &ends.create("r", &with("keyless")).await,
        "REPLICA IDENTITY",
    );
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots)";
    let nothing = async || shard.query_one(left, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(nothing().await, 0, "refused, and yet changed");
    // The subscriber has no password: what was made on the publisher is taken back.
    let arguments = [&["create", "r", "--yes"], &with("customers")[..]].concat();
    let failed = ends.run(&arguments).await;
    assert_eq!(failed.code, 3, "{failed:?}");
    assert_eq!(nothing().await, 0, "left behind");

    let created = ends.create("reports", &with("customers")).await;
    assert_eq!(created.code, 0, "{created:?}");
    let caught_up = async || ends.on(&["wait", "reports", "--wait", "60s"]).await;
    let ran = caught_up().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(count(&ends.other).await, count(&shard).await);
    let again = [&with("customers")[..], &["--allow-rows"]].concat();
    let again = ends.create("reports", &again).await;
    assert_eq!(again.json(), Value::Array(vec![]), "it is idempotent");

    fill(&shard, 100, mine).await;
    shard
        .batch_execute("UPDATE customers SET country = 'FR'")
        .await
        .unwrap();
    assert_eq!(caught_up().await.code, 0);
    let french = "SELECT count(*) FROM customers WHERE country = 'FR'";
    let french: i64 = ends.other.query_one(french, &[]).await.unwrap().get(0);
    assert_eq!(french, count(&shard).await);

    // Its slot is gone, as after a failover.
    ends.other
        .batch_execute("ALTER SUBSCRIPTION reports DISABLE")
        .await
        .unwrap();
    for _ in 0..100 {
        let drop = "SELECT pg_drop_replication_slot('reports')";
        if shard.batch_execute(drop).await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let ran = ends.on(&["status"]).await;
    assert!(
        ran.json()[0]["problems"]
            .as_str()
            .unwrap()
            .contains("has no slot")
    );
    let ran = ends.on(&["drop", "reports", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ends.on(&["status"]).await.json(), Value::Array(vec![]));
    assert_eq!(nothing().await, 0, "dropped, and yet there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_takes_its_own_rows_of_an_undivided_database() {
    let ends = Ends::start().await;
    fill(&ends.other, 300, "true").await;
    let from = ["--from", ends.to.as_str(), "--to", "s0"];
    let create = [&from[..], &["--table", "customers"]].concat();
    Ends::refused(&ends.create("import", &create).await, "--rows-of s0");
    // The publisher's server has the role, and the subscriber's the password.
    let ran = ends
        .create("import", &[&create[..], &["--rows-of", "s0"]].concat())
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    fill(&ends.other, 100, "true").await;
    let wait = [&["wait", "import", "--wait", "60s"], &from[..]].concat();
    let ran = ends.run(&wait).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let shard = superuser(&ends.local, "s0a").await;
    let got = count(&shard).await;
    assert!((100..300).contains(&got), "{got} of 400");
    let ran = ends
        .run(&[&["drop", "import", "--yes"], &from[..]].concat())
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(count(&shard).await, got, "the rows stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_during_the_copy_leaves_nothing() {
    let ends = Ends::start().await;
    let shard = superuser(&ends.local, "s0a").await;
    fill(&shard, 400, "pgshard.bucket(id) % 2 = 0").await;
    ends.other
        .batch_execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN PERFORM pg_sleep(1); RETURN new; END';
             CREATE TRIGGER slow BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION slow();
             ALTER TABLE customers ENABLE ALWAYS TRIGGER slow",
        )
        .await
        .unwrap();
    let table = [
        "--from",
        "s0",
        "--to",
        ends.to.as_str(),
        "--table",
        "customers",
    ];
    let created = ends.create("reports", &table).await;
    assert_eq!(created.code, 0, "{created:?}");
    let slots = async || {
        let sql = "SELECT count(*) FROM pg_replication_slots";
        shard.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let copying = async {
        while slots().await < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, copying)
        .await
        .expect("a copy with a slot of its own");
    let ran = ends.on(&["drop", "reports", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(slots().await, 0, "a slot that nobody reads keeps the log");
}
