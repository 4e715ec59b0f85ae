//! The operators' guide's own SQL, mended, runs as it is under psql.

use std::process::Stdio;

use pgshard::config::TableName;
use pgshard::fdw::{Change, Fdw, remove};
use pgshard::{CustomerId, ErrorKind};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::fdw_views::{PASSWORD_MARK, Stage, inventory};
use crate::support::superuser;

/// Runs a file as somebody does who follows the guide.
async fn psql(stage: &Stage, script: &str) -> std::process::Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let settings = stage.reporting();
    let child = tokio::process::Command::new("psql")
        .args([
            "-X",
            "-q",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            "reports",
            "-f",
        ])
        .arg(file.path())
        .arg("-p")
        .arg(settings.port.to_string())
        .env(
            "PGPASSWORD",
            settings.role.password.as_ref().unwrap().expose_secret(),
        )
        .env("PGSHARD_FDW_PASSWORD", PASSWORD_MARK)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    child.await.expect("psql is needed for this test")
}

#[tokio::test]
async fn the_guides_sql_runs_as_it_is() {
    let stage = Stage::of(2, 0).await;
    let keys: Vec<Uuid> = (0..200).map(|_| Uuid::new_v4()).collect();
    for (n, node) in ["s0a", "s1a"].into_iter().enumerate() {
        let here = |key: &&Uuid| {
            stage
                .config
                .map
                .locate(&CustomerId(**key))
                .unwrap()
                .shard
                .index()
                == n
        };
        let here: Vec<Uuid> = keys.iter().filter(here).copied().collect();
        superuser(&stage.shards, node)
            .await
            .execute(
                "INSERT INTO customers SELECT k, 'Ada', 'a@example.com', 'DE' FROM unnest($1::uuid[]) k",
                &[&here],
            )
            .await
            .unwrap();
    }
    let session = stage.session().await;
    let before = inventory(&session).await;
    let mut options = stage.options();
    options.source = pgshard::fdw::Source::Primaries;
    let fdw = Fdw::plan(&stage.config, options).await.unwrap();
    let script = fdw.guide_sql().unwrap();
    assert!(!script.contains(PASSWORD_MARK));
    for part in [
        "CREATE OR REPLACE FUNCTION shard_customer_id(key uuid) RETURNS integer",
        "CREATE SERVER shard0 FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER shard1 OPTIONS (user 'reports', password :'fdw_password');",
        "CREATE FOREIGN TABLE customers_shard0 (\n    \"customer_id\" uuid NOT NULL,",
        "CREATE VIEW customers_all AS\n    SELECT 0 AS shard, \"customer_id\",",
    ] {
        assert!(script.contains(part), "{part}\n{script}");
    }
    let ran = psql(&stage, &script).await;
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(
        ran.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );

    // Every customer's number is its shard's, and the other shard is left out.
    let rows = session
        .query(
            "SELECT customer_id, shard, shard_customer_id(customer_id) FROM customers_all",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), keys.len());
    for row in rows {
        let (key, shard, computed): (Uuid, i32, i32) = (row.get(0), row.get(1), row.get(2));
        let place = stage.config.map.locate(&CustomerId(key)).unwrap().shard;
        assert_eq!((shard, computed), (i32::from(place.0), i32::from(place.0)));
    }
    let sql = format!(
        "SELECT * FROM customers_all WHERE shard = shard_customer_id('{0}') AND customer_id = '{0}'",
        keys[0]
    );
    let plan = stage.explain("COSTS OFF", &sql).await;
    assert_eq!(plan.matches("Foreign Scan").count(), 1, "{plan}");
    let row = session.query_one("SELECT count(*) FROM currencies_all", &[]);
    assert_eq!(row.await.unwrap().get::<_, i64>(0), 6);
    let write = "DELETE FROM customers_shard0";
    assert!(session.batch_execute(write).await.is_err());

    // A second run changes nothing; what was made is known again, and goes.
    let again = psql(&stage, &script).await;
    assert!(!again.status.success());
    let removed = remove(&stage.config, &stage.reporting()).await.unwrap();
    assert!(
        removed.iter().all(|d| d.change == Change::Remove),
        "{removed:#?}"
    );
    session
        .batch_execute("DROP EXTENSION postgres_fdw")
        .await
        .unwrap();
    assert_eq!(inventory(&session).await, before);
}

/// Row security that hides rows would make reports wrong without a word.
#[tokio::test]
async fn row_security_that_hides_rows_is_refused() {
    let stage = Stage::of(1, 0).await;
    let session = superuser(&stage.shards, "s0a").await;
    session
        .batch_execute("ALTER TABLE customers ENABLE ROW LEVEL SECURITY")
        .await
        .unwrap();
    for policy in [
        "CREATE POLICY mine ON customers FOR SELECT USING (full_name = 'Ada')",
        "CREATE POLICY mine ON customers FOR SELECT USING (true);
         CREATE POLICY less ON customers AS RESTRICTIVE FOR SELECT USING (full_name = 'Ada')",
        "CREATE POLICY mine ON customers FOR SELECT TO postgres USING (true)",
    ] {
        session.batch_execute(policy).await.unwrap();
        let error = Fdw::plan(&stage.config, stage.options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(
            error.to_string().contains("row security hides rows"),
            "{error}"
        );
        session
            .batch_execute("DROP POLICY mine ON customers; DROP POLICY IF EXISTS less ON customers")
            .await
            .unwrap();
    }
    let open = "CREATE POLICY mine ON customers FOR SELECT TO reports USING (true)";
    session.batch_execute(open).await.unwrap();
    let fdw = Fdw::plan(&stage.config, stage.options()).await.unwrap();
    let table = |name: &str| TableName {
        schema: "public".to_owned(),
        name: name.to_owned(),
    };
    let shard = stage.config.shards[0].id;
    assert_eq!(
        fdw.foreign_table(shard, &table("customers")).as_deref(),
        Some("\"pgshard_fdw\".\"s0_customers\"")
    );
    assert_eq!(fdw.foreign_table(shard, &table("gone")), None);
}
