//! What cannot be shown as one is refused by name, before anything is changed.

use pgshard::ErrorKind;
use pgshard::fdw::Fdw;

use crate::fdw_views::Stage;
use crate::support::superuser;

async fn on_shards(stage: &Stage, sql: &str) {
    for node in ["s0a", "s1a"] {
        superuser(&stage.shards, node)
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn shards_that_disagree() {
    let stage = Stage::new().await;
    superuser(&stage.shards, "s1a")
        .await
        .batch_execute(
            "ALTER TABLE customers ADD COLUMN nick text;
             ALTER TABLE customers ALTER COLUMN full_name DROP NOT NULL;
             ALTER TABLE bank_accounts ALTER COLUMN overdraft TYPE numeric(20,4);
             ALTER TABLE transactions ALTER COLUMN description TYPE text COLLATE \"POSIX\";",
        )
        .await
        .unwrap();
    let error = Fdw::plan(&stage.config, stage.options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    for line in [
        "\"public\".\"customers\".\"full_name\": text NOT NULL / text (first: s0, then: s1)",
        "\"public\".\"customers\".\"nick\": missing / text (first: s0, then: s1)",
        "\"overdraft\": numeric(20,2) NOT NULL / numeric(20,4) NOT NULL",
        "\"description\": text NOT NULL / text COLLATE pg_catalog.\"POSIX\" NOT NULL",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_read() {
    let mut stage = Stage::new().await;
    on_shards(&stage, "REVOKE SELECT ON transactions FROM reports").await;
    let error = Fdw::plan(&stage.config, stage.options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let advice = "GRANT SELECT ON \"public\".\"transactions\" TO \"reports\"";
    assert!(error.to_string().contains(advice), "{error}");

    stage.config.tables[2].name.name = "gone".to_owned();
    let error = Fdw::plan(&stage.config, stage.options()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there is no table \"public\".\"gone\""),
        "{error}"
    );

    stage.config.tables.clear();
    stage.config.references.clear();
    let error = Fdw::plan(&stage.config, stage.options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn types_and_collations_that_the_reporting_server_does_not_know() {
    let stage = Stage::new().await;
    on_shards(
        &stage,
        "CREATE TYPE public.mood AS ENUM ('good', 'bad');
         CREATE DOMAIN public.iban AS varchar(34);
         CREATE TYPE public.point3 AS (x int, y int, z int);
         CREATE COLLATION public.odd FROM \"C\";
         ALTER TABLE customers ADD COLUMN mood public.mood, ADD COLUMN moods public.mood[],
             ADD COLUMN iban public.iban, ADD COLUMN place public.point3,
             ADD COLUMN nick text COLLATE public.odd;",
    )
    .await;
    let fdw = stage.plan().await;
    let error = fdw.apply(&stage.reporting()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    for name in [
        "public.mood,",
        "public.mood[],",
        "public.iban,",
        "public.point3,",
        "public.odd,",
    ] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    let session = stage.session().await;
    let schema = "SELECT to_regnamespace('pgshard_fdw') IS NULL";
    assert!(
        session
            .query_one(schema, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );

    // An enum of the same name with other labels would be sorted otherwise.
    session
        .batch_execute(
            "CREATE TYPE public.mood AS ENUM ('bad', 'good');
             CREATE DOMAIN public.iban AS varchar(34);
             CREATE TYPE public.point3 AS (x int, y int, z int);
             CREATE COLLATION public.odd FROM \"C\";",
        )
        .await
        .unwrap();
    let error = fdw.apply(&stage.reporting()).await.unwrap_err().to_string();
    assert!(
        error.contains("enum 'good', 'bad' on the shards and enum 'bad', 'good' on"),
        "{error}"
    );
    session
        .batch_execute("DROP TYPE public.mood; CREATE TYPE public.mood AS ENUM ('good', 'bad');")
        .await
        .unwrap();
    fdw.apply(&stage.reporting()).await.unwrap();
    session
        .query("SELECT * FROM reporting.customers", &[])
        .await
        .unwrap();
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);
}

/// Sorted on the shards by one collation and merged here by another, rows would come out wrong.
#[tokio::test]
async fn another_default_collation() {
    let stage = Stage::new().await;
    stage
        .session()
        .await
        .batch_execute(
            "CREATE DATABASE elsewhere TEMPLATE template0 ENCODING 'UTF8'
             LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
        )
        .await
        .unwrap();
    let mut reporting = stage.reporting();
    reporting.database = "elsewhere".to_owned();
    let error = stage.plan().await.apply(&reporting).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error
            .to_string()
            .contains("default collation is libc c.utf8"),
        "{error}"
    );
}

#[tokio::test]
async fn objects_of_somebody_else() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    for (make, undo, named) in [
        (
            "CREATE SCHEMA reporting",
            "DROP SCHEMA reporting",
            "schema \"reporting\"",
        ),
        (
            "CREATE SCHEMA pgshard_fdw",
            "DROP SCHEMA pgshard_fdw",
            "schema \"pgshard_fdw\"",
        ),
        (
            "CREATE EXTENSION postgres_fdw; CREATE SERVER pgshard_s1 FOREIGN DATA WRAPPER postgres_fdw",
            "DROP EXTENSION postgres_fdw CASCADE",
            "server \"pgshard_s1\"",
        ),
    ] {
        session.batch_execute(make).await.unwrap();
        let error = stage
            .plan()
            .await
            .apply(&stage.reporting())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert!(
            pgshard::fdw::remove(&stage.config, &stage.reporting())
                .await
                .unwrap()
                .is_empty()
        );
        session.batch_execute(undo).await.unwrap();
    }
}
