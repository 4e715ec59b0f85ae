//! `shardctl replication copy`.

use std::time::{Duration, Instant};

use clap::Args;
use pgshard::id::NodeId;
use pgshard::ops::primary::Admin;
use pgshard::ops::replication::NewStandby as Plan;
use serde_json::json;

use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::procedure::{self, Procedure};
use crate::render::Report;

/// Make a node a standby of another one: by a base backup into its empty data directory.
///
/// The node is in the topology file and in the hosts' file already.
#[derive(Args)]
#[command(after_help = "\
Columns of the plan: step, node, what. Of the result: node, source, bytes, seconds.

Each step is in a journal; when this is interrupted, --resume begins the copy again.

Exit codes: 0 done, 1 a server or machine failed, 3 unreachable, 4 refused, with the reason.")]
pub(crate) struct Copy {
    /// The node.
    node: NodeId,

    /// The server that is copied, and that it streams from: the primary, or a standby.
    #[arg(long, value_name = "NODE")]
    from: NodeId,

    /// How long the copy may take.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    limit: Duration,

    #[command(flatten)]
    procedure: Procedure,
}

impl Copy {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.procedure.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let plan = async {
            Plan::plan(&admin, self.node, self.from, self.limit)
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
        let began = Instant::now();
        let progress = context.progress();
        let bar = progress.bar(plan.bytes(), format!("copying {}", self.from));
        let command = format!("replication copy {} --from {}", self.node, self.from);
        plan.run(&admin, journal, |bytes| bar.set_position(bytes))
            .await
            .map_err(|error| procedure::interrupted(login.explain(error), &command))?;
        bar.finish_and_clear();
        let mut report = Report::new(["node", "source", "bytes", "seconds"]);
        report.row([
            json!(self.node),
            json!(self.from),
            json!(plan.bytes()),
            json!(began.elapsed().as_secs_f64()),
        ]);
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
