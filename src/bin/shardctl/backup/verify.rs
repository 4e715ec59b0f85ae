//! `shardctl backup verify`.

use std::path::PathBuf;

use clap::Args;
use pgshard::ops::backup as library;
use serde_json::json;

use super::Place;
use crate::context::Context;
use crate::exit::Exit;
use crate::render::Report;

/// Verify backups of a store again: every file against its manifest, and the log that each needs.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, id, problem.

Exit codes: 0 all are whole, 1 one is not.")]
pub(crate) struct Verify {
    #[command(flatten)]
    place: Place,

    /// Only the newest of each shard.
    #[arg(long)]
    newest: bool,

    /// The directory of PostgreSQL's programs.
    #[arg(long, value_name = "DIR")]
    pg_bindir: Option<PathBuf>,
}

impl Verify {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (_, store, shards) = self.place.load(context)?;
        let mut report = Report::new(["shard", "id", "problem"]);
        let mut exit = Exit::Fine;
        let progress = context.progress();
        for shard in shards {
            let mut backups = store.list(shard).await?;
            if self.newest {
                backups = backups.pop().into_iter().collect();
            }
            for backup in backups {
                let bar = progress.spinner(format!("{shard} {}", backup.id));
                let verified = library::verify(&store, &backup, self.pg_bindir.clone()).await;
                bar.finish_and_clear();
                let problem = verified.err().map(|error| error.to_string());
                if problem.is_some() {
                    exit = Exit::Problem;
                }
                report.row([json!(shard), json!(backup.id), json!(problem)]);
            }
        }
        context.print(&report)?;
        Ok(exit)
    }
}
