//! The ledger's functions: what an idempotency key may become, and who waits for whom.

use std::time::Duration;

use tokio_postgres::{Client, Error};

use crate::support::{app, installed, owner};

async fn enter(
    session: &Client,
    key: &str,
    print: u8,
    age: &str,
) -> Result<(bool, Option<String>), String> {
    call(session.query_one(
        "SELECT fresh, result FROM pgshard.ledger_enter($1, $2, 7, now() - $3::text::interval)",
        &[&key, &vec![print], &age],
    ))
    .await
    .map(|row| (row.get(0), row.get(1)))
}

async fn resolve(
    session: &Client,
    key: &str,
    print: u8,
    age: &str,
) -> Result<(String, Option<String>), String> {
    call(session.query_one(
        "SELECT state, result FROM pgshard.ledger_resolve($1, $2, 7, now() - $3::text::interval)",
        &[&key, &vec![print], &age],
    ))
    .await
    .map(|row| (row.get(0), row.get(1)))
}

async fn leave(session: &Client, key: &str, result: &str) -> Result<(), String> {
    call(session.query_one("SELECT pgshard.ledger_leave($1, $2)", &[&key, &result]))
        .await
        .map(|_| ())
}

async fn call<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    work.await
        .map_err(|error| error.code().expect("an answer").code().to_owned())
}

fn refused<T>(code: &str) -> Result<T, String> {
    Err(code.to_owned())
}

const NOW: &str = "0";

#[tokio::test]
async fn a_key_is_done_once_or_given_up_for_good() {
    let (cluster, _) = installed(1, 0).await;
    let session = app(&cluster, "s0a").await;
    let run = |sql: &'static str| async { session.batch_execute(sql).await.unwrap() };

    // Fresh, then done; asked again, its result; with another request, refused.
    run("BEGIN").await;
    assert_eq!(enter(&session, "a", 1, NOW).await, Ok((true, None)));
    leave(&session, "a", "paid").await.unwrap();
    run("COMMIT").await;
    assert_eq!(
        enter(&session, "a", 1, NOW).await,
        Ok((false, Some("paid".into())))
    );
    assert_eq!(enter(&session, "a", 2, NOW).await, refused("PGS05"));
    assert_eq!(
        resolve(&session, "a", 1, NOW).await,
        Ok(("committed".into(), Some("paid".into())))
    );
    assert_eq!(resolve(&session, "a", 2, NOW).await, refused("PGS05"));
    // The result is stored once.
    assert_eq!(leave(&session, "a", "twice").await, refused("PGS04"));

    // Rolled back: as if never asked.
    run("BEGIN").await;
    assert_eq!(enter(&session, "b", 1, NOW).await, Ok((true, None)));
    run("ROLLBACK").await;
    assert_eq!(leave(&session, "b", "x").await, refused("PGS04"));
    assert_eq!(enter(&session, "b", 1, NOW).await, Ok((true, None)));

    // Given up: it can never be done.
    assert_eq!(
        resolve(&session, "c", 1, NOW).await,
        Ok(("aborted".into(), None))
    );
    assert_eq!(
        resolve(&session, "c", 1, NOW).await,
        Ok(("aborted".into(), None))
    );
    assert_eq!(enter(&session, "c", 1, NOW).await, refused("PGS06"));
    assert_eq!(leave(&session, "c", "x").await, refused("PGS04"));

    // Too old for the ledger, or from the future; a resolver may come a retention later.
    assert_eq!(
        enter(&session, "d", 1, "7 days 1 s").await,
        refused("PGS07")
    );
    assert_eq!(enter(&session, "d", 1, "-6 min").await, refused("PGS07"));
    assert_eq!(enter(&session, "d", 1, "-4 min").await, Ok((true, None)));
    assert_eq!(
        enter(&session, "e", 1, "6 days 23 h").await,
        Ok((true, None))
    );
    assert_eq!(
        resolve(&session, "e", 1, "13 days").await.unwrap().0,
        "committed"
    );
    assert_eq!(resolve(&session, "e", 1, "14 days").await, refused("PGS07"));

    // Bounds.
    assert_eq!(enter(&session, "", 1, NOW).await, refused("23514"));
    assert_eq!(
        enter(&session, &"ä".repeat(65), 1, NOW).await,
        refused("23514")
    );
    run("BEGIN").await;
    enter(&session, "f", 1, NOW).await.unwrap();
    assert_eq!(
        leave(&session, "f", &"x".repeat(65_537)).await,
        refused("23514")
    );
    run("ROLLBACK").await;
}

