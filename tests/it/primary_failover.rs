//! `shardctl failover` and `rejoin`: the most advanced standby takes over, and the old primary returns.

use crate::support::operated::Operated;

const STANDBY: &str = "pg_is_in_recovery()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_advanced_standby_takes_over() {
    let bank = Operated::start(2).await;
    let mut written = vec![bank.shard.write().await.unwrap()];
    bank.customers("s0a", "s0c").await;
    bank.shard.local.kill("s0c").await.unwrap();
    written.push(bank.shard.write().await.unwrap());
    bank.customers("s0a", "s0b").await;

    let lives = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(lives.code, 4, "{lives:?}");
    bank.shard.local.kill("s0a").await.unwrap();
    let unknown = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.err.contains("--without s0c"), "{unknown:?}");
    bank.shard.local.start_node("s0c").await.unwrap();
    let behind = bank.run(&["failover", "s0", "--to", "s0c", "--yes"]).await;
    assert_eq!(behind.code, 4, "{behind:?}");
    assert!(behind.err.contains("s0b has more of the log"), "{behind:?}");

    let ran = bank.run(&["failover", "s0", "--yes"]).await;
    let row = &bank.done(&ran)[0];
    assert_eq!(row["primary"], "s0b");
    assert_eq!(row["streaming"], serde_json::json!(["s0c"]));
    bank.shard.until_primary(1).await;
    written.push(bank.shard.write().await.unwrap());

    // Whoever starts it, it takes no writes.
    bank.shard.local.start_node("s0a").await.unwrap();
    assert_eq!(bank.ask("s0a", STANDBY).await, "true");
    let ran = bank.run(&["rejoin", "s0a", "--yes"]).await;
    let row = &bank.done(&ran)[0];
    assert_eq!(row["how"], "rewound");
    println!("rejoined in {} s", row["seconds"]);
    written.sort_unstable();
    for node in ["s0a", "s0b", "s0c"] {
        assert_eq!(bank.customers("s0b", node).await, written, "{node}");
    }
    let again = bank.run(&["rejoin", "s0a", "--yes"]).await;
    assert_eq!(again.code, 4, "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_not_dead() {
    let bank = Operated::start(1).await;
    bank.shard.local.pause("s0a").await.unwrap();
    let hangs = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(hangs.code, 4, "{hangs:?}");
    assert!(hangs.err.contains("--kill"), "{hangs:?}");
    bank.shard.local.resume("s0a").await.unwrap();
    assert_eq!(bank.ask("s0b", STANDBY).await, "true");

    bank.shard.local.kill("s0a").await.unwrap();
    let failed = bank
        .run(&["failover", "s0", "--yes", "--fence-command", "false"])
        .await;
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.err.contains("it is not fenced"), "{failed:?}");
    assert_eq!(bank.ask("s0b", STANDBY).await, "true");
    let given_up = bank.run(&["failover", "s0", "--undo"]).await;
    assert_eq!(given_up.code, 0, "{given_up:?}");

    let fenced = bank
        .run(&["failover", "s0", "--yes", "--fence-command", "test s0a ="])
        .await;
    assert_eq!(bank.done(&fenced)[0]["primary"], "s0b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_they_go_on() {
    let bank = Operated::start(2).await;
    let (mut primary, mut other) = ("s0a", "s0b");
    let mut written = Vec::new();
    let failovers = ["fence ran", "prepare ran", "promote ran", "follow s0c ran"];
    let rejoins = ["slot ran", "stop ran", "renew ran", "start ran"];
    for (failover, rejoin) in failovers.into_iter().zip(rejoins) {
        bank.shard.until_primary(u16::from(primary == "s0b")).await;
        written.push(bank.shard.write().await.unwrap());
        for node in ["s0a", "s0b", "s0c"] {
            bank.customers(primary, node).await;
        }
        bank.shard.local.kill(primary).await.unwrap();
        bank.killed_at(failover, &["failover", "s0", "--to", other, "--yes"])
            .await;
        let ran = bank.run(&["failover", "s0", "--resume"]).await;
        assert_eq!(ran.code, 0, "{failover}: {ran:?}");
        assert_eq!(ran.json()[0]["primary"], other, "{failover}");
        bank.killed_at(rejoin, &["rejoin", primary, "--yes"]).await;
        let ran = bank.run(&["rejoin", primary, "--resume"]).await;
        assert_eq!(ran.code, 0, "{rejoin}: {ran:?}");
        (primary, other) = (other, primary);
    }
    written.sort_unstable();
    for node in ["s0a", "s0b", "s0c"] {
        assert_eq!(bank.customers(primary, node).await, written, "{node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_interrupted_is_made_again() {
    let bank = Operated::start(1).await;
    bank.shard.write().await.unwrap();
    bank.customers("s0a", "s0b").await;
    bank.shard.local.kill("s0a").await.unwrap();
    bank.done(&bank.run(&["failover", "s0", "--yes"]).await);
    bank.killed_at("renew ran", &["rejoin", "s0a", "--fresh", "--yes"])
        .await;
    let ran = bank.run(&["rejoin", "s0a", "--resume"]).await;
    assert_eq!(bank.done(&ran)[0]["how"], "copied");
    bank.shard.until_primary(1).await;
    bank.shard.write().await.unwrap();
    let rows = bank.customers("s0b", "s0b").await;
    assert_eq!(bank.customers("s0b", "s0a").await, rows);
    assert_eq!(rows.len(), 2);
}
