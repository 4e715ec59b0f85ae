//! `shardctl dev`: servers in the background, and a supervisor that may die.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{installed_programs, tmpdir};

fn shardctl(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shardctl"))
        .args(["--output", "json", "dev"])
        .args(arguments)
        .arg("--dir")
        .arg(dir)
        .env_remove("SHARDCTL_CONFIG")
        .output()
        .unwrap()
}

/// Runs a command that is to end with a code; its rows, or its error.
fn expect(code: i32, dir: &Path, arguments: &[&str]) -> Value {
    let output = shardctl(dir, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    let text = if output.stdout.is_empty() {
        &output.stderr
    } else {
        &output.stdout
    };
    serde_json::from_slice(text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {error}"))
}

fn field<'a>(rows: &'a Value, node: &str, name: &str) -> &'a Value {
    let mut rows = rows.as_array().unwrap().iter();
    &rows.find(|row| row["node"] == node).unwrap()[name]
}

/// The supervisor of a directory, and nothing else.
fn supervisor(dir: &Path) -> Option<i32> {
    let wanted = dir.to_str().unwrap();
    std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.ok()?;
        let arguments = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let arguments: Vec<&str> = arguments.split('\0').collect();
        (arguments.contains(&"supervise") && arguments.contains(&wanted))
            .then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

fn servers(dir: &Path) -> usize {
    let below = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter(below).count()
}

fn none_left(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while servers(dir) > 0 {
        assert!(
            Instant::now() < deadline,
            "servers outlive their supervisor"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_cluster_goes_up_is_broken_mended_and_goes_down() {
    let tmp = tmpdir();
    let dir = &tmp.path().join("bank");
    let rows = expect(
        0,
        dir,
        &["up", "--shards", "1", "--replicas", "1", "--synchronous"],
    );
    assert_eq!(field(&rows, "s0a", "role"), "primary");
    assert_eq!(field(&rows, "s0b", "stream"), "streaming");
    assert_eq!(field(&rows, "s0b", "sync"), "quorum");

    // The configuration is usable, and everything is installed.
    let check = Command::new(env!("CARGO_BIN_EXE_shardctl"))
        .args([
            "install",
            "--ddl-user",
            "pgshard_owner",
            "--verify",
            "--ddl-password-file",
        ])
        .arg(dir.join("secrets/pgshard_owner"))
        .env("SHARDCTL_CONFIG", dir.join("shards.toml"))
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
    let text = std::fs::read_to_string(dir.join("shards.toml")).unwrap();
    let secret = std::fs::read_to_string(dir.join("secrets/app")).unwrap();
    assert!(!text.contains(secret.trim()), "a password in shards.toml");

    expect(0, dir, &["kill", "s0a"]);
    assert_eq!(field(&expect(1, dir, &["status"]), "s0a", "state"), "down");
    let rows = expect(0, dir, &["promote", "s0b"]);
    assert_eq!(field(&rows, "s0b", "timeline"), 2);
    let rows = expect(0, dir, &["rejoin", "s0a"]);
    assert_eq!(field(&rows, "s0a", "stream"), "streaming");
    expect(0, dir, &["pause", "s0a"]);
    let error = expect(4, dir, &["stop", "s0a"]);
    assert_eq!(error["error"]["kind"], "refused");
    expect(0, dir, &["resume", "s0a"]);
    expect(0, dir, &["stop", "s0a", "--mode", "immediate"]);
    expect(0, dir, &["start", "s0a"]);
    expect(2, dir, &["kill", "s9z"]);

    // Up again: the same is fine, another is refused.
    expect(0, dir, &["up"]);
    expect(4, dir, &["up", "--shards", "2"]);
    let rows = expect(0, dir, &["down"]);
    assert_eq!(field(&rows, "s0a", "state"), "down");
    assert_eq!(servers(dir), 0);
    expect(1, dir, &["status"]);
    expect(3, dir, &["kill", "s0a"]);
    expect(0, dir, &["down"]);
    expect(4, dir, &["up", "--shards", "2"]);
    let rows = expect(0, dir, &["up"]);
    assert_eq!(field(&rows, "s0b", "role"), "primary");
    assert_eq!(field(&rows, "s0a", "sync"), "quorum");
    expect(0, dir, &["status"]);
    expect(0, dir, &["down"]);
}

#[test]
fn a_killed_supervisor_takes_its_servers_along_and_up_starts_them_again() {
    let tmp = tmpdir();
    let dir = &tmp.path().join("bank");
    let rows = expect(0, dir, &["up", "--shards", "1", "--replicas", "1"]);
    let pid = supervisor(dir).expect("a supervisor");
    expect(0, dir, &["pause", "s0b"]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    none_left(dir);
    expect(1, dir, &["status"]);
    let again = expect(0, dir, &["up"]);
    assert_eq!(field(&again, "s0b", "stream"), "streaming");
    assert_eq!(
        field(&again, "s0a", "port"),
        field(&rows, "s0a", "port"),
        "ports stay"
    );
    expect(0, dir, &["down"]);
}

#[test]
fn a_cluster_under_patroni_mends_itself_and_goes_down_with_its_supervisor() {
    if !installed_programs(&["patroni", "etcd"]) {
        return;
    }
    let tmp = tmpdir();
    let dir = &tmp.path().join("ha");
    let rows = expect(0, dir, &["up", "--patroni", "--shards", "1"]);
    assert_eq!(field(&rows, "s0a", "role"), "primary");
    assert_eq!(field(&rows, "s0a", "patroni"), "running");
    let error = expect(4, dir, &["rejoin", "s0b"]);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("by itself"), "{message}");
    let rows = expect(0, dir, &["promote", "s0b"]);
    assert_eq!(field(&rows, "s0b", "role"), "primary");

    // The same again, and then nobody tells the servers to stop: not even their Patroni lives.
    expect(0, dir, &["down"]);
    none_left(dir);
    expect(4, dir, &["up", "--shards", "2"]);
    let rows = expect(0, dir, &["up"]);
    let primaries = ["s0a", "s0b"].map(|node| field(&rows, node, "role") == "primary");
    assert_ne!(primaries[0], primaries[1], "{rows}");
    expect(0, dir, &["kill", "s0a", "--only", "patroni"]);
    expect(0, dir, &["pause", "s0b"]);
    assert_eq!(
        field(&expect(1, dir, &["status"]), "s0a", "patroni"),
        "down"
    );
    let pid = supervisor(dir).expect("a supervisor");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    none_left(dir);
}

#[test]
fn a_refused_start_leaves_nothing() {
    let tmp = tmpdir();
    let dir = &tmp.path().join("new");
    let error = expect(2, dir, &["up", "--pg-bindir", "/nowhere"]);
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("/nowhere")
    );
    assert!(!dir.exists());
    std::fs::write(tmp.path().join("notes"), "mine").unwrap();
    expect(4, tmp.path(), &["up"]);
    expect(2, tmp.path(), &["status"]);
    expect(2, tmp.path(), &["up", "--synchronous", "--replicas", "0"]);
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 1);
}
