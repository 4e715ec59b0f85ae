//! Backups and recovery to a point in time: it ends where it was asked to, or says that it does not.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::backed_up::{BackedUp, field};
use crate::support::superuser;

fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

fn data(ran: &crate::support::cli::Ran) -> PathBuf {
    PathBuf::from(field(ran, "data").as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_shard_and_all_of_them_to_a_moment() {
    let bank = BackedUp::start(2).await;
    bank.insert("s0a", "Ada").await;
    bank.insert("s1a", "Bea").await;
    let ran = bank.run(&["backup", "run", "--parallel", "2"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let taken = ran.json();
    assert_eq!(taken.as_array().unwrap().len(), 2);
    let bytes = taken[0]["bytes"].as_u64().unwrap();
    let times = ["began", "ended"]
        .map(|name| humantime::parse_rfc3339(taken[0][name].as_str().unwrap()).unwrap());
    let took = times[1].duration_since(times[0]).unwrap();
    println!("a backup of {bytes} bytes took {took:?}");
    assert_eq!(bank.run(&["backup", "list"]).await.json(), taken);
    assert_eq!(bank.run(&["backup", "verify"]).await.code, 0);
    assert_eq!(bank.run(&["backup", "check"]).await.code, 0);

    bank.insert("s0a", "Cyd").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let after_cyd = now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    // A transaction of the user's own, prepared and not decided.
    let session = superuser(&bank.cluster, "s0a").await;
    for sql in ["BEGIN", "CREATE TABLE own ()", "PREPARE TRANSACTION 'own'"] {
        session.batch_execute(sql).await.unwrap();
    }
    bank.insert("s1a", "Dan").await;
    let marked = bank.run(&["backup", "mark", "before"]).await;
    assert_eq!(marked.code, 0, "{marked:?}");
    let lsn = marked.json()[0]["lsn"].as_str().unwrap().to_owned();
    assert_eq!(bank.run(&["backup", "mark", "before"]).await.code, 4);
    session
        .batch_execute("COMMIT PREPARED 'own'")
        .await
        .unwrap();
    for node in ["s0a", "s1a"] {
        bank.insert(node, "Eve").await;
    }
    assert_eq!(bank.run(&["backup", "archiving", "--prove"]).await.code, 0);

    // All of them, to a named point.
    let all = bank.path("all");
    let to = all.to_str().unwrap();
    let ran = bank.restore(&["--to", to, "--name", "before"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = ran.json();
    assert_eq!(rows[0]["prepared"][0]["gid"], "own");
    assert_eq!(rows[1]["prepared"], json!([]));
    assert_eq!(bank.names(&all.join("s0")).await, ["Ada", "Cyd"]);
    assert_eq!(bank.names(&all.join("s1")).await, ["Bea", "Dan"]);
    let served = bank.serve(&all.join("s0")).await;
    let own = "COMMIT PREPARED 'own'";
    served.session.batch_execute(own).await.unwrap();
    let mode = served
        .session
        .query_one("SHOW archive_mode", &[])
        .await
        .unwrap();
    assert_eq!(
        mode.get::<_, String>(0),
        "off",
        "it must not write into the old archive"
    );
    drop(served);

    // One of them, to each kind of target.
    let restore = async |name: &str, target: &[&str]| {
        let to = bank.path(name);
        let ran = bank
            .restore(&[&["s0", "--to", to.to_str().unwrap()], target].concat())
            .await;
        (data(&ran), ran)
    };
    let (at, ran) = restore("time", &["--time", &after_cyd]).await;
    assert_eq!(bank.names(&at).await, ["Ada", "Cyd"]);
    // PostgreSQL stops before the next COMMIT: what was prepared until then is there, with its time.
    let prepared = field(&ran, "prepared");
    assert!(
        prepared[0]["at"].as_str().unwrap() > after_cyd.as_str(),
        "{prepared}"
    );
    assert_eq!(field(&ran, "timeline"), json!(2));
    let (at, ran) = restore("lsn", &["--lsn", &lsn]).await;
    assert_eq!(bank.names(&at).await, ["Ada", "Cyd"]);
    assert_eq!(field(&ran, "prepared")[0]["gid"], "own");
    let (at, _) = restore("latest", &["--latest"]).await;
    assert_eq!(bank.names(&at).await, ["Ada", "Cyd", "Eve"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_they_go_on_or_back() {
    let bank = BackedUp::start(1).await;
    bank.insert("s0a", "Ada").await;
    for point in ["copy begun", "copy ran", "verify ran", "record ran"] {
        bank.killed_at(point, &["backup", "run"]).await;
        let ran = bank.run(&["backup", "run", "--resume"]).await;
        assert_eq!(ran.code, 0, "{point}: {ran:?}");
        assert_eq!(ran.json().as_array().unwrap().len(), 1, "{point}");
    }
    let listed = bank.run(&["backup", "list"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 4);
    let from_standby = bank.run(&["backup", "run", "--standby"]).await;
    assert_eq!(field(&from_standby, "node"), "s0b");

    let to = bank.path("restored");
    let program = bank.path("shardctl");
    let restore = [
        "restore",
        "--yes",
        "--shardctl",
        program.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
        "--latest",
    ];
    let points = [
        "copy ran",
        "configure ran",
        "recover ran",
        "promote ran",
        "release ran",
    ];
    for point in points {
        bank.killed_at(point, &restore).await;
        let ran = bank
            .restore(&["--to", to.to_str().unwrap(), "--resume"])
            .await;
        assert_eq!(ran.code, 0, "{point}: {ran:?}");
        assert_eq!(bank.names(&to.join("s0")).await, ["Ada"], "{point}");
        std::fs::remove_dir_all(&to).unwrap();
        bank.killed_at(point, &restore).await;
        let ran = bank
            .restore(&["--to", to.to_str().unwrap(), "--undo"])
            .await;
        assert_eq!(ran.code, 0, "{point}: {ran:?}");
        assert!(!to.join("s0").exists(), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_before_anything_is_made() {
    let bank = BackedUp::start(1).await;
    let before = now();
    let to = bank.path("to");
    let refused = async |arguments: &[&str], code: i32, text: &str| {
        let ran = bank
            .restore(&[&["s0", "--to", to.to_str().unwrap()], arguments].concat())
            .await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(text), "{arguments:?}: {ran:?}");
        assert!(!to.join("s0").exists(), "{arguments:?}");
    };
    refused(&["--latest"], 4, "no backup").await;
    assert_eq!(bank.run(&["backup", "run", "s0"]).await.code, 0);
    bank.insert("s0a", "Ada").await;
    let marked = bank.run(&["backup", "mark", "after"]).await;
    assert_eq!(marked.code, 0, "{marked:?}");

    refused(&["--time", &before], 4, "before the first backup").await;
    refused(&["--time", "2126-01-01T00:00:00Z"], 4, "in the future").await;
    refused(&["--time", "2026-01-01 00:00"], 2, "no time in UTC").await;
    refused(&["--lsn", "0/100"], 4, "before the first backup").await;
    refused(&["--lsn", "FF/0"], 4, "the archive ends at").await;
    refused(&["--lsn", "x"], 2, "not a log position").await;
    refused(&["--latest", "--backup", "x"], 4, "no backup x").await;
    refused(&[], 2, "say how far").await;
    refused(&["--latest", "--pg-bindir", "/"], 2, "there is no").await;
    refused(&["--latest", "--time", &before], 2, "cannot be used").await;

    // A server's own directory is no place for another one, nor for backups.
    let data = bank.cluster.node("s0a").unwrap().data_dir();
    let data = data.to_str().unwrap();
    for arguments in [
        &["restore", "s0", "--to", data, "--latest", "--yes"][..],
        &["backup", "list", "--store", data],
    ] {
        let ran = bank.run(arguments).await;
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains("inside of the data directory"), "{ran:?}");
    }

    // Another directory than that of the interrupted run, and another target.
    let elsewhere = bank.path("elsewhere");
    let program = bank.path("shardctl");
    let latest = [
        "restore",
        "s0",
        "--yes",
        "--shardctl",
        program.to_str().unwrap(),
        "--to",
        elsewhere.to_str().unwrap(),
        "--latest",
    ];
    bank.killed_at("copy ran", &latest).await;
    refused(&["--resume"], 4, "no restore into").await;
    refused(&["--undo"], 4, "no restore into").await;
    let other = bank
        .run(&[
            "restore",
            "s0",
            "--to",
            elsewhere.to_str().unwrap(),
            "--lsn",
            "FF/0",
            "--resume",
        ])
        .await;
    assert_eq!(other.code, 2, "{other:?}");
    // It touches no server: the shard's procedures go on beside it.
    assert_eq!(bank.run(&["backup", "run", "s0"]).await.code, 0);
    let undone = bank
        .run(&[
            "restore",
            "s0",
            "--to",
            elsewhere.to_str().unwrap(),
            "--undo",
        ])
        .await;
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(!elsewhere.join("s0").exists());

    // A backup that is damaged.
    let listed = bank.run(&["backup", "list"]).await.json();
    let newest = listed.as_array().unwrap().last().unwrap()["id"].clone();
    let version = bank
        .path("store/s0/backups")
        .join(newest.as_str().unwrap())
        .join("data/PG_VERSION");
    let was = std::fs::read(&version).unwrap();
    std::fs::write(&version, "15 \n").unwrap();
    let damaged = bank.run(&latest).await;
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert!(
        damaged.err.contains("is not what was backed up"),
        "{damaged:?}"
    );
    std::fs::write(&version, was).unwrap();
    let undone = bank
        .run(&[
            "restore",
            "s0",
            "--to",
            elsewhere.to_str().unwrap(),
            "--undo",
        ])
        .await;
    assert_eq!(undone.code, 0, "{undone:?}");

    // The log that a backup brings need not be in the archive.
    let start = listed[0]["start"].as_str().unwrap();
    let first = start.split_once('/').unwrap().1;
    let number = u64::from_str_radix(first, 16).unwrap() >> 20;
    let own = bank
        .path("store/s0/wal")
        .join(format!("00000001{:08X}{number:08X}", 0));
    let aside = bank.path("aside");
    std::fs::rename(&own, &aside).unwrap();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let brought = bank
        .run(&[
            "restore",
            "s0",
            "--dry-run",
            "--shardctl",
            program.to_str().unwrap(),
            "--to",
            elsewhere.to_str().unwrap(),
            "--latest",
            "--backup",
            &id,
        ])
        .await;
    assert_eq!(brought.code, 0, "{brought:?}");
    std::fs::rename(&aside, &own).unwrap();

    // A hole in the archive.
    let archive = bank.path("store/s0/wal");
    for _ in 0..2 {
        assert_eq!(bank.run(&["backup", "archiving", "--prove"]).await.code, 0);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&archive)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none())
        .collect();
    files.sort();
    let missing = &files[files.len() - 2];
    let kept = bank.path("kept");
    std::fs::rename(missing, &kept).unwrap();
    refused(&["--latest"], 4, "the archive lacks").await;
    std::fs::rename(&kept, missing).unwrap();

    std::fs::rename(&archive, bank.path("away")).unwrap();
    refused(&["--latest"], 4, "there is no archive at").await;
    std::fs::rename(bank.path("away"), &archive).unwrap();

    // A point that there never was: only the recovery can know.
    let program = bank.path("shardctl");
    let unknown = bank
        .run(&[
            "restore",
            "s0",
            "--yes",
            "--shardctl",
            program.to_str().unwrap(),
            "--to",
            to.to_str().unwrap(),
            "--name",
            "never",
        ])
        .await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(
        unknown.err.contains("the archive ends before point never"),
        "{unknown:?}"
    );
    let undone = bank
        .restore(&["s0", "--to", to.to_str().unwrap(), "--undo"])
        .await;
    assert_eq!(undone.code, 0, "{undone:?}");

    std::fs::create_dir_all(to.join("s0")).unwrap();
    std::fs::write(to.join("s0/mine"), "").unwrap();
    let ran = bank
        .restore(&["s0", "--to", to.to_str().unwrap(), "--latest"])
        .await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("is not empty"), "{ran:?}");
    assert!(to.join("s0/mine").exists());

    // A damaged backup is found.
    let id = bank.run(&["backup", "list"]).await.json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let version = bank.path(&format!("store/s0/backups/{id}/data/PG_VERSION"));
    std::fs::write(&version, "99\n").unwrap();
    let verified = bank.run(&["backup", "verify"]).await;
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(
        verified.json()[0]["problem"]
            .as_str()
            .unwrap()
            .contains("PG_VERSION")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archiving_that_fails_is_seen_and_old_backups_go() {
    let bank = BackedUp::start(1).await;
    for _ in 0..3 {
        assert_eq!(bank.run(&["backup", "run"]).await.code, 0);
        assert_eq!(bank.run(&["backup", "archiving", "--prove"]).await.code, 0);
    }
    assert_eq!(bank.run(&["backup", "prune", "--yes"]).await.code, 2);
    let plan = bank
        .run(&["backup", "prune", "--keep", "1", "--dry-run"])
        .await;
    let planned = field(&plan, "backups");
    assert_eq!(planned.as_array().unwrap().len(), 2);
    let pruned = bank.run(&["backup", "prune", "--keep", "1", "--yes"]).await;
    assert_eq!(field(&pruned, "backups"), planned);
    assert!(field(&pruned, "files").as_u64().unwrap() > 0, "{pruned:?}");
    let again = bank.run(&["backup", "prune", "--keep", "1", "--yes"]).await;
    assert_eq!(field(&again, "backups"), Value::Array(vec![]));
    // What is kept is whole.
    let to = bank.path("kept");
    let ran = bank
        .restore(&["--to", to.to_str().unwrap(), "--latest"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");

    let old = bank.run(&["backup", "check", "--max-age", "1ms"]).await;
    assert_eq!(old.code, 1, "{old:?}");
    assert!(field_of(&old).contains("older than"), "{old:?}");
    // The store is not mounted.
    std::fs::rename(bank.path("store/s0/wal"), bank.path("store/s0/away")).unwrap();
    let lost = bank
        .run(&["backup", "archiving", "--prove", "--wait", "3s"])
        .await;
    assert_eq!(lost.code, 3, "{lost:?}");
    assert!(lost.err.contains("attempts failed"), "{lost:?}");
    let seen = bank.run(&["backup", "check"]).await;
    assert!(field_of(&seen).contains("cannot be archived"), "{seen:?}");
    std::fs::rename(bank.path("store/s0/away"), bank.path("store/s0/wal")).unwrap();
    let well = ["backup", "archiving", "--prove", "--wait", "90s"];
    assert_eq!(bank.run(&well).await.code, 0);
}

fn field_of(ran: &crate::support::cli::Ran) -> String {
    ran.json()[0]["problems"].as_str().unwrap().to_owned()
}
