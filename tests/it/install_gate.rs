//! The entry of write transactions: a stale map, a stale reign, a standby, another shard's database.

use std::time::Duration;

use pgshard::local::LocalCluster;
use tokio_postgres::{Client, Error};

use crate::support::{app, installed, owner};

const NONE: &str = "00000000-0000-0000-0000-000000000000";

fn code(result: Result<(), Error>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.code().expect("an answer").code().to_owned(),
    }
}

async fn reign(session: &Client) -> String {
    let row = session
        .query_one(
            "SELECT reign::text FROM pgshard.reign WHERE parent IS NULL",
            &[],
        )
        .await;
    row.unwrap().get(0)
}

fn enter(cluster: &str, shard: &str, map: i64, reign: &str) -> String {
    format!("SELECT pgshard.enter('n', '{cluster}', '{shard}', {map}, '{reign}')")
}

/// Waits until a session waits for a lock.
async fn waits(cluster: &LocalCluster) {
    let session = owner(cluster, "s0a").await;
    for _ in 0..500 {
        let row = session.query_one("SELECT count(*) FROM pg_locks WHERE NOT granted", &[]);
        if row.await.unwrap().get::<_, i64>(0) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits");
}

#[tokio::test]
async fn only_the_right_transaction_enters() {
    let (cluster, config) = installed(1, 1).await;
    let map = config.map.version().0;
    let session = app(&cluster, "s0a").await;
    let reign = reign(&session).await;
    let first = |sql: String| {
        let session = &session;
        async move {
            let _ = session.batch_execute("ROLLBACK").await;
            let begin = "BEGIN; LOCK TABLE pgshard.gate IN ACCESS SHARE MODE";
            code(session.batch_execute(&format!("{begin}; {sql}")).await)
        }
    };
    assert_eq!(first(enter("bank", "s0", map, &reign)).await, "ok");
    assert_eq!(
        code(
            session
                .batch_execute("SELECT pgshard.leave('n'); COMMIT")
                .await
        ),
        "ok"
    );

    assert_eq!(first(enter("bank", "s0", map + 1, &reign)).await, "PGS01");
    assert_eq!(first(enter("bank", "s0", map - 1, &reign)).await, "PGS01");
    assert_eq!(first(enter("bank", "s0", map, NONE)).await, "PGS02");
    assert_eq!(first(enter("bank", "s1", map, &reign)).await, "PGS03");
    assert_eq!(first(enter("other", "s0", map, &reign)).await, "PGS03");
    let null = "SELECT pgshard.enter('n', NULL, NULL, NULL, NULL)".to_owned();
    assert_eq!(first(null).await, "PGS03");
    let empty = enter("bank", "s0", map, &reign).replace("'n'", "''");
    assert_eq!(first(empty).await, "22023");

    // The lock is of the cheap kind.
    assert_eq!(first(enter("bank", "s0", map, &reign)).await, "ok");
    let row = session
        .query_one(
            "SELECT fastpath FROM pg_locks WHERE relation = 'pgshard.gate'::regclass",
            &[],
        )
        .await;
    assert!(row.unwrap().get::<_, bool>(0));

    // A newer reign ends the older one's right to write.
    let adopt = format!(
        "INSERT INTO pgshard.reign (reign, parent, timeline, start_lsn)
         VALUES (gen_random_uuid(), '{reign}', 2, '0/1')"
    );
    let _ = session.batch_execute("ROLLBACK").await;
    session.batch_execute(&adopt).await.unwrap();
    assert_eq!(first(enter("bank", "s0", map, &reign)).await, "PGS02");

    // A standby is refused by its role, whatever else is right.
    let standby = app(&cluster, "s0b").await;
    let sql = "BEGIN; LOCK TABLE pgshard.gate IN ACCESS SHARE MODE";
    let sql = format!("{sql}; {}", enter("bank", "s0", map, &reign));
    assert_eq!(code(standby.batch_execute(&sql).await), "PGS02");
}

#[tokio::test]
async fn a_transaction_that_was_ended_inside_does_not_leave() {
    let (cluster, config) = installed(1, 0).await;
    let session = app(&cluster, "s0a").await;
    let reign = reign(&session).await;
    let begin = format!(
        "BEGIN; LOCK TABLE pgshard.gate IN ACCESS SHARE MODE; {}",
        enter("bank", "s0", config.map.version().0, &reign)
    );
    for inside in [
        "COMMIT",
        "ROLLBACK",
        "COMMIT; BEGIN",
        "ROLLBACK; BEGIN",
        "ROLLBACK AND CHAIN",
    ] {
        session.batch_execute(&begin).await.unwrap();
        session.batch_execute(inside).await.unwrap();
        let left = session
            .batch_execute("SELECT pgshard.leave('n'); COMMIT")
            .await;
        assert_eq!(code(left), "PGS04", "{inside}");
        let _ = session.batch_execute("ROLLBACK").await;
    }
    // Another transaction's nonce, none, and an aborted transaction.
    session.batch_execute(&begin).await.unwrap();
    assert_eq!(
        code(session.batch_execute("SELECT pgshard.leave('m')").await),
        "PGS04"
    );
    assert_eq!(
        code(session.batch_execute("SELECT pgshard.leave('n')").await),
        "25P02"
    );
    let _ = session.batch_execute("ROLLBACK").await;
    assert_eq!(
        code(session.batch_execute("SELECT pgshard.leave(NULL)").await),
        "PGS04"
    );
    assert_eq!(
        code(session.batch_execute("SELECT pgshard.leave('')").await),
        "PGS04"
    );
}

/// A writer that waits while the map changes must see the change, at every isolation level.
#[tokio::test]
async fn a_writer_that_waited_for_a_mover_sees_the_new_map() {
    let (cluster, config) = installed(1, 0).await;
    let map = config.map.version().0;
    let (mover, writer) = (owner(&cluster, "s0a").await, app(&cluster, "s0a").await);
    let reign = reign(&mover).await;
    let enter = |map| enter("bank", "s0", map, &reign);
    let bump = |map: i64| format!("UPDATE pgshard.identity SET map_version = {map}");

    let mut map = map;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        mover
            .batch_execute("BEGIN; LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let sql = format!(
            "BEGIN ISOLATION LEVEL {level}; LOCK TABLE pgshard.gate IN ACCESS SHARE MODE; {}",
            enter(map)
        );
        let writing = async { code(writer.batch_execute(&sql).await) };
        let moving = async {
            waits(&cluster).await;
            mover.batch_execute(&bump(map + 1)).await.unwrap();
            mover.batch_execute("COMMIT").await.unwrap();
        };
        let (result, ()) = tokio::join!(writing, moving);
        assert_eq!(result, "PGS01", "{level}");
        writer.batch_execute("ROLLBACK").await.unwrap();
        map += 1;
    }

    // Why it is a table that is locked: an advisory lock is taken by a SELECT, whose snapshot is
    // older than the wait, and the stale writer gets in.
    mover
        .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(1)")
        .await
        .unwrap();
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_advisory_xact_lock_shared(1); {}",
        enter(map)
    );
    let writing = async { code(writer.batch_execute(&sql).await) };
    let moving = async {
        waits(&cluster).await;
        mover.batch_execute(&bump(map + 1)).await.unwrap();
        mover.batch_execute("COMMIT").await.unwrap();
    };
    let (result, ()) = tokio::join!(writing, moving);
    assert_eq!(result, "ok", "an advisory lock would do after all");
}