/// A resolver must not answer "aborted" while the transaction may still commit.
#[tokio::test]
async fn a_resolver_waits_for_the_transaction_that_holds_the_key() {
    let (cluster, _) = installed(1, 0).await;
    let (holder, resolver) = (app(&cluster, "s0a").await, app(&cluster, "s0a").await);
    for (end, expected) in [("COMMIT", "committed"), ("ROLLBACK", "aborted")] {
        holder.batch_execute("BEGIN").await.unwrap();
        enter(&holder, end, 1, NOW).await.unwrap();
        let resolving = resolve(&resolver, end, 1, NOW);
        tokio::pin!(resolving);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut resolving).await;
        assert!(early.is_err(), "did not wait: {early:?}");
        holder.batch_execute(end).await.unwrap();
        assert_eq!(resolving.await.unwrap().0, expected);
    }
    // And the holder, come late, finds the tombstone.
    assert_eq!(enter(&holder, "ROLLBACK", 1, NOW).await, refused("PGS06"));
}

/// Every call writes, also where the row is there already: a COMMIT that wrote nothing would not
/// wait for the synchronous standby that the row itself may still lack.
#[tokio::test]
async fn asking_about_a_key_writes() {
    let (cluster, _) = installed(1, 0).await;
    let session = app(&cluster, "s0a").await;
    enter(&session, "k", 1, NOW).await.unwrap();
    for call in [
        "SELECT pgshard.ledger_enter('k', '\\x01', 7, now())",
        "SELECT pgshard.ledger_resolve('k', '\\x01', 7, now())",
    ] {
        session
            .batch_execute(&format!("BEGIN; {call}"))
            .await
            .unwrap();
        let row = session
            .query_one("SELECT pg_current_xact_id_if_assigned() IS NOT NULL", &[])
            .await;
        assert!(row.unwrap().get::<_, bool>(0), "{call}");
        session.batch_execute("COMMIT").await.unwrap();
    }
    // What DO NOTHING would have done.
    session
        .batch_execute(
            "BEGIN; INSERT INTO pgshard.tx_ledger (key, fingerprint, bucket, state, issued_at)
             VALUES ('k', '\\x01', 7, 'aborted', now()) ON CONFLICT DO NOTHING",
        )
        .await
        .unwrap();
    let row = session
        .query_one("SELECT pg_current_xact_id_if_assigned() IS NOT NULL", &[])
        .await;
    assert!(!row.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn purging_forgets_what_nobody_may_ask_for() {
    let (cluster, _) = installed(1, 0).await;
    let session = owner(&cluster, "s0a").await;
    session
        .batch_execute(
            "INSERT INTO pgshard.tx_ledger (key, fingerprint, bucket, state, issued_at, at)
             SELECT 'k' || d, '\\x01', 7, 'committed', now() - d * interval '1 day',
                    now() - d * interval '1 day' FROM generate_series(0, 19) d",
        )
        .await
        .unwrap();
    let purge = |rows: i32| {
        let session = &session;
        async move {
            let row = session
                .query_one("SELECT pgshard.ledger_purge($1)", &[&rows])
                .await;
            row.unwrap().get::<_, i64>(0)
        }
    };
    // 14 days are twice the retention; day 14 is a moment past them.
    assert_eq!(purge(4).await, 4);
    assert_eq!(purge(100).await, 2);
    assert_eq!(purge(100).await, 0);
    assert_eq!(
        resolve(&session, "k13", 1, "13 days").await.unwrap().0,
        "committed"
    );
}
