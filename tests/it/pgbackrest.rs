//! pgBackRest behind `shardctl backup` and `restore`: its backups are listed, verified and restored like others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::backed_up::{BackedUp, field};
use crate::support::installed_programs;

const SHARDS: [&str; 2] = ["s0", "s1"];

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// Two shards whose servers listen on a socket, as pgBackRest needs, and a store that it has.
async fn with_tool() -> (BackedUp, tempfile::TempDir) {
    let sockets = tempfile::tempdir().unwrap();
    open_to_all(sockets.path());
    let dir = sockets.path().display().to_string();
    let settings = vec![("unix_socket_directories".to_owned(), dir.clone())];
    let bank = BackedUp::prepared(2, settings).await;
    for name in ["repo", "lock", "log", "spool"] {
        let path = sockets.path().join(name);
        std::fs::create_dir(&path).unwrap();
        open_to_all(&path);
    }
    let mut text = format!(
        "[global]\nrepo1-path={dir}/repo\nlock-path={dir}/lock\nlog-path={dir}/log\nspool-path={dir}/spool\n\
         repo1-retention-full=4\nstart-fast=y\nlog-level-file=off\n"
    );
    for shard in SHARDS {
        let name = format!("{shard}a");
        let node = bank.cluster.node(&name).unwrap();
        let (data, port) = (node.data_dir(), node.port());
        text.push_str(&format!(
            "[{shard}]\npg1-path={}\npg1-port={port}\npg1-socket-path={dir}\n",
            data.display()
        ));
    }
    std::fs::write(bank.path("store").join("pgbackrest.conf"), text).unwrap();
    bank.archive().await;
    (bank, sockets)
}

fn damage(repo: &Path) -> PathBuf {
    let backups = repo.join("backup/s0");
    let mut dirs = vec![backups];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else if path.ends_with("global/pg_filenode.map.gz") || path.ends_with("1259.gz") {
                return path;
            }
        }
    }
    panic!("no file to damage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_backups_are_taken_verified_and_restored() {
    if !installed_programs(&["pgbackrest"]) {
        return;
    }
    let (bank, sockets) = with_tool().await;
    bank.insert("s0a", "Ada").await;
    bank.insert("s1a", "Bea").await;
    let nothing = bank.restore(&["--to", "nowhere", "--latest"]).await;
    assert_eq!(nothing.code, 4, "{nothing:?}");
    let early = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let taken = bank.run(&["backup", "run"]).await;
    assert_eq!(taken.code, 0, "{taken:?}");
    let rows = taken.json();
    assert_eq!(rows[1]["node"], "pgbackrest");
    assert!(rows[1]["id"].as_str().unwrap().ends_with('F'), "{rows}");
    assert_eq!(bank.run(&["backup", "list"]).await.json(), rows);
    assert_eq!(bank.run(&["backup", "check"]).await.code, 0);

    bank.insert("s0a", "Cyd").await;
    let marked = bank.run(&["backup", "mark", "before"]).await;
    assert_eq!(marked.code, 0, "{marked:?}");
    let lsn = marked.json()[0]["lsn"].as_str().unwrap().to_owned();
    bank.insert("s0a", "Dan").await;
    let changed = bank.run(&["backup", "run", "s0", "--type", "incr"]).await;
    let id = field(&changed, "id").as_str().unwrap().to_owned();
    assert!(id.ends_with('I'), "{id}");
    // Killed, and taken again.
    bank.killed_at("take begun", &["backup", "run", "s1"]).await;
    let resumed = bank.run(&["backup", "run", "s1", "--resume"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    bank.insert("s0a", "Eve").await;
    assert_eq!(bank.run(&["backup", "archiving", "--prove"]).await.code, 0);
    let verified = bank.run(&["backup", "verify", "--newest"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");

    // To a named point: the newest backup is after it, and not the one that is taken.
    let to = bank.path("named");
    let named = bank
        .restore(&["--to", to.to_str().unwrap(), "--name", "before"])
        .await;
    assert_eq!(named.code, 0, "{named:?}");
    assert_eq!(named.json()[0]["backup"], rows[0]["id"]);
    assert_eq!(bank.names(&to.join("s0")).await, ["Ada", "Cyd"]);
    assert_eq!(bank.names(&to.join("s1")).await, ["Bea"]);
    for (name, target, wanted) in [
        ("lsn", ["--lsn", &lsn], &["Ada", "Cyd"][..]),
        (
            "latest",
            ["--latest", "--parallel=1"],
            &["Ada", "Cyd", "Dan", "Eve"],
        ),
    ] {
        let to = bank.path(name);
        let ran = bank
            .restore(&[&["s0", "--to", to.to_str().unwrap()], &target[..]].concat())
            .await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(bank.names(&to.join("s0")).await, wanted, "{name}");
    }

    // What cannot be.
    let to = bank.path("refused");
    let to = to.to_str().unwrap();
    for (arguments, code, reason) in [
        (&["s0", "--time", &early][..], 4, "before the first backup"),
        (
            &["s0", "--time", "2126-01-01T00:00:00Z"],
            4,
            "in the future",
        ),
        (&["s0", "--name", "nowhere"], 4, "the archive ends before"),
        (&["s0", "--lsn", "FF/0"], 4, "the archive ends before"),
    ] {
        let ran = bank.restore(&[arguments, &["--to", to]].concat()).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(reason), "{arguments:?}: {ran:?}");
        if Path::new(to).join("s0").exists() {
            let undo = bank.run(&["restore", "s0", "--to", to, "--undo"]).await;
            assert_eq!(undo.code, 0, "{undo:?}");
        }
    }
    let pruned = bank.run(&["backup", "prune", "--keep", "1", "--yes"]).await;
    assert_eq!(pruned.code, 4, "{pruned:?}");
    assert!(pruned.err.contains("repo1-retention-full"), "{pruned:?}");

    // A repository that cannot be read is not the end of the log.
    let to = bank.path("cut");
    let to = to.to_str().unwrap();
    let program = bank.path("shardctl");
    let latest = [
        "restore",
        "s0",
        "--to",
        to,
        "--latest",
        "--yes",
        "--shardctl",
        program.to_str().unwrap(),
    ];
    bank.killed_at("configure ran", &latest).await;
    let repo = sockets.path().join("repo");
    let away = sockets.path().join("away");
    std::fs::rename(&repo, &away).unwrap();
    let cut = bank.run(&[&latest[..], &["--resume"]].concat()).await;
    assert_eq!(cut.code, 1, "{cut:?}");
    let listed = bank.run(&["backup", "list"]).await;
    assert_ne!((listed.code, listed.json()), (0, Value::Null), "{listed:?}");
    std::fs::rename(&away, &repo).unwrap();
    let resumed = bank.run(&[&latest[..], &["--resume"]].concat()).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(
        bank.names(&Path::new(to).join("s0")).await,
        ["Ada", "Cyd", "Dan", "Eve"]
    );

    // pgBackRest's own exit code is 0 then.
    std::fs::write(damage(&repo), "not what it was").unwrap();
    let damaged = bank.run(&["backup", "verify", "s0"]).await;
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert!(damaged.out.contains("not whole"), "{damaged:?}");
    let whole = bank.run(&["backup", "verify", "s1"]).await;
    assert_eq!(whole.json()[0]["problem"], json!(null), "{whole:?}");
}
