//! `shardctl pgpool`: what it believes is compared with what is, and it is told only what is so.

use std::os::unix::fs::PermissionsExt;

use pgshard::local::{Pgpool, PgpoolSpec};
use serde_json::Value;

use crate::support::cli::Ran;
use crate::support::installed_programs;
use crate::support::operated::Operated;

const PASSWORD: &str = "secret";
/// Its MD5, as `pcp.conf` has it.
const MD5: &str = "5ebe2294ecd0e0f08eab7690d2a6ee69";

struct Stage {
    pgpool: Pgpool,
    bank: Operated,
    passfile: String,
}

impl Stage {
    async fn run(&self, arguments: &[&str]) -> Ran {
        let at = format!("127.0.0.1:{}", self.pgpool.port());
        let arguments = [&["pgpool"], arguments, &["--at", &at]].concat();
        self.bank.run(&arguments).await
    }

    async fn tell(&self, order: &str, node: &str, more: &[&str]) -> Ran {
        let control = format!("127.0.0.1:{}", self.pgpool.control_port());
        let place = ["--control", &control, "--passfile", &self.passfile];
        let more = if more.is_empty() { &["--yes"] } else { more };
        self.run(&[&[order, node], &place[..], more].concat()).await
    }

    async fn status(&self) -> (i32, Value) {
        let ran = self.run(&["status"]).await;
        (ran.code, ran.json())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_told_what_is_so() {
    if !installed_programs(&["pgpool", "pcp_attach_node"]) {
        return;
    }
    let bank = Operated::start(1).await;
    let spec = PgpoolSpec {
        failover: true,
        control: format!("pgpool:{MD5}\n"),
        ..PgpoolSpec::default()
    };
    let pgpool = bank.shard.local.pgpool("s0", spec).await.unwrap();
    let passfile = bank.shardctl.dir().join("pcppass");
    std::fs::write(&passfile, format!("*:*:pgpool:{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&passfile, PermissionsExt::from_mode(0o600)).unwrap();
    let stage = Stage {
        passfile: passfile.to_str().unwrap().to_owned(),
        pgpool,
        bank,
    };
    let (code, rows) = stage.status().await;
    assert_eq!(code, 0, "{rows}");
    let roles: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["role"])
        .collect();
    assert_eq!(roles, ["primary", "standby"]);

    for (order, node) in [("detach", "s0a"), ("promote", "s0b")] {
        let ran = stage.tell(order, node, &[]).await;
        assert_eq!(ran.code, 4, "{order} {node}: {ran:?}");
    }
    assert_eq!(stage.tell("attach", "s9", &[]).await.code, 2);
    let ran = stage.tell("detach", "s0b", &["--dry-run"]).await;
    assert_eq!(ran.json()[1]["status"], "up", "{ran:?}");
    let ran = stage.tell("detach", "s0b", &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[1]["status"], "down");
    let (code, rows) = stage.status().await;
    assert_eq!(code, 1, "{rows}");
    assert!(
        rows[1]["problems"].as_str().unwrap().contains("attach s0b"),
        "{rows}"
    );
    let ran = stage.tell("attach", "s0b", &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stage.status().await.0, 0);

    // Another primary.
    let ran = stage
        .bank
        .run(&["switchover", "s0", "--to", "s0b", "--yes"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    stage.bank.shard.until_primary(1).await;
    let ran = stage.tell("promote", "s0b", &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (code, rows) = stage.status().await;
    assert_eq!(code, 0, "{rows}");
    assert_eq!(rows[1]["role"], "primary");
    assert_eq!(rows[0]["role"], "standby");
}
