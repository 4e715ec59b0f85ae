//! `shardctl replication copy` and `follow`: new standbys, and cascades.

use crate::support::operated::Operated;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_standby_is_copied_and_cascades() {
    let bank = Operated::start(2).await;
    bank.shard.write().await.unwrap();
    let copy = |from| ["replication", "copy", "s0c", "--from", from, "--yes"];
    let refused = async |arguments: &[&str], text: &str| {
        let ran = bank.run(arguments).await;
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains(text), "{text}: {ran:?}");
    };
    refused(&copy("s0a"), "is not empty").await;
    refused(&copy("s0c"), "its own source").await;

    // A machine that lost its disk.
    bank.shard.local.kill("s0c").await.unwrap();
    let data = bank.shard.local.node("s0c").unwrap().data_dir();
    std::fs::remove_dir_all(&data).unwrap();
    let hosts = bank.shardctl.dir().join("hosts.toml");
    let good = std::fs::read_to_string(&hosts).unwrap();
    std::fs::write(&hosts, good.replace("passfile = ", "# ")).unwrap();
    refused(&copy("s0b"), "could not stream").await;
    std::fs::write(&hosts, good).unwrap();

    // From a standby: the primary is spared.
    bank.killed_at("copy begun", &copy("s0b")).await;
    let ran = bank
        .run(&["replication", "copy", "s0c", "--from", "s0b", "--resume"])
        .await;
    let row = &bank.done(&ran)[0];
    println!("copied {} bytes in {} s", row["bytes"], row["seconds"]);
    let verified = bank.run(&["replication", "verify"]).await;
    let rows = verified.json();
    assert_eq!(rows[2]["source"], "s0b", "{rows}");
    assert_eq!(rows[2]["state"], "streaming");
    let written = bank.shard.write().await.unwrap();
    assert!(bank.customers("s0a", "s0c").await.contains(&written));

    // And away from it again.
    let follow = |node, source| ["replication", "follow", node, "--source", source, "--yes"];
    refused(&follow("s0b", "s0c"), "neither would stream").await;
    refused(&follow("s0a", "s0c"), "is no standby").await;
    bank.done(&bank.run(&follow("s0c", "s0a")).await);
    let slots = bank
        .ask("s0b", "SELECT count(*) FROM pg_replication_slots")
        .await;
    assert_eq!(slots, "0", "the slot that it left behind");
    bank.done(&bank.run(&follow("s0c", "s0b")).await);
    let written = bank.shard.write().await.unwrap();
    assert!(bank.customers("s0a", "s0c").await.contains(&written));

    // A cascade survives a switchover of what it hangs on.
    bank.done(
        &bank
            .run(&["switchover", "s0", "--to", "s0b", "--yes"])
            .await,
    );
    bank.shard.until_primary(1).await;
    let written = bank.shard.write().await.unwrap();
    for node in ["s0a", "s0c"] {
        assert!(
            bank.customers("s0b", node).await.contains(&written),
            "{node}"
        );
    }
}
