//! `shardctl status` tells what is, by its exit code too, and changes nothing.

use serde_json::Value;

use crate::support::cli::{Ran, Shardctl};
use crate::support::{installed, superuser};

fn node<'a>(rows: &'a Value, name: &str) -> &'a Value {
    let rows = rows.as_array().expect("an array");
    let found = rows.iter().find(|row| row["node"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {rows:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_what_is_and_changes_nothing() {
    let (local, _) = installed(2, 1).await;
    let shardctl = Shardctl::new(&local);
    let status = async |wait: &str| -> Ran {
        shardctl
            .run(&["--output", "json", "status", "--wait", wait])
            .await
    };

    let well = status("20s").await;
    assert_eq!(well.code, 0, "{well:?}");
    let rows = well.json();
    assert_eq!(rows.as_array().expect("an array").len(), 4);
    let primary = node(&rows, "s1a");
    assert_eq!(primary["role"], "primary");
    assert_eq!(primary["shard_state"], "steady");
    assert_eq!(primary["readable"], true);
    assert_eq!(primary["reason"], Value::Null);
    let standby = node(&rows, "s1b");
    assert_eq!(standby["role"], "standby");
    assert_eq!(standby["reign"], primary["reign"]);
    assert!(standby["lag_bytes"].is_u64(), "{standby}");
    assert!(standby["latency_ms"].is_f64(), "{standby}");

    let table = shardctl.run(&["status"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    let short = primary["reign"].as_str().expect("a reign")[..8].to_owned();
    assert!(table.out.contains(&short), "{table:?}");

    let draw = async |format: &str| shardctl.run(&["topology", "--format", format]).await;
    let dot = draw("dot").await;
    assert_eq!(dot.code, 0, "{dot:?}");
    for part in [
        "label=\"s0 (steady, open)\"",
        "\"s1b\" [label=\"s1b\\nstandby\\n127.0.0.1:",
        "\"s0a\" -> \"s0b\" [label=\"",
    ] {
        assert!(dot.out.contains(part), "{part}: {}", dot.out);
    }
    let mermaid = draw("mermaid").await;
    for part in [
        "flowchart LR",
        "s0n0 -->|\"",
        "bytes behind\"| s0n1",
        ":::primary",
    ] {
        assert!(mermaid.out.contains(part), "{part}: {}", mermaid.out);
    }
    let nodes = shardctl.run(&["--output", "json", "topology"]).await.json();
    assert_eq!(node(&nodes, "s1b")["primary"], "s1a");

    // Promoted, and nobody there to adopt it: said, and left as it is.
    local.kill("s1a").await.expect("killed");
    local.promote("s1b").await.expect("promoted");
    let promoted = status("3s").await;
    assert_eq!(promoted.code, 1, "{promoted:?}");
    let rows = promoted.json();
    assert_eq!(node(&rows, "s1a")["role"], "down");
    assert_eq!(node(&rows, "s1b")["role"], "primary");
    assert_eq!(node(&rows, "s1b")["shard_state"], "searching");
    let reason = node(&rows, "s1b")["reason"].as_str().expect("a reason");
    for part in [
        "s1b answers as primary on timeline 2",
        "newest reign began on timeline 1",
        "its reign is not written yet",
        "a service that is connected to the cluster, or the next that connects, writes the reign",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(node(&rows, "s1b")["timeline"], 2);
    assert_eq!(node(&rows, "s1b")["reign"], primary["reign"]);
    let table = shardctl.run(&["status", "--wait", "3s"]).await;
    assert_eq!(table.code, 1, "{table:?}");
    assert!(table.err.contains(reason), "{table:?}");
    assert_eq!(node(&rows, "s0a")["shard_state"], "steady");
    let reigns: i64 = superuser(&local, "s1b")
        .await
        .query_one("SELECT count(*) FROM pgshard.reign", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(reigns, 1, "status wrote a reign");

    // Turned away everywhere: servers answer.
    let refused = shardctl
        .run_with(
            &[("PGSHARD_PASSWORD", "wrong")],
            &["--output", "json", "status", "--wait", "1s"],
        )
        .await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let failure = node(&refused.json(), "s0a")["failure"].clone();
    assert!(
        failure.as_str().expect("a failure").starts_with("auth"),
        "{failure}"
    );

    for name in ["s0a", "s0b", "s1b"] {
        local.kill(name).await.expect("killed");
    }
    let nothing = status("300ms").await;
    assert_eq!(nothing.code, 3, "{nothing:?}");
    assert_eq!(nothing.json().as_array().expect("an array").len(), 4);
}
