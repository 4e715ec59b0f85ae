//! `shardctl check`.

mod also;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use pgshard::id::ShardId;
use pgshard::ops::check::{CheckOptions, Finding, Severity};
use serde_json::json;

pub(crate) use also::Looks;

use crate::context::Context;
use crate::credentials::Login;
use crate::duration::parse as duration;
use crate::exit::{Exit, Usage};
use crate::render::Report;

/// Check the servers' settings that the library's promises rest on. Changes nothing.
///
/// Each finding says what was seen, what follows from it and what to do. What the role may not read is a
/// finding too. The chapter docs/check.md explains each.
#[derive(Args)]
#[command(after_help = "\
It asks as the application's role, which sees most; a role with pg_monitor, which may also execute
pg_hba_file_rules(), sees all. That role's password is read from PGSHARD_CHECK_PASSWORD or from
--password-file.

Columns: severity (error, warn, info), id, shard, node, evidence, consequence, remedy; the worst first.

Exit codes: 0 nothing as bad as --fail-on was found, 1 something was, 2 wrong usage. --watch runs until it is
stopped.

Examples:
  shardctl check
  shardctl check --user monitor --processes 12 --fail-on warn
  shardctl check --skip sync-off,hba-trust
  curl -s http://10.0.0.1:8008/config > s0.json; shardctl check --patroni-config s0=s0.json
  shardctl check --backups /backups --max-age 26h
  shardctl check --fdw '--remote-user reports --reporting-host rep1 --database reports --user postgres'
  shardctl check --watch 5m
  shardctl check --watch 5m --listen 127.0.0.1:9189
  shardctl --output json check")]
pub(crate) struct Check {
    /// Ask as this role instead of the application's.
    #[arg(long, value_name = "ROLE")]
    user: Option<String>,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,

    /// How many client processes with this configuration there are.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    processes: u32,

    /// What is bad enough for exit code 1.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    fail_on: FailOn,

    #[command(flatten)]
    looks: Looks,

    /// Check again and again, and print what is found whenever it changes.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    watch: Option<Duration>,

    /// With --watch: serve the findings to Prometheus instead of printing them.
    #[arg(long, value_name = "ADDRESS", requires = "watch")]
    listen: Option<SocketAddr>,

    /// The answer of a shard's Patroni to GET /config, in a file, where the topology file names none.
    #[arg(long, value_name = "SHARD=FILE")]
    patroni_config: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    Error,
    Warn,
    Info,
    Never,
}

impl FailOn {
    fn is_met(self, finding: &Finding) -> bool {
        let least = match self {
            FailOn::Error => Severity::Error,
            FailOn::Warn => Severity::Warn,
            FailOn::Info => Severity::Info,
            FailOn::Never => return false,
        };
        finding.severity() >= least
    }
}

impl Check {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let mut options = CheckOptions::new(&config);
        options.processes = self.processes;
        if let Some(user) = self.user {
            let file = self.password_file.as_deref();
            let login = Login::new(user, "--password-file", file, "PGSHARD_CHECK_PASSWORD")?;
            options.role = login.role().clone();
        }
        for named in &self.patroni_config {
            let Some((shard, file)) = named.split_once('=') else {
                return Err(Usage(format!("{named}: give a shard, = and a file")).into());
            };
            let shard = ShardId::new(shard).map_err(|error| Usage(error.to_string()))?;
            let text = std::fs::read_to_string(file)
                .map_err(|error| Usage(format!("{file} cannot be read: {error}")))?;
            options.patroni.push((shard, text));
        }
        let mut checks = self.looks.checks(&config, options)?;
        if let Some(every) = self.watch {
            if every < Duration::from_secs(1) {
                return Err(Usage("--watch is at least 1s".to_owned()).into());
            }
            checks.every = every;
            return match self.listen {
                Some(listen) => watch::serve(context, &config, checks, listen).await,
                None => watch::print(context, &config, &checks).await,
            };
        }
        let findings = checks.run(&config).await?;
        context.print(&report(&findings))?;
        if findings.is_empty() {
            context.note("nothing was found");
        }
        Ok(
            if findings.iter().any(|finding| self.fail_on.is_met(finding)) {
                Exit::Problem
            } else {
                Exit::Fine
            },
        )
    }
}

fn report(findings: &[Finding]) -> Report {
    let columns = [
        "severity",
        "id",
        "shard",
        "node",
        "evidence",
        "consequence",
        "remedy",
    ];
    let mut report = Report::new(columns);
    for finding in findings {
        report.row([
            json!(finding.severity().as_str()),
            json!(finding.id()),
            json!(finding.shard),
            json!(finding.node),
            json!(finding.evidence),
            json!(finding.rule.consequence),
            json!(finding.rule.remedy),
        ]);
    }
    report
}
