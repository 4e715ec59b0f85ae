//! A shard whose schema is older than operators' acts: this library works with it, `install` steps it up
//! under running clients, and what an older library sends still works and is refused where it must be.

use std::time::Duration;

use pgshard::ops::install::{Install, InstallOptions, verify};
use pgshard::topology::Mode;
use pgshard::{Cluster, ErrorKind};

use crate::support::acts::{act, done};
use crate::support::cli::Shardctl;
use crate::support::failover::{Watched, shard as id};
use crate::support::{app, ddl_role, owner};

/// What version 2 of the schema lacks.
const WITHOUT_ACTS: &str = "
    DROP TABLE pgshard.act;
    DROP FUNCTION pgshard.act_is_append_only, pgshard.enter;
    ALTER TABLE pgshard.identity DROP acts, DROP mode, DROP mode_note, DROP fenced_nodes,
        DROP fenced_reigns, DROP chosen, DROP system_identifier;
    UPDATE pgshard.identity SET schema_version = 2;";

/// The function as the first step defines it.
fn first_enter() -> String {
    let step = include_str!("../../schema/pgshard/001_entry.sql");
    let from = step.find("CREATE FUNCTION pgshard.enter(").unwrap();
    let length = step[from..].find("\n$$;\n").unwrap() + 5;
    format!(
        "{}GRANT EXECUTE ON FUNCTION pgshard.enter TO app",
        &step[from..from + length]
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_version_2_under_running_clients() {
    let shard = Watched::start(0).await;
    let shardctl = Shardctl::new(&shard.local);
    let session = owner(&shard.local, "s0a").await;
    session
        .batch_execute(&format!("BEGIN; {WITHOUT_ACTS} {}; COMMIT", first_enter()))
        .await
        .unwrap();

    // A client that runs goes on, one that starts works, and acts cannot be stored.
    tokio::time::sleep(Duration::from_secs(2)).await;
    shard.write().await.unwrap();
    let late = Cluster::connect(shard.cluster.config().clone()).unwrap();
    late.ready(Duration::from_secs(20)).await.unwrap();
    let arguments = ["shard", "fence", "s0", "--reason", "x", "--yes"];
    let early = act(&shard.local, &shardctl, &arguments).await;
    assert_eq!(early.code, 4, "{early:?}");
    assert!(early.err.contains("shardctl install"), "{early:?}");

    let role = ddl_role(&shard.local);
    let options = InstallOptions::new(role.clone());
    let install = Install::plan(shard.cluster.config(), options)
        .await
        .unwrap();
    assert_eq!(install.shards()[0].found, Some(2));
    install.apply(|_| ()).await.unwrap();
    assert_eq!(verify(shard.cluster.config(), &role).await.unwrap(), []);
    shard.write().await.unwrap();

    // The statements of an older library, as it sends them, still do what they did.
    let older = app(&shard.local, "s0a").await;
    let row = older
        .query_one("SELECT reign::text FROM pgshard.reign", &[])
        .await
        .unwrap();
    let reign: String = row.get(0);
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         LOCK TABLE pgshard.gate IN ACCESS SHARE MODE; \
         SELECT pgshard.enter('n', 'bank', 's0', {}, '{reign}')",
        shard.cluster.config().map.version()
    );
    older.batch_execute(&begin).await.unwrap();
    older
        .batch_execute("SELECT pgshard.leave('n'); COMMIT")
        .await
        .unwrap();
    older
        .batch_execute("SELECT cluster, shard, map_version FROM pgshard.identity")
        .await
        .unwrap();

    // Both clients, which saw the older schema, obey; the older library is refused by the server.
    done(&shard.local, &shardctl, &["shard", "read-only", "s0"]).await;
    for cluster in [&shard.cluster, &late] {
        let wait = Duration::from_secs(10);
        let seen = cluster.wait_for(id(), wait, |view| view.orders.mode == Mode::ReadOnly);
        assert!(seen.await.unwrap());
    }
    let error = shard.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Maintenance, "{error:?}");
    let error = older.batch_execute(&begin).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "PGS08", "{error:?}");
    late.close().await;
    shard.finish().await;
}
