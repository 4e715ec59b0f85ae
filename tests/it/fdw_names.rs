//! Identifiers that break naive SQL: quotes, spaces, upper case, Unicode, 63 bytes, one name twice.

use pgshard::config::{ShardedTable, TableName};
use pgshard::fdw::remove;

use crate::fdw_views::Stage;
use crate::support::superuser;

#[tokio::test]
async fn hostile_names_work() {
    let mut stage = Stage::new().await;
    let long = "ä".repeat(31) + "x";
    assert_eq!(long.len(), 63);
    let tables = [
        ("public", "Sel\"ect '; DROP TABLE customers; --"),
        ("public", long.as_str()),
        ("other \"schema\"", long.as_str()),
        ("other \"schema\"", "customers"),
        ("public", "a\\b:c$1 %s"),
    ];
    let key = "the \"KEY\" of 'ours'\\";
    for (n, node) in ["s0a", "s1a"].into_iter().enumerate() {
        let session = superuser(&stage.shards, node).await;
        let quote = pgshard::sql::ident;
        let mut sql = format!("CREATE SCHEMA {};", quote(tables[2].0));
        for (schema, name) in tables {
            sql += &format!(
                "CREATE TABLE {0}.{1} (gone int, {2} uuid NOT NULL, shard text, \"SELECT\" int[],
                                       {3} int GENERATED ALWAYS AS (cardinality(\"SELECT\")) STORED);
                 ALTER TABLE {0}.{1} DROP COLUMN gone;
                 INSERT INTO {0}.{1} VALUES (gen_random_uuid(), 'x', '{{1,2}}');
                 GRANT USAGE ON SCHEMA {0} TO reports; GRANT SELECT ON {0}.{1} TO reports;",
                quote(schema),
                quote(name),
                quote(key),
                quote(&long),
            );
        }
        sql += &format!(
            "INSERT INTO {}.{} VALUES (gen_random_uuid());",
            quote("public"),
            quote(tables[n].1)
        );
        session.batch_execute(&sql).await.unwrap();
    }
    stage
        .config
        .tables
        .extend(tables.map(|(schema, name)| ShardedTable {
            name: TableName {
                schema: schema.to_owned(),
                name: name.to_owned(),
            },
            key: key.to_owned(),
        }));

    let fdw = stage.plan().await;
    fdw.apply(&stage.reporting()).await.unwrap();
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);
    let session = stage.session().await;
    let rows = session
        .query(
            "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name)
               FROM information_schema.views WHERE table_schema = 'reporting' ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    // Four of the bank and five of these.
    assert_eq!(rows.len(), 9);
    for row in rows {
        let view: String = row.get(0);
        let bank = ["accounts", "transactions", "currencies", "public_customers"];
        let odd = !bank.iter().any(|name| view.contains(name));
        let sql = format!("SELECT * FROM {view} ORDER BY 1, 2");
        let rows = session.query(&sql, &[]).await.unwrap();
        if odd {
            assert!(rows.len() >= 2, "{view}");
            // The tables have a column "shard" of their own.
            let shards: Vec<String> = rows.iter().map(|row| row.get("pgshard_shard")).collect();
            assert!(shards.contains(&"s0".to_owned()) && shards.contains(&"s1".to_owned()));
            assert_eq!(rows[0].len(), 5);
        }
    }

    // The script does the same under psql.
    let script = fdw.sql();
    remove(&stage.config, &stage.reporting()).await.unwrap();
    let settings = stage.reporting();
    let mut psql = tokio::process::Command::new("psql");
    psql.args([
        "-X",
        "-q",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        "reports",
        "-p",
    ])
    .arg(settings.port.to_string())
    .env(
        "PGPASSWORD",
        secrecy::ExposeSecret::expose_secret(settings.role.password.as_ref().unwrap()),
    )
    .env("PGSHARD_FDW_PASSWORD", crate::fdw_views::PASSWORD_MARK)
    .stdin(std::process::Stdio::piped())
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::piped())
    .kill_on_drop(true);
    let mut child = match psql.spawn() {
        Ok(child) => child,
        Err(error) => panic!("psql is needed for this test: {error}"),
    };
    let set = "\\set fdw_password `printenv PGSHARD_FDW_PASSWORD`\n";
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, (set.to_owned() + &script).as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);
    let count = "SELECT count(*) FROM reporting.currencies";
    assert_eq!(
        session
            .query_one(count, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        6
    );
}
