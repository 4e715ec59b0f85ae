//! `shardctl split-brain`: what was written on the wrong side is shown before a rejoin discards it.

use serde_json::Value;
use uuid::Uuid;

use crate::support::operated::Operated;
use crate::support::superuser;

async fn insert(bank: &Operated, node: &str) -> Uuid {
    let id = Uuid::new_v4();
    let session = superuser(&bank.shard.local, node).await;
    let insert = "INSERT INTO customers (customer_id, full_name, email, country)
                  VALUES ($1, 'Ada', $1::uuid || '@example.com', 'GB')";
    session.execute(insert, &[&id]).await.unwrap();
    id
}

async fn promote(bank: &Operated, node: &str) {
    let session = superuser(&bank.shard.local, node).await;
    session.batch_execute("SELECT pg_promote()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_wrong_side_are_listed_first() {
    let bank = Operated::start(1).await;
    let both = insert(&bank, "s0a").await;
    bank.customers("s0a", "s0b").await;
    let none = bank.run(&["split-brain", "s0"]).await;
    assert_eq!(bank.done(&none), Value::Array(vec![]));

    // The worst accident: a second primary, and clients on both.
    promote(&bank, "s0b").await;
    let right = insert(&bank, "s0b").await;
    let wrong = insert(&bank, "s0a").await;
    let session = superuser(&bank.shard.local, "s0a").await;
    let change = "UPDATE customers SET full_name = 'Eve' WHERE customer_id = $1";
    session.execute(change, &[&both]).await.unwrap();
    session
        .batch_execute("BEGIN; DELETE FROM customers; ROLLBACK")
        .await
        .unwrap();

    let contested = bank.run(&["split-brain", "s0"]).await;
    assert_eq!(contested.code, 4, "{contested:?}");
    assert!(contested.err.contains("--primary"), "{contested:?}");
    let shown = bank
        .run(&[
            "split-brain",
            "s0",
            "--primary",
            "s0b",
            "--rows",
            "lost.jsonl",
        ])
        .await;
    assert_eq!(shown.code, 1, "{shown:?}");
    let rows = shown.json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(rows[0]["node"], "s0a");
    assert_eq!(rows[0]["writable"], true);
    assert_eq!(rows[0]["commits"], 2);
    assert_eq!(rows[0]["table"], "public.customers");
    let counts = ["inserted", "updated", "deleted"].map(|name| rows[0][name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 0]);
    let lost = std::fs::read_to_string(bank.shardctl.dir().join("lost.jsonl")).unwrap();
    let mut lost: Vec<String> = lost
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["row"]["customer_id"].as_str().unwrap().to_owned())
        .collect();
    lost.sort_unstable();
    let mut expected = vec![both.to_string(), wrong.to_string()];
    expected.sort_unstable();
    assert_eq!(lost, expected);

    // Seen from the other side.
    let other = bank.run(&["split-brain", "s0", "--primary", "s0a"]).await;
    assert_eq!(other.json()[0]["node"], "s0b");
    assert_eq!(other.json()[0]["commits"], 1);

    let refused = bank.run(&["rejoin", "s0a", "--yes"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("2 transactions"), "{refused:?}");
    let ran = bank.run(&["rejoin", "s0a", "--discard", "--yes"]).await;
    assert_eq!(bank.done(&ran)[0]["how"], "rewound");
    let mut expected = vec![both, right];
    expected.sort_unstable();
    assert_eq!(bank.customers("s0b", "s0a").await, expected);
    let clean = bank.run(&["split-brain", "s0"]).await;
    assert_eq!(clean.code, 0, "{clean:?}");
}

/// What is not in plain commits: savepoints, prepared transactions, one that is longer than is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_wrong_side_is_overlooked() {
    let bank = Operated::start(1).await;
    let right = superuser(&bank.shard.local, "s0a").await;
    right
        .batch_execute("CREATE TABLE notes (t text, id int)")
        .await
        .unwrap();
    bank.customers("s0a", "s0b").await;
    promote(&bank, "s0b").await;
    let wrong = superuser(&bank.shard.local, "s0a").await;
    for sql in [
        "BEGIN; INSERT INTO notes VALUES ('prepared', 0); PREPARE TRANSACTION 'own'",
        "BEGIN; INSERT INTO notes VALUES ('undone', 1); PREPARE TRANSACTION 'gone'",
        "ROLLBACK PREPARED 'gone'",
    ] {
        for sql in sql.split("; ") {
            wrong.batch_execute(sql).await.unwrap();
        }
    }
    let refused = bank.run(&["rejoin", "s0a", "--yes"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.err.contains("prepared 1 transactions"),
        "{refused:?}"
    );

    wrong
        .batch_execute(
            "BEGIN; SAVEPOINT a; INSERT INTO notes VALUES ('x', 1); RELEASE a; INSERT INTO notes VALUES ('y', 2); COMMIT",
        )
        .await
        .unwrap();
    let split = [
        "split-brain",
        "s0",
        "--primary",
        "s0b",
        "--rows",
        "lost.jsonl",
    ];
    let shown = bank.run(&split).await;
    let rows = shown.json();
    assert_eq!(
        (&rows[0]["commits"], &rows[0]["prepared"]),
        (&1.into(), &1.into()),
        "{rows}"
    );
    let file = bank.shardctl.dir().join("lost.jsonl");
    let lost = std::fs::read_to_string(&file).unwrap();
    let lost: Vec<Value> = lost
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["row"].clone())
        .collect();
    let wanted = serde_json::json!([{"t": "x", "id": 1}, {"t": "y", "id": 2}]);
    assert_eq!(Value::Array(lost), wanted);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "they are customers' rows");

    // So long that its COMMIT is beyond what is read.
    wrong
        .batch_execute("ROLLBACK PREPARED 'own'")
        .await
        .unwrap();
    wrong
        .batch_execute("INSERT INTO notes SELECT 'z', generate_series(1, 210000)")
        .await
        .unwrap();
    let refused = bank.run(&["rejoin", "s0a", "--yes"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("more than can be read"), "{refused:?}");
    let ran = bank.run(&["rejoin", "s0a", "--discard", "--yes"]).await;
    bank.done(&ran);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_read_from_its_files() {
    let bank = Operated::start(1).await;
    bank.customers("s0a", "s0b").await;
    promote(&bank, "s0b").await;
    insert(&bank, "s0a").await;
    bank.shard.local.kill("s0a").await.unwrap();
    let shown = bank.run(&["split-brain", "s0"]).await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert_eq!(shown.json()[0]["commits"], 1);
    assert_eq!(shown.json()[0]["table"], "public.customers");
    assert_eq!(bank.run(&["rejoin", "s0a", "--yes"]).await.code, 4);
    let ran = bank.run(&["rejoin", "s0a", "--discard", "--yes"]).await;
    bank.done(&ran);
    assert!(bank.customers("s0b", "s0a").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_promoted_to_one_timeline_are_told_apart() {
    let bank = Operated::start(2).await;
    let both = insert(&bank, "s0a").await;
    for node in ["s0b", "s0c"] {
        bank.customers("s0a", node).await;
    }
    bank.shard.local.kill("s0a").await.unwrap();
    promote(&bank, "s0b").await;
    promote(&bank, "s0c").await;
    let right = insert(&bank, "s0b").await;
    insert(&bank, "s0c").await;
    let timeline = "left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    assert_eq!(bank.ask("s0b", timeline).await, "00000002");
    assert_eq!(bank.ask("s0c", timeline).await, "00000002");

    let shown = bank.run(&["split-brain", "s0", "--primary", "s0b"]).await;
    assert_eq!(shown.code, 1, "{shown:?}");
    let rows = shown.json();
    let wrong = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["node"] == "s0c");
    assert_eq!(wrong.expect("a row of s0c")["commits"], 1, "{rows}");

    // pg_rewind would see nothing to do, and leave its rows where they are.
    bank.shard.local.kill("s0c").await.unwrap();
    let refused = bank.run(&["rejoin", "s0c", "--yes"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    let ran = bank.run(&["rejoin", "s0c", "--discard", "--yes"]).await;
    assert_eq!(bank.done(&ran)[0]["how"], "copied");
    let mut expected = vec![both, right];
    expected.sort_unstable();
    assert_eq!(bank.customers("s0b", "s0c").await, expected);
    let ran = bank.run(&["rejoin", "s0a", "--yes"]).await;
    assert_eq!(bank.done(&ran)[0]["how"], "rewound");
    assert_eq!(bank.customers("s0b", "s0a").await, expected);
}
