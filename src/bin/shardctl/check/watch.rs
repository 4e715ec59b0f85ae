//! `shardctl check --watch`: again and again, for people or for Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use pgshard::Config;
use pgshard::ops::exporter::{Checks, Exporter, ExporterOptions};
use tokio::time::MissedTickBehavior;

use crate::context::Context;
use crate::exit::Exit;

/// Prints what is found, whenever it is something else.
pub(super) async fn print(
    context: &Context,
    config: &Config,
    checks: &Checks,
) -> anyhow::Result<Exit> {
    let mut every = tokio::time::interval(checks.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                return Ok(Exit::Fine);
            }
        }
        let findings = checks.run(config).await?;
        // The evidence of some holds figures, which change all the time.
        let kinds: Vec<_> = findings
            .iter()
            .map(|finding| (finding.id(), finding.shard, finding.node))
            .collect();
        if last.as_ref() == Some(&kinds) {
            continue;
        }
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
        context.note(&format!("{now}: {} findings", findings.len()));
        context.print(&super::report(&findings))?;
        last = Some(kinds);
    }
}

/// Serves what is found.
pub(super) async fn serve(
    context: &Context,
    config: &Config,
    checks: Checks,
    listen: SocketAddr,
) -> anyhow::Result<Exit> {
    let mut options = ExporterOptions::new(checks.options.role.clone());
    (options.listen, options.servers) = (listen, false);
    options.interval = Duration::from_secs(1);
    options.checks = Some(checks);
    let exporter = Exporter::bind(options).await?;
    context.note(&format!("http://{}/metrics", exporter.address()?));
    tokio::select! {
        () = exporter.run(config) => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(Exit::Fine)
}
