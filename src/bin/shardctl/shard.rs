//! `shardctl shard` and `shardctl node`: operators' acts.

use std::time::Duration;

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::id::{NodeId, NodeIndex, ShardId, SystemId};
use pgshard::ops::Credentials;
use pgshard::ops::acts::{self as library, ActOptions, Logged, Plan, Step};
use pgshard::topology::OperatorAct;
use serde_json::{Value, json};

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::DdlRole;
use crate::duration;
use crate::exit::{Exit, Usage};
use crate::render::{Output, Report};

/// Decide about a shard: fence it, close it for maintenance, settle a split brain.
///
/// A decision is stored on the shard's servers, with who made it and why. The servers obey it at once,
/// running clients within a probe's interval, and so do clients that start later.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Shard {
    #[command(subcommand)]
    action: ShardAction,
}

const EXAMPLES: &str = "\
The role must own the schema pgshard. Its password is read from --ddl-password-file, else from
PGSHARD_DDL_PASSWORD. What would be done, and what every node says now, is shown first; nothing is
changed before you agree.

Examples:
  shardctl shard fence s0 --reason 'two primaries?' --ddl-user bank_owner
  shardctl shard read-only s0 --reason 'moving the disks' --ddl-user bank_owner --wait 30s
  shardctl shard open s0 --reason 'moved' --ddl-user bank_owner --yes
  shardctl shard name-primary s0 s0b --reason 's0b has all writes' --ddl-user bank_owner
  shardctl shard acts s0

Columns: shard, node (a server that is written on), act, before, after, status (planned, done), id (of the
act in the log; once it is done), sql (with --output json or csv).
Of acts: shard, number, at, actor, act, node, reason, held_by (the nodes whose log has it), and with
--output json or csv: id, role, reign, system_identifier.

Exit codes: 0 done, 2 wrong usage (an unknown shard or node, no reason), 3 no node takes writes, 4 refused
(it makes no sense now, transactions in flight did not end in time, or you declined).";

#[derive(Subcommand)]
enum ShardAction {
    /// Emergency: refuse writes at once, and interrupt what is in flight. Replicas are read.
    Fence(ShardAct),
    /// End a fence.
    Unfence(ShardAct),
    /// Maintenance: let writers in flight end, then refuse writes. Reads go on.
    ReadOnly(ShardAct),
    /// Maintenance: let writers in flight end, then refuse writes and reads.
    Drain(ShardAct),
    /// End read-only or drained mode.
    Open(ShardAct),
    /// Go on although a failover lost acknowledged writes.
    AcceptLoss(ShardAct),
    /// Of several nodes that take writes, this one is right. The others' branches are given up.
    NamePrimary(NamePrimary),
    /// The shard's servers have this system identifier from now on, as after pg_upgrade.
    Adopt(Adopt),
    /// Show the log of acts.
    Acts(Acts),
}

/// Decide about a node: never use it, or use it again.
#[derive(Args)]
#[command(after_help = "\
See `shardctl help shard` for what acts are, the role, the columns and the exit codes.

Examples:
  shardctl node fence s0b --reason 'disk errors' --ddl-user bank_owner
  shardctl node unfence s0b --reason 'replaced' --ddl-user bank_owner")]
pub(crate) struct Node {
    #[command(subcommand)]
    action: NodeAction,
}

#[derive(Subcommand)]
enum NodeAction {
    /// Use the node neither for reads nor for writes.
    Fence(NodeAct),
    /// Use the node again.
    Unfence(NodeAct),
}

