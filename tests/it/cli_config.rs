//! `shardctl` without servers: what it writes, refuses and places, and how it exits.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &str = "123e4567-e89b-12d3-a456-426614174000";
const OTHER: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/// `shardctl` in a directory, with nothing of this process's environment.
fn shardctl(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    shardctl(directory, arguments)
        .output()
        .expect("shardctl runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A directory with a configuration as `init` writes it.
fn initialised() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(directory.path(), &["init"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    directory
}

fn edit(directory: &TempDir, from: &str, to: &str) {
    let path = directory.path().join("shards.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.contains(from), "{from}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("a file");
}

#[test]
fn init_writes_a_file_that_is_fine_and_never_replaces_one() {
    let directory = initialised();
    let check = run(directory.path(), &["config", "check", "--strict"]);
    assert_eq!(code(&check), 0, "{}", stderr(&check));
    assert!(stderr(&check).contains("2 shards, 4 nodes, 4096 buckets"));

    let again = run(directory.path(), &["init"]);
    assert_eq!(code(&again), 4);
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    let forced = run(
        directory.path(),
        &["--output", "json", "init", "--force", "--shards", "4"],
    );
    assert_eq!(
        json_of(&stdout(&forced)),
        json!([{"file": "shards.toml", "shards": 4}])
    );
    let other = run(directory.path(), &["init", "no/such/directory.toml"]);
    assert_eq!(code(&other), 2);
}

#[test]
fn config_check_reports_all_problems_with_their_lines() {
    let directory = initialised();
    edit(&directory, "hash = \"pg\"", "hash = \"md5\"");
    edit(&directory, "buckets = 4096", "buckets = 4095");
    let json = run(directory.path(), &["config", "check", "--output", "json"]);
    assert_eq!(code(&json), 2);
    assert_eq!(stderr(&json), "");
    let rows = json_of(&stdout(&json));
    let rows = rows.as_array().expect("an array");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[1]["severity"], "error");
    assert_eq!(rows[1]["file"], "shards.toml");
    assert_eq!(rows[1]["problem"], "buckets is 4095");
    assert!(rows[1]["line"].as_u64() > rows[0]["line"].as_u64());
    assert_eq!(rows[1]["column"], 11);

    let table = run(directory.path(), &["config", "check"]);
    assert_eq!(code(&table), 2);
    assert!(stdout(&table).contains("buckets is 4095"));
    let csv = run(directory.path(), &["config", "check", "--output", "csv"]);
    assert!(stdout(&csv).starts_with("severity,file,line,column,problem,advice\n"));

    // Every other command refuses it, with the same words.
    let locate = run(directory.path(), &["locate", KEY]);
    assert_eq!(code(&locate), 2);
    assert!(
        stderr(&locate).contains("shards.toml:35:11: buckets is 4095: it must be a power of two")
    );
}

#[test]
fn warnings_fail_only_a_strict_check() {
    let directory = initialised();
    edit(&directory, "hash = \"pg\"", "hash = \"xxh3\"");
    assert_eq!(code(&run(directory.path(), &["config", "check"])), 0);
    let strict = run(directory.path(), &["config", "check", "--strict"]);
    assert_eq!(code(&strict), 1);
    assert!(stdout(&strict).contains("warning"), "{}", stdout(&strict));
}

#[test]
fn secrets_are_checked_unless_told_otherwise_and_never_shown() {
    let directory = initialised();
    edit(&directory, "#: password_file", "password_file");
    let missing = run(directory.path(), &["config", "check"]);
    assert_eq!(code(&missing), 2);
    assert!(stdout(&missing).contains("cannot read the password file secrets/app"));
    let skipped = run(directory.path(), &["config", "check", "--skip-secrets"]);
    assert_eq!(code(&skipped), 0, "{}", stderr(&skipped));

    let shown = shardctl(directory.path(), &["--output", "json", "config", "show"])
        .env("PGSHARD_PASSWORD", "hunter2")
        .env("PGSHARD_POOL_MAX_SIZE", "3")
        .output()
        .expect("shardctl runs");
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert!(!stdout(&shown).contains("hunter2"));
    let rows = json_of(&stdout(&shown));
    let row = |name: &str| {
        let rows = rows.as_array().expect("an array");
        let found = rows.iter().find(|row| row["setting"] == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(
        row("pool.max_size"),
        json!({"setting": "pool.max_size", "value": "3", "origin": "$PGSHARD_POOL_MAX_SIZE"})
    );
    assert_eq!(row("timeouts.connect")["origin"], "default");
    assert_eq!(row("user")["origin"], "shards.toml:12:8");
    assert_eq!(row("password")["value"], "(from $PGSHARD_PASSWORD)");
}

#[test]
fn locate_places_keys_without_servers_or_secrets() {
    let directory = initialised();
    edit(&directory, "#: password_file", "password_file");
    let expected = json!([
        {"key": KEY, "bucket": 901, "shard": "s1"},
        {"key": OTHER, "bucket": 1488, "shard": "s0"},
    ]);
    let output = run(
        directory.path(),
        &["--output", "json", "locate", KEY, OTHER],
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json_of(&stdout(&output)), expected);

    let mut child = shardctl(directory.path(), &["locate", "-", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("shardctl runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    write!(stdin, "{}\n\n{OTHER}\r\n", KEY.to_uppercase()).expect("a reader");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert_eq!(json_of(&stdout(&output)), expected);

    let csv = run(directory.path(), &["--output", "csv", "locate", KEY]);
    assert_eq!(stdout(&csv), format!("key,bucket,shard\n{KEY},901,s1\n"));
    let table = run(directory.path(), &["locate", KEY]);
    let row = stdout(&table).lines().last().map(str::to_owned);
    let row: Vec<String> = row
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(row, [KEY, "901", "s1"]);
}

#[test]
fn a_key_that_cannot_be_placed_is_an_error() {
    let directory = initialised();
    let wrong = run(
        directory.path(),
        &["--output", "json", "locate", KEY, "4711"],
    );
    assert_eq!(code(&wrong), 2);
    assert_eq!(stdout(&wrong), "");
    let error = json_of(&stderr(&wrong));
    assert_eq!(error["error"]["kind"], "usage");
    assert_eq!(error["error"]["exit_code"], 2);
    assert_eq!(
        error["error"]["message"],
        "\"4711\" is not a uuid, by which this cluster is sharded: correct the key"
    );

    edit(
        &directory,
        "hash = \"pg\"",
        "hash = \"uuid-prefix\"\nmodulus = 7\nnegative = \"error\"",
    );
    edit(&directory, "buckets = 4096", "");
    let refused = run(directory.path(), &["--output", "json", "locate", OTHER]);
    assert_eq!(code(&refused), 4, "{}", stderr(&refused));
    let error = json_of(&stderr(&refused));
    assert_eq!(error["error"]["kind"], "unroutable");
    assert_eq!(error["error"]["labels"], json!(["not_sent"]));
}

#[test]
fn numbers_are_keys_even_below_zero() {
    let directory = initialised();
    edit(&directory, "key = \"uuid\"", "key = \"bigint\"");
    let output = run(directory.path(), &["--output", "json", "locate", "-5", "5"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json_of(&stdout(&output))[0]["key"], "-5");
}

#[test]
fn usage_errors_are_2_and_follow_the_output_format() {
    let directory = tempfile::tempdir().expect("a directory");
    let unknown = run(directory.path(), &["--output", "json", "loacte", KEY]);
    assert_eq!(code(&unknown), 2);
    let error = json_of(&stderr(&unknown));
    assert_eq!(error["error"]["kind"], "usage");
    let nothing = run(directory.path(), &[]);
    assert_eq!(code(&nothing), 2);
    assert!(stderr(&nothing).contains("Usage:"));

    // No file: configuration, and what to do about it.
    let missing = run(directory.path(), &["locate", KEY]);
    assert_eq!(code(&missing), 2);
    assert!(
        stderr(&missing).contains("shardctl init"),
        "{}",
        stderr(&missing)
    );
    let help = run(directory.path(), &["help", "locate"]);
    assert_eq!(code(&help), 0);
    assert!(stdout(&help).contains("array of objects with key, bucket, shard"));
}

#[test]
fn the_file_may_be_named_by_option_or_variable() {
    let directory = initialised();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shards.toml");
    let file = file.to_str().expect("UTF-8");
    let option = run(elsewhere.path(), &["locate", KEY, "--config", file]);
    assert_eq!(code(&option), 0, "{}", stderr(&option));
    let variable = shardctl(elsewhere.path(), &["locate", KEY])
        .env("SHARDCTL_CONFIG", file)
        .output()
        .expect("shardctl runs");
    assert_eq!(code(&variable), 0, "{}", stderr(&variable));
}

#[test]
fn completions_exist_for_every_shell() {
    let directory = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(directory.path(), &["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("locate"), "{shell}");
    }
}

/// A reader that leaves early, as `head` does, is no failure and no panic.
#[test]
fn a_closed_pipe_is_not_an_error() {
    let directory = initialised();
    for arguments in [
        &["completions", "bash"][..],
        &["locate", KEY],
        &["--output", "json", "config", "show"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = shardctl(directory.path(), arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("shardctl runs");
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}
