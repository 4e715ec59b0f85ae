//! `shardctl install` and `shardctl fdw` beside real servers: what they print and how they exit.

use std::os::unix::fs::PermissionsExt as _;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::cli::Shardctl;
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
    let made = fdw("apply", &[]).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(made.json()[0]["change"], "create");
    assert!(!made.out.contains(password.expose_secret()));
    let same = fdw("diff", &[]).await;
    assert_eq!((same.code, same.json()), (0, serde_json::json!([])));
    assert_eq!(fdw("drop", &[]).await.code, 4);
    assert_eq!(fdw("drop", &["--yes"]).await.code, 0);
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
}
