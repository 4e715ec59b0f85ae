//! `shardctl patroni` on a real Patroni: who leads changes as asked, and what would lose is refused.

use pgshard::local::{LocalPatroni, PatroniSpec};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::{connect, installed_programs};

struct Operator<'l> {
    local: &'l LocalPatroni,
    password: String,
}

impl Operator<'_> {
    async fn run(&self, password: &str, arguments: &[&str]) -> (i32, Value, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_shardctl"));
        command
            .args(["--output", "json", "patroni"])
            .args(arguments)
            .current_dir(self.local.dir())
            .env_clear()
            .env("SHARDCTL_CONFIG", self.local.config_file())
            .env("PGSHARD_PATRONI_PASSWORD", password);
        let output = command.output().await.expect("shardctl runs");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!err.contains(&self.password), "{err}");
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap_or(-1), json, err)
    }

    async fn ask(&self, arguments: &[&str]) -> (i32, Value, String) {
        let login = ["--patroni-user", "patroni"];
        self.run(&self.password, &[arguments, &login].concat())
            .await
    }

    async fn done(&self, arguments: &[&str]) -> Value {
        let (code, rows, err) = self.ask(&[arguments, &["--yes"]].concat()).await;
        assert_eq!(code, 0, "{arguments:?}: {err}");
        rows
    }

    async fn refused(&self, arguments: &[&str], reason: &str) {
        let (code, _, err) = self.ask(&[arguments, &["--yes"]].concat()).await;
        assert_eq!(code, 4, "{arguments:?}: {err}");
        assert!(err.contains(reason), "{arguments:?}: {err}");
    }
}

fn leader(rows: &Value) -> &str {
    let rows = rows.as_array().unwrap();
    let found = rows.iter().find(|row| row["role"] == "leader");
    found.unwrap()["member"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_and_declines() {
    if !installed_programs(&["patroni", "etcd"]) {
        return;
    }
    let local = LocalPatroni::start(PatroniSpec {
        synchronous: true,
        ..PatroniSpec::default()
    })
    .await
    .unwrap();
    local.install(|_| ()).await.unwrap();
    local.write_config().unwrap();
    let credentials = local.rest_credentials();
    let operator = Operator {
        local: &local,
        password: credentials.password.unwrap().expose_secret().to_owned(),
    };
    local.wait_healthy("s0").await.unwrap();
    let (code, rows, err) = operator.run("", &["list"]).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(leader(&rows), "s0a");
    assert_eq!(operator.run("", &["list", "s9"]).await.0, 2);

    // Who may not lead, and who may not ask.
    operator
        .refused(&["failover", "s0", "--to", "s0b"], "switchover")
        .await;
    operator.refused(&["reinit", "s0", "s0a"], "erased").await;
    operator.refused(&["resume", "s0"], "not paused").await;
    let login = ["restart", "s0", "s0a", "--patroni-user", "patroni", "--yes"];
    let (code, _, err) = operator.run("wrong", &login).await;
    assert_eq!(code, 1, "{err}");

    let dry = operator.ask(&["switchover", "s0", "--dry-run"]).await;
    assert!(
        dry.1[0]["what"]
            .as_str()
            .unwrap()
            .starts_with("s0a hands over")
    );
    // A busy leader: Patroni's list is as old as its last turn, and the standby is not behind.
    let busy = connect(local.superuser_conninfo("s0a").unwrap()).await;
    let load = tokio::spawn(async move {
        let sql = "SELECT pg_logical_emit_message(true, 'load', repeat('x', 3000000))";
        while busy.batch_execute(sql).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    for _ in 0..8 {
        let (code, _, err) = operator.ask(&["switchover", "s0", "--dry-run"]).await;
        assert_eq!(code, 0, "{err}");
    }
    let rows = operator.done(&["switchover", "s0"]).await;
    load.abort();
    let second = leader(&rows).to_owned();
    assert_ne!(second, "s0a");
    local.wait_healthy("s0").await.unwrap();

    operator.done(&["restart", "s0", "s0a"]).await;
    local.wait_healthy("s0").await.unwrap();
    let paused = operator.done(&["pause", "s0"]).await;
    assert_eq!(paused[0]["pause"], true);
    operator.refused(&["pause", "s0"], "already").await;
    let resumed = operator.done(&["resume", "s0"]).await;
    assert_eq!(resumed[0]["pause"], false);

    // A synchronous standby is not erased while COMMIT waits for it alone.
    let only = [["reinit", "s0", "s0a"], ["reinit", "s0", "s0b"]];
    let standby = only.iter().find(|order| order[2] != second).unwrap();
    operator.refused(standby, "only synchronous").await;
    local.shutdown().await.unwrap();
}
