//! `shardctl migrate load`: the reference tables have the same rows on all shards, or are left as they are.

use serde_json::{Value, json};

use crate::migrate::Bank;
use crate::support::cli::Ran;
use crate::support::owner;

const ALL: &str = "currency,name\nCHF,Swiss franc\nEUR,Euro\nGBP,Pound\nDKK,Danish krone\n\
                   SEK,Swedish krona\nUSD,\"Dollar, of the United States\"\nJPY,Yen\n";

impl Bank {
    fn csv(&self, text: &str) {
        std::fs::write(self.shardctl.dir().join("rows.csv"), text).unwrap();
    }

    async fn load(&self, more: &[&str]) -> Ran {
        self.run(&[&["load", "currencies"], more].concat()).await
    }

    async fn load_file(&self, text: &str, more: &[&str]) -> Ran {
        self.csv(text);
        self.load(&[&["--file", "rows.csv", "--yes"], more].concat())
            .await
    }

    /// The rows of each shard, with who wrote them.
    async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for node in ["s0a", "s1a", "s2a"] {
            let sql = "SELECT string_agg(t::text || t.xmin::text, ';' ORDER BY t::text) FROM currencies t";
            let session = owner(&self.cluster, node).await;
            rows.push(session.query_one(sql, &[]).await.unwrap().get(0));
        }
        rows
    }

    async fn on(&self, node: &str, sql: &str) {
        let session = owner(&self.cluster, node).await;
        session.batch_execute(sql).await.unwrap();
    }

    async fn differs(&self) -> Vec<Value> {
        let ran = self.run(&["references"]).await;
        let rows = ran.json();
        let rows = rows.as_array().unwrap();
        let found = rows.iter().filter(|row| row["differs"] == json!(true));
        let found: Vec<Value> = found.map(|row| row["shard"].clone()).collect();
        assert_eq!(ran.code, i32::from(!found.is_empty()), "{ran:?}");
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_shards_have_the_rows_or_none_is_changed() {
    let bank = Bank::start(3).await;
    assert_eq!(bank.differs().await, Vec::<Value>::new());
    bank.on(
        "s1a",
        "UPDATE currencies SET name = 'Oiro' WHERE currency = 'EUR'",
    )
    .await;
    bank.on("s1a", "DELETE FROM currencies WHERE currency = 'SEK'")
        .await;
    bank.on("s1a", "INSERT INTO currencies VALUES ('XXX', 'none')")
        .await;
    assert_eq!(bank.differs().await, [json!("s1")]);

    // As another shard has them: what is right is not touched.
    let before = bank.rows().await;
    let kept = bank.load(&["--from", "s0", "--yes"]).await;
    assert_eq!(kept.code, 4, "{kept:?}");
    assert!(kept.err.contains("--delete"), "{kept:?}");
    let dry = bank.load(&["--from", "s0", "--delete", "--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(bank.rows().await, before);
    let wanted = json!({"table": "public.currencies", "shard": "s1", "inserted": 1, "updated": 1, "deleted": 1});
    assert_eq!(dry.json()[1], wanted);
    let done = bank.load(&["--from", "s0", "--delete", "--yes"]).await;
    assert_eq!(done.json()[1], wanted, "{done:?}");
    let after = bank.rows().await;
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!(bank.differs().await, Vec::<Value>::new());
    let again = bank.load(&["--from", "s0"]).await;
    assert_eq!(again.code, 0, "nothing to do, nobody to ask: {again:?}");

    // From a file.
    let done = bank.load_file(ALL, &[]).await;
    assert_eq!(done.code, 0, "{done:?}");
    for row in done.json().as_array().unwrap() {
        assert_eq!((&row["inserted"], &row["updated"]), (&json!(1), &json!(2)));
    }
    assert_eq!(bank.differs().await, Vec::<Value>::new());

    // What cannot be on one shard is on none.
    let before = bank.rows().await;
    bank.on(
        "s2a",
        "ALTER TABLE currencies ADD CHECK (currency <> 'NOK'); \
         CREATE TABLE uses (currency text REFERENCES currencies); INSERT INTO uses VALUES ('JPY')",
    )
    .await;
    let more = format!("{ALL}NOK,Norwegian krone\n");
    for (text, reason) in [
        (more.as_str(), "check constraint"),
        (ALL.trim_end_matches("JPY,Yen\n"), "foreign key"),
        (&format!("{ALL}CHF,again\n"), "duplicate"),
        (&format!("{ALL}NOK\n"), "line 9: missing data"),
        (&format!("{ALL},null\n"), "null value"),
    ] {
        let ran = bank.load_file(text, &["--delete"]).await;
        assert_ne!(ran.code, 0, "{reason}: {ran:?}");
        assert!(ran.err.contains(reason), "{reason}: {ran:?}");
        assert_eq!(bank.rows().await, before, "{reason}");
    }
    for (text, reason) in [
        ("currency,nome\nCHF,x\n", "has no column \\\"nome\\\""),
        ("name\nx\n", "primary key"),
        ("currency,currency\nCHF,CHF\n", "twice"),
    ] {
        let ran = bank.load_file(text, &[]).await;
        assert_eq!(ran.code, 4, "{reason}: {ran:?}");
        assert!(ran.err.contains(reason), "{reason}: {ran:?}");
    }

    // A writer that holds the table, and a shard that is down.
    let writer = owner(&bank.cluster, "s1a").await;
    writer
        .batch_execute("BEGIN; DELETE FROM currencies WHERE currency = 'JPY'")
        .await
        .unwrap();
    let ran = bank
        .load_file(&ALL.replace("Yen", "yen"), &["--lock-timeout", "200ms"])
        .await;
    assert!(ran.code != 0 && ran.err.contains("55P03"), "{ran:?}");
    drop(writer);
    assert_eq!(bank.rows().await, before);

    // Columns that are not loaded.
    for node in ["s0a", "s1a", "s2a"] {
        let sql = format!("ALTER TABLE currencies ADD place text DEFAULT '{node}'");
        bank.on(node, &sql).await;
    }
    let ran = bank.load_file(&ALL.replace("Yen", "yen"), &[]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("not loaded"), "{ran:?}");
    assert_eq!(bank.differs().await.len(), 3, "nobody knows which is right");

    for (arguments, code) in [
        (["load", "customers", "--from", "s0"], 2),
        (["load", "currencies", "--from", "s9"], 2),
        (["load", "currencies", "--file", "nowhere.csv"], 2),
        (["load", "a b", "--from", "s0"], 2),
    ] {
        let ran = bank.run(&arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    }
    bank.cluster.kill("s1a").await.unwrap();
    let ran = bank.load(&["--from", "s0", "--yes"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
}
