//! Another server answers behind a node's address, with the same cluster and shard in its database:
//! it is told apart by its system identifier, never read and never written to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgshard::topology::ShardState;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::failover::{Watched, customers, redirect};
use crate::support::{installed, superuser};

/// Passes connections on to a server that can be changed; a change ends those that are open.
struct Switch {
    port: u16,
    target: Arc<watch::Sender<u16>>,
}

impl Switch {
    fn new(target: u16) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(watch::Sender::new(target));
        let current = target.clone();
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut changes = current.subscribe();
                let port = *changes.borrow_and_update();
                tokio::spawn(async move {
                    let address = SocketAddr::from(([127, 0, 0, 1], port));
                    if let Ok(mut server) = TcpStream::connect(address).await {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                            _ = changes.changed() => {}
                        }
                    }
                });
            }
        });
        Switch { port, target }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_server_behind_the_address() {
    // Another shard "s0" of another "bank", which has the same password by chance.
    let (foreign, _) = installed(1, 0).await;
    let foreign_port = foreign.node("s0a").unwrap().port();
    let mut switches = Vec::new();
    let shard = Watched::configured(1, vec![], |config, local| {
        for name in ["s0a", "s0b"] {
            let switch = Switch::new(local.node(name).unwrap().port());
            redirect(config, name, switch.port);
            switches.push(switch);
        }
    })
    .await;
    let settings = shard.local.app_conninfo("s0a").unwrap();
    let password = String::from_utf8_lossy(settings.get_password().unwrap()).into_owned();
    superuser(&foreign, "s0a")
        .await
        .batch_execute(&format!("ALTER ROLE app PASSWORD '{password}'"))
        .await
        .unwrap();
    let written = shard.write().await.unwrap();

    // At the replica's address.
    switches[1].target.send_replace(foreign_port);
    let view = shard.until_node(1, "foreign").await;
    assert!(!view.nodes[1].readable);
    assert_eq!(view.primary.unwrap().0.0, 0);
    shard.write().await.unwrap();

    // At the primary's address.
    switches[0].target.send_replace(foreign_port);
    shard.until_node(0, "foreign").await;
    for _ in 0..3 {
        let error = shard.write().await.unwrap_err();
        assert_eq!(error.kind(), pgshard::ErrorKind::WrongNode, "{error:?}");
    }
    let view = shard.view().await;
    assert!(view.primary.is_none(), "{view:?}");
    assert!(
        matches!(
            view.state,
            ShardState::Suspect { .. } | ShardState::Searching { .. }
        ),
        "{view:?}"
    );
    assert!(customers(&foreign, "s0a").await.is_empty());

    // The right one again: the same term.
    for (switch, name) in switches.iter().zip(["s0a", "s0b"]) {
        switch
            .target
            .send_replace(shard.local.node(name).unwrap().port());
    }
    shard.until_primary(0).await;
    shard.write().await.unwrap();
    assert!(shard.customers("s0a").await.contains(&written));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(customers(&foreign, "s0a").await.is_empty());
    shard.finish().await;
    foreign.shutdown().await.unwrap();
}
