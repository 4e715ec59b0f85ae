//! `shardctl backup mark`.

use std::time::Duration;

use clap::Args;
use pgshard::id::ShardId;
use pgshard::ops::backup as library;
use serde_json::json;

use super::{StoreOption, shards};
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Name a point of each shard's log, to restore to.
///
/// The points of several shards are not one moment: a transaction across shards may be before one and after
/// another. Drain the shards first if that matters.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, name, lsn, timeline, at.

Exit codes: 0 it is in the archive, 3 it did not arrive there in time, 4 the name is taken.")]
pub(crate) struct Mark {
    /// The name.
    name: String,

    /// The shards; all, if none is named.
    #[arg(long = "shard", value_name = "SHARD")]
    shards: Vec<ShardId>,

    #[command(flatten)]
    store: StoreOption,

    /// How long it may take until it is in the archive.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    wait: Duration,

    #[command(flatten)]
    admin: AdminRole,
}

impl Mark {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let store = self.store.open()?;
        let named = shards(&config, &self.shards)?;
        let login = self.admin.login()?;
        let made = library::mark(&config, &store, &named, login.role(), &self.name, self.wait);
        let made = made.await.map_err(|error| login.explain(error))?;
        let mut report = Report::new(["shard", "name", "lsn", "timeline", "at"]);
        for (shard, mark) in made {
            report.row([
                json!(shard),
                json!(mark.name),
                json!(mark.lsn),
                json!(mark.timeline),
                json!(mark.at),
            ]);
        }
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
