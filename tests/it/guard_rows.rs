//! The guard: a statement that goes through one customer's handle neither reads nor writes another's
//! rows, whatever it says; and without it nothing is different.

use pgshard::config::GuardMode;
use pgshard::fanout::Merge;
use pgshard::local::LocalCluster;
use pgshard::ops::install::{Install, InstallOptions, verify};
use pgshard::{Cluster, Config, CustomerId, ErrorKind, ReadPreference, Tx};
use uuid::Uuid;

use crate::support::failover::shard;
use crate::support::{INSERT, app, client, ddl_role, installed, owner, superuser, until};

const INSERT_ACCOUNT: &str = "INSERT INTO bank_accounts (customer_id, account_id, currency, balance) \
                              VALUES ($1, $1, 'EUR', 100)";

async fn guard(local: &LocalCluster, config: &Config) -> Install {
    let mut options = InstallOptions::new(ddl_role(local));
    options.guard = true;
    Install::plan(config, options).await.unwrap()
}

/// A customer with an account.
async fn open(cluster: &Cluster) -> CustomerId {
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let write = session.transaction(|tx| async move {
        tx.execute(INSERT, &[&id]).await?;
        tx.execute(INSERT_ACCOUNT, &[&id]).await
    });
    write.await.unwrap();
    id
}

