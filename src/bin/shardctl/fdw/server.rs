//! The reporting server, as arguments.

use std::path::PathBuf;

use clap::{ArgMatches, Args, FromArgMatches};
use pgshard::config::{TlsConfig, TlsMode};
use pgshard::fdw::Reporting;

use crate::credentials::Login;

#[derive(Args)]
pub(crate) struct Server {
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

/// The same, where a command can do without one.
pub(crate) struct MaybeServer(pub(crate) Option<Server>);

/// What has to be given of a server that is named at all.
const NEEDED: [&str; 3] = ["reporting_host", "database", "user"];

impl Args for MaybeServer {
    fn augment_args(command: clap::Command) -> clap::Command {
        NEEDED
            .into_iter()
            .fold(Server::augment_args(command), |command, id| {
                command.mut_arg(id, |arg| arg.required(false))
            })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MaybeServer {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = NEEDED.into_iter().any(|id| matches.contains_id(id));
        let server = named.then(|| Server::from_arg_matches(matches));
        Ok(MaybeServer(server.transpose()?))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Server {
    pub(crate) fn reporting(&self) -> anyhow::Result<(Login, Reporting)> {
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

    pub(crate) fn place(&self) -> String {
        format!(
            "database {} on {}:{}",
            self.database, self.reporting_host, self.port
        )
    }
}
