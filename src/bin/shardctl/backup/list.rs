//! `shardctl backup list`.

use clap::Args;
use pgshard::ops::backup::Backup;
use serde_json::json;

use super::Place;
use crate::context::Context;
use crate::exit::Exit;
use crate::render::Report;

/// List the complete backups of a store.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, id, node, timeline, start, stop, began, ended (recovery may end at any time after that), bytes.")]
pub(crate) struct List {
    #[command(flatten)]
    place: Place,
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (_, store, shards) = self.place.load(context)?;
        let mut all = Vec::new();
        for shard in shards {
            all.extend(store.list(shard).await?);
        }
        context.print(&report(&all))?;
        Ok(Exit::Fine)
    }
}

pub(super) fn report(backups: &[Backup]) -> Report {
    let mut report = Report::new([
        "shard", "id", "node", "timeline", "start", "stop", "began", "ended", "bytes",
    ]);
    for backup in backups {
        report.row([
            json!(backup.shard),
            json!(backup.id),
            json!(backup.node),
            json!(backup.timeline),
            json!(backup.start),
            json!(backup.stop),
            json!(backup.began),
            json!(backup.ended),
            json!(backup.bytes),
        ]);
    }
    report
}
