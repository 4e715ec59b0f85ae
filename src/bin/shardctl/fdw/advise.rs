//! `shardctl fdw advise`.

use std::time::Duration;

use clap::Args;
use pgshard::config::TableName;
use pgshard::fdw::{Advice, AdviseOptions};
use serde_json::json;

use super::server::Server;
use super::shards::Shards;
use crate::context::Context;
use crate::duration;
use crate::exit::Exit;
use crate::render::Report;

#[derive(Args)]
pub(super) struct Advise {
    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    server: Server,

    /// The sharded table whose view is read, as schema.table or table. [default: the first one]
    #[arg(long, value_name = "TABLE")]
    table: Option<TableName>,

    /// How often each is run; the median counts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// What one run may take; a slower one is given up.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    limit: Duration,
}

impl Advise {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let fdw = self.shards.plan(&config).await?;
        let (login, reporting) = self.server.reporting()?;
        let mut how = AdviseOptions::default();
        how.runs = self.runs;
        how.limit = self.limit;
        how.table = self.table;
        let advice = fdw.advise(&reporting, &how).await;
        let advice = advice.map_err(|error| login.explain(error))?;
        context.print(&table(&advice))?;
        context.note(&format!(
            "suggested: {}; that is apply with {}",
            advice.suggested, advice.arguments
        ));
        Ok(Exit::Fine)
    }
}

fn table(advice: &Advice) -> Report {
    let columns = ["shape", "options", "ms", "async", "pushed", "suggested"];
    let mut report = Report::new(columns);
    for measured in &advice.measured {
        // A tenth of a microsecond is noise.
        let ms = measured
            .milliseconds
            .map(|ms| (ms * 1000.0).round() / 1000.0);
        report.row([
            json!(measured.shape),
            json!(measured.options),
            json!(ms),
            json!(measured.asynchronous),
            json!(measured.pushed),
            json!(measured.options == advice.suggested),
        ]);
    }
    report
}
