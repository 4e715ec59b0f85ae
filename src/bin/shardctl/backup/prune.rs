//! `shardctl backup prune`.

use std::time::Duration;

use clap::Args;
use pgshard::ops::backup::{self as library, Keep, Pruned};
use serde_json::json;

use super::Place;
use crate::confirm::Consent;
use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::{Exit, Usage};
use crate::render::Report;

/// Delete backups that need not be kept, and the log that no kept one needs.
#[derive(Args)]
#[command(after_help = "\
A backup is kept if either --keep or --window keeps it; the newest always is.

Columns: shard, backups, files (of the log), bytes.

Exit codes: 0 done.")]
pub(crate) struct Prune {
    #[command(flatten)]
    place: Place,

    /// Keep so many of the newest backups of each shard.
    #[arg(long, value_name = "N")]
    keep: Option<usize>,

    /// Keep what a recovery to any moment of this time back needs.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    window: Option<Duration>,

    #[command(flatten)]
    consent: Consent,
}

impl Prune {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (_, store, shards) = self.place.load(context)?;
        if self.keep.is_none() && self.window.is_none() {
            return Err(Usage("give --keep, --window, or both".to_owned()).into());
        }
        let keep = Keep {
            last: self.keep.unwrap_or(0),
            window: self.window.unwrap_or(Duration::ZERO),
        };
        let prune = async |dry_run| -> pgshard::Result<Vec<Pruned>> {
            let mut pruned = Vec::new();
            for shard in &shards {
                pruned.push(library::prune(&store, *shard, keep, dry_run).await?);
            }
            Ok(pruned)
        };
        let plan = report(&prune(true).await?);
        if let Some(exit) = self
            .consent
            .ends(context, &plan, &plan.shown(), "Delete this?")?
        {
            return Ok(exit);
        }
        context.print(&report(&prune(false).await?))?;
        Ok(Exit::Fine)
    }
}

fn report(pruned: &[Pruned]) -> Report {
    let mut report = Report::new(["shard", "backups", "files", "bytes"]);
    for one in pruned {
        report.row([
            json!(one.shard),
            json!(one.backups),
            json!(one.files),
            json!(one.bytes),
        ]);
    }
    report
}
