//! `shardctl exporter`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pgshard::ops::check::CheckOptions;
use pgshard::ops::exporter::{Exporter as Library, ExporterOptions};

use crate::check::Looks;
use crate::context::Context;
use crate::credentials::Login;
use crate::duration::parse as duration;
use crate::exit::Exit;

/// Serve metrics of all servers to Prometheus.
///
/// It asks every server once an interval, however often it is scraped. It runs until it is stopped.
#[derive(Args)]
#[command(after_help = "\
The role needs pg_monitor: CREATE ROLE monitor LOGIN IN ROLE pg_monitor. Its password is read from
PGSHARD_MONITOR_PASSWORD or from --password-file.

/metrics has the samples, /healthz whether they are fresh. Rules, dashboards and a page for each alert:
docs/operations/monitoring.md.

Examples:
  shardctl exporter --user monitor
  shardctl exporter --user monitor --backups /backups --max-age 26h
  shardctl exporter --user monitor --listen 10.0.0.5:9188 --interval 30s")]
pub(crate) struct Exporter {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9188")]
    listen: SocketAddr,

    /// How often servers are asked.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    interval: Duration,

    /// The role that asks.
    #[arg(long, value_name = "ROLE")]
    user: String,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Leave the results of shardctl check out.
    #[arg(long)]
    no_check: bool,

    /// How often it checks.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    check_every: Duration,

    #[command(flatten)]
    looks: Looks,
}

impl Exporter {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let file = self.password_file.as_deref();
        let login = Login::new(
            self.user.clone(),
            "--password-file",
            file,
            "PGSHARD_MONITOR_PASSWORD",
        )?;
        if self.interval < Duration::from_millis(100) {
            return Err(crate::exit::Usage("the interval is at least 100ms".to_owned()).into());
        }
        let mut options = ExporterOptions::new(login.role().clone());
        (options.listen, options.interval) = (self.listen, self.interval);
        if !self.no_check {
            let mut of_check = CheckOptions::new(&config);
            of_check.role = login.role().clone();
            let mut checks = self.looks.checks(&config, of_check)?;
            checks.every = self.check_every.max(self.interval);
            options.checks = Some(checks);
        }
        let exporter = Library::bind(options).await?;
        context.note(&format!("http://{}/metrics", exporter.address()?));
        tokio::select! {
            () = exporter.run(&config) => {}
            stopped = tokio::signal::ctrl_c() => stopped?,
        }
        Ok(Exit::Fine)
    }
}
