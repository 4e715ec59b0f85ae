//! The log of `shardctl` never holds statements, parameters or passwords, however loud it is.

use std::process::{Command, Output};

use crate::support::{connect, credentials, ddl_role, start};
use secrecy::ExposeSecret as _;

fn secret(role: &pgshard::ops::Credentials) -> String {
    let password = role.password.as_ref().expect("a password");
    password.expose_secret().to_owned()
}

#[tokio::test]
async fn statements_and_passwords_stay_out_of_the_loudest_log() {
    let cluster = start(1, 0).await;
    let app = cluster.app_conninfo("s0a").expect("a node");
    // The server is up, and takes the role.
    connect(app.clone()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let port = app.get_ports().first().expect("a port");
    let file = directory.path().join("shards.toml");
    let text = format!(
        "cluster = \"bank\"\ndatabase = \"bankdb\"\nuser = \"app\"\n\
         [routing]\nhash = \"pg\"\n\
         [[shard]]\nid = \"s0\"\n[[shard.node]]\nid = \"s0a\"\nhost = \"127.0.0.1\"\nport = {port}\n"
    );
    std::fs::write(&file, text).expect("a file");
    let owner = ddl_role(&cluster);
    let (owner_secret, app_secret) = (secret(&owner), secret(&credentials(&app)));
    let shardctl = |log: Option<&str>, arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
        command
            .args(arguments)
            .args(["install", "--ddl-user", &owner.user])
            .env("SHARDCTL_CONFIG", &file)
            .env("PGSHARD_DDL_PASSWORD", &owner_secret)
            .env("PGSHARD_PASSWORD", &app_secret)
            .env_remove("PGSHARD_LOG");
        if let Some(log) = log {
            command.env("PGSHARD_LOG", log);
        }
        command.output().expect("shardctl runs")
    };
    let runs = [
        shardctl(None, &["-vvv", "--output", "json"]),
        shardctl(
            Some("trace,tokio_postgres=trace,log=trace"),
            &["--output", "json"],
        ),
    ];
    for output in runs {
        // Refused, since nobody is there to ask; by then it has looked at the shard.
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        for secret in [&owner_secret, &app_secret] {
            assert!(!stderr.contains(secret.as_str()), "{stderr}");
        }
        for sign in ["SELECT", "CREATE ", "BEGIN", "preparing query", "executing"] {
            assert!(!stderr.contains(sign), "{sign}: {stderr}");
        }
    }
}
