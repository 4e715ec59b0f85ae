//! `shardctl logical`.

mod compare;
mod create;
mod stopped;

use std::time::Duration;

use clap::{Args, Subcommand};
use pgshard::ops::logical::{Endpoint, Link, State};
use serde_json::{Map, Value, json};

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Replicate chosen tables, or some buckets of them, from one server to another: logical replication.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
An end is a shard, whose primary is meant, or HOST:PORT/DATABASE.

Columns of create: end, sql. Of status and wait: subscription, enabled, tables, ready, copied_rows, lag_bytes,
apply_errors, copy_errors, problems. Of drop: subscription. Of conflicts, resume and skip: subscription, commit_lsn,
committed_at, changes, change, table, key, stops, reason, remedy, and with --rows arriving, present. Of compare: table,
key, published, subscribed, where the last two have the columns that differ.

Exit codes: 0 done and well, 1 a problem, or a server's error, 2 wrong usage, 3 unreachable or not in time, 4 refused,
with the reason.

Examples:
  shardctl logical create reports --from s0 --to reports:5432/reports --table customers,transactions --dry-run
  shardctl logical create import --from old:5432/bank --to s0 --all-tables --rows-of s0 --yes
  shardctl logical status --from s0 --to reports:5432/reports
  shardctl logical wait reports --from s0 --to reports:5432/reports --wait 1h
  shardctl logical compare reports --from s0 --to reports:5432/reports
  shardctl logical conflicts reports --from s0 --to reports:5432/reports --rows
  shardctl logical resume reports --from s0 --to reports:5432/reports
  shardctl logical skip reports --from s0 --to reports:5432/reports --dry-run
  shardctl logical drop reports --from s0 --to reports:5432/reports"
)]
pub(crate) struct Logical {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(create::Create),
    Compare(compare::Compare),
    Conflicts(stopped::Conflicts),
    Resume(stopped::Resume),
    Skip(stopped::Skip),
    /// Show how subscriptions stand. Changes nothing.
    Status {
        #[command(flatten)]
        ends: Ends,
    },
    /// Wait until a subscription has all that is committed now.
    Wait {
        /// The subscription.
        name: String,

        #[command(flatten)]
        ends: Ends,

        /// For how long.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
        wait: Duration,
    },
    /// Drop a subscription, its slot and its publication; the rows stay.
    Drop {
        /// The subscription.
        name: String,

        #[command(flatten)]
        ends: Ends,

        #[command(flatten)]
        consent: Consent,
    },
}

/// Both ends, and who looks at them.
#[derive(Args)]
struct Ends {
    /// Where the rows come from.
    #[arg(long, value_name = "END")]
    from: Endpoint,

    /// Where they go.
    #[arg(long, value_name = "END")]
    to: Endpoint,

    #[command(flatten)]
    admin: AdminRole,
}

impl Logical {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Create(create) => create.run(context).await,
            Command::Compare(compare) => compare.run(context).await,
            Command::Conflicts(conflicts) => conflicts.run(context).await,
            Command::Resume(resume) => resume.run(context).await,
            Command::Skip(skip) => skip.run(context).await,
            Command::Status { ends } => {
                let (link, login) = ends.open(context).await?;
                let states = link.states().await.map_err(|error| login.explain(error))?;
                context.print(&report(&states))?;
                Ok(exit(&states))
            }
            Command::Wait { name, ends, wait } => {
                let (link, login) = ends.open(context).await?;
                let shown = context.progress().spinner(format!("{name} …"));
                let state = link.caught_up(&name, wait, |state| {
                    shown.set_message(progress(state));
                });
                let state = state.await.map_err(|error| login.explain(error))?;
                shown.finish_and_clear();
                let states = [state];
                context.print(&report(&states))?;
                Ok(exit(&states))
            }
            Command::Drop {
                name,
                ends,
                consent,
            } => {
                let (link, login) = ends.open(context).await?;
                let mut plan = Report::new(["subscription"]);
                plan.row([json!(name)]);
                let about = format!(
                    "Subscription {name} of {} is dropped with its slot. ",
                    ends.to
                );
                if let Some(exit) = consent.ends(context, &plan, &about, "Do this?")? {
                    return Ok(exit);
                }
                let dropped = link.drop_all(&name).await;
                dropped.map_err(|error| login.explain(error))?;
                context.print(&plan)?;
                Ok(Exit::Fine)
            }
        }
    }
}

impl Ends {
    async fn open(&self, context: &Context) -> anyhow::Result<(Link, crate::credentials::Login)> {
        let config = context.load()?;
        let login = self.admin.login()?;
        let link = Link::open(&config, &self.from, &self.to, login.role())
            .await
            .map_err(|error| login.explain(error))?;
        Ok((link, login))
    }
}

fn ready(state: &State) -> usize {
    let tables = state.tables.iter();
    tables.filter(|table| table.state == "r").count()
}

fn progress(state: &State) -> String {
    let copied: i64 = state.tables.iter().filter_map(|table| table.copied).sum();
    format!(
        "{}: {} of {} tables ready, {copied} rows of running copies, {} bytes behind",
        state.name,
        ready(state),
        state.tables.len(),
        state.lag_bytes.unwrap_or_default()
    )
}

fn report(states: &[State]) -> Report {
    let mut report = Report::new([
        "subscription",
        "enabled",
        "tables",
        "ready",
        "copied_rows",
        "lag_bytes",
        "apply_errors",
        "copy_errors",
        "problems",
    ]);
    for state in states {
        let copied: Vec<i64> = state.tables.iter().filter_map(|t| t.copied).collect();
        let copied = (!copied.is_empty()).then(|| copied.iter().sum::<i64>());
        report.row([
            json!(state.name),
            json!(state.enabled),
            json!(state.tables.len()),
            json!(ready(state)),
            json!(copied),
            json!(state.lag_bytes),
            json!(state.errors.map(|(apply, _)| apply)),
            json!(state.errors.map(|(_, copy)| copy)),
            json!(state.problems.join("; ")),
        ]);
    }
    report
}

fn exit(states: &[State]) -> Exit {
    match states.iter().all(|state| state.problems.is_empty()) {
        true => Exit::Fine,
        false => Exit::Problem,
    }
}

/// The columns of a row.
fn object(values: &[(String, Option<String>)]) -> Value {
    let pairs = values
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}
