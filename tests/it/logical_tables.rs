//! `shardctl logical`: tables are copied and followed, conflicts are noticed, and what cannot work is refused.

use pgshard::local::LocalCluster;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::cli::{Ran, Shardctl};
use crate::support::{connect, installed, superuser};

const TABLE: &str = "CREATE TABLE customers (customer_id uuid PRIMARY KEY, full_name text NOT NULL, \
    email text NOT NULL, country text NOT NULL, status text, created_at timestamptz)";

struct Ends {
    local: LocalCluster,
    shardctl: Shardctl,
    password: String,
    passfile: String,
    /// A database on the second shard's server that is none of the cluster's.
    to: String,
    other: Client,
}

impl Ends {
    async fn start() -> Self {
        let (local, _) = installed(2, 0).await;
        let shardctl = Shardctl::new(&local);
        std::fs::write(shardctl.dir().join("hosts.toml"), local.hosts_toml()).unwrap();
        let password = local
            .superuser()
            .password
            .unwrap()
            .expose_secret()
            .to_owned();
        superuser(&local, "s1a")
            .await
            .batch_execute("CREATE DATABASE reports")
            .await
            .unwrap();
        let mut settings = local.superuser_conninfo("s1a").unwrap();
        settings.dbname("reports");
        let other = connect(settings).await;
        other.batch_execute(TABLE).await.unwrap();
        let node = local.node("s1a").unwrap();
        Ends {
            passfile: passfile(&local),
            to: format!("127.0.0.1:{}/reports", node.port()),
            local,
            shardctl,
            password,
            other,
        }
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        let all = [&["--output", "json", "logical"], arguments].concat();
        let variables = [("PGSHARD_ADMIN_PASSWORD", self.password.as_str())];
        let ran = self.shardctl.run_with(&variables, &all).await;
        assert!(!ran.out.contains(&self.password) && !ran.err.contains(&self.password));
        ran
    }

    async fn create(&self, name: &str, more: &[&str]) -> Ran {
        let passfile = ["--passfile", self.passfile.as_str()];
        self.run(&[&["create", name, "--yes"], more, &passfile].concat())
            .await
    }

    /// With both ends, from the shard to the other database.
    async fn on(&self, command: &[&str]) -> Ran {
        let ends = ["--from", "s0", "--to", self.to.as_str()];
        self.run(&[command, &ends].concat()).await
    }

    #[track_caller]
    fn refused(ran: &Ran, reason: &str) {
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains(reason), "{reason}: {ran:?}");
    }
}

fn passfile(local: &LocalCluster) -> String {
    let hosts: toml::Value = toml::from_str(&local.hosts_toml()).unwrap();
    hosts["host"][1]["passfile"].as_str().unwrap().to_owned()
}

async fn count(session: &Client) -> i64 {
    let row = session
        .query_one("SELECT count(*) FROM customers", &[])
        .await;
    row.unwrap().get(0)
}