async fn count(cluster: &Cluster, id: &CustomerId, sql: &str) -> pgshard::Result<i64> {
    let read = cluster.session(id)?.read();
    let (count,) = read.query_one(sql, &[]).await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_another_customer_are_out_of_reach() {
    let (local, mut config) = installed(1, 1).await;
    let before = client(config.clone()).await;
    let (a, b) = (open(&before).await, open(&before).await);
    let admin = owner(&local, "s0a").await;
    admin
        .batch_execute(
            "GRANT DELETE ON customers, bank_accounts, transactions TO app;
             CREATE VIEW everyone AS SELECT * FROM customers;
             CREATE FUNCTION everyones() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
                 AS 'SELECT count(*) FROM public.customers';
             CREATE FUNCTION rob(uuid) RETURNS bigint LANGUAGE plpgsql AS
                 'DECLARE n bigint; BEGIN
                      UPDATE public.bank_accounts SET balance = 0 WHERE customer_id = $1;
                      GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END';
             CREATE FUNCTION hide(text) RETURNS text LANGUAGE plpgsql AS
                 'BEGIN RETURN set_config(''pgshard.key'', $1, true); END';
             GRANT SELECT ON everyone TO app;",
        )
        .await
        .unwrap();
    // Without the guard all of it is in reach.
    let all = "SELECT count(*) FROM customers";
    assert_eq!(count(&before, &a, all).await.unwrap(), 2);

    // A client that requires it does not use servers without it.
    config.guard = GuardMode::Require;
    let early = Cluster::connect(config.clone()).unwrap();
    early
        .ready(std::time::Duration::from_secs(30))
        .await
        .unwrap();
    let error = count(&early, &a, all).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongNode, "{error:?}");
    assert!(error.message().contains("install --guard"), "{error}");
    early.close().await;
    // One that only sends the key goes on.
    config.guard = GuardMode::Send;
    let sending = client(config.clone()).await;
    assert_eq!(count(&sending, &a, all).await.unwrap(), 2);
    open(&sending).await;

    let install = guard(&local, &config).await;
    assert!(
        install.shards()[0]
            .actions
            .iter()
            .any(|a| a.sql.contains("pgshard_guard"))
    );
    install.apply(|_| ()).await.unwrap();
    assert!(guard(&local, &config).await.is_complete(), "repeated");
    config.guard = GuardMode::Require;
    assert_eq!(verify(&config, &ddl_role(&local)).await.unwrap(), []);

    // A client that says nothing of a key gets an error, and no empty answer.
    let error = count(&before, &a, all).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(error.message().contains("guard.mode"), "{error}");
    before.close().await;
    assert_eq!(count(&sending, &a, all).await.unwrap(), 1);
    sending.close().await;
    let stray = app(&local, "s0a").await;
    let error = stray.query(all, &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "PGS20");
    // Others than the application's role are not held to it.
    let rows = admin.query(all, &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, i64>(0), 3);

    let cluster = client(config.clone()).await;
    reads(&cluster, &a, &b).await;
    writes(&cluster, a, b).await;
    hostile(&cluster, a, b).await;

    // On a replica as well.
    let standby = superuser(&local, "s0b").await;
    until(
        &standby,
        "SELECT count(*) = 3 FROM pg_policies WHERE policyname = 'pgshard_guard'",
    )
    .await;
    let seen = cluster.wait_for(shard(), std::time::Duration::from_secs(30), |v| {
        v.nodes[1].readable
    });
    assert!(seen.await.unwrap());
    let read = cluster.session(&a).unwrap().read();
    let (seen, standby): (i64, bool) = read
        .preference(ReadPreference::Replica)
        .query_one("SELECT count(*), pg_is_in_recovery() FROM customers", &[])
        .await
        .unwrap();
    assert_eq!((seen, standby), (1, true));

    // Over all keys when that is what was asked for.
    let fan_out = cluster.fan_out("SELECT customer_id FROM customers", &[], Merge::concat());
    assert_eq!(fan_out.query::<(Uuid,)>().await.unwrap().rows.len(), 3);
    let names: Vec<Vec<(Uuid,)>> = cluster
        .batch(&[a, b])
        .query(
            "SELECT customer_id FROM customers WHERE customer_id = ANY($1)",
            "customer_id",
        )
        .await
        .unwrap();
    assert_eq!(names, [vec![(a.0,)], vec![(b.0,)]]);

    // None of that cost connections: they are given back, outside of transactions.
    let read = cluster.session(&a).unwrap().read();
    let first: (i32,) = read
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    for _ in 0..10 {
        read.rows("SELECT 1/0", &[]).await.unwrap_err();
        read.rows("SELECT * FROM customers", &[]).await.unwrap();
        let again: (i32,) = read
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap();
        assert_eq!(again, first);
    }
    let idle = "SELECT count(*) = 0 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    until(&superuser(&local, "s0a").await, idle).await;
    // A raw connection has no key.
    let lease = read.lease().await.unwrap();
    let error = lease.raw().query(all, &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "PGS20");
    drop(lease);

    // A table that lost its policy is found out.
    admin
        .batch_execute("DROP POLICY pgshard_guard ON transactions")
        .await
        .unwrap();
    let findings = verify(&config, &ddl_role(&local)).await.unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    cluster.close().await;
}

async fn reads(cluster: &Cluster, a: &CustomerId, b: &CustomerId) {
    for (sql, expected) in [
        ("SELECT count(*) FROM customers", 1),
        ("SELECT count(*) FROM everyone", 1),
        ("SELECT everyones()", 1),
        (
            "SELECT count(*) FROM bank_accounts JOIN customers USING (customer_id)",
            1,
        ),
        ("SELECT count(*) FROM customers x, customers y", 1),
        (
            "SELECT count(*) FROM customers x LEFT JOIN bank_accounts y ON true",
            1,
        ),
        (
            "WITH x AS (SELECT * FROM customers) SELECT count(*) FROM x",
            1,
        ),
        (
            "SELECT (SELECT count(*) FROM bank_accounts) FROM customers",
            1,
        ),
    ] {
        assert_eq!(count(cluster, a, sql).await.unwrap(), expected, "{sql}");
    }
    let read = cluster.session(a).unwrap().read();
    let sql = "SELECT customer_id FROM customers WHERE customer_id = $1";
    assert_eq!(read.query::<(Uuid,)>(sql, &[b]).await.unwrap(), []);
    assert_eq!(read.query::<(Uuid,)>(sql, &[a]).await.unwrap(), [(a.0,)]);
}

