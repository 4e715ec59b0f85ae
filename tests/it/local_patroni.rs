//! A real Patroni over real etcd: leaders change as asked and as forced, and who fell comes back.

use std::time::Duration;

use pgshard::local::{LocalPatroni, NodeRole, NodeState, PatroniNode, PatroniSpec};
use tokio::time::Instant;

use crate::support::{connect, installed_programs};

/// Rows of a table that lives through all of it.
async fn rows(cluster: &LocalPatroni, node: &str) -> i64 {
    let client = connect(cluster.superuser_conninfo(node).unwrap()).await;
    let row = client.query_one("SELECT count(*) FROM kept", &[]).await;
    row.unwrap().get(0)
}

async fn add(cluster: &LocalPatroni, node: &str) {
    let client = connect(cluster.superuser_conninfo(node).unwrap()).await;
    let insert = client.batch_execute("INSERT INTO kept DEFAULT VALUES");
    let deadline = tokio::time::timeout(Duration::from_secs(20), insert);
    deadline.await.expect("an answer").unwrap();
}

/// Asks a node's REST interface with curl's manners; the status.
async fn post(cluster: &LocalPatroni, node: &str, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let port = cluster.node(node).unwrap().rest_port();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let request = format!("POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn switchover_crash_and_rejoin_lose_nothing() {
    if !installed_programs(&["patroni", "etcd"]) {
        return;
    }
    let start = Instant::now();
    let cluster = LocalPatroni::start(PatroniSpec {
        synchronous: true,
        ..PatroniSpec::default()
    })
    .await
    .unwrap();
    println!("started in {:?}", start.elapsed());
    assert_eq!(cluster.leader("s0").await.unwrap().unwrap().as_str(), "s0a");
    let config = cluster.install(|_| ()).await.unwrap();
    assert_eq!(config.shards.len(), 1);
    let client = connect(cluster.superuser_conninfo("s0a").unwrap()).await;
    client
        .batch_execute("CREATE TABLE kept (id serial PRIMARY KEY)")
        .await
        .unwrap();
    add(&cluster, "s0a").await;

    // Nobody changes anything without the password.
    assert_eq!(post(&cluster, "s0a", "/switchover").await, 401);
    let passwords = cluster.dir().join("nodes/s0a/patroni.yml");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&passwords.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let start = Instant::now();
    cluster.switchover("s0", "s0b").await.unwrap();
    println!("switched over in {:?}", start.elapsed());
    assert_eq!(cluster.leader("s0").await.unwrap().unwrap().as_str(), "s0b");
    add(&cluster, "s0b").await;
    let refused = cluster.switchover("s0", "s0b").await.unwrap_err();
    assert!(refused.to_string().contains("declined"), "{refused}");

    // As after a power cut.
    cluster.wait_healthy("s0").await.unwrap();
    let start = Instant::now();
    cluster.kill_node("s0b").await.unwrap();
    assert_eq!(
        cluster.node("s0b").unwrap().patroni_state(),
        NodeState::Down
    );
    assert_eq!(
        cluster.node("s0b").unwrap().postgres_state(),
        NodeState::Down
    );
    assert_eq!(cluster.wait_leader("s0").await.unwrap().as_str(), "s0a");
    println!("failed over in {:?}", start.elapsed());
    let start = Instant::now();
    cluster.start_node("s0b").await.unwrap();
    println!("rejoined in {:?}", start.elapsed());
    add(&cluster, "s0a").await;
    assert_eq!(rows(&cluster, "s0a").await, 3);
    assert_eq!(rows(&cluster, "s0b").await, 3);
    let status = cluster.status().await;
    assert_eq!(status[0].role, Some(NodeRole::Primary));
    assert_eq!(status[1].stream.as_deref(), Some("streaming"));
    assert_eq!(status[1].manager, Some(NodeState::Running));

    cluster.wait_healthy("s0").await.unwrap();
    // The server alone: it is not given time to start again.
    cluster.kill_postgres("s0a").await.unwrap();
    assert_eq!(cluster.wait_leader("s0").await.unwrap().as_str(), "s0b");

    let dir = cluster.dir().to_owned();
    let data: Vec<_> = cluster.nodes().map(PatroniNode::data_dir).collect();
    cluster.shutdown().await.unwrap();
    assert!(!dir.exists(), "{data:?}");
}
