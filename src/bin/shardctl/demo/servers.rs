//! The servers of the demo.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pgshard::fdw::Reporting;
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::ops::Credentials;
use pgshard::ops::install::verify;
use pgshard::{Cluster, Config};
use uuid::Uuid;

use super::stage::{Stage, seconds};

/// The role that reports read as.
const REPORTS: &str = "reports";

/// The bank's shards, and a server for reports.
pub(super) struct Servers {
    pub(super) bank: LocalCluster,
    reports: LocalCluster,
    pub(super) config: Config,
}

impl Servers {
    pub(super) async fn start(
        stage: &mut Stage<'_>,
        bindir: Option<&Path>,
    ) -> anyhow::Result<Servers> {
        stage.step("Servers: initdb and pg_basebackup, on loopback, in a temporary directory");
        let begun = Instant::now();
        let spec = |shards, replicas| LocalSpec {
            shards,
            replicas,
            synchronous: replicas > 0,
            bindir: bindir.map(Path::to_owned),
            ..LocalSpec::default()
        };
        let bar = stage.spinner("starting 9 servers");
        // One after the other: the second finds the programs that the first may have to fetch.
        let bank = LocalCluster::start(spec(4, 1)).await?;
        let reports = LocalCluster::start(spec(1, 0)).await?;
        bar.finish_and_clear();
        stage.say(format_args!(
            "PostgreSQL {}: 4 primaries, 4 synchronous replicas, 1 server for reports, in {}",
            bank.major(),
            seconds(begun.elapsed())
        ));

        stage.step("The schema: the bank's tables, and pgshard's own (as `shardctl install` does)");
        let begun = Instant::now();
        let bar = stage.bar(4, "installing");
        let config = bank.install(|_| bar.inc(1)).await?;
        bar.finish_and_clear();
        let findings = verify(&config, &bank.owner()).await?;
        let detail = findings
            .first()
            .map_or("4 shards".to_owned(), |finding| finding.what.clone());
        stage.measured(
            "installed, verified",
            findings.is_empty(),
            begun.elapsed(),
            detail,
        );
        Ok(Servers {
            bank,
            reports,
            config,
        })
    }

    /// The client that everything below uses.
    pub(super) async fn connect(&self, stage: &mut Stage<'_>) -> anyhow::Result<Cluster> {
        let begun = Instant::now();
        let cluster = Cluster::connect(self.config.clone())?;
        cluster.ready(Duration::from_secs(30)).await?;
        stage.say(format_args!(
            "the client knows every primary after {}",
            seconds(begun.elapsed())
        ));
        Ok(cluster)
    }

    /// Creates the role that reports read as, on every shard.
    pub(super) async fn create_reports_role(&self) -> anyhow::Result<Credentials> {
        let password = Uuid::new_v4().to_string();
        for shard in self.bank.shards() {
            let settings = self.bank.superuser_conninfo(shard.primary().id())?;
            let (session, connection) = settings.connect(tokio_postgres::NoTls).await?;
            let driver = tokio::spawn(connection);
            session
                .batch_execute(&format!(
                    "CREATE ROLE {REPORTS} LOGIN PASSWORD {}; \
                     GRANT SELECT ON ALL TABLES IN SCHEMA public TO {REPORTS}",
                    pgshard::sql::literal(&password)
                ))
                .await?;
            drop(session);
            driver.await??;
        }
        Ok(Credentials {
            user: REPORTS.to_owned(),
            password: Some(password.into()),
        })
    }

    /// How the reporting server's owner connects to it.
    pub(super) fn reporting(&self) -> anyhow::Result<(Reporting, tokio_postgres::Config)> {
        let node = self.reports.node("s0a")?;
        let settings = self.reports.superuser_conninfo(node.id())?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let password = settings.get_password().unwrap_or_default();
        let reporting = Reporting {
            host: "127.0.0.1".to_owned(),
            port: node.port(),
            database: text(settings.get_dbname()),
            role: Credentials {
                user: text(settings.get_user()),
                password: Some(String::from_utf8_lossy(password).into_owned().into()),
            },
            tls: Default::default(),
        };
        Ok((reporting, settings))
    }

    /// The directories of all servers.
    pub(super) fn dirs(&self) -> [PathBuf; 2] {
        [self.bank.dir().to_owned(), self.reports.dir().to_owned()]
    }

    pub(super) async fn shutdown(self) -> anyhow::Result<()> {
        let (bank, reports) = tokio::join!(self.bank.shutdown(), self.reports.shutdown());
        bank?;
        Ok(reports?)
    }
}
