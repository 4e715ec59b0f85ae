//! `shardctl migrate`: schema changes over all shards, and what interrupts them.

use std::os::unix::fs::PermissionsExt as _;

use pgshard::local::LocalCluster;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::cli::{Ran, Shardctl};
use crate::support::{ddl_role, load_bank_schema, owner, start};

pub(crate) struct Bank {
    pub(crate) cluster: LocalCluster,
    pub(crate) shardctl: Shardctl,
}

impl Bank {
    pub(crate) async fn start(shards: usize) -> Self {
        let cluster = start(shards, 0).await;
        load_bank_schema(&cluster).await;
        let shardctl = Shardctl::new(&cluster);
        std::fs::create_dir(shardctl.dir().join("migrations")).unwrap();
        let password = ddl_role(&cluster).password.unwrap();
        let file = shardctl.dir().join("owner");
        std::fs::write(&file, password.expose_secret()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Bank { cluster, shardctl }
    }

    fn file(&self, name: &str, sql: &str) {
        std::fs::write(self.shardctl.dir().join("migrations").join(name), sql).unwrap();
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let role = [
            "--ddl-user",
            "pgshard_owner",
            "--ddl-password-file",
            "owner",
        ];
        let all = [&["--output", "json", "migrate"], arguments, &role].concat();
        self.shardctl.run(&all).await
    }

    async fn apply(&self) -> Ran {
        self.run(&[
            "apply",
            "--yes",
            "--lock-timeout",
            "200ms",
            "--attempts",
            "3",
        ])
        .await
    }

    async fn has(&self, node: &str, table: &str) -> bool {
        let session = owner(&self.cluster, node).await;
        let sql = "SELECT to_regclass($1) IS NOT NULL";
        session.query_one(sql, &[&table]).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_goes_to_the_canary_and_then_to_the_others() {
    let bank = Bank::start(3).await;
    bank.file(
        "1_notes.sql",
        "CREATE TABLE notes (id bigint PRIMARY KEY, at timestamptz); -- ;\n",
    );
    bank.file(
        "2_index.sql",
        "-- pgshard: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS notes_at ON notes (at)",
    );
    let plan = bank.run(&["plan", "--canary", "s1"]).await;
    assert_eq!(plan.code, 1, "{plan:?}");
    assert_eq!(plan.json()[0]["shards"], json!(["s1", "s0", "s2"]));
    assert!(!bank.has("s1a", "notes").await);
    let asked = bank.run(&["apply"]).await;
    assert_eq!(asked.code, 4, "nobody to ask: {asked:?}");

    let ran = bank.run(&["apply", "--yes", "--canary", "s1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = ran.json();
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert_eq!(
        (&rows[0]["shard"], &rows[3]["shard"]),
        (&json!("s1"), &json!("s1"))
    );
    for node in ["s0a", "s1a", "s2a"] {
        assert!(bank.has(node, "notes_at").await, "{node}");
    }
    let again = bank.run(&["apply", "--yes"]).await;
    assert_eq!((again.code, again.json()), (0, json!([])));
    let status = bank.run(&["status"]).await.json();
    assert!(
        status
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["state"] == "applied")
    );
    assert_eq!(bank.run(&["drift"]).await.code, 0);

    // What fails on the canary goes nowhere else, and leaves nothing.
    bank.file("3_wrong.sql", "CREATE TABLE half (); SELECT 1 / 0");
    let wrong = bank.apply().await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(
        wrong.err.contains("3_wrong.sql") && wrong.err.contains("zero"),
        "{wrong:?}"
    );
    for node in ["s0a", "s1a", "s2a"] {
        assert!(!bank.has(node, "half").await, "{node}");
    }
    // It was never applied, and may be corrected.
    bank.file("3_wrong.sql", "CREATE TABLE half ()");
    assert_eq!(bank.apply().await.code, 0);

    // What is applied may not change, nor go, nor come late.
    let refused = async |text: &str| {
        let ran = bank.run(&["plan"]).await;
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains(text), "{text}: {ran:?}");
    };
    bank.file("3_wrong.sql", "CREATE TABLE whole ()");
    refused("was changed after it was applied").await;
    std::fs::remove_file(bank.shardctl.dir().join("migrations/3_wrong.sql")).unwrap();
    refused("no such file").await;
    bank.file("3_wrong.sql", "CREATE TABLE half ()");
    std::fs::rename(
        bank.shardctl.dir().join("migrations/2_index.sql"),
        bank.shardctl.dir().join("2_index.sql"),
    )
    .unwrap();
    refused("2_index.sql is applied, and there is no such file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_dead_shards_and_interruptions() {
    let bank = Bank::start(2).await;
    bank.file("1_column.sql", "ALTER TABLE customers ADD COLUMN note text");
    // A long transaction on the second shard.
    let mut reader = owner(&bank.cluster, "s1a").await;
    let long = reader.transaction().await.unwrap();
    long.query("SELECT FROM customers", &[]).await.unwrap();
    let ran = bank.apply().await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("lock"), "{ran:?}");
    assert_eq!(ran.json()[0]["shard"], "s0", "what was applied is told");
    let status = bank.run(&["status"]).await.json();
    assert_eq!(
        [&status[0]["state"], &status[1]["state"]],
        ["applied", "pending"]
    );
    let drift = bank.run(&["drift"]).await;
    assert_eq!(drift.code, 1, "{drift:?}");
    assert_eq!(
        drift.json()[0]["object"],
        "column public.customers.note: text"
    );
    assert_eq!(drift.json()[0]["lack"], json!(["s1"]));
    long.rollback().await.unwrap();
    let ran = bank.apply().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json().as_array().unwrap().len(), 1);
    assert_eq!(bank.run(&["drift"]).await.json(), Value::Array(vec![]));

    // An interrupted CONCURRENTLY left an invalid index.
    bank.file(
        "2_unique.sql",
        "-- pgshard: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one ON customers (country)",
    );
    let session = owner(&bank.cluster, "s0a").await;
    let insert = "INSERT INTO customers (customer_id, full_name, email, country)
                  VALUES (gen_random_uuid(), 'x', gen_random_uuid() || '@x.example', 'GB')";
    for _ in 0..2 {
        session.batch_execute(insert).await.unwrap();
    }
    let ran = bank.apply().await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let status = bank.run(&["status"]).await.json();
    assert_eq!(status[2]["state"], "begun");
    let ran = bank.apply().await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("DROP INDEX CONCURRENTLY one"), "{ran:?}");
    session
        .batch_execute("DROP INDEX one; DELETE FROM customers")
        .await
        .unwrap();
    assert_eq!(bank.apply().await.code, 0);

    // Somebody else applies now.
    bank.file("3_table.sql", "CREATE TABLE late ()");
    let other = owner(&bank.cluster, "s1a").await;
    let lock = "SELECT pg_advisory_lock(8246132541001)";
    other.batch_execute(lock).await.unwrap();
    let busy = bank.apply().await;
    assert_eq!(busy.code, 4, "{busy:?}");
    assert!(busy.err.contains("somebody else"), "{busy:?}");
    drop(other);
    // A reference table that was loaded by hand on one shard only.
    let reference = "INSERT INTO currencies VALUES ('XTS', 'Test')";
    session.batch_execute(reference).await.unwrap();
    let references = bank.run(&["references"]).await;
    assert_eq!(references.code, 1, "{references:?}");
    session
        .batch_execute("DELETE FROM currencies WHERE currency = 'XTS'")
        .await
        .unwrap();
    assert_eq!(bank.run(&["references"]).await.code, 0);

    // Nothing begins while a shard is down.
    bank.cluster.kill("s1a").await.unwrap();
    let down = bank.apply().await;
    assert_eq!(down.code, 3, "{down:?}");
    assert!(!bank.has("s0a", "late").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_failed_outside_of_a_transaction_is_corrected() {
    let bank = Bank::start(2).await;
    let first = "-- pgshard: no-transaction\n";
    let index = |column: &str| {
        format!("{first}CREATE INDEX CONCURRENTLY IF NOT EXISTS c ON customers ({column})")
    };
    bank.file("1_index.sql", &index("nowhere"));
    assert_eq!(bank.apply().await.code, 1);
    bank.file("1_index.sql", &index("country"));
    let done = bank.apply().await;
    assert_eq!(done.code, 0, "{done:?}");
    bank.file("1_index.sql", &index("status"));
    assert_eq!(bank.apply().await.code, 4, "applied, and then changed");
}
