//! A shard on whose servers and machines `shardctl` works.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use uuid::Uuid;

use super::cli::{Ran, Shardctl};
use super::failover::Watched;
use super::superuser;

/// One shard, a client of it, and `shardctl` with its machines.
pub(crate) struct Operated {
    pub(crate) shard: Watched,
    pub(crate) shardctl: Shardctl,
    password: String,
}

impl Operated {
    pub(crate) async fn start(replicas: usize) -> Self {
        let shard = Watched::start(replicas).await;
        let shardctl = Shardctl::new(&shard.local);
        std::fs::write(shardctl.dir().join("hosts.toml"), shard.local.hosts_toml())
            .expect("a file");
        let password = shard.local.superuser().password.expect("a password");
        Operated {
            password: password.expose_secret().to_owned(),
            shard,
            shardctl,
        }
    }

    /// Runs `shardctl --output json` with the superuser's password.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments).await
    }

    /// The same, to be killed at a point of its journal.
    pub(crate) async fn killed_at(&self, point: &str, arguments: &[&str]) -> Ran {
        let ran = self
            .run_with(&[("PGSHARD_JOURNAL_CRASH", point)], arguments)
            .await;
        assert_eq!(ran.code, -1, "not killed at {point}: {ran:?}");
        ran
    }

    pub(crate) async fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut all = vec![("PGSHARD_ADMIN_PASSWORD", self.password.as_str())];
        all.extend(variables);
        let arguments = [&["--output", "json"], arguments].concat();
        let ran = self.shardctl.run_with(&all, &arguments).await;
        assert!(!ran.out.contains(&self.password) && !ran.err.contains(&self.password));
        ran
    }

    /// Runs it, and expects it to succeed.
    #[track_caller]
    pub(crate) fn done(&self, ran: &Ran) -> Value {
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    /// A node's answer to a query of one value.
    pub(crate) async fn ask(&self, node: &str, sql: &str) -> String {
        let session = superuser(&self.shard.local, node).await;
        let row = session
            .query_one(&format!("SELECT ({sql})::text"), &[])
            .await;
        row.expect("a row")
            .get::<_, Option<String>>(0)
            .unwrap_or_default()
    }

    /// The customers on a node, once it has replayed all that `primary` has.
    pub(crate) async fn customers(&self, primary: &str, node: &str) -> Vec<Uuid> {
        let end = self.ask(primary, "pg_current_wal_lsn()").await;
        for _ in 0..500 {
            let replayed = format!("pg_is_in_recovery() AND pg_last_wal_replay_lsn() < '{end}'");
            if self.ask(node, &replayed).await == "false" {
                let mut rows = self.shard.customers(node).await;
                rows.sort_unstable();
                return rows;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let state = "SELECT string_agg(to_jsonb(r)::text, '\n') FROM pg_stat_wal_receiver r";
        let receiver = self.ask(node, state).await;
        let log = self
            .shard
            .local
            .node(node)
            .unwrap()
            .data_dir()
            .join("startup.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let log = log.lines().rev().take(12).collect::<Vec<_>>().join("\n");
        panic!("{node} does not replay what {primary} has: {receiver}\n{log}");
    }
}
