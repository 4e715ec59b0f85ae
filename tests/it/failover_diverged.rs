//! A diverged old primary that was started with nothing but standby.signal: it is in recovery and
//! answers, its WAL receiver runs now and then, and it serves data that the shard never had.

use std::time::Duration;

use pgshard::ReadPreference;
use pgshard::local::StopMode;
use uuid::Uuid;

use crate::support::failover::{Watched, shard as id};
use crate::support::superuser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diverged_standby_is_never_read() {
    let shard = Watched::start(2).await;
    let before = shard.write().await.unwrap();
    shard.until_replicated(before, "s0b").await;
    shard.until_replicated(before, "s0c").await;
    // The primary takes a write that no replica gets, and dies.
    let admin = superuser(&shard.local, "s0a").await;
    let settings = shard.local.superuser_conninfo("s0b").unwrap();
    let password = String::from_utf8_lossy(settings.get_password().unwrap()).into_owned();
    let source = format!(
        "host=127.0.0.1 port={} user={} password={password}",
        shard.local.node("s0b").unwrap().port(),
        settings.get_user().unwrap(),
    );
    admin
        .batch_execute(&format!("ALTER SYSTEM SET primary_conninfo = '{source}'"))
        .await
        .unwrap();
    for replica in ["s0b", "s0c"] {
        shard.local.stop(replica, StopMode::Fast).await.unwrap();
    }
    let stray = Uuid::new_v4();
    admin
        .execute(
            "INSERT INTO customers (customer_id, full_name, email, country) \
             VALUES ($1, 'Eve', 'eve@example.com', 'GB')",
            &[&stray],
        )
        .await
        .unwrap();
    shard.local.kill("s0a").await.unwrap();
    for replica in ["s0b", "s0c"] {
        shard.local.start_node(replica).await.unwrap();
    }
    shard.local.promote("s0b").await.unwrap();
    shard.until_primary(1).await;
    let after = shard.write().await.unwrap();

    let signal = shard
        .local
        .node("s0a")
        .unwrap()
        .data_dir()
        .join("standby.signal");
    std::fs::write(signal, "").unwrap();
    shard.local.start_node("s0a").await.unwrap();
    shard.until_node(0, "standby").await;
    assert!(shard.customers("s0a").await.contains(&stray));
    for _ in 0..40 {
        let view = shard.view().await;
        assert!(!view.nodes[0].readable, "{:?}", view.nodes[0]);
        let rows = shard
            .cluster
            .read_shard(id())
            .unwrap()
            .preference(ReadPreference::Nearest)
            .query::<(Uuid,)>("SELECT customer_id FROM customers", &[])
            .await
            .unwrap();
        assert!(!rows.contains(&(stray,)));
        assert!(rows.contains(&(before,)) && rows.contains(&(after,)));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shard.finish().await;
}