/// Rows that belong to a shard, or to any.
async fn fill(session: &Client, rows: i32, condition: &str) {
    let sql = format!(
        "INSERT INTO customers SELECT id, 'Ada', 'a@b.com', 'GB', 'active', now()
           FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {rows})) AS new WHERE {condition}"
    );
    session.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_copied_and_followed_until_a_conflict() {
    let ends = Ends::start().await;
    let shard = superuser(&ends.local, "s0a").await;
    let mine = "pgshard.bucket(id) % 2 = 0";
    fill(&shard, 400, mine).await;

    // What cannot work.
    let both = ["--from", "s0", "--to", ends.to.as_str(), "--table"];
    let with = |table: &'static str| [&both[..], &[table]].concat();
    Ends::refused(&ends.create("r", &with("transactions")).await, "no table");
    Ends::refused(&ends.create("r", &with("nothing")).await, "no table");
    let same = ends
        .create(
            "r",
            &["--from", "s0", "--to", "s0", "--table", "currencies"],
        )
        .await;
    Ends::refused(&same, "same database");
    let foreign = [
        "--from",
        "s0",
        "--to",
        "s1",
        "--all-tables",
        "--buckets",
        "0-7",
    ];
    Ends::refused(
        &ends.create("r", &foreign).await,
        "bucket 0 does not belong",
    );
    let bad = ends.create("Reports!", &with("customers")).await;
    assert_eq!(bad.code, 2, "{bad:?}");
    shard
        .batch_execute("CREATE TABLE keyless (id int)")
        .await
        .unwrap();
    Ends::refused(
        &ends.create("r", &with("keyless")).await,
        "REPLICA IDENTITY",
    );
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots)";
    let nothing = async || shard.query_one(left, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(nothing().await, 0, "refused, and yet changed");
    // The subscriber has no password: what was made on the publisher is taken back.
    let arguments = [&["create", "r", "--yes"], &with("customers")[..]].concat();
    let failed = ends.run(&arguments).await;
    assert_eq!(failed.code, 3, "{failed:?}");
    assert_eq!(nothing().await, 0, "left behind");

    let created = ends.create("reports", &with("customers")).await;
    assert_eq!(created.code, 0, "{created:?}");
    let caught_up = async || ends.on(&["wait", "reports", "--wait", "60s"]).await;
    let ran = caught_up().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(count(&ends.other).await, count(&shard).await);
    let again = [&with("customers")[..], &["--allow-rows"]].concat();
    let again = ends.create("reports", &again).await;
    assert_eq!(again.json(), Value::Array(vec![]), "it is idempotent");

    fill(&shard, 100, mine).await;
    shard
        .batch_execute("UPDATE customers SET country = 'FR'")
        .await
        .unwrap();
    assert_eq!(caught_up().await.code, 0);
    let french = "SELECT count(*) FROM customers WHERE country = 'FR'";
    let french: i64 = ends.other.query_one(french, &[]).await.unwrap().get(0);
    assert_eq!(french, count(&shard).await);

    // A row that is on both sides.
    let key = "00000000-0000-0000-0000-000000000000";
    let own = format!("INSERT INTO customers VALUES ('{key}', 'Own', 'a@b.com', 'GB')");
    ends.other.batch_execute(&own).await.unwrap();
    let sql = format!("SELECT pgshard.bucket('{key}') % 2 = 0");
    let here: bool = shard.query_one(&sql, &[]).await.unwrap().get(0);
    assert!(
        !here,
        "the nil key is of the second shard: written past its check"
    );
    shard
        .batch_execute(&format!(
            "ALTER TABLE customers DROP CONSTRAINT IF EXISTS pgshard_placement; {own}"
        ))
        .await
        .unwrap();
    let ran = caught_up().await;
    Ends::refused(&ran, "is disabled");
    let ran = ends.on(&["status"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.json()[0]["problems"].as_str().unwrap().contains("SKIP"));
    let mend = format!("DELETE FROM customers WHERE customer_id = '{key}'");
    ends.other.batch_execute(&mend).await.unwrap();
    ends.other
        .batch_execute("ALTER SUBSCRIPTION reports ENABLE")
        .await
        .unwrap();
    assert_eq!(caught_up().await.code, 0);
    assert_eq!(count(&ends.other).await, count(&shard).await);

    // Its slot is gone, as after a failover.
    ends.other
        .batch_execute("ALTER SUBSCRIPTION reports DISABLE")
        .await
        .unwrap();
    for _ in 0..100 {
        let drop = "SELECT pg_drop_replication_slot('reports')";
        if shard.batch_execute(drop).await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let ran = ends.on(&["status"]).await;
    assert!(
        ran.json()[0]["problems"]
            .as_str()
            .unwrap()
            .contains("has no slot")
    );
    let ran = ends.on(&["drop", "reports", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ends.on(&["status"]).await.json(), Value::Array(vec![]));
    assert_eq!(nothing().await, 0, "dropped, and yet there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_takes_its_own_rows_of_an_undivided_database() {
    let ends = Ends::start().await;
    fill(&ends.other, 300, "true").await;
    let from = ["--from", ends.to.as_str(), "--to", "s0"];
    let create = [&from[..], &["--table", "customers"]].concat();
    Ends::refused(&ends.create("import", &create).await, "--rows-of s0");
    // The publisher's server has the role, and the subscriber's the password.
    let ran = ends
        .create("import", &[&create[..], &["--rows-of", "s0"]].concat())
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    fill(&ends.other, 100, "true").await;
    let wait = [&["wait", "import", "--wait", "60s"], &from[..]].concat();
    let ran = ends.run(&wait).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let shard = superuser(&ends.local, "s0a").await;
    let got = count(&shard).await;
    assert!((100..300).contains(&got), "{got} of 400");
    let ran = ends
        .run(&[&["drop", "import", "--yes"], &from[..]].concat())
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(count(&shard).await, got, "the rows stay");
}
