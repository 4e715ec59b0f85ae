//! A disk full of log that a dead slot kept: seen before it is full, and mended after.

use pgshard::local::StopMode;
use serde_json::Value;

use crate::support::operated::Operated;
use crate::support::small_disk::SmallDisk;
use crate::support::superuser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_dead_slot() {
    let bank = Operated::start(0).await;
    let written = bank.shard.write().await.unwrap();
    let data = bank.shard.local.node("s0a").unwrap().data_dir();
    bank.shard.local.stop("s0a", StopMode::Fast).await.unwrap();
    let Some(disk) = SmallDisk::under(&data.join("pg_wal"), 64 << 20) else {
        return;
    };
    bank.shard.local.start_node("s0a").await.unwrap();
    let primary = superuser(&bank.shard.local, "s0a").await;
    for sql in [
        "ALTER SYSTEM SET max_slot_wal_keep_size = -1",
        "ALTER SYSTEM SET wal_keep_size = 0",
        "SELECT pg_reload_conf()",
        "SELECT pg_create_physical_replication_slot('dead', true)",
        "CREATE TABLE filler (text text)",
    ] {
        primary.batch_execute(sql).await.unwrap();
    }
    let fill = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 2000)";
    for _ in 0..8 {
        primary.batch_execute(fill).await.unwrap();
        primary.batch_execute("CHECKPOINT").await.unwrap();
    }

    // Seen before it is full.
    let seen = bank
        .run(&["replication", "verify", "--retained", "10000000"])
        .await;
    assert_eq!(seen.code, 1, "{seen:?}");
    let problems = seen.json()[0]["problems"].as_str().unwrap().to_owned();
    assert!(problems.contains("slot dead keeps"), "{problems}");
    assert!(problems.contains("drop it"), "{problems}");
    assert!(
        problems.contains("max_slot_wal_keep_size = -1"),
        "{problems}"
    );

    disk.fill();
    for _ in 0..100 {
        if primary.batch_execute(fill).await.is_err() {
            break;
        }
    }
    let gone = bank.run(&["replication", "verify"]).await;
    assert_eq!(gone.code, 1, "{gone:?}");

    // The runbook: room first (a reserve, a larger disk), then the slot.
    bank.shard.local.kill("s0a").await.unwrap();
    disk.empty();
    bank.shard.local.start_node("s0a").await.unwrap();
    let drop = ["replication", "drop-slot", "s0a", "dead", "--yes"];
    assert_eq!(bank.run(&drop).await.code, 0);
    let apply = bank.run(&["replication", "apply", "s0", "--yes"]).await;
    assert_eq!(apply.code, 0, "{apply:?}");
    let size = "SELECT sum(size) FROM pg_ls_waldir()";
    let before: u64 = bank.ask("s0a", size).await.parse().unwrap();
    for _ in 0..3 {
        bank.ask("s0a", "pg_switch_wal()").await;
        let primary = superuser(&bank.shard.local, "s0a").await;
        primary.batch_execute("CHECKPOINT").await.unwrap();
    }
    let after: u64 = bank.ask("s0a", size).await.parse().unwrap();
    assert!(after < before, "{before} bytes of log, then {after}");
    let healthy = bank.run(&["replication", "verify"]).await;
    assert_eq!(bank.done(&healthy)[0]["problems"], Value::from(""));
    assert!(bank.shard.customers("s0a").await.contains(&written));
    // The disk is unmounted before the cluster's directory goes.
    bank.shard.local.kill("s0a").await.unwrap();
}
