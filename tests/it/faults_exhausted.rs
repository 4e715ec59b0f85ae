//! A server that runs out of something: of connections, of disk. It is alive, and that it fails is no
//! failover; only when it ends for it is one due. The load's history is checked.

use std::time::Duration;

use pgshard::local::StopMode;
use tokio_postgres::NoTls;

use crate::support::history::{Mix, Outcome};
use crate::support::small_disk::SmallDisk;
use crate::support::stage::Stage;
use crate::support::superuser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_connections() {
    let stage = Stage::start(1).await;
    let reign = stage.reign().await;
    let load = stage.load(Mix::default());
    load.flows("at the start").await;
    let admin = superuser(&stage.local, "s0a").await;
    load.note("others take all connections that are left");
    let settings = stage.local.app_conninfo("s0a").unwrap();
    let mut taken = Vec::new();
    while let Ok((client, connection)) = settings.connect(NoTls).await {
        tokio::spawn(connection);
        taken.push(client);
    }
    load.flows("on the connections that it has").await;
    load.note("and those of the client are ended");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE usename = 'app' AND application_name <> ''";
    for _ in 0..5 {
        admin.execute(end, &[]).await.unwrap();
        while let Ok((client, connection)) = settings.connect(NoTls).await {
            tokio::spawn(connection);
            taken.push(client);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    load.note("they give them back");
    drop(admin);
    drop(taken);
    load.flows("after the exhaustion").await;
    assert_eq!(stage.reign().await, reign);
    let history = load.stop().await;
    let verdict = stage.finish(&[history], &["s0a"]).await;
    verdict.assert_clean();
}

/// Full where the tables are: statements fail, and succeed again when there is room. Full where the
/// log is: the server ends, and a standby takes over with all that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_disk() {
    let stage = Stage::start(1).await;
    let reign = stage.reign().await;
    let data = stage.local.node("s0a").unwrap().data_dir();
    stage.local.stop("s0a", StopMode::Fast).await.unwrap();
    let Some(tables) = SmallDisk::under(&data.join("base"), 96 << 20) else {
        return;
    };
    let log = SmallDisk::under(&data.join("pg_wal"), 80 << 20).expect("a second one");
    stage.local.start_node("s0a").await.unwrap();
    let load = stage.load(Mix::default());
    load.flows("at the start").await;

    load.note("no room for the tables");
    tables.fill();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    load.note("room again");
    tables.empty();
    load.flows("after the tables' disk was full").await;
    assert_eq!(stage.reign().await, reign, "no failover");

    load.note("no room for the log");
    log.fill();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while stage.local.node("s0a").unwrap().process_id().is_some() {
        if std::time::Instant::now() > deadline {
            // It hangs on to life by starting again and again.
            load.note("s0a still runs");
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.note("s0a has ended");
    stage.local.kill("s0a").await.unwrap();
    let new = stage.promote_best(&load).await;
    load.flows("after the failover").await;
    let history = load.stop().await;
    let full = |text: &String| text.contains("No space left on device");
    let failed = history
        .writes
        .iter()
        .any(|write| matches!(&write.outcome, Outcome::Failed(text) if full(text)));
    let verdict = stage.finish(&[history], &[new.as_str()]).await;
    verdict.assert_clean();
    assert!(failed, "the tables' disk was never full: {verdict}");
}
