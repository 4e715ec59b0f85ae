//! `shardctl replication verify`, `plan`, `apply`, `slots`: what is wrong is named, and mended.

use serde_json::Value;

use crate::support::operated::Operated;
use crate::support::superuser;

fn problems(rows: &Value, node: &str) -> String {
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["node"] == node);
    row.unwrap()["problems"].as_str().unwrap().to_owned()
}

async fn set(bank: &Operated, node: &str, setting: &str) {
    let session = superuser(&bank.shard.local, node).await;
    let sql = format!("ALTER SYSTEM SET {setting}");
    session.batch_execute(&sql).await.unwrap();
    session
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
}

/// Verifies until a node has a problem with these words, or none if there are none.
async fn until(bank: &Operated, node: &str, words: &str) -> Value {
    let mut seen = Value::Null;
    for _ in 0..200 {
        let ran = bank.run(&["replication", "verify"]).await;
        seen = ran.json();
        let found = problems(&seen, node);
        if found.is_empty() == words.is_empty() && found.contains(words) {
            return seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{node} never had {words:?}: {seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_and_mended() {
    let bank = Operated::start(1).await;
    let ran = bank.run(&["replication", "verify", "s0"]).await;
    let rows = bank.done(&ran);
    assert_eq!(rows[0]["role"], "primary");
    assert_eq!(rows[1]["source"], "s0a");
    assert_eq!(rows[1]["state"], "streaming");
    assert_eq!(rows[1]["slot"], "s0b");
    assert_eq!(bank.run(&["replication", "verify", "s9"]).await.code, 2);

    // A slot that nobody reads from, without a limit.
    let primary = superuser(&bank.shard.local, "s0a").await;
    let slot = "SELECT pg_create_physical_replication_slot('old', true)";
    primary.batch_execute(slot).await.unwrap();
    set(&bank, "s0a", "max_slot_wal_keep_size = -1").await;
    until(&bank, "s0a", "slot old is inactive").await;
    until(&bank, "s0a", "fills the disk").await;
    let slots = bank.done(&bank.run(&["replication", "slots"]).await);
    assert_eq!(slots[0]["slot"], "old");
    assert_eq!(slots[0]["reader"], Value::Null);
    assert_eq!(slots[1]["reader"], "s0b");
    let active = bank
        .run(&["replication", "drop-slot", "s0a", "s0b", "--yes"])
        .await;
    assert_eq!(active.code, 4, "{active:?}");
    let none = bank
        .run(&["replication", "drop-slot", "s0a", "new", "--yes"])
        .await;
    assert_eq!(none.code, 4, "{none:?}");
    let drop = ["replication", "drop-slot", "s0a", "old", "--yes"];
    bank.done(&bank.run(&drop).await);

    // The plan finds the rest.
    let plan = bank.run(&["replication", "plan", "s0"]).await;
    assert_eq!(plan.code, 1, "{plan:?}");
    let text = plan.json()[0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "ALTER SYSTEM SET max_slot_wal_keep_size = '10240MB'");
    let asked = bank.run(&["replication", "apply", "s0"]).await;
    assert_eq!(asked.code, 4, "nobody to ask: {asked:?}");
    bank.done(&bank.run(&["replication", "apply", "s0", "--yes"]).await);
    until(&bank, "s0a", "").await;

    // More standbys than there are would stop every COMMIT.
    let apply = |who| ["replication", "apply", "s0", "--yes", "--synchronous", who];
    let many = bank.run(&apply("any:2")).await;
    assert_eq!(many.code, 4, "{many:?}");
    bank.done(&bank.run(&apply("any:1")).await);
    let names = "current_setting('synchronous_standby_names')";
    assert_eq!(bank.ask("s0a", names).await, "ANY 1 (\"s0b\")");
    bank.shard.local.kill("s0b").await.unwrap();
    let rows = until(&bank, "s0a", "every COMMIT waits").await;
    assert!(problems(&rows, "s0b").contains("does not answer"), "{rows}");
    bank.shard.local.start_node("s0b").await.unwrap();
    until(&bank, "s0a", "").await;
    bank.done(&bank.run(&apply("off")).await);
    assert_eq!(bank.ask("s0a", names).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_and_a_standby_left_behind_are_mended() {
    let bank = Operated::start(1).await;
    set(&bank, "s0a", "max_slot_wal_keep_size = '1MB'").await;
    set(&bank, "s0a", "wal_keep_size = 0").await;
    bank.shard.local.kill("s0b").await.unwrap();
    let primary = superuser(&bank.shard.local, "s0a").await;
    for _ in 0..8 {
        let fill = "CREATE TABLE filler AS SELECT repeat('x', 100) FROM generate_series(1, 20000);
                    DROP TABLE filler; SELECT pg_switch_wal(); CHECKPOINT";
        for statement in fill.split(';') {
            primary.batch_execute(statement).await.unwrap();
        }
    }
    let rows = until(&bank, "s0a", "slot s0b is lost").await;
    assert!(problems(&rows, "s0a").contains("rejoin --fresh"), "{rows}");
    bank.shard.local.start_node("s0b").await.unwrap();
    until(&bank, "s0b", "streams from nobody").await;

    // It has nothing of its own, but cannot follow any more.
    let ran = bank.run(&["rejoin", "s0b", "--fresh", "--yes"]).await;
    assert_eq!(bank.done(&ran)[0]["how"], "copied");
    until(&bank, "s0b", "").await;
    until(&bank, "s0a", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_any_of_it_gets_it() {
    let bank = Operated::start(1).await;
    bank.shard.local.kill("s0b").await.unwrap();
    let primary = superuser(&bank.shard.local, "s0a").await;
    let drop = "SELECT pg_drop_replication_slot('s0b')";
    primary.batch_execute(drop).await.unwrap();
    primary.batch_execute("DROP ROLE replicator").await.unwrap();
    let none = bank.run(&["replication", "apply", "s0", "--yes"]).await;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("role replicator"), "{none:?}");

    // The password that the standby's machine has.
    let pass = bank
        .shard
        .local
        .node("s0b")
        .unwrap()
        .data_dir()
        .join("../passfile");
    let pass = std::fs::read_to_string(&pass).unwrap_or_else(|_| {
        let dir = bank.shard.local.dir().join("secrets/replicator");
        format!(
            "127.0.0.1:*:*:replicator:{}",
            std::fs::read_to_string(dir).unwrap()
        )
    });
    let line = pass
        .lines()
        .find(|line| line.contains(":replicator:"))
        .unwrap();
    let file = bank.shardctl.dir().join("replicator");
    std::fs::write(&file, line.rsplit(':').next().unwrap()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let apply = [
        "replication",
        "apply",
        "s0",
        "--yes",
        "--replication-password-file",
        "replicator",
    ];
    let ran = bank.run(&apply).await;
    assert!(ran.code <= 1, "{ran:?}");
    assert!(!ran.out.contains("SCRAM"), "a verifier is shown: {ran:?}");
    bank.shard.local.start_node("s0b").await.unwrap();
    until(&bank, "s0b", "").await;
    let again = bank.run(&apply).await;
    assert_eq!(bank.done(&again), Value::Array(vec![]), "it is idempotent");
}
