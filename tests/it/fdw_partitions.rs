//! The layout `partitions`: the rows are those of the shards, PostgreSQL prunes by key, nothing can
//! be written, and what does not fit is refused.

use pgshard::fdw::{Change, Fdw, FdwOptions, Layout, remove};
use pgshard::{CustomerId, ErrorKind};
use uuid::Uuid;

use crate::fdw_views::{Stage, inventory};
use crate::support::superuser;

fn partitioned(stage: &Stage) -> FdwOptions {
    let mut options = stage.options();
    options.layout = Layout::Partitions;
    options
}

/// Puts customers, each with an account, where they belong.
async fn fill(stage: &Stage, customers: usize) -> Vec<Uuid> {
    let keys: Vec<Uuid> = (0..customers).map(|_| Uuid::new_v4()).collect();
    for (index, shard) in stage.shards.shards().iter().enumerate() {
        let here = |key: &&Uuid| {
            let place = stage.config.map.locate(&CustomerId(**key)).unwrap();
            place.shard.index() == index
        };
        let here: Vec<Uuid> = keys.iter().filter(here).copied().collect();
        assert!(!here.is_empty());
        let session = superuser(&stage.shards, shard.primary().id().as_str()).await;
        session
            .execute(
                "INSERT INTO customers SELECT k, 'Zoë', 'z@example.com', 'DE' FROM unnest($1::uuid[]) k",
                &[&here],
            )
            .await
            .unwrap();
        session
            .batch_execute(
                "INSERT INTO bank_accounts SELECT customer_id, gen_random_uuid(), 'EUR', 100.01
                   FROM customers",
            )
            .await
            .unwrap();
    }
    keys
}

/// All rows through a relation, as text, in one order.
async fn rows(session: &tokio_postgres::Client, columns: &str, relation: &str) -> Vec<String> {
    let sql = format!("SELECT ROW({columns})::text FROM {relation} x");
    let rows = session.query(&sql, &[]).await.unwrap();
    let mut rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    rows.sort();
    rows
}

async fn the_rows_are_those_of_the_shards(shards: usize) {
    let stage = Stage::of(shards, 0).await;
    let keys = fill(&stage, 300).await;
    let fdw = Fdw::plan(&stage.config, partitioned(&stage)).await.unwrap();
    fdw.apply(&stage.reporting()).await.unwrap();
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);
    let session = stage.session().await;

    for (table, columns) in [
        ("customers", "customer_id, full_name, email"),
        ("bank_accounts", "customer_id, account_id, balance"),
    ] {
        let mut expected = Vec::new();
        for shard in stage.shards.shards() {
            let own = superuser(&stage.shards, shard.primary().id().as_str()).await;
            let here = rows(&own, columns, table).await;
            // By shard, too.
            let view = format!("reporting.{table} WHERE shard = '{}'", shard.id());
            let view = format!("(SELECT * FROM {view})");
            assert_eq!(rows(&session, columns, &view).await, here, "{table}");
            expected.extend(here);
        }
        expected.sort();
        assert_eq!(expected.len(), 300);
        let found = rows(&session, columns, &format!("reporting.{table}")).await;
        assert_eq!(found, expected, "{table}");
    }

    // One shard is asked for one key, and it is the right one.
    let by_key = "SELECT shard FROM reporting.customers WHERE customer_id = $1";
    let by_key = session.prepare(by_key).await.unwrap();
    for key in &keys[..60] {
        let place = stage.config.map.locate(&CustomerId(*key)).unwrap().shard;
        let expected = stage.config.shards[place.index()].id.to_string();
        let rows = session.query(&by_key, &[key]).await.unwrap();
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, std::slice::from_ref(&expected), "{key}");
        let sql = format!("SELECT * FROM reporting.customers WHERE customer_id = '{key}'");
        let plan = stage.explain("COSTS OFF", &sql).await;
        assert_eq!(plan.matches("Foreign Scan").count(), 1, "{plan}");
        assert!(plan.contains(&format!("{expected}_customers")), "{plan}");
    }
    session
        .batch_execute(
            "SET plan_cache_mode = force_generic_plan;
             PREPARE by_key(uuid) AS SELECT * FROM reporting.customers WHERE customer_id = $1",
        )
        .await
        .unwrap();
    let generic = format!("EXPLAIN (COSTS OFF) EXECUTE by_key('{}')", keys[0]);
    let lines = session.query(&generic, &[]).await.unwrap();
    let plan: Vec<String> = lines.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    let removed = format!("Subplans Removed: {}", shards - 1);
    assert!(plan.contains(&removed), "{plan}");
    assert_eq!(plan.matches("Foreign Scan").count(), 1, "{plan}");

    // The shards work at the same time.
    let all = stage
        .explain("COSTS OFF", "SELECT * FROM reporting.customers")
        .await;
    assert_eq!(all.matches("Async Foreign Scan").count(), shards, "{all}");
}

#[tokio::test]
async fn two_shards() {
    the_rows_are_those_of_the_shards(2).await;
}

#[tokio::test]
async fn four_shards() {
    the_rows_are_those_of_the_shards(4).await;
}

#[tokio::test]
async fn three_shards_are_refused_with_the_reason() {
    let stage = Stage::of(3, 0).await;
    let error = Fdw::plan(&stage.config, partitioned(&stage))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    assert!(text.contains("more than 64 classes"), "{text}");
    assert!(text.contains("layout `views`"), "{text}");
    // Which answers.
    let keys = fill(&stage, 60).await;
    stage.plan().await.apply(&stage.reporting()).await.unwrap();
    let session = stage.session().await;
    let found = rows(&session, "customer_id", "reporting.customers").await;
    assert_eq!(found.len(), keys.len());
}

