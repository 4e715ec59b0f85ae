//! `shardctl check` finds planted faults on real servers, and nothing bad on good ones.

use pgshard::local::LocalSpec;
use serde_json::Value;

use crate::support::cli::{Ran, Shardctl};
use crate::support::{credentials, install, start_spec, superuser};
use secrecy::ExposeSecret as _;

fn ids(ran: &Ran) -> Vec<(String, String)> {
    let rows = ran.json();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (word(&row["id"]), word(&row["node"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finds_what_was_planted_and_nothing_else() {
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let local = start_spec(LocalSpec {
        shards: 1,
        replicas: 1,
        synchronous: true,
        settings: vec![
            setting("fsync", "on"),
            setting("idle_in_transaction_session_timeout", "60000"),
        ],
        ..LocalSpec::default()
    })
    .await;
    install(&local).await;
    let shardctl = Shardctl::new(&local);
    let admin = credentials(&local.superuser_conninfo("s0a").unwrap());
    let password = admin.password.as_ref().unwrap().expose_secret();
    let check = async |more: &[&str]| {
        let arguments = ["--output", "json", "check", "--user", &admin.user];
        let arguments = [&arguments[..], more].concat();
        shardctl
            .run_with(&[("PGSHARD_CHECK_PASSWORD", password)], &arguments)
            .await
    };

    let good = check(&[]).await;
    assert_eq!(good.code, 0, "{good:?}");
    for row in good.json().as_array().unwrap() {
        assert_ne!(row["severity"], "error", "{row}");
        assert_ne!(row["id"], "unread", "a superuser reads all: {row}");
    }
    assert_eq!(
        check(&["--processes", "1000", "--fail-on", "warn"])
            .await
            .code,
        1
    );
    assert_eq!(check(&["--skip", "nonsense"]).await.code, 2);

    // The application's role sees less, and says so.
    let app = shardctl.run(&["--output", "json", "check"]).await;
    assert_eq!(app.code, 0, "{app:?}");
    let unread = app.json();
    let unread: Vec<_> = unread
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["id"] == "unread")
        .map(|row| row["evidence"].as_str().unwrap().to_owned())
        .collect();
    for part in [
        "pg_hba_file_rules",
        "pg_stat_replication",
        "pg_stat_wal_receiver",
    ] {
        assert!(
            unread.iter().any(|line| line.contains(part)),
            "{part}: {unread:?}"
        );
    }

    let primary = superuser(&local, "s0a").await;
    for sql in [
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET full_page_writes = off",
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "ALTER SYSTEM SET max_slot_wal_keep_size = -1",
        "ALTER SYSTEM SET password_encryption = 'md5'",
        "ALTER SYSTEM SET idle_in_transaction_session_timeout = 0",
        "ALTER SYSTEM SET max_connections = 500",
        "ALTER ROLE app BYPASSRLS",
        "ALTER ROLE app SET synchronous_commit = off",
        "SELECT pg_create_physical_replication_slot('forgotten', true)",
    ] {
        primary.batch_execute(sql).await.unwrap();
    }
    let bank = superuser(&local, "s0a").await;
    bank.batch_execute("UPDATE pgshard.identity SET map_version = 99")
        .await
        .unwrap();
    let file: String = primary
        .query_one("SHOW hba_file", &[])
        .await
        .unwrap()
        .get(0);
    let mut hba = std::fs::read_to_string(&file).unwrap();
    hba.push_str(
        "host all nobody 10.0.0.0/8 trust\nhost all nobody 10.0.0.0/8 md5\nhost all nonsense\n",
    );
    std::fs::write(&file, hba).unwrap();
    primary
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    let replica = superuser(&local, "s0b").await;
    for sql in [
        "ALTER SYSTEM SET hot_standby_feedback = off",
        "ALTER SYSTEM SET max_standby_streaming_delay = -1",
        "SELECT pg_reload_conf()",
    ] {
        replica.batch_execute(sql).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    let bad = check(&[]).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    let found = ids(&bad);
    for (id, node) in [
        ("fsync-off", "s0a"),
        ("full-page-writes-off", "s0a"),
        ("sync-star", "s0a"),
        ("sync-commit-off", "s0a"),
        ("slot-unlimited", "s0a"),
        ("slot-inactive", "s0a"),
        ("password-md5", "s0a"),
        ("idle-in-transaction", "s0a"),
        ("restart-pending", "s0a"),
        ("app-powers", "s0a"),
        ("map-version", "s0a"),
        ("hba-trust", "s0a"),
        ("hba-md5", "s0a"),
        ("hba-error", "s0a"),
        ("hba-plaintext", "s0a"),
        ("replay-waits", "s0b"),
    ] {
        let planted = (id.to_owned(), node.to_owned());
        assert!(found.contains(&planted), "{id}: {found:?}");
    }
    let worst = bad.json();
    assert_eq!(worst[0]["severity"], "error", "the worst first");
    for part in ["evidence", "consequence", "remedy"] {
        assert!(!worst[0][part].as_str().unwrap().is_empty(), "{part}");
    }
    assert_eq!(check(&["--fail-on", "never"]).await.code, 0);

    // A node that is down is found, and the shard without a primary.
    local.kill("s0a").await.unwrap();
    let down = ids(&check(&[]).await);
    assert!(
        down.contains(&("node-unreachable".into(), "s0a".into())),
        "{down:?}"
    );
    assert!(
        down.contains(&("primary-none".into(), "-".into())),
        "{down:?}"
    );
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_rows_extensions_archives_and_backups() {
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let local = start_spec(LocalSpec {
        shards: 2,
        replicas: 0,
        settings: vec![
            setting("archive_mode", "on"),
            setting("archive_command", "exit 1"),
        ],
        ..LocalSpec::default()
    })
    .await;
    install(&local).await;
    let shardctl = Shardctl::new(&local);
    let admin = credentials(&local.superuser_conninfo("s0a").unwrap());
    let password = admin.password.as_ref().unwrap().expose_secret();
    let variables = [("PGSHARD_CHECK_PASSWORD", password)];
    let as_admin = ["--output", "json", "check", "--user", admin.user.as_str()];
    let check = async |more: &[&str]| {
        let arguments = [&as_admin[..], more].concat();
        shardctl.run_with(&variables, &arguments).await
    };
    let planted = async |node: &str, sql: &str| {
        superuser(&local, node)
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    };
    planted("s0a", "SELECT pg_switch_wal()").await;
    // The nil key is the second shard's.
    planted(
        "s0a",
        "ALTER TABLE customers DROP CONSTRAINT IF EXISTS pgshard_placement;
         INSERT INTO customers VALUES ('00000000-0000-0000-0000-000000000000', 'Ada', 'a@b.com', 'GB')",
    )
    .await;
    planted(
        "s1a",
        "ALTER TABLE customers REPLICA IDENTITY NOTHING; DROP EXTENSION postgres_fdw CASCADE",
    )
    .await;
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let mut found = Vec::new();
    for _ in 0..100 {
        found = ids(&check(&["--backups", empty]).await);
        if found.contains(&("archive-failing".into(), "s0a".into())) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for (id, node) in [
        ("archive-failing", "s0a"),
        ("misplaced-rows", "s0a"),
        ("placement-unchecked", "s0a"),
        ("replica-identity", "s1a"),
        ("extension-differs", "-"),
        ("backup-old", "-"),
    ] {
        let planted = (id.to_owned(), node.to_owned());
        assert!(found.contains(&planted), "{id}: {found:?}");
    }
    let all = check(&[]).await.json();
    let mut rows = all.as_array().unwrap().iter();
    let misplaced = rows.find(|row| row["id"] == "misplaced-rows").unwrap();
    let evidence = misplaced["evidence"].as_str().unwrap();
    assert!(evidence.contains("1 of 1 sampled rows"), "{evidence}");
    assert!(
        evidence.contains("00000000-0000-0000-0000-000000000000"),
        "{evidence}"
    );
    let none = ids(&check(&["--sample", "0", "--skip", "archive-failing"]).await);
    assert!(
        !none
            .iter()
            .any(|(id, _)| id == "misplaced-rows" || id == "archive-failing")
    );
    let unmounted = ids(&check(&["--backups", "/nonexistent"]).await);
    assert!(
        unmounted.contains(&("unread".into(), "-".into())),
        "{unmounted:?}"
    );

    // Again and again: a line of JSON whenever something else is found.
    let arguments = [&as_admin[..], &["--watch", "1s"]].concat();
    let mut watching = shardctl.start_with(&variables, &arguments);
    let mut out = tokio::io::BufReader::new(watching.stdout.take().unwrap());
    let first = next_report(&mut out).await;
    assert!(first.contains("misplaced-rows"), "{first}");
    planted("s0a", "DELETE FROM customers").await;
    let second = next_report(&mut out).await;
    assert!(!second.contains("misplaced-rows"), "{second}");
    watching.kill().await.unwrap();

    // And for Prometheus.
    let arguments = [
        &as_admin[2..],
        &["--watch", "1s", "--listen", "127.0.0.1:0"],
    ]
    .concat();
    let mut serving = shardctl.start_with(&variables, &arguments);
    let mut said = tokio::io::BufReader::new(serving.stderr.take().unwrap());
    // Among what it warns of.
    let mut lines = tokio::io::AsyncBufReadExt::lines(&mut said);
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("an address");
        if let Some(rest) = line.strip_prefix("http://") {
            break rest.strip_suffix("/metrics").unwrap().to_owned();
        }
    };
    let address = address.as_str();
    let wanted =
        "shardctl_check_finding{id=\"extension-differs\",severity=\"warn\",shard=\"\",node=\"\"} 1";
    let mut page = String::new();
    for _ in 0..100 {
        page = scrape(address).await;
        if page.contains(wanted) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(page.contains(wanted), "{page}");
    assert!(!page.contains("shardctl_up"), "{page}");
    serving.kill().await.unwrap();
}

/// A table as JSON, which ends with a line of its own.
async fn next_report(out: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> String {
    let mut report = String::new();
    let read = async {
        while !report.ends_with("\n]\n") {
            let read = tokio::io::AsyncBufReadExt::read_line(out, &mut report)
                .await
                .unwrap();
            assert_ne!(read, 0, "{report}");
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, read).await.expect("a report");
    report
}

async fn scrape(address: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}
