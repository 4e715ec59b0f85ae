//! `shardctl watch` shows a failover as it happens, in order, and ends cleanly.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;

use crate::support::acts::done;
use crate::support::cli::Shardctl;
use crate::support::failover::Watched;

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
    let line = line.expect("a line in time").unwrap().expect("a line");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Reads until an event, and yields all that came.
async fn until(lines: &mut Lines<BufReader<ChildStdout>>, event: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let line = next(lines).await;
        let found = line["event"] == event;
        seen.push(line);
        if found {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_order() {
    let shard = Watched::start(1).await;
    let shardctl = Shardctl::new(&shard.local);
    let mut watch = shardctl.start(&["--output", "json", "watch"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = next(&mut lines).await;
    assert_eq!(first["event"], "state");
    assert_eq!(first["shard"], "s0");
    assert_eq!(first["good"], true);
    let text = first["text"].as_str().unwrap();
    assert_eq!(text, "steady: s0a primary, s0b standby");

    // An act reaches it.
    done(&shard.local, &shardctl, &["shard", "read-only", "s0"]).await;
    let act = until(&mut lines, "mode-changed").await.pop().unwrap();
    assert!(act["text"].as_str().unwrap().contains("ada, "), "{act}");
    let status = shardctl.run(&["--output", "json", "status"]).await;
    assert_eq!(status.code, 1, "{status:?}");
    assert_eq!(status.json()[0]["mode"], "read-only");
    assert_eq!(status.json()[0]["shard_state"], "steady");
    assert!(
        status.json()[0]["reason"]
            .as_str()
            .unwrap()
            .contains("a test")
    );
    done(&shard.local, &shardctl, &["shard", "open", "s0"]).await;
    until(&mut lines, "mode-changed").await;

    // The service that runs adopts the new primary; who watches sees it.
    shard.local.kill("s0a").await.unwrap();
    shard.local.promote("s0b").await.unwrap();
    let events = until(&mut lines, "primary-adopted").await;
    let names: Vec<_> = events
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    let place = |name: &str| {
        let found = names.iter().position(|event| *event == name);
        found.unwrap_or_else(|| panic!("no {name} in {names:?}"))
    };
    assert!(
        place("primary-suspected") < place("primary-adopted"),
        "{names:?}"
    );
    let adopted = events.last().unwrap();
    assert!(
        adopted["text"]
            .as_str()
            .unwrap()
            .starts_with("s0b is primary"),
        "{adopted}"
    );
    assert_eq!(adopted["good"], true);
    let times: Vec<_> = events
        .iter()
        .map(|line| line["at"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0].len() == 24 && times[0].ends_with('Z'), "{times:?}");

    let pid = i32::try_from(watch.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), watch.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));

    // For people, and for a while.
    let table = shardctl
        .run(&["watch", "--for", "2s", "--wait", "1s"])
        .await;
    assert_eq!(table.code, 0, "{table:?}");
    assert!(table.out.contains("s0  state              "), "{table:?}");
    assert_eq!(shardctl.run(&["--output", "csv", "watch"]).await.code, 2);
    shard.finish().await;
}