#[tokio::test]
async fn nothing_is_written_through_it() {
    let stage = Stage::of(2, 0).await;
    let keys = fill(&stage, 20).await;
    let fdw = Fdw::plan(&stage.config, partitioned(&stage)).await.unwrap();
    fdw.apply(&stage.reporting()).await.unwrap();
    let session = stage.session().await;
    let before = rows(&session, "x.*", "reporting.customers").await;
    let key = keys[0];
    let other = Uuid::new_v4();
    for relation in [
        "reporting.customers",
        "pgshard_fdw.all_customers",
        "pgshard_fdw.s0_customers",
    ] {
        let writes = [
            format!("UPDATE {relation} SET customer_id = '{other}'"),
            format!("UPDATE {relation} SET customer_id = '{other}' WHERE customer_id = '{key}'"),
            format!("UPDATE {relation} SET full_name = 'x'"),
            format!("DELETE FROM {relation}"),
            format!(
                "INSERT INTO {relation} (customer_id, full_name, email, country) \
                 VALUES ('{other}', 'x', 'x', 'DE')"
            ),
        ];
        for write in &writes {
            // Not even by the owner, who may write what can be written.
            let error = session.batch_execute(write).await.unwrap_err();
            let text = error.as_db_error().unwrap().message().to_owned();
            assert!(text.contains("does not allow"), "{write}: {text}");
            session
                .batch_execute("SET ROLE pgshard_reader")
                .await
                .unwrap();
            let error = session.batch_execute(write).await.unwrap_err();
            let state = error.code().unwrap().code().to_owned();
            session.batch_execute("RESET ROLE").await.unwrap();
            assert_eq!(state, "42501", "{write}");
        }
    }
    assert_eq!(rows(&session, "x.*", "reporting.customers").await, before);
}

#[tokio::test]
async fn layouts_change_and_leave_nothing() {
    let stage = Stage::of(2, 0).await;
    fill(&stage, 30).await;
    let session = stage.session().await;
    let before = inventory(&session).await;
    let views = stage.plan().await;
    views.apply(&stage.reporting()).await.unwrap();
    let columns = "x.*";
    let shown = rows(&session, columns, "reporting.customers").await;

    let partitions = Fdw::plan(&stage.config, partitioned(&stage)).await.unwrap();
    let changes = partitions.apply(&stage.reporting()).await.unwrap();
    let changed = |object: &str| changes.iter().any(|d| d.object == object);
    assert!(
        changed("table \"pgshard_fdw\".\"all_customers\""),
        "{changes:#?}"
    );
    assert!(changed("foreign table \"pgshard_fdw\".\"s0_customers\""));
    assert!(!changes.iter().any(|d| d.object.contains("currencies")));
    assert_eq!(partitions.diff(&stage.reporting()).await.unwrap(), []);
    assert_eq!(partitions.apply(&stage.reporting()).await.unwrap(), []);
    // The same columns, and the same rows.
    assert_eq!(rows(&session, columns, "reporting.customers").await, shown);

    // Drift is found and mended.
    session
        .batch_execute(
            "ALTER TABLE pgshard_fdw.all_customers DETACH PARTITION pgshard_fdw.s1_customers",
        )
        .await
        .unwrap();
    let drift = partitions.diff(&stage.reporting()).await.unwrap();
    let text = format!("{drift:?}");
    assert!(text.contains("partition of: none / "), "{text}");
    partitions.apply(&stage.reporting()).await.unwrap();
    assert_eq!(partitions.diff(&stage.reporting()).await.unwrap(), []);
    for shard in stage.shards.shards() {
        superuser(&stage.shards, shard.primary().id().as_str())
            .await
            .batch_execute("ALTER TABLE customers ADD COLUMN phone varchar(30)")
            .await
            .unwrap();
    }
    let partitions = Fdw::plan(&stage.config, partitioned(&stage)).await.unwrap();
    let changes = partitions.apply(&stage.reporting()).await.unwrap();
    assert_eq!(changes.len(), 4, "{changes:#?}");
    assert!(changes.iter().all(|d| d.change == Change::Replace));
    assert_eq!(partitions.diff(&stage.reporting()).await.unwrap(), []);

    // Somebody's partition would be in every report, and go with the parent.
    let views = stage.plan().await;
    views.apply(&stage.reporting()).await.unwrap();
    assert_eq!(views.diff(&stage.reporting()).await.unwrap(), []);
    partitions.apply(&stage.reporting()).await.unwrap();
    session
        .batch_execute(
            "ALTER TABLE pgshard_fdw.all_customers DETACH PARTITION pgshard_fdw.s1_customers;
             CREATE TABLE public.mine PARTITION OF pgshard_fdw.all_customers
                 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        )
        .await
        .unwrap();
    for error in [
        partitions.apply(&stage.reporting()).await.unwrap_err(),
        remove(&stage.config, &stage.reporting()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("public.mine"), "{error}");
    }
    session
        .batch_execute(
            "ALTER TABLE pgshard_fdw.all_customers DETACH PARTITION public.mine; DROP TABLE mine",
        )
        .await
        .unwrap();
    remove(&stage.config, &stage.reporting()).await.unwrap();
    assert_eq!(inventory(&session).await, before);
}