async fn run(cluster: &Cluster, id: CustomerId, sql: &str, of: CustomerId) -> pgshard::Result<u64> {
    let session = cluster.session(&id)?;
    let done = session.transaction(|tx| async move { tx.execute(sql, &[&of]).await });
    Ok(done.await?.value)
}

async fn writes(cluster: &Cluster, a: CustomerId, b: CustomerId) {
    for sql in [
        "UPDATE customers SET full_name = 'Eve' WHERE customer_id = $1",
        "UPDATE bank_accounts SET balance = 0 WHERE customer_id = $1",
        "DELETE FROM bank_accounts WHERE customer_id = $1",
        "SELECT FROM customers WHERE customer_id = $1 FOR UPDATE",
    ] {
        assert_eq!(run(cluster, a, sql, b).await.unwrap(), 0, "{sql}");
    }
    let own = "UPDATE bank_accounts SET balance = balance + 1 WHERE customer_id = $1";
    assert_eq!(run(cluster, a, own, a).await.unwrap(), 1);
    // Without a predicate it is the own row only.
    let everywhere = "UPDATE bank_accounts SET balance = balance + 1 WHERE $1::uuid IS NOT NULL";
    assert_eq!(run(cluster, a, everywhere, b).await.unwrap(), 1);
    let robbed = cluster.session(&a).unwrap();
    let robbed = robbed
        .transaction(|tx| async move { tx.query_one::<(i64,)>("SELECT rob($1)", &[&b]).await });
    assert_eq!(robbed.await.unwrap().value, (0,));
    // New rows, and own rows that would become another's.
    for sql in [
        INSERT_ACCOUNT,
        "UPDATE bank_accounts SET customer_id = $1",
        "INSERT INTO customers SELECT $1, 'Eve', 'e@e', 'GB' FROM customers",
    ] {
        let error = run(cluster, a, sql, b).await.unwrap_err();
        assert_eq!(
            error.sqlstate().unwrap().as_str(),
            "42501",
            "{sql}: {error:?}"
        );
    }
    let (balance,): (String,) = cluster
        .session(&b)
        .unwrap()
        .read()
        .query_one("SELECT balance::text FROM bank_accounts", &[])
        .await
        .unwrap();
    assert_eq!(balance, "100.00");
}

/// Statements that try to change their key.
async fn hostile(cluster: &Cluster, a: CustomerId, b: CustomerId) {
    let read = cluster.session(&a).unwrap().read();
    let set = format!("SET LOCAL pgshard.key = '{b}'");
    let config = format!("SELECT set_config('pgshard.key', '{b}', true), full_name FROM customers");
    for sql in [set.as_str(), config.as_str(), "RESET ALL", "SET ROLE app"] {
        let error = read.rows(sql, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{sql}: {error:?}");
        let write = cluster.session(&a).unwrap();
        let write = write.transaction(|tx: Tx| async move { tx.execute(sql, &[]).await });
        let error = write.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{sql}: {error:?}");
    }
    // One that gets past the look at its text is found out at the end: nothing is committed, and what
    // a read saw is withheld.
    let hidden = format!("SELECT count(*) FROM hide('{b}')");
    let hidden = hidden.as_str();
    let error = read.query_one::<(i64,)>(hidden, &[]).await.unwrap_err();
    assert_eq!(error.sqlstate().unwrap().as_str(), "PGS21", "{error:?}");
    let write = cluster.session(&a).unwrap().transaction(|tx| async move {
        tx.rows(hidden, &[]).await?;
        tx.execute("UPDATE bank_accounts SET balance = 7", &[])
            .await
    });
    let error = write.await.unwrap_err();
    assert_eq!(error.sqlstate().unwrap().as_str(), "PGS21", "{error:?}");
    let read = cluster.session(&b).unwrap().read();
    let sql = "SELECT balance::text FROM bank_accounts";
    let (balance,): (String,) = read.query_one(sql, &[]).await.unwrap();
    assert_eq!(balance, "100.00");
}