#[derive(Args)]
struct ShardAct {
    /// The shard.
    #[arg(value_parser = crate::query::shard_id)]
    shard: ShardId,

    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct NodeAct {
    /// The node.
    #[arg(value_parser = node_id)]
    node: NodeId,

    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct NamePrimary {
    /// The shard.
    #[arg(value_parser = crate::query::shard_id)]
    shard: ShardId,

    /// The node that is right; it must take writes.
    #[arg(value_parser = node_id)]
    node: NodeId,

    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct Adopt {
    /// The shard.
    #[arg(value_parser = crate::query::shard_id)]
    shard: ShardId,

    /// The new system identifier, as pg_controldata or pg_control_system() says it.
    #[arg(long, value_name = "ID")]
    system: u64,

    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct Acts {
    /// The shard.
    #[arg(value_parser = crate::query::shard_id)]
    shard: ShardId,
}

#[derive(Args)]
struct How {
    #[command(flatten)]
    role: DdlRole,

    /// Why. It is kept in the log, and told to those who are refused.
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Who decides, for the log. Without it, the user and host of this process.
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,

    /// How long write transactions in flight are waited for, such as 500ms, 5s or 2m.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    wait: Duration,

    #[command(flatten)]
    consent: Consent,
}

fn node_id(text: &str) -> Result<NodeId, String> {
    NodeId::new(text).map_err(|error| error.to_string())
}

impl Shard {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let (shard, act, how) = match self.action {
            ShardAction::Acts(acts) => return acts.run(context, &config).await,
            ShardAction::Fence(act) => (act.shard, OperatorAct::Fence, act.how),
            ShardAction::Unfence(act) => (act.shard, OperatorAct::Unfence, act.how),
            ShardAction::ReadOnly(act) => (act.shard, OperatorAct::ReadOnly, act.how),
            ShardAction::Drain(act) => (act.shard, OperatorAct::Drain, act.how),
            ShardAction::Open(act) => (act.shard, OperatorAct::Open, act.how),
            ShardAction::AcceptLoss(act) => (act.shard, OperatorAct::AcceptWritesLost, act.how),
            ShardAction::NamePrimary(act) => {
                let (shard, node) = find(&config, act.node)?;
                if shard != act.shard {
                    let message = format!("node {} is of shard {shard}", act.node);
                    return Err(Usage(message).into());
                }
                (shard, OperatorAct::NamePrimary(node), act.how)
            }
            ShardAction::Adopt(act) => {
                let system = SystemId(act.system);
                (act.shard, OperatorAct::AdoptIdentity { system }, act.how)
            }
        };
        how.run(context, &config, shard, act).await
    }
}

impl Node {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let (act, fence) = match self.action {
            NodeAction::Fence(act) => (act, true),
            NodeAction::Unfence(act) => (act, false),
        };
        let (shard, node) = find(&config, act.node)?;
        let kind = if fence {
            OperatorAct::FenceNode(node)
        } else {
            OperatorAct::UnfenceNode(node)
        };
        act.how.run(context, &config, shard, kind).await
    }
}

/// The shard and the place of a node.
fn find(config: &Config, node: NodeId) -> anyhow::Result<(ShardId, NodeIndex)> {
    for shard in &config.shards {
        for (index, known) in (0..).map(NodeIndex).zip(&shard.nodes) {
            if known.id == node {
                return Ok((shard.id, index));
            }
        }
    }
    Err(Usage(format!("there is no node {node} in the topology file")).into())
}

impl How {
    async fn run(
        self,
        context: &Context,
        config: &Config,
        shard: ShardId,
        act: OperatorAct,
    ) -> anyhow::Result<Exit> {
        let login = self.role.login()?;
        let actor = self.actor.unwrap_or_else(whoami);
        let mut options = ActOptions::new(login.role().clone(), actor, self.reason);
        options.wait = self.wait;
        let plan = Plan::new(config, shard, act, options)
            .await
            .map_err(|error| login.explain(error))?;
        for standing in plan.standings() {
            context.note(&format!(
                "node {} ({}): {}",
                standing.node, standing.role, standing.says
            ));
        }
        for note in plan.notes() {
            context.note(&format!("note: {note}"));
        }
        if self.consent.is_dry() {
            context.note(&sql(&plan));
        }
        let planned = table(context, shard, act, plan.steps(), None);
        let question = format!("Do this to shard {shard}?");
        let shown = planned.shown();
        if let Some(exit) = self.consent.ends(context, &planned, &shown, &question)? {
            return Ok(exit);
        }
        let (shard, act, steps) = (plan.shard(), plan.act(), plan.steps().to_vec());
        let done = plan.apply().await?;
        context.print(&table(
            context,
            shard,
            act,
            &steps,
            Some(done.id.to_string()),
        ))?;
        for note in &done.notes {
            context.note(note);
        }
        Ok(Exit::Fine)
    }
}

/// The servers, and what the act changes there. With the id of the act, it is done.
fn table(
    context: &Context,
    shard: ShardId,
    act: OperatorAct,
    steps: &[Step],
    id: Option<String>,
) -> Report {
    let full = context.output() != Output::Table;
    let mut columns = vec!["shard", "node", "act", "before", "after", "status", "id"];
    if full {
        columns.push("sql");
    }
    let mut report = Report::new(columns);
    for step in steps {
        let mut row = vec![
            json!(shard),
            json!(step.node),
            json!(act.as_str()),
            json!(step.before),
            json!(step.after),
            json!(if id.is_some() { "done" } else { "planned" }),
            json!(id),
        ];
        if full {
            row.push(json!(step.sql));
        }
        report.row(row);
    }
    report
}

/// The SQL for people; scripts find it in the result.
fn sql(plan: &Plan) -> String {
    let steps = plan.steps().iter();
    steps
        .map(|step| format!("-- on {}\n{}", step.node, step.sql))
        .collect()
}

/// Who runs this process, and where.
fn whoami() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME"));
    let user = user.unwrap_or_else(|| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}

impl Acts {
    async fn run(self, context: &Context, config: &Config) -> anyhow::Result<Exit> {
        let role = Credentials {
            user: config.user.clone(),
            password: None,
        };
        let log = library::log(config, self.shard, &role).await?;
        let full = context.output() != Output::Table;
        let mut columns = vec![
            "shard", "number", "at", "actor", "act", "node", "reason", "held_by",
        ];
        if full {
            columns.extend(["id", "role", "reign", "system_identifier"]);
        }
        let mut report = Report::new(columns);
        for act in &log {
            report.row(logged(self.shard, act, full));
        }
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}

fn logged(shard: ShardId, act: &Logged, full: bool) -> Vec<Value> {
    let held_by: Vec<&str> = act.held_by.iter().map(NodeId::as_str).collect();
    let mut row = vec![
        json!(shard),
        json!(act.number),
        json!(act.at),
        json!(act.actor),
        json!(act.act),
        json!(act.node),
        json!(act.reason),
        if full {
            json!(held_by)
        } else {
            json!(held_by.join(" "))
        },
    ];
    if full {
        row.extend([
            json!(act.id),
            json!(act.role),
            json!(act.reign),
            json!(act.system),
        ]);
    }
    row
}
