//! `shardctl replication verify`.

use clap::Args;
use pgshard::id::ShardId;
use pgshard::ops::replication::{self as library, RETAINED};
use serde_json::json;

use crate::context::Context;
use crate::credentials::AdminRole;
use crate::exit::Exit;
use crate::render::Report;

/// Show who streams from whom, and what is wrong with it. Changes nothing.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, node, role, source, state, sync, slot, timeline, lag_bytes, lag_seconds, problems.

Exit codes: 0 all is well, 1 there are problems.")]
pub(crate) struct Verify {
    /// The shards; all, if none is named.
    shards: Vec<ShardId>,

    /// From how many bytes of log kept for a slot on that is a problem.
    #[arg(long, value_name = "BYTES", default_value_t = RETAINED)]
    retained: u64,

    #[command(flatten)]
    admin: AdminRole,
}

impl Verify {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let login = self.admin.login()?;
        let places = library::verify(&config, &self.shards, login.role(), self.retained)
            .await
            .map_err(|error| login.explain(error))?;
        let mut report = Report::new([
            "shard",
            "node",
            "role",
            "source",
            "state",
            "sync",
            "slot",
            "timeline",
            "lag_bytes",
            "lag_seconds",
            "problems",
        ]);
        for place in &places {
            report.row([
                json!(place.shard),
                json!(place.node),
                json!(place.role),
                json!(place.source),
                json!(place.state),
                json!(place.sync),
                json!(place.slot),
                json!(place.timeline),
                json!(place.lag_bytes),
                json!(place.lag_seconds),
                json!(place.problems.join("; ")),
            ]);
        }
        context.print(&report)?;
        Ok(match places.iter().all(|place| place.problems.is_empty()) {
            true => Exit::Fine,
            false => Exit::Problem,
        })
    }
}
