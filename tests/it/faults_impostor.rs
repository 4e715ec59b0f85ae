//! A port that is not PostgreSQL's, at the primary's address and at all addresses from the start: no
//! panic, an error that says what is the matter, bounded time and memory, nothing left behind; and
//! the shard goes on as soon as the server is back, or another one is promoted.

use std::time::{Duration, Instant};

use pgshard::local::StopMode;
use pgshard::topology::ShardState;
use pgshard::{Cluster, CustomerId, ErrorKind, Label};
use uuid::Uuid;

use crate::support::failover::{redirect, shard};
use crate::support::history::Tasks;
use crate::support::impostor::{Guise, Impostor};
use crate::support::stage::impatient;
use crate::support::{INSERT, installed};

/// The memory that this process has, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

async fn write(cluster: &Cluster) -> pgshard::Result<Uuid> {
    let id = CustomerId(Uuid::new_v4());
    let write = cluster
        .session(&id)?
        .write()
        .within(Duration::from_secs(20));
    write
        .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await?;
    Ok(id.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_primarys_address() {
    let (local, mut config) = installed(1, 1).await;
    let server = Guise::Server(local.node("s0a").unwrap().port());
    let impostor = Impostor::new(server);
    redirect(&mut config, "s0a", impostor.port);
    impatient(&mut config);
    config.timeouts.connect = Duration::from_secs(1);
    config.failover.down_after = Duration::from_millis(500);
    config.pool.max_size = 4;
    let tasks = Tasks::count().await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    write(&cluster).await.unwrap();
    let reign = cluster.status()[0].reign;
    for guise in Guise::FALSE {
        let before = memory();
        let began = Instant::now();
        impostor.play(guise);
        // It counts as gone: another node might be promoted.
        let down = cluster.wait_for(shard(), Duration::from_secs(20), |view| {
            view.nodes[0].state.as_str() == "down"
        });
        assert!(down.await.unwrap(), "{guise:?}: {:#?}", cluster.status());
        let session = cluster.session(&Uuid::nil()).unwrap();
        let error = session
            .write()
            .within(Duration::from_millis(300))
            .run(|tx| async move { tx.execute("SELECT 1", &[]).await })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{guise:?}: {error:?}");
        assert!(error.has(Label::NOT_SENT), "{guise:?}: {error:?}");
        let failure = cluster.status()[0].nodes[0].failure.clone().unwrap();
        println!("{guise:?} after {:?}: {failure}", began.elapsed());
        let told = ["PostgreSQL", "reachable"];
        assert!(told.iter().any(|word| failure.contains(word)), "{failure}");
        let grown = memory().saturating_sub(before);
        assert!(grown < 48 << 20, "{guise:?}: {} MB more", grown >> 20);
        impostor.play(server);
        write(&cluster).await.unwrap();
    }
    assert_eq!(cluster.status()[0].reign, reign);

    // The server is gone for good, and something else has its address.
    impostor.play(Guise::Http);
    local.stop("s0a", StopMode::Fast).await.unwrap();
    local.promote("s0b").await.unwrap();
    write(&cluster).await.unwrap();
    assert_ne!(cluster.status()[0].reign, reign);
    cluster.close().await;
    drop((cluster, impostor));
    tasks
        .assert_none_left(&local, Duration::from_secs(10))
        .await;
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_all_addresses_from_the_start() {
    let (local, mut config) = installed(1, 1).await;
    let servers = ["s0a", "s0b"].map(|name| local.node(name).unwrap().port());
    let impostors = [Impostor::new(Guise::Http), Impostor::new(Guise::Silent)];
    for (name, impostor) in ["s0a", "s0b"].iter().zip(&impostors) {
        redirect(&mut config, name, impostor.port);
    }
    impatient(&mut config);
    config.timeouts.connect = Duration::from_secs(1);
    config.timeouts.primary = Duration::from_millis(500);
    let tasks = Tasks::count().await;
    let began = Instant::now();
    // The client starts, and says what is missing.
    let cluster = Cluster::connect(config.clone()).unwrap();
    let error = cluster.ready(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let session = cluster.session(&Uuid::nil()).unwrap();
    let write_soon = session.write().within(Duration::from_secs(1));
    let error = write_soon
        .run(|tx| async move { tx.execute("SELECT 1", &[]).await })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.has(Label::NOT_SENT), "{error:?}");
    assert!(error.message().contains("PostgreSQL"), "{error}");
    let read = cluster.session(&Uuid::nil()).unwrap().read();
    let read = read.prefer_replica().within(Duration::from_secs(1));
    let error = read.rows("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let searching =
        |view: &pgshard::topology::View| matches!(view.state, ShardState::Searching { .. });
    assert!(
        cluster
            .wait_for(shard(), Duration::ZERO, searching)
            .await
            .unwrap()
    );
    // The servers come.
    for (impostor, port) in impostors.iter().zip(servers) {
        impostor.play(Guise::Server(port));
    }
    cluster.ready(Duration::from_secs(20)).await.unwrap();
    write(&cluster).await.unwrap();
    cluster.close().await;

    println!("{:?}", began.elapsed());
    // All are down, refusing, from the start; then they start.
    for node in ["s0a", "s0b"] {
        local.stop(node, StopMode::Fast).await.unwrap();
    }
    println!("{:?}", began.elapsed());
    let cluster = Cluster::connect(config).unwrap();
    let error = cluster.ready(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    println!("{:?}", began.elapsed());
    for node in ["s0b", "s0a"] {
        local.start_node(node).await.unwrap();
    }
    println!("{:?}", began.elapsed());
    cluster.ready(Duration::from_secs(20)).await.unwrap();
    write(&cluster).await.unwrap();
    cluster.close().await;
    drop((cluster, impostors));
    tasks
        .assert_none_left(&local, Duration::from_secs(10))
        .await;
    local.shutdown().await.unwrap();
}
