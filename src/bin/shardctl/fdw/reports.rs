//! `shardctl fdw report`, `materialise` and `refresh-materialised`.

use clap::Args;
use pgshard::fdw::{self as library, Branch, Fdw, Report};
use pgshard::{Cluster, Error};

use super::server::Server;
use super::shards::Shards;
use super::{apply, table};
use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::Exit;

#[derive(Args)]
pub(super) struct Split {
    /// The report's name, in the schema of the views.
    name: String,

    /// A SELECT over the tables, as `shardctl query` takes it; without parameters.
    #[arg(value_name = "SELECT")]
    select: String,

    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    server: Server,

    #[command(flatten)]
    consent: Consent,
}

impl Split {
    /// The whole reporting server is made as it should be, the report with it.
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let cluster = Cluster::connect(config.clone())?;
        let planned = cluster.sql(&self.select, &[]).report().await;
        cluster.close().await;
        let planned = planned?;
        if planned.tables().len() > 1 && !self.shards.estimates() {
            context.note(
                "it joins: with --remote-estimate PostgreSQL can tell that the shards should",
            );
        }
        let fdw = self.shards.plan(&config).await?;
        let branch = |shard| {
            let sql = planned.branch(|table| fdw.foreign_table(shard, table))?;
            Ok(Branch { shard, sql })
        };
        let shards: Vec<_> = config.shards.iter().map(|shard| shard.id).collect();
        let branches = shards.iter().map(|shard| branch(*shard));
        let first = shards.first().copied();
        let report = Report::Split {
            name: self.name,
            branches: branches.collect::<Result<_, Error>>()?,
            combine: planned.combine(|table| fdw.foreign_table(first?, table))?,
        };
        show(context, &fdw, &report)?;
        apply(
            context,
            &fdw.with_report(report),
            &self.server,
            &self.consent,
        )
        .await
    }
}

/// The SQL, for people to read before they agree.
fn show(context: &Context, fdw: &Fdw, report: &Report) -> anyhow::Result<()> {
    context.note(fdw.report_sql(report)?.trim_end());
    Ok(())
}

#[derive(Args)]
pub(super) struct Materialise {
    /// The report's name, in the schema of the views.
    name: String,

    /// A SELECT over the views, which need no schema in it.
    #[arg(value_name = "SELECT")]
    select: String,

    /// Columns that together are unique: with them, a refresh does not block readers. Commas between
    /// them.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    unique: Vec<String>,

    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    server: Server,

    #[command(flatten)]
    consent: Consent,
}

impl Materialise {
    /// The whole reporting server is made as it should be, the report with it.
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let fdw = self.shards.plan(&context.load()?).await?;
        let fdw = fdw.with_report(Report::Materialised {
            name: self.name,
            select: self.select,
            unique: self.unique,
        });
        apply(context, &fdw, &self.server, &self.consent).await
    }
}

#[derive(Args)]
pub(super) struct Refresh {
    /// The reports. [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    server: Server,
}

impl Refresh {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let (login, reporting) = self.server.reporting()?;
        let progress = context.progress();
        let bar = progress.bar(1, "refreshing");
        let done = library::refresh_materialised(&config, &reporting, &self.names).await;
        bar.finish_and_clear();
        let done = done.map_err(|error| login.explain(error))?;
        context.print(&table(&done, Some("done")))?;
        Ok(Exit::Fine)
    }
}
