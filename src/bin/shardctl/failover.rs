//! `shardctl failover`.

use std::time::Duration;

use clap::Args;
use pgshard::id::{NodeId, ShardId};
use pgshard::ops::primary::{Admin, Failover as Plan, FailoverOptions, Fence};
use serde_json::json;

use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::procedure::{self, Procedure};
use crate::render::Report;

/// Promote the most advanced standby of a shard whose primary is dead.
///
/// Refused while the primary lives. It is fenced first, so that it never takes writes again, and left as it is:
/// `shardctl rejoin` makes it a standby.
#[derive(Args)]
#[command(after_help = "\
Columns of the plan: step, node, what. Of the result: shard, primary, timeline, streaming.

Each step is in a journal. When this is interrupted, --resume goes on, and --undo, before the promotion,
gives up.

Exit codes: 0 done, 1 a server or machine failed, 3 unreachable, 4 refused, with the reason.

Examples:
  shardctl failover s0 --dry-run
  shardctl failover s0 --yes
  shardctl failover s0 --fence-command '/usr/local/sbin/power-off'
  shardctl failover s0 --fenced")]
pub(crate) struct Failover {
    /// The shard.
    shard: ShardId,

    /// The standby that becomes the primary, if none has more of the log.
    #[arg(long, value_name = "NODE")]
    to: Option<NodeId>,

    /// The dead primary, where the standbys do not tell.
    #[arg(long, value_name = "NODE")]
    from: Option<NodeId>,

    /// Fence it by this command, which is given the node's name, and has to succeed.
    #[arg(long, value_name = "COMMAND", conflicts_with = "fenced")]
    fence_command: Option<String>,

    /// It is fenced: it is off, or cut from all of its clients, and stays so.
    #[arg(long)]
    fenced: bool,

    /// Stop its server over its machine, if it hangs.
    #[arg(long)]
    kill: bool,

    /// Give up a standby that does not answer: what only it has is lost.
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    without: Vec<NodeId>,

    /// Let COMMIT wait for fewer standbys than before, where too few are left.
    #[arg(long)]
    fewer: bool,

    /// For how long the primary has to be silent.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    silence: Duration,

    #[command(flatten)]
    procedure: Procedure,

    /// Give an interrupted run up.
    #[arg(long, conflicts_with_all = ["resume", "dry_run"])]
    undo: bool,
}

impl Failover {
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
            context.note(
                "given up: nothing is promoted; where the old primary was fenced, it stays so",
            );
            return Ok(Exit::Fine);
        }
        let mut options = FailoverOptions::default();
        (options.to, options.from) = (self.to, self.from);
        options.fence = match (&self.fence_command, self.fenced) {
            (Some(command), _) => Fence::Command(command.clone()),
            (None, true) => Fence::Done,
            (None, false) => Fence::Machine,
        };
        (options.kill, options.fewer) = (self.kill, self.fewer);
        options.without.clone_from(&self.without);
        options.silence = self.silence;
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
        let command = format!("failover {}", self.shard);
        let changed = plan
            .run(&admin, journal)
            .await
            .map_err(|error| procedure::interrupted(login.explain(error), &command))?;
        let mut report = Report::new(["shard", "primary", "timeline", "streaming"]);
        report.row([
            json!(self.shard),
            json!(changed.primary),
            json!(changed.timeline),
            json!(changed.streaming),
        ]);
        context.print(&report)?;
        context.note(match options.fence {
            Fence::Done => "keep the old primary fenced, as you said it is, until `shardctl rejoin` makes it a standby",
            _ => "the old primary is fenced: `shardctl rejoin` makes it a standby",
        });
        Ok(Exit::Fine)
    }
}
