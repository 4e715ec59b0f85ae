//! What one user leaves in a session is not seen by the next: settings, roles, temporary tables,
//! advisory locks, listens, cursors (deadpool-postgres: `Fast` recycling resets nothing). With
//! `synchronous_commit` among the settings this is more than a nuisance: the next user's COMMIT
//! would be acknowledged and not durable.

use std::time::Duration;

use pgshard::Cluster;
use uuid::Uuid;

use crate::support::{client, installed, superuser, until};

/// What the next user of the only session of a pool sees, as one line.
const TRACES: &str = "SELECT concat_ws(' ', current_setting('TimeZone'), \
     current_setting('search_path'), current_setting('synchronous_commit'), \
     current_setting('work_mem'), current_user, nullif(current_setting('app.x', true), ''), \
     to_regclass('pg_temp.trace'), \
     (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
     (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors WHERE is_holdable), \
     (SELECT count(*) FROM pg_prepared_statements WHERE from_sql))";

const CLEAN: &str = "UTC public on 4MB app 0 0 0 0";

/// Statements that leave something behind, each of which may stand in a transaction.
const LEAVING: &[&str] = &[
    "SET TimeZone = 'Asia/Tokyo'",
    "set search_path = pg_catalog",
    "/* x */ SET SESSION synchronous_commit = off",
    "SELECT set_config('work_mem', '1MB', false)",
    "WITH s AS (SELECT Set_Config('app.x', 'secret', false)) SELECT * FROM s",
    "SELECT pg_advisory_lock(7)",
    "SELECT PG_TRY_ADVISORY_LOCK_SHARED(7)",
    "LISTEN channel",
    "DO $$ BEGIN PERFORM pg_advisory_lock(8); END $$",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "PREPARE p AS SELECT 1",
];

/// Only where writing is allowed.
const LEAVING_TABLES: &[&str] = &[
    "CREATE TEMPORARY TABLE trace (i int)",
    "CREATE TABLE pg_temp.trace (i int)",
    "SELECT 1 AS i INTO TEMP trace",
];

async fn next_reader(cluster: &Cluster) -> (String, i32) {
    let read = cluster.session(&Uuid::nil()).unwrap().read();
    let (traces,): (String,) = read.query_one(TRACES, &[]).await.unwrap();
    let (pid,) = read
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    (traces, pid)
}

async fn next_writer(cluster: &Cluster) -> (String, i32) {
    let session = cluster.session(&Uuid::nil()).unwrap();
    let traces = session.transaction(|tx| async move {
        let (traces,): (String,) = tx.query_one(TRACES, &[]).await?;
        let (pid,): (i32,) = tx.query_one("SELECT pg_backend_pid()", &[]).await?;
        Ok((traces, pid))
    });
    traces.await.unwrap().value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_not_seen_by_the_next() {
    let (local, mut config) = installed(1, 0).await;
    config.pool.max_size = 1;
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    admin
        .batch_execute("GRANT pg_read_all_stats TO app; GRANT TEMPORARY ON DATABASE bankdb TO app")
        .await
        .unwrap();
    let session = cluster.session(&Uuid::nil()).unwrap();
    assert_eq!(next_reader(&cluster).await.0, CLEAN);
    assert_eq!(next_writer(&cluster).await.0, CLEAN);

    for sql in LEAVING {
        session.read().rows(sql, &[]).await.unwrap();
        assert_eq!(next_reader(&cluster).await.0, CLEAN, "read: {sql}");
        let lease = session.read().lease().await.unwrap();
        lease.raw().batch_execute(sql).await.unwrap();
        drop(lease);
        assert_eq!(next_reader(&cluster).await.0, CLEAN, "lent: {sql}");
    }
    for sql in LEAVING.iter().chain(LEAVING_TABLES) {
        let done = session.transaction(|tx| async move { tx.execute(sql, &[]).await });
        done.await.unwrap();
        assert_eq!(next_writer(&cluster).await.0, CLEAN, "transaction: {sql}");
        let done = session.transaction(|tx| async move {
            tx.raw()?.batch_execute(sql).await.unwrap();
            Ok(())
        });
        done.await.unwrap();
        assert_eq!(next_writer(&cluster).await.0, CLEAN, "raw: {sql}");
        // Rolled back: session-level locks stay on the server even so.
        let failed = session.transaction(|tx| async move {
            tx.execute(sql, &[]).await?;
            Err::<(), _>(pgshard::Error::abort("no"))
        });
        failed.await.unwrap_err();
        assert_eq!(next_writer(&cluster).await.0, CLEAN, "rolled back: {sql}");
    }

    // A role is a session's state as well.
    admin
        .batch_execute("CREATE ROLE other; GRANT other TO app")
        .await
        .unwrap();
    let done = session.transaction(|tx| async move {
        tx.execute("SET ROLE other", &[]).await?;
        tx.execute("RESET ROLE", &[]).await?;
        tx.raw()?.batch_execute("SET ROLE app").await.unwrap();
        Ok(())
    });
    done.await.unwrap();
    assert_eq!(next_writer(&cluster).await.0, CLEAN);

    // What is LOCAL costs nothing: the session is kept, and no round trip is spent on it. So are the
    // statements that change no state, although they look like it.
    let (_, before) = next_writer(&cluster).await;
    let done = session.transaction(|tx| async move {
        tx.execute("SET LOCAL TimeZone = 'Asia/Tokyo'", &[]).await?;
        tx.execute("SELECT set_config('app.x', 'y', true)", &[])
            .await?;
        tx.execute("SELECT pg_advisory_xact_lock(9)", &[]).await
    });
    done.await.unwrap();
    assert_eq!(next_writer(&cluster).await, (CLEAN.to_owned(), before));

    // A statement that is given up in the middle of raw use does not run on.
    let lease = session.read().lease().await.unwrap();
    let slow = lease.raw().batch_execute("SELECT pg_sleep(60)");
    let _ = tokio::time::timeout(Duration::from_millis(200), slow).await;
    drop(lease);
    assert_eq!(next_reader(&cluster).await.0, CLEAN);
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity \
                WHERE usename = 'app' AND state = 'active' AND query LIKE '%pg_sleep%'";
    until(&admin, gone).await;
    cluster.close().await;
}
