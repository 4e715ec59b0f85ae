//! The pages that walk through the procedures: their commands are run as they stand.

use std::process::{Command, Stdio};

use crate::support::installed_programs;

/// The blocks of shell of a page, in their order.
fn script(page: &str) -> String {
    let mut script = "set -euxo pipefail\n".to_owned();
    let mut shell = false;
    for line in page.lines() {
        match line {
            "```sh" => shell = true,
            "```" => shell = false,
            line if shell => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

/// Runs a page, with its directory elsewhere.
fn walk(page: &str, directory: &str) {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("walk");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    let script = script(page).replace(directory, place.to_str().unwrap());
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_shardctl"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    // Whatever fails, nothing that it started stays.
    let trap = "trap 'kill $(jobs -p) || true; shardctl dev down || true' EXIT\n";
    let ran = Command::new("timeout")
        .args(["300", "bash", "-c", &format!("{trap}{script}trap - EXIT")])
        .env("PATH", path)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let tail = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    };
    let (out, err) = (tail(&ran.stdout), tail(&ran.stderr));
    assert!(ran.status.success(), "{}: {out}\n{err}", ran.status);
    assert!(!place.exists(), "{out}\n{err}");
}

#[test]
fn by_hand() {
    if installed_programs(&["psql"]) {
        let page = include_str!("../../docs/operations/rehearsal.md");
        walk(page, "/tmp/rehearsal");
    }
}

#[test]
fn patroni_and_the_whole_stack() {
    let programs = [
        "patroni",
        "etcd",
        "haproxy",
        "pgbouncer",
        "pgpool",
        "prometheus",
        "psql",
    ];
    if !installed_programs(&programs) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: the page is for root, who changes to the user postgres");
        return;
    }
    walk(include_str!("../../docs/operations/walk.md"), "/tmp/walk");
}
