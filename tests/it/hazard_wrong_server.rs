//! Behind an address is another shard, another cluster, or a standby: nothing is written there, and
//! the error says what is wrong (PgDog #927: role flapping writes to a replica; SPQR #2631: looked on
//! a replica).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use pgshard::{Cluster, CustomerId, ErrorKind, Isolation, Label};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, superuser};

/// An address whose server changes, as a service name's does.
struct Address {
    port: u16,
    target: Arc<AtomicU16>,
}

impl Address {
    async fn of(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target));
        let current = target.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server =
                    SocketAddr::from((Ipv4Addr::LOCALHOST, current.load(Ordering::SeqCst)));
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Address { port, target }
    }

    /// New connections go there.
    fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }
}

async fn write(cluster: &Cluster, id: CustomerId, isolation: Isolation) -> pgshard::Result<()> {
    let write = cluster.session(&id)?.write().isolation(isolation);
    let write = write.within(Duration::from_secs(5));
    write
        .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await
        .map(drop)
}

async fn customers(cluster: &pgshard::local::LocalCluster, node: &str) -> i64 {
    let admin = superuser(cluster, node).await;
    let row = admin.query_one("SELECT count(*) FROM customers", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_shard_or_cluster() {
    let (local, config) = installed(2, 0).await;

    // The addresses of two shards are mixed up.
    let mut mixed = config.clone();
    let (first, second) = mixed.shards.split_at_mut(1);
    std::mem::swap(&mut first[0].nodes[0].port, &mut second[0].nodes[0].port);
    let cluster = Cluster::connect(mixed).unwrap();
    let started = Instant::now();
    for key in 0..4_u128 {
        let id = CustomerId(Uuid::from_u128(key));
        let error = write(&cluster, id, Isolation::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongNode, "{error:?}");
        assert!(error.has(Label::NOT_SENT) && !error.has(Label::RETRYABLE));
        let read = cluster.session(&id).unwrap().read();
        let read = read.within(Duration::from_secs(5));
        let error = read.rows("SELECT 1", &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongNode, "{error:?}");
        assert!(error.message().contains("host and port"), "{error}");
    }
    // Said as soon as it is known, not after all the time there is.
    assert!(started.elapsed() < Duration::from_secs(15));
    cluster.close().await;

    // The file of another cluster.
    let mut other = config.clone();
    other.cluster = pgshard::id::ClusterId::new("other").unwrap();
    let cluster = Cluster::connect(other).unwrap();
    let id = CustomerId(Uuid::nil());
    let error = write(&cluster, id, Isolation::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongNode, "{error:?}");
    cluster.close().await;

    // It changes under a running client. The pool is empty at that time, the prober's connection is
    // still with the right one.
    let mut moved = config.clone();
    let right = moved.shards[0].nodes[0].port;
    let address = Address::of(right).await;
    moved.shards[0].nodes[0].port = address.port;
    let cluster = client(moved).await;
    address.lead_to(config.shards[1].nodes[0].port);
    let id = (0..)
        .map(|n| CustomerId(Uuid::from_u128(n)))
        .find(|id| cluster.session(id).unwrap().shard().as_str() == "s0")
        .unwrap();
    let error = write(&cluster, id, Isolation::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongNode, "{error:?}");
    let read = cluster.session(&id).unwrap().read();
    let error = read.rows("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongNode, "{error:?}");
    for node in ["s0a", "s1a"] {
        assert_eq!(customers(&local, node).await, 0, "{node}");
    }
    cluster.close().await;
}

/// The address leads to a standby before the monitor has heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_looked_past() {
    let (local, mut config) = installed(1, 1).await;
    let right = config.shards[0].nodes[0].port;
    let address = Address::of(right).await;
    config.shards[0].nodes[0].port = address.port;
    for isolation in [Isolation::ReadCommitted, Isolation::Serializable] {
        let cluster = client(config.clone()).await;
        address.lead_to(local.node("s0b").unwrap().port());
        let id = CustomerId(Uuid::new_v4());
        let back = async {
            // Within the pauses between a write's attempts, which are random.
            tokio::time::sleep(Duration::from_millis(60)).await;
            // The session that met the standby is not used again.
            address.lead_to(right);
        };
        let (outcome, ()) = tokio::join!(write(&cluster, id, isolation), back);
        outcome.unwrap();
        cluster.close().await;
    }
    assert_eq!(customers(&local, "s0a").await, 2);
}
