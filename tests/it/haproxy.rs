//! A node that is HAProxy's write port: it leads to the server whose Patroni holds the lock, and where it
//! leads to another one, nothing is written there.

use std::process::Stdio;
use std::time::Duration;

use pgshard::config::Proxy;
use pgshard::local::{LocalPatroni, PatroniSpec, ReservedPort};
use pgshard::{Cluster, CustomerId};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use uuid::Uuid;

use crate::patroni_source::{prepared, verified};
use crate::support::history::{Load, Mix};
use crate::support::stage::impatient;
use crate::support::{INSERT, connect, installed_programs, rows_of};

/// HAProxy in TCP mode; it ends with this.
struct HaProxy {
    port: ReservedPort,
    dir: tempfile::TempDir,
    child: Child,
}

impl HaProxy {
    async fn start(servers: &str) -> Self {
        let port = ReservedPort::new(None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let child = run(dir.path(), port.number(), servers).await;
        HaProxy { port, dir, child }
    }

    /// The same port leads elsewhere from now on.
    async fn lead(&mut self, servers: &str) {
        self.child.kill().await.unwrap();
        self.child = run(self.dir.path(), self.port.number(), servers).await;
    }
}

async fn run(dir: &std::path::Path, port: u16, servers: &str) -> Child {
    let file = dir.join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1m\n  timeout server 1m\n  \
         timeout check 1s\nlisten s0\n  bind 127.0.0.1:{port}\n{servers}"
    );
    std::fs::write(&file, text).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("haproxy")
        .env("PATH", format!("{path}:/usr/sbin"))
        .args(["-db", "-f"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let began = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "HAProxy is not up"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child
}

fn port_of(local: &LocalPatroni, node: &str) -> u16 {
    local.superuser_conninfo(node).unwrap().get_ports()[0]
}

/// As docs/proxies.md has it.
fn checked(local: &LocalPatroni) -> String {
    let server = |node: &str| {
        let rest = local.rest_url(node).unwrap();
        let check = rest
            .trim_end_matches('/')
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        let port = port_of(local, node);
        format!("  server {node} 127.0.0.1:{port} check port {check}\n")
    };
    format!(
        "  option httpchk GET /primary\n  http-check expect status 200\n  \
         default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions\n{}{}",
        server("s0a"),
        server("s0b")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_follow_haproxy_and_never_to_a_stale_primary() {
    if !installed_programs(&["haproxy", "patroni", "etcd"]) {
        return;
    }
    let (local, direct) = prepared(PatroniSpec::default()).await;
    let mut haproxy = HaProxy::start(&checked(&local)).await;
    let mut config = direct.clone();
    let shard = &mut config.shards[0];
    shard.patroni = None;
    shard.nodes.truncate(1);
    shard.nodes[0].port = haproxy.port.number();
    shard.nodes[0].proxy = Some(Proxy::PgBouncer);
    config.etcd = None;
    impatient(&mut config);
    let cluster = Cluster::connect(config.clone()).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();

    let load = Load::start(&cluster, Mix::default());
    load.flows("at the start").await;
    load.note("switchover to s0b");
    let began = Instant::now();
    local.switchover("s0", "s0b").await.unwrap();
    load.flows("after the switchover").await;
    println!("writes flow again after {:?}", began.elapsed());
    local.wait_healthy("s0").await.unwrap();

    // The leader's Patroni is stopped: soon both servers take writes, and HAProxy leads to the new one.
    load.note("the leader's Patroni is stopped");
    local.pause_patroni("s0b").await.unwrap();
    local.wait_leader("s0").await.unwrap();
    load.flows("while both are writable").await;
    let stale = connect(local.superuser_conninfo("s0b").unwrap()).await;
    let row = stale.query_one("SELECT NOT pg_is_in_recovery()", &[]).await;
    assert!(row.unwrap().get::<_, bool>(0), "the old one takes writes");
    let count = "SELECT count(*) FROM history";
    let before: i64 = stale.query_one(count, &[]).await.unwrap().get(0);
    load.flows("still").await;
    let after: i64 = stale.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "nothing is written to the old one");
    let history = load.stop().await;

    // HAProxy is led to the stale one.
    haproxy
        .lead(&format!(
            "  server s0b 127.0.0.1:{}\n",
            port_of(&local, "s0b")
        ))
        .await;
    for _ in 0..10 {
        let id = CustomerId(Uuid::new_v4());
        let session = cluster.session(&id).unwrap();
        let write = session.transaction(|tx| async move { tx.execute(INSERT, &[&id]).await });
        if let Ok(written) = tokio::time::timeout(Duration::from_millis(700), write).await {
            written.expect_err("written to the stale primary");
        }
        assert_eq!(rows_of(&stale, id).await, 0, "written to the stale primary");
    }
    // It takes both for up, until its checks have failed often enough.
    haproxy.lead(&checked(&local)).await;
    let began = Instant::now();
    loop {
        let id = CustomerId(Uuid::new_v4());
        let session = cluster.session(&id).unwrap();
        let write = session.transaction(|tx| async move { tx.execute(INSERT, &[&id]).await });
        let outcome = write.await;
        assert_eq!(rows_of(&stale, id).await, 0, "written to the stale primary");
        match outcome {
            Ok(_) => break,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(stale);
    cluster.close().await;

    local.kill_patroni("s0b").await.unwrap();
    local.start_patroni("s0b").await.unwrap();
    local.wait_healthy("s0").await.unwrap();
    let verdict = verified(&local, &direct, &[history]).await;
    // An asynchronous failover may lose what was acknowledged at last, and nothing else.
    verdict.assert_clean_but_lost();
    assert!(verdict.acknowledged > 100);
    drop(haproxy);
    local.shutdown().await.unwrap();
}
