//! A local cluster as a working one: its configuration, the example bank's tables, the schema
//! `pgshard`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Environment, Loader};
use crate::error::Result;
use crate::id::ShardId;
use crate::ops::Credentials;
use crate::ops::install::{Install, InstallOptions};

use super::cluster::{DATABASE, LocalCluster};
use super::node::LocalNode;
use super::replication::{admin_as, db_error};
use super::secrets::{APP, OWNER, SUPERUSER, Secrets, write_private};
use super::server::Server;

/// The example bank, in the order in which it is created.
const BANK: [&str; 3] = [
    include_str!("../../schema/bank/001_tables.sql"),
    include_str!("../../schema/bank/002_currencies.sql"),
    include_str!("../../schema/bank/003_grants.sql"),
];

impl LocalCluster {
    /// The cluster's configuration as text. It names a file with the application's password, so
    /// that it holds no secret itself.
    pub fn config_toml(&self) -> String {
        self.config_toml_via(LocalNode::port)
    }

    /// The configuration as text, with other ports for the nodes: those of proxies before them.
    pub fn config_toml_via(&self, port: impl Fn(&LocalNode) -> u16) -> String {
        bank_toml(self.nodes().map(|node| (node, port(node))))
    }

    /// The configuration, whatever this process's environment says.
    ///
    /// # Errors
    ///
    /// If the cluster's directory has lost its password files.
    pub fn config(&self) -> Result<Config> {
        self.config_via(LocalNode::port)
    }

    /// The configuration with other ports for the nodes: those of proxies before them.
    ///
    /// # Errors
    ///
    /// If the cluster's directory has lost its password files.
    pub fn config_via(&self, port: impl Fn(&LocalNode) -> u16) -> Result<Config> {
        load(&self.config_toml_via(port), self.config_file())
    }

    /// Where [`write_config`](Self::write_config) writes the configuration: `shards.toml` in the
    /// cluster's directory.
    pub fn config_file(&self) -> PathBuf {
        self.dir().join("shards.toml")
    }

    /// Writes the configuration, and `hosts.toml` beside it, into the cluster's directory.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write_config(&self) -> Result<()> {
        write_private(&self.config_file(), &self.config_toml())?;
        write_private(&self.dir().join("hosts.toml"), &self.hosts_toml())
    }

    /// The role that owns the databases, for `shardctl install` and the like.
    pub fn owner(&self) -> Credentials {
        self.secrets().credentials(OWNER)
    }

    /// The file that holds the owner's password on one line.
    pub fn owner_password_file(&self) -> PathBuf {
        secret_file(self.dir(), OWNER)
    }

    /// The servers' superuser, for what `shardctl` does to replication.
    pub fn superuser(&self) -> Credentials {
        self.secrets().credentials(SUPERUSER)
    }

    /// The file that holds the superuser's password on one line.
    pub fn superuser_password_file(&self) -> PathBuf {
        secret_file(self.dir(), SUPERUSER)
    }

    /// Where the servers' data directories are and how they start, as [`Hosts`](crate::ops::hosts::Hosts)
    /// reads it.
    pub fn hosts_toml(&self) -> String {
        hosts_toml(self.nodes().map(LocalNode::host_toml))
    }

    /// Creates the example bank's tables where they are missing, installs the schema `pgshard` with
    /// placement checks, and calls `done` after each shard. May be repeated.
    ///
    /// # Errors
    ///
    /// If a shard has no primary that answers, or a statement fails.
    pub async fn install(&self, done: impl FnMut(ShardId)) -> Result<Config> {
        self.create_bank().await?;
        let config = self.config()?;
        install(&config, self.owner(), done).await?;
        Ok(config)
    }

    /// Creates the example bank's tables on the shards where they are missing, and nothing else.
    ///
    /// # Errors
    ///
    /// If a shard has no primary that answers, or a statement fails.
    pub async fn create_bank(&self) -> Result<()> {
        for shard in self.shards() {
            create_bank_on(shard.primary(), self.secrets()).await?;
        }
        Ok(())
    }
}

