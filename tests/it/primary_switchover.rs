//! `shardctl switchover`: nothing is lost, and whatever interrupts it, it goes on or back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgshard::local::{NodeState, StopMode};

use crate::support::operated::Operated;
use crate::support::superuser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_load_nothing_is_lost() {
    let bank = Arc::new(Operated::start(2).await);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (bank, stop) = (bank.clone(), stop.clone());
        async move {
            let mut written = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match bank.shard.write().await {
                    Ok(customer) => written.push(customer),
                    // What is not known to be written may be: it is not counted.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
            written
        }
    });
    let names = "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (s0b, s0c)'";
    let session = superuser(&bank.shard.local, "s0a").await;
    session.batch_execute(names).await.unwrap();
    session
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();

    let shown = bank.done(
        &bank
            .run(&["switchover", "s0", "--to", "s0b", "--dry-run"])
            .await,
    );
    let steps: Vec<&str> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        steps[2..4],
        ["make the old primary a standby", "stop the old primary"]
    );
    assert_eq!(bank.ask("s0a", "pg_is_in_recovery()").await, "false");

    let refused = bank.run(&["switchover", "s0", "--to", "s0b"]).await;
    assert_eq!(refused.code, 4, "nobody to ask: {refused:?}");

    let ran = bank
        .run(&["switchover", "s0", "--to", "s0b", "--yes"])
        .await;
    let row = &bank.done(&ran)[0];
    assert_eq!(row["primary"], "s0b");
    assert_eq!(row["timeline"], 2);
    assert_eq!(row["streaming"], serde_json::json!(["s0c", "s0a"]));
    println!("no server took writes for {} s", row["gap_seconds"]);
    let names = bank
        .ask("s0b", "current_setting('synchronous_standby_names')")
        .await;
    assert_eq!(names, "ANY 1 (\"s0a\", \"s0c\")", "the promise is kept");
    let slots = bank
        .ask("s0a", "SELECT count(*) FROM pg_replication_slots")
        .await;
    assert_eq!(
        slots, "0",
        "an old primary's slots would keep its log for ever"
    );

    bank.shard.until_primary(1).await;
    // And back.
    let ran = bank
        .run(&["switchover", "s0", "--to", "s0a", "--yes"])
        .await;
    assert_eq!(bank.done(&ran)[0]["timeline"], 3);
    bank.shard.until_primary(0).await;
    stop.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert!(!written.is_empty());
    for node in ["s0a", "s0b", "s0c"] {
        let rows = bank.customers("s0a", node).await;
        let lost: Vec<_> = written.iter().filter(|id| !rows.contains(id)).collect();
        assert!(lost.is_empty(), "{node} lacks {lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_does_not_catch_up_gives_it_back() {
    let bank = Operated::start(1).await;
    let session = superuser(&bank.shard.local, "s0b").await;
    session
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    bank.shard.write().await.unwrap();

    let small = bank
        .run(&["switchover", "s0", "--max-lag", "0", "--to", "s0b", "--yes"])
        .await;
    assert_eq!(small.code, 4, "{small:?}");
    assert!(small.err.contains("bytes behind"), "{small:?}");

    let ran = bank
        .run(&["switchover", "s0", "--wait", "1s", "--yes"])
        .await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("started again as the primary"), "{ran:?}");
    assert_eq!(bank.ask("s0a", "pg_is_in_recovery()").await, "false");
    assert_eq!(bank.ask("s0b", "pg_is_in_recovery()").await, "true");
    let journals = bank.run(&["journal", "list"]).await;
    assert_eq!(journals.code, 0, "{journals:?}");
    session
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    bank.shard.until_primary(0).await;
    bank.shard.write().await.unwrap();
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    while bank.ask("s0a", streaming).await != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bank.done(&bank.run(&["switchover", "s0", "--yes"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_it_goes_on() {
    let bank = Operated::start(2).await;
    let mut written = Vec::new();
    let (mut from, mut to) = ("s0a", "s0b");
    let points = [
        "prepare ran",
        "point ran",
        "make the old primary a standby ran",
        "stop the old primary begun",
        "stop the old primary ran",
        "wait ran",
        "promote begun",
        "promote ran",
        "start ran",
        "follow s0c ran",
        "tidy ran",
    ];
    for point in points {
        bank.shard.until_primary(u16::from(from == "s0b")).await;
        written.push(bank.shard.write().await.unwrap());
        let switchover = ["switchover", "s0", "--to", to, "--yes"];
        bank.killed_at(point, &switchover).await;
        let other = bank.run(&switchover).await;
        assert_ne!(other.code, 0, "{point}: a second one began beside it");
        let ran = bank.run(&["switchover", "s0", "--resume"]).await;
        assert_eq!(ran.code, 0, "{point}: {ran:?}");
        assert_eq!(ran.json()[0]["primary"], to);
        (from, to) = (to, from);
    }
    for node in ["s0a", "s0b", "s0c"] {
        let mut rows = bank.customers(from, node).await;
        written.sort_unstable();
        rows.sort_unstable();
        assert_eq!(rows, written, "{node}");
    }
    // The launcher knows the servers that it did not start itself.
    let local = &bank.shard.local;
    for node in ["s0a", "s0b"] {
        assert_eq!(local.node(node).unwrap().state(), NodeState::Running);
        assert!(local.start_node(node).await.is_err(), "it runs already");
        local.stop(node, StopMode::Fast).await.unwrap();
        assert_eq!(local.node(node).unwrap().state(), NodeState::Down);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_the_promotion_it_can_be_undone() {
    let bank = Operated::start(1).await;
    for point in [
        "prepare ran",
        "point ran",
        "make the old primary a standby ran",
        "stop the old primary ran",
        "wait ran",
    ] {
        bank.killed_at(point, &["switchover", "s0", "--yes"]).await;
        let ran = bank.run(&["switchover", "s0", "--undo"]).await;
        assert_eq!(ran.code, 0, "{point}: {ran:?}");
        assert_eq!(bank.ask("s0a", "pg_is_in_recovery()").await, "false");
        assert_eq!(
            bank.ask("s0a", "current_setting('primary_conninfo')").await,
            "",
            "{point}"
        );
        let slots = "SELECT count(*) FROM pg_replication_slots";
        assert_eq!(bank.ask("s0b", slots).await, "0", "{point}");
        bank.shard.until_primary(0).await;
        bank.shard.write().await.unwrap();
        bank.shard
            .until("a replica", |view| view.nodes[1].readable)
            .await;
    }
    bank.killed_at("promote begun", &["switchover", "s0", "--yes"])
        .await;
    let ran = bank.run(&["switchover", "s0", "--undo"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    bank.done(&bank.run(&["switchover", "s0", "--resume"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_before_anything_is_changed() {
    let bank = Operated::start(1).await;
    let hosts = bank.shardctl.dir().join("hosts.toml");
    let good = std::fs::read_to_string(&hosts).unwrap();
    let refused = async |arguments: &[&str], code: i32, text: &str| {
        let ran = bank.run(arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(text), "{arguments:?}: {ran:?}");
        assert_eq!(bank.ask("s0a", "pg_is_in_recovery()").await, "false");
        let slots = "SELECT count(*) FROM pg_replication_slots";
        assert_eq!(bank.ask("s0b", slots).await, "0", "{arguments:?}");
    };
    let yes = |to| ["switchover", "s0", "--yes", "--to", to];
    refused(&["switchover", "s7", "--yes"], 2, "no shard s7").await;
    refused(&yes("s0a"), 4, "the primary already").await;
    refused(&yes("s9z"), 2, "no node").await;
    refused(&["rejoin", "s0b", "--yes"], 4, "streams from s0a already").await;
    refused(&["rejoin", "s0a", "--yes"], 4, "the only server").await;
    refused(&["failover", "s0", "--yes"], 4, "lives and takes writes").await;
    refused(&["switchover", "s0", "--resume"], 4, "was interrupted").await;
    refused(&["failover", "s0", "--undo"], 4, "was interrupted").await;

    // The machines are not what the file says.
    std::fs::write(&hosts, good.replace("/s0a/", "/s0b/")).unwrap();
    refused(&yes("s0b"), 4, "the hosts' file says").await;
    std::fs::write(&hosts, good.replace("passfile = ", "# ")).unwrap();
    refused(&yes("s0b"), 4, "could not stream").await;
    std::fs::write(&hosts, good.replace("node = \"s0a\"", "node = \"s0x\"")).unwrap();
    refused(&yes("s0b"), 2, "does not say where node s0a is").await;
    std::fs::remove_file(&hosts).unwrap();
    refused(&yes("s0b"), 2, "hosts.toml cannot be read").await;
    std::fs::write(&hosts, good).unwrap();

    let password = [("PGSHARD_ADMIN_PASSWORD", "wrong")];
    let ran = bank.shardctl.run_with(&password, &yes("s0b")).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("PGSHARD_ADMIN_PASSWORD"), "{ran:?}");

    bank.shard.local.kill("s0b").await.unwrap();
    let ran = bank.run(&["switchover", "s0", "--yes"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("s0b does not answer"), "{ran:?}");
}

/// As over ssh: a program is given one argument, for a shell on the other side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_are_reached_through_a_program() {
    let bank = Operated::start(1).await;
    let shell = match nix::unistd::geteuid().is_root() {
        true => {
            r#"through = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "sh", "-c"]"#
        }
        false => r#"through = ["sh", "-c"]"#,
    };
    let hosts = bank.shardctl.dir().join("hosts.toml");
    let text = std::fs::read_to_string(&hosts).unwrap();
    let text = text.replace("\nbin = ", &format!("\n{shell}\nbin = "));
    std::fs::write(&hosts, text).unwrap();
    bank.shard.write().await.unwrap();
    let path = std::env::var("PATH").unwrap();
    let switchover = ["switchover", "s0", "--yes"];
    let ran = bank.run_with(&[("PATH", &path)], &switchover).await;
    assert_eq!(bank.done(&ran)[0]["primary"], "s0b");
    let ran = bank
        .run_with(&[("PATH", &path)], &["split-brain", "s0"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = bank.customers("s0b", "s0a").await;
    assert_eq!(rows.len(), 1);
}
