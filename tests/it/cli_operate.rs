//! `shardctl install` and `shardctl fdw` beside real servers: what they print and how they exit.

use std::os::unix::fs::PermissionsExt as _;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::cli::{Ran, Shardctl};
use crate::support::{credentials, ddl_role, load_bank_schema, start, superuser};

/// A file with a password that only its owner can read.
fn secret(shardctl: &Shardctl, name: &str, role: &pgshard::ops::Credentials) -> String {
    let file = shardctl.dir().join(name);
    let password = role.password.as_ref().expect("a password");
    std::fs::write(&file, password.expose_secret()).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    file.to_str().expect("UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn install_shows_asks_and_does() {
    let cluster = start(2, 0).await;
    load_bank_schema(&cluster).await;
    let shardctl = Shardctl::new(&cluster);
    let file = secret(&shardctl, "owner", &ddl_role(&cluster));
    let install = async |more: &[&str]| {
        let mut arguments = vec!["--output", "json", "install", "--ddl-user", "pgshard_owner"];
        arguments.extend(["--ddl-password-file", &file]);
        arguments.extend(more);
        shardctl.run(&arguments).await
    };
    let absent = async || {
        let session = superuser(&cluster, "s0a").await;
        let row = session.query_one("SELECT to_regnamespace('pgshard') IS NULL", &[]);
        row.await.expect("a row").get::<_, bool>(0)
    };

    let dry = install(&["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    let rows = dry.json();
    assert_eq!(rows[0]["shard"], "s0");
    assert_eq!(rows[0]["version"], Value::Null);
    assert_eq!(rows[0]["status"], "planned");
    assert!(
        rows[0]["sql"]
            .as_str()
            .expect("SQL")
            .contains("CREATE TABLE pgshard.identity")
    );

    // Nobody to ask.
    let refused = install(&[]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("--yes"), "{refused:?}");
    assert!(absent().await);
    assert_eq!(install(&["--verify"]).await.code, 1);

    let done = install(&["--yes", "--placement-check"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.json()[0]["status"], "done");
    let verified = install(&["--verify"]).await;
    assert_eq!((verified.code, verified.json()), (0, serde_json::json!([])));
    let again = install(&["--yes", "--placement-check"]).await;
    assert_eq!((again.code, again.json()), (0, serde_json::json!([])));

    // Who is turned away learns which role, where, and where the password is looked for.
    let login = async |variables: &[(&str, &str)], more: &[&str]| {
        let arguments = [
            &["install", "--ddl-user", "pgshard_owner", "--verify"],
            more,
        ]
        .concat();
        shardctl.run_with(variables, &arguments).await
    };
    let missing = login(&[], &[]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    let refused = login(&[("PGSHARD_DDL_PASSWORD", "wrong")], &[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    for (ran, part) in [(&missing, "no password for role"), (&refused, "28P01")] {
        for part in [
            part,
            "pgshard_owner",
            "shard s0, node s0a",
            "PGSHARD_DDL_PASSWORD",
            "--ddl-password-file",
        ] {
            assert!(ran.err.contains(part), "{part}: {ran:?}");
        }
    }

    let wrong = install(&["--verify", "--yes"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let open = install(&["--verify"]).await;
    assert_eq!(open.code, 2, "{open:?}");
    assert!(open.err.contains("chmod 600"), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fdw_shows_makes_and_removes() {
    let cluster = start(2, 0).await;
    load_bank_schema(&cluster).await;
    let session = superuser(&cluster, "s0a").await;
    session
        .batch_execute("CREATE DATABASE reports")
        .await
        .expect("a database");
    let shardctl = Shardctl::new(&cluster);
    let settings = cluster.superuser_conninfo("s0a").expect("a node");
    let file = secret(&shardctl, "postgres", &credentials(&settings));
    let port = settings.get_ports()[0].to_string();
    let fdw = async |action: &str, more: &[&str]| {
        let mut arguments = vec!["--output", "json", "fdw", action];
        arguments.extend(["--reporting-host", "127.0.0.1", "--port", &port]);
        arguments.extend(["--database", "reports", "--user", "postgres"]);
        arguments.extend(["--reporting-password-file", &file]);
        arguments.extend(more);
        shardctl.run(&arguments).await
    };

    let app = credentials(&cluster.app_conninfo("s0a").expect("a node"));
    let password = app.password.expect("a password");
    let sql = shardctl.run(&["fdw", "sql"]).await;
    assert_eq!(sql.code, 0, "{sql:?}");
    assert!(sql.out.contains(":'fdw_password'") && !sql.out.contains(password.expose_secret()));

    assert_eq!(fdw("diff", &[]).await.code, 1);
    let dry = fdw("apply", &["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(dry.json()[0]["status"], "planned");
    // Nobody to ask.
    let asked = fdw("apply", &[]).await;
    assert_eq!((asked.code, asked.json()), (4, dry.json()), "{asked:?}");
    assert!(asked.err.contains("--yes"), "{asked:?}");
    assert_eq!(fdw("diff", &[]).await.code, 1);
    assert_eq!(fdw("apply", &["--yes", "--dry-run"]).await.code, 2);

    let made = fdw("apply", &["--yes"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(made.json()[0]["change"], "create");
    assert_eq!(made.json()[0]["status"], "done");
    assert!(!made.out.contains(password.expose_secret()));
    let same = fdw("diff", &[]).await;
    assert_eq!((same.code, same.json()), (0, serde_json::json!([])));
    assert_eq!(fdw("apply", &[]).await.json(), serde_json::json!([]));

    let dry = fdw("drop", &["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(fdw("drop", &[]).await.code, 4);
    assert_eq!(fdw("diff", &[]).await.json(), serde_json::json!([]));
    let gone = fdw("drop", &["--yes"]).await;
    assert_eq!(gone.code, 0, "{gone:?}");
    let changes = |ran: &Ran| -> Vec<Value> {
        let rows = ran.json().as_array().expect("an array").clone();
        rows.iter().map(|row| row["object"].clone()).collect()
    };
    assert_eq!(changes(&dry), changes(&gone));
    assert_eq!(fdw("drop", &[]).await.json(), serde_json::json!([]));
    assert_eq!(fdw("diff", &[]).await.code, 1);
    let unreachable = shardctl
        .run(&[
            "fdw",
            "diff",
            "--reporting-host",
            "127.0.0.1",
            "--port",
            "1",
            "--database",
            "x",
            "--user",
            "y",
        ])
        .await;
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
    assert!(!unreachable.err.contains("shard none"), "{unreachable:?}");
    let server = ["--reporting-host", "127.0.0.1", "--port", &port];
    let arguments = [
        &["fdw", "drop", "--user", "postgres", "--database", "reports"],
        &server[..],
    ];
    let missing = shardctl.run(&arguments.concat()).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    let wrong = [("PGSHARD_REPORTING_PASSWORD", "wrong")];
    let refused = shardctl.run_with(&wrong, &arguments.concat()).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    for ran in [&missing, &refused] {
        let address = format!("127.0.0.1:{port}");
        for part in ["PGSHARD_REPORTING_PASSWORD", "role postgres", &address] {
            assert!(ran.err.contains(part), "{part}: {ran:?}");
        }
    }
}
