//! `shardctl rejoin`.

use std::time::Duration;

use clap::Args;
use pgshard::id::NodeId;
use pgshard::ops::primary::{Admin, Rejoin as Plan, RejoinOptions};
use serde_json::json;

use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::procedure::{self, Procedure};
use crate::render::Report;

/// Make a former primary, or a standby that lost its way, a standby of the primary.
///
/// It is rewound, or copied anew where that cannot be; then the old data stay beside the new ones. Refused
/// if it has committed transactions that the primary lacks: `shardctl split-brain` shows them.
#[derive(Args)]
#[command(after_help = "\
Columns of the plan: step, node, what. Of the result: node, how (rewound, copied), seconds.

Each step is in a journal; when this is interrupted, --resume goes on.

Exit codes: 0 done, 1 a server or machine failed, 3 unreachable, 4 refused, with the reason.

Examples:
  shardctl rejoin s0a --dry-run
  shardctl rejoin s0a --yes
  shardctl rejoin s0a --discard --fresh")]
pub(crate) struct Rejoin {
    /// The node.
    node: NodeId,

    /// Throw away what only this server has.
    #[arg(long)]
    discard: bool,

    /// Copy it anew, without an attempt to rewind it.
    #[arg(long)]
    fresh: bool,

    /// How long a rewind, and then a copy, may take.
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = duration)]
    limit: Duration,

    #[command(flatten)]
    procedure: Procedure,
}

impl Rejoin {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.procedure.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let mut options = RejoinOptions::default();
        (options.discard, options.fresh, options.limit) = (self.discard, self.fresh, self.limit);
        let plan = async {
            Plan::plan(&admin, self.node, &options)
                .await
                .map_err(|error| login.explain(error))
        };
        let begun = self.procedure.begin(
            context,
            Plan::PROCEDURE,
            self.node.as_str(),
            plan,
            Plan::steps,
        );
        let (plan, journal) = match begun.await? {
            Ok(begun) => begun,
            Err(exit) => return Ok(exit),
        };
        let began = std::time::Instant::now();
        let command = format!("rejoin {}", self.node);
        let how = plan
            .run(&admin, journal)
            .await
            .map_err(|error| procedure::interrupted(login.explain(error), &command))?;
        let mut report = Report::new(["node", "how", "seconds"]);
        report.row([
            json!(self.node),
            json!(how),
            json!(began.elapsed().as_secs_f64()),
        ]);
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
