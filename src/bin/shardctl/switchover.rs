//! `shardctl switchover`.

use std::time::Duration;

use clap::Args;
use pgshard::id::{NodeId, ShardId};
use pgshard::ops::primary::{Admin, Switchover as Plan, SwitchoverOptions};
use serde_json::json;

use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::procedure::{self, Procedure};
use crate::render::Report;

/// Hand a shard's primary role to a standby; nothing is lost.
///
/// The primary is stopped cleanly, the standby gets the rest of its log and is promoted, the old primary
/// starts again as a standby, and the other standbys follow. Clients of this library wait meanwhile.
#[derive(Args)]
#[command(after_help = "\
Columns of the plan: step, node, what. Of the result: shard, primary, timeline, streaming, gap_seconds (for
how long no server took writes).

Each step is in a journal. When this is interrupted, --resume goes on, and --undo, before the promotion,
makes the old primary the primary again.

Exit codes: 0 done, 1 a server or machine failed, 3 unreachable, 4 refused, with the reason.

Examples:
  shardctl switchover s0 --dry-run
  shardctl switchover s0 --to s0b --yes
  shardctl switchover s0 --resume")]
pub(crate) struct Switchover {
    /// The shard.
    shard: ShardId,

    /// The standby that becomes the primary. Without it, a synchronous one, else the one least behind.
    #[arg(long, value_name = "NODE")]
    to: Option<NodeId>,

    /// How many bytes of the log it may have to replay yet.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    max_lag: u64,

    /// How long it may take for that, once the primary has stopped; then the primary is started again.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    wait: Duration,

    #[command(flatten)]
    procedure: Procedure,

    /// Take an interrupted run back.
    #[arg(long, conflicts_with_all = ["resume", "dry_run"])]
    undo: bool,
}

impl Switchover {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.procedure.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let subject = self.shard.as_str();
        if self.undo {
            let (plan, journal): (Plan, _) =
                self.procedure
                    .interrupted(context, Plan::PROCEDURE, subject)?;
            plan.undo(&admin, journal)
                .await
                .map_err(|e| login.explain(e))?;
            context.note("taken back: the old primary is the primary");
            return Ok(Exit::Fine);
        }
        let mut options = SwitchoverOptions::default();
        (options.to, options.max_lag, options.wait) = (self.to, self.max_lag, self.wait);
        let plan = async {
            Plan::plan(&admin, self.shard, &options)
                .await
                .map_err(|error| login.explain(error))
        };
        let begun = self
            .procedure
            .begin(context, Plan::PROCEDURE, subject, plan, Plan::steps);
        let (plan, journal) = match begun.await? {
            Ok(begun) => begun,
            Err(exit) => return Ok(exit),
        };
        let command = format!("switchover {}", self.shard);
        let changed = plan
            .run(&admin, journal)
            .await
            .map_err(|error| procedure::interrupted(login.explain(error), &command))?;
        let mut report = Report::new(["shard", "primary", "timeline", "streaming", "gap_seconds"]);
        report.row([
            json!(self.shard),
            json!(changed.primary),
            json!(changed.timeline),
            json!(changed.streaming),
            json!(changed.gap),
        ]);
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