/// The configuration of the example bank on servers, shard by shard.
pub(super) fn bank_toml<'a, S: Server + 'a>(nodes: impl Iterator<Item = (&'a S, u16)>) -> String {
    let mut text = format!(
        "# Written by pgshard's local launcher, and again at each start.\n\
         cluster = \"bank\"\n\
         database = \"{DATABASE}\"\n\
         user = \"{APP}\"\n\
         password_file = \"secrets/{APP}\"\n\
         \n\
         [routing]\n\
         hash = \"pg\"\n\
         key = \"uuid\"\n\
         buckets = 4096\n\
         version = 1\n"
    );
    for table in ["customers", "bank_accounts", "transactions"] {
        let _ = write!(
            text,
            "\n[[table]]\nname = \"{table}\"\nkey = \"customer_id\"\n"
        );
    }
    text.push_str("\n[[reference]]\nname = \"currencies\"\n");
    let mut shard = None;
    for (node, port) in nodes {
        if shard.replace(node.shard()) != Some(node.shard()) {
            let _ = write!(text, "\n[[shard]]\nid = \"{}\"\n", node.shard());
        }
        let _ = writeln!(
            text,
            "[[shard.node]]\nid = \"{}\"\nhost = \"127.0.0.1\"\nport = {port}",
            node.id(),
        );
    }
    text
}

/// The machines of servers, each described by itself.
pub(super) fn hosts_toml(hosts: impl Iterator<Item = String>) -> String {
    let mut text = "# Written by pgshard's local launcher, and again at each start.\n\
                    replication_user = \"replicator\"\n\
                    rewind_user = \"postgres\"\n\
                    conninfo = \"sslmode=disable\"\n"
        .to_owned();
    text.extend(hosts);
    text
}

/// Reads a configuration as if it were in `file`, whatever this process's environment says.
pub(super) fn load(text: &str, file: PathBuf) -> Result<Config> {
    Loader::new()
        .environment(Environment::default())
        .check_text(text, file)
        .into_config()
}

/// Installs the schema `pgshard` with placement checks, and calls `done` after each shard.
pub(super) async fn install(
    config: &Config,
    owner: Credentials,
    mut done: impl FnMut(ShardId),
) -> Result<()> {
    let mut options = InstallOptions::new(owner);
    options.placement_check = true;
    // A machine that starts a dozen servers may be slow to answer.
    options.lock_timeout = Duration::from_secs(30);
    let install = Install::plan(config, options).await?;
    install.apply(|plan| done(plan.shard)).await
}

/// Creates the example bank's tables on a primary, unless they are there.
pub(super) async fn create_bank_on(primary: &impl Server, secrets: &Secrets) -> Result<()> {
    let session = admin_as(primary, secrets, OWNER, DATABASE).await?;
    let exists: bool = session
        .query_one("SELECT to_regclass('public.currencies') IS NOT NULL", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(db_error(primary))?;
    if !exists {
        // One simple query is one transaction: all of it or nothing.
        let sql = BANK.concat();
        let created = session.batch_execute(&sql).await;
        created.map_err(db_error(primary))?;
    }
    standbys_have_it(primary, secrets).await
}

/// Waits until the standbys that stream have replayed what the primary has written: whoever looks at
/// them next shall find the database. One that hangs is not waited for long.
async fn standbys_have_it(primary: &impl Server, secrets: &Secrets) -> Result<()> {
    const BEHIND: &str = "SELECT count(*) FROM pg_stat_replication \
         WHERE state = 'streaming' AND replay_lsn IS DISTINCT FROM greatest(replay_lsn, $1::text::pg_lsn)";
    let session = admin_as(primary, secrets, SUPERUSER, DATABASE).await?;
    let failed = db_error(primary);
    let written = "SELECT pg_current_wal_lsn()::text";
    let row = session.query_one(written, &[]).await.map_err(&failed)?;
    let written: String = row.try_get(0).map_err(&failed)?;
    for _ in 0..200 {
        let row = session.query_one(BEHIND, &[&written]).await;
        let behind: i64 = row.and_then(|row| row.try_get(0)).map_err(&failed)?;
        if behind == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

/// Where a role's password is kept, alone on one line, for `password_file` in a configuration.
pub(super) fn secret_file(dir: &Path, role: &str) -> PathBuf {
    dir.join("secrets").join(role)
}
