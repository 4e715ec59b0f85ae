//! A shard, and a database beside it to which its tables are replicated.

use pgshard::local::LocalCluster;
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;

use super::cli::{Ran, Shardctl};
use super::{connect, installed, superuser};

const TABLE: &str = "CREATE TABLE customers (customer_id uuid PRIMARY KEY, full_name text NOT NULL, \
    email text NOT NULL, country text NOT NULL, status text, created_at timestamptz)";

pub(crate) struct Ends {
    pub(crate) local: LocalCluster,
    shardctl: Shardctl,
    password: String,
    passfile: String,
    /// A database on the second shard's server that is none of the cluster's.
    pub(crate) to: String,
    pub(crate) other: Client,
}

impl Ends {
    pub(crate) async fn start() -> Self {
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

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let all = [&["--output", "json", "logical"], arguments].concat();
        let variables = [("PGSHARD_ADMIN_PASSWORD", self.password.as_str())];
        let ran = self.shardctl.run_with(&variables, &all).await;
        assert!(!ran.out.contains(&self.password) && !ran.err.contains(&self.password));
        ran
    }

    pub(crate) async fn create(&self, name: &str, more: &[&str]) -> Ran {
        let passfile = ["--passfile", self.passfile.as_str()];
        self.run(&[&["create", name, "--yes"], more, &passfile].concat())
            .await
    }

    /// With both ends, from the shard to the other database.
    pub(crate) async fn on(&self, command: &[&str]) -> Ran {
        let ends = ["--from", "s0", "--to", self.to.as_str()];
        self.run(&[command, &ends].concat()).await
    }

    #[track_caller]
    pub(crate) fn refused(ran: &Ran, reason: &str) {
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains(reason), "{reason}: {ran:?}");
    }
}

fn passfile(local: &LocalCluster) -> String {
    let hosts: toml::Value = toml::from_str(&local.hosts_toml()).unwrap();
    hosts["host"][1]["passfile"].as_str().unwrap().to_owned()
}

pub(crate) async fn count(session: &Client) -> i64 {
    let row = session
        .query_one("SELECT count(*) FROM customers", &[])
        .await;
    row.unwrap().get(0)
}

/// Rows that belong to a shard, or to any.
pub(crate) async fn fill(session: &Client, rows: i32, condition: &str) {
    let sql = format!(
        "INSERT INTO customers SELECT id, 'Ada', 'a@b.com', 'GB', 'active', now()
           FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {rows})) AS new WHERE {condition}"
    );
    session.batch_execute(&sql).await.unwrap();
}
