//! `shardctl fdw`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::config::{TlsConfig, TlsMode};
use pgshard::fdw::{self as library, Difference, FdwOptions, Reporting, Source};
use serde_json::json;

use crate::confirm;
use crate::context::Context;
use crate::credentials::Login;
use crate::exit::Exit;
use crate::render::{self, Output, Report};

/// Show all shards as one on a reporting server, through postgres_fdw.
///
/// Reads the columns of the configured tables from the shards and makes, on any PostgreSQL server that
/// can reach them, a foreign server and foreign tables a shard, and a view for each table: of a sharded
/// table with a column `shard`, by which a query leaves shards out.
#[derive(Args)]
#[command(after_help = "\
Passwords: of the role on the shards from PGSHARD_FDW_PASSWORD or --remote-password-file, else the
configuration's if the role is the configuration's; of the role on the reporting server from
PGSHARD_REPORTING_PASSWORD or --reporting-password-file. None is ever in the SQL.

Examples:
  shardctl fdw sql --remote-user reports | less
  shardctl fdw diff  --remote-user reports --reporting-host rep1 --database reports --user postgres
  shardctl fdw apply --remote-user reports --reporting-host rep1 --database reports --user postgres
  shardctl fdw apply … --dry-run       show what would be done, change nothing
  shardctl fdw apply … --yes           do it without asking
  shardctl fdw drop  --reporting-host rep1 --database reports --user postgres
  psql -c \"SELECT shard, count(*) FROM reporting.customers GROUP BY shard\"

Columns of diff, apply and drop: object, change (create, alter, replace, remove, keep), detail (found
/ wanted); of apply and drop: status (planned, done). diff: exit code 1 if there are differences.")]
pub(crate) struct Fdw {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the SQL, as a script for psql. It holds no password.
    Sql {
        #[command(flatten)]
        shards: Shards,
    },
    /// Show what differs on a reporting server. Changes nothing.
    Diff {
        #[command(flatten)]
        shards: Shards,
        #[command(flatten)]
        server: Server,
    },
    /// Make a reporting server as it should be, in one transaction. May be repeated.
    Apply {
        #[command(flatten)]
        shards: Shards,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        consent: Consent,
    },
    /// Remove exactly what apply made. Does not ask the shards.
    Drop {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Args)]
struct Consent {
    /// Show what would be done; change nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
struct Shards {
    /// The role on the shards that reports read as; one that may only read. [default: the
    /// configuration's user]
    #[arg(long, value_name = "ROLE")]
    remote_user: Option<String>,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE")]
    remote_password_file: Option<PathBuf>,

    /// Which nodes reports read: replicas (behind by their lag) or primaries.
    #[arg(long, value_enum, default_value_t = From::Replicas, value_name = "NODES")]
    source: From,

    /// The schema of the views on the reporting server.
    #[arg(long, default_value = "reporting", value_name = "NAME")]
    schema: String,

    /// The role on the reporting server that may read the views; created without login if missing.
    #[arg(long, default_value = "pgshard_reader", value_name = "ROLE")]
    reader: String,

    /// Rows fetched at a time: more helps reports that read much and harms those that stop early.
    #[arg(long, default_value_t = 1000, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    fetch_size: u32,

    /// With TLS: the file on the reporting server with the authorities of the shards' certificates.
    #[arg(long, value_name = "FILE")]
    root_certificate: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum From {
    Replicas,
    Primaries,
}

#[derive(Args)]
struct Server {
    /// The reporting server: a host name, an address or a socket's directory.
    #[arg(long, value_name = "HOST")]
    reporting_host: String,

    /// Its port.
    #[arg(long, default_value_t = 5432, value_name = "PORT")]
    port: u16,

    /// Its database.
    #[arg(long, value_name = "NAME")]
    database: String,

    /// The role that is to own everything there.
    #[arg(long, value_name = "ROLE")]
    user: String,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE")]
    reporting_password_file: Option<PathBuf>,

    /// How to connect there. [default: verify-full, but plaintext to loopback and sockets]
    #[arg(long, value_enum, value_name = "MODE")]
    reporting_tls: Option<Tls>,

