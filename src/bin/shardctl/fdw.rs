//! `shardctl fdw`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::config::{TlsConfig, TlsMode};
use pgshard::fdw::{self as library, Difference, FdwOptions, Reporting, Source};
use pgshard::ops::Credentials;
use serde_json::json;

use crate::confirm::{self, Answer};
use crate::context::Context;
use crate::credentials::credentials;
use crate::exit::Exit;
use crate::render::{self, Report};

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
  shardctl fdw drop  --reporting-host rep1 --database reports --user postgres
  psql -c \"SELECT shard, count(*) FROM reporting.customers GROUP BY shard\"

Columns of diff, apply and drop: object, change (create, alter, replace, remove, keep), detail (found
/ wanted). diff: exit code 1 if there are differences.")]
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
    },
    /// Remove exactly what apply made. Does not ask the shards.
    Drop {
        #[command(flatten)]
        server: Server,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
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
                let fdw = library::Fdw::plan(&config, shards.options(&config)?).await?;
                render::write(fdw.sql().as_bytes())?;
                Ok(Exit::Fine)
            }
            Action::Diff { shards, server } => {
                let fdw = library::Fdw::plan(&config, shards.options(&config)?).await?;
                let differences = fdw.diff(&server.reporting()?).await?;
                context.print(&table(&differences))?;
                Ok(if differences.is_empty() {
                    Exit::Fine
                } else {
                    Exit::Problem
                })
            }
            Action::Apply { shards, server } => {
                let fdw = library::Fdw::plan(&config, shards.options(&config)?).await?;
                let differences = fdw.apply(&server.reporting()?).await?;
                if differences.is_empty() {
                    context.note("nothing to do: everything is as it should be");
                }
                context.print(&table(&differences))?;
                Ok(Exit::Fine)
            }
            Action::Drop { server, yes } => {
                if !yes {
                    let question = format!(
                        "Remove the reports over {} from {} on {}?",
                        config.cluster, server.database, server.reporting_host
                    );
                    match confirm::ask(&question)? {
                        Answer::Yes => {}
                        Answer::No => {
                            context.note("nothing was removed");
                            return Ok(Exit::Refused);
                        }
                        Answer::Nobody => {
                            return Err(pgshard::Error::refused(
                                "nothing was removed: there is no terminal to ask on; pass --yes",
                            )
                            .into());
                        }
                    }
                }
                let differences = library::remove(&config, &server.reporting()?).await?;
                context.print(&table(&differences))?;
                Ok(Exit::Fine)
            }
        }
    }
}

impl Shards {
    fn options(self, config: &Config) -> anyhow::Result<FdwOptions> {
        let own = self
            .remote_user
            .as_ref()
            .is_none_or(|user| *user == config.user);
        let user = self.remote_user.unwrap_or_else(|| config.user.clone());
        let mut remote = credentials(
            user,
            self.remote_password_file.as_deref(),
            "PGSHARD_FDW_PASSWORD",
        )?;
        if own && remote.password.is_none() {
            remote.password.clone_from(&config.password);
        }
        let mut options = FdwOptions::new(remote);
        options.source = match self.source {
            From::Replicas => Source::Replicas,
            From::Primaries => Source::Primaries,
        };
        options.schema = self.schema;
        options.reader = self.reader;
        options.fetch_size = self.fetch_size;
        options.root_certificate = self.root_certificate;
        Ok(options)
    }
}

impl Server {
    fn reporting(&self) -> anyhow::Result<Reporting> {
        let role: Credentials = credentials(
            self.user.clone(),
            self.reporting_password_file.as_deref(),
            "PGSHARD_REPORTING_PASSWORD",
        )?;
        Ok(Reporting {
            host: self.reporting_host.clone(),
            port: self.port,
            database: self.database.clone(),
            role,
            tls: TlsConfig {
                mode: self.reporting_tls.map(|mode| match mode {
                    Tls::VerifyFull => TlsMode::VerifyFull,
                    Tls::Plaintext => TlsMode::Plaintext,
                }),
                ca_file: self.reporting_ca_file.clone(),
                ..TlsConfig::default()
            },
        })
    }
}

fn table(differences: &[Difference]) -> Report {
    let mut report = Report::new(["object", "change", "detail"]);
    for difference in differences {
        report.row([
            json!(difference.object),
            json!(difference.change.to_string()),
            json!(difference.detail.join("\n")),
        ]);
    }
    report
}
