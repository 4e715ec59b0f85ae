//! `shardctl demo` passes all its checks, and leaves nothing behind, interrupted or not.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// `shardctl demo` with its temporary directories in one of its own.
fn demo(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
    command
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A directory that the servers' user may pass through; in memory if there is room.
fn parent() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let memory = PathBuf::from("/dev/shm");
    let room = statvfs(&memory).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    let base = match room >> 30 {
        0..4 => std::env::temp_dir(),
        _ => memory,
    };
    let parent = tempfile::tempdir_in(base).expect("a directory");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(parent.path(), open).expect("permissions");
    parent
}

fn left(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).expect("a directory");
    entries.flatten().map(|entry| entry.path()).collect()
}

#[tokio::test]
async fn every_check_passes() {
    let parent = parent();
    let output = demo(
        parent.path(),
        &["--output", "json", "demo", "--customers", "200"],
    )
    .output()
    .await
    .expect("shardctl runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    let checks: Value = serde_json::from_str(&out).expect("JSON");
    let checks = checks.as_array().expect("an array");
    assert!(checks.iter().all(|check| check["passed"] == true), "{out}");
    for name in [
        "no acknowledged write is lost",
        "the foreign tables have the same",
    ] {
        assert!(checks.iter().any(|check| check["check"] == name), "{out}");
    }
    assert_eq!(left(parent.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing() {
    let parent = parent();
    let mut child = demo(parent.path(), &["demo"])
        .spawn()
        .expect("shardctl runs");
    let story = child.stderr.take().expect("a pipe");
    let mut lines = BufReader::new(story).lines();
    // Until servers run.
    while let Some(line) = lines.next_line().await.expect("a story") {
        if line.contains("2. The schema") {
            break;
        }
    }
    assert!(!left(parent.path()).is_empty());
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .expect("a process");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("a signal");
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait());
    let status = ended.await.expect("an end").expect("a status");
    assert_eq!(status.code(), Some(1));
    assert_eq!(left(parent.path()), Vec::<PathBuf>::new());
}