    /// The authorities that sign its certificate, as PEM. [default: the system's]
    #[arg(long, value_name = "FILE")]
    reporting_ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Tls {
    VerifyFull,
    Plaintext,
}

impl Fdw {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        match self.action {
            Action::Sql { shards } => {
                let fdw = shards.plan(&config).await?;
                render::write(fdw.sql().as_bytes())?;
                Ok(Exit::Fine)
            }
            Action::Diff { shards, server } => {
                let fdw = shards.plan(&config).await?;
                let (login, reporting) = server.reporting()?;
                let differences = fdw.diff(&reporting).await;
                let differences = differences.map_err(|error| login.explain(error))?;
                context.print(&table(&differences, None))?;
                Ok(if differences.is_empty() {
                    Exit::Fine
                } else {
                    Exit::Problem
                })
            }
            Action::Apply {
                shards,
                server,
                consent,
            } => {
                let fdw = shards.plan(&config).await?;
                let (login, reporting) = server.reporting()?;
                let explain = |error| login.explain(error);
                let planned = fdw.diff(&reporting).await.map_err(explain)?;
                if planned.is_empty() {
                    context.note("nothing to do: everything is as it should be");
                }
                let question = format!("Do this in {}?", server.place());
                if let Some(exit) = consent.ends(context, &planned, &question)? {
                    return Ok(exit);
                }
                let done = fdw.apply_planned(&reporting, &planned).await;
                context.print(&table(&done.map_err(explain)?, Some("done")))?;
                Ok(Exit::Fine)
            }
            Action::Drop { server, consent } => {
                let (login, reporting) = server.reporting()?;
                let explain = |error| login.explain(error);
                let planned = library::removal(&config, &reporting).await;
                let planned = planned.map_err(explain)?;
                if planned.is_empty() {
                    context.note("nothing to do: nothing was made there");
                }
                let question = format!(
                    "Remove the reports over {} from {}?",
                    config.cluster,
                    server.place()
                );
                if let Some(exit) = consent.ends(context, &planned, &question)? {
                    return Ok(exit);
                }
                let done = library::remove(&config, &reporting).await;
                context.print(&table(&done.map_err(explain)?, Some("done")))?;
                Ok(Exit::Fine)
            }
        }
    }
}

impl Consent {
    /// Shows what would be done. The exit code, if that is all.
    fn ends(
        &self,
        context: &Context,
        planned: &[Difference],
        question: &str,
    ) -> anyhow::Result<Option<Exit>> {
        let plan = table(planned, Some("planned"));
        if planned.is_empty() || self.dry_run {
            context.print(&plan)?;
            return Ok(Some(Exit::Fine));
        }
        if self.yes {
            return Ok(None);
        }
        let shown = plan.render(Output::Table)?;
        let shown = String::from_utf8_lossy(&shown);
        let agreed = confirm::agreed(context, &plan, &shown, question)?;
        Ok((!agreed).then_some(Exit::Refused))
    }
}

impl Shards {
    /// Asks the shards.
    async fn plan(self, config: &Config) -> anyhow::Result<library::Fdw> {
        let own = self
            .remote_user
            .as_ref()
            .is_none_or(|user| *user == config.user);
        let user = self.remote_user.unwrap_or_else(|| config.user.clone());
        let mut login = Login::new(
            user,
            "--remote-password-file",
            self.remote_password_file.as_deref(),
            "PGSHARD_FDW_PASSWORD",
        )?;
        if own {
            login = login.or_configured(config).await?;
        }
        let mut options = FdwOptions::new(login.role().clone());
        options.source = match self.source {
            From::Replicas => Source::Replicas,
            From::Primaries => Source::Primaries,
        };
        options.schema = self.schema;
        options.reader = self.reader;
        options.fetch_size = self.fetch_size;
        options.root_certificate = self.root_certificate;
        let planned = library::Fdw::plan(config, options).await;
        planned.map_err(|error| login.explain(error))
    }
}

impl Server {
    fn reporting(&self) -> anyhow::Result<(Login, Reporting)> {
        let login = Login::new(
            self.user.clone(),
            "--reporting-password-file",
            self.reporting_password_file.as_deref(),
            "PGSHARD_REPORTING_PASSWORD",
        )?;
        let reporting = Reporting {
            host: self.reporting_host.clone(),
            port: self.port,
            database: self.database.clone(),
            role: login.role().clone(),
            tls: TlsConfig {
                mode: self.reporting_tls.map(|mode| match mode {
                    Tls::VerifyFull => TlsMode::VerifyFull,
                    Tls::Plaintext => TlsMode::Plaintext,
                }),
                ca_file: self.reporting_ca_file.clone(),
                ..TlsConfig::default()
            },
        };
        Ok((login, reporting))
    }

    fn place(&self) -> String {
        format!(
            "database {} on {}:{}",
            self.database, self.reporting_host, self.port
        )
    }
}

fn table(differences: &[Difference], status: Option<&str>) -> Report {
    let mut columns = vec!["object", "change", "detail"];
    columns.extend(status.map(|_| "status"));
    let mut report = Report::new(columns);
    for difference in differences {
        let mut row = vec![
            json!(difference.object),
            json!(difference.change.to_string()),
            json!(difference.detail.join("\n")),
        ];
        row.extend(status.map(|status| json!(status)));
        report.row(row);
    }
    report
}