/// Of two clients that adopt a primary at once, one wins, and the other one learns it.
#[tokio::test]
async fn one_reign_follows_another_once() {
    let (cluster, _) = installed(1, 0).await;
    let (a, b) = (app(&cluster, "s0a").await, app(&cluster, "s0a").await);
    let first = reign(&a).await;
    let adopt = |parent: &str| {
        format!(
            "INSERT INTO pgshard.reign (reign, parent, timeline, start_lsn)
             VALUES (gen_random_uuid(), {parent}, 2, '0/1')"
        )
    };
    let child = adopt(&format!("'{first}'"));
    a.batch_execute(&format!("BEGIN; {child}")).await.unwrap();
    let second = async { code(b.batch_execute(&child).await) };
    let winner = async {
        waits(&cluster).await;
        a.batch_execute("COMMIT").await.unwrap();
    };
    let (result, ()) = tokio::join!(second, winner);
    assert_eq!(result, "23505");
    // No second first reign, no reign without a known parent, none that is its own.
    assert_eq!(code(b.batch_execute(&adopt("NULL")).await), "23505");
    assert_eq!(
        code(b.batch_execute(&adopt("gen_random_uuid()")).await),
        "23503"
    );
    let own = "INSERT INTO pgshard.reign (reign, parent, timeline, start_lsn)
               VALUES ('00000000-0000-0000-0000-000000000001',
                       '00000000-0000-0000-0000-000000000001', 2, '0/1')";
    assert_eq!(code(b.batch_execute(own).await), "23514");
}
