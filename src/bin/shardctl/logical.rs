//! `shardctl logical`.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::config::TableName;
use pgshard::id::ShardId;
use pgshard::ops::hosts::Hosts;
use pgshard::ops::logical::{Endpoint, Link, Plan, Rows, State, Wanted};
use serde_json::json;

use crate::confirm;
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// Replicate chosen tables, or some buckets of them, from one server to another: logical replication.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
An end is a shard, whose primary is meant, or HOST:PORT/DATABASE.

Columns of create: end, sql. Of status and wait: subscription, enabled, tables, ready, copied_rows, lag_bytes,
apply_errors, copy_errors, problems. Of drop: subscription.

Exit codes: 0 done and well, 1 a problem, or a server's error, 2 wrong usage, 3 unreachable or not in time, 4 refused,
with the reason.

Examples:
  shardctl logical create reports --from s0 --to reports:5432/reports --table customers,transactions --dry-run
  shardctl logical create import --from old:5432/bank --to s0 --all-tables --rows-of s0 --yes
  shardctl logical status --from s0 --to reports:5432/reports
  shardctl logical wait reports --from s0 --to reports:5432/reports --wait 1h
  shardctl logical drop reports --from s0 --to reports:5432/reports"
)]
pub(crate) struct Logical {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Create),
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
        agree: Agree,
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

#[derive(Args)]
struct Agree {
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

/// Make a publication, a slot and a subscription, after checking both ends.
#[derive(Args)]
struct Create {
    /// The name of all three: a-z, 0-9, _.
    name: String,

    #[command(flatten)]
    ends: Ends,

    /// The tables, as in the topology file.
    #[arg(
        long,
        value_name = "TABLE",
        value_delimiter = ',',
        required_unless_present = "all_tables"
    )]
    table: Vec<String>,

    /// All sharded tables of the topology file.
    #[arg(long, conflicts_with = "table")]
    all_tables: bool,

    /// Only rows that the shard map gives to this shard.
    #[arg(long, value_name = "SHARD", conflicts_with = "buckets")]
    rows_of: Option<ShardId>,

    /// Only rows of these buckets, such as 0-1023,4095.
    #[arg(long, value_name = "BUCKETS", value_delimiter = ',', value_parser = buckets)]
    buckets: Vec<RangeInclusive<u32>>,

    /// Do not copy what is there: only what is written from now on arrives.
    #[arg(long)]
    no_copy: bool,

    /// Copy though the subscriber's tables have rows.
    #[arg(long)]
    allow_rows: bool,

    /// The role as which the subscriber comes. Without it, that of hosts.toml, else replicator.
    #[arg(long, value_name = "ROLE")]
    replication_user: Option<String>,

    /// The file with its password on the subscriber's machine, as .pgpass.
    #[arg(long, value_name = "FILE")]
    passfile: Option<String>,

    /// More of the connection string, such as "sslmode=verify-full".
    #[arg(long, value_name = "KEYWORDS", default_value = "")]
    conninfo: String,

    #[command(flatten)]
    agree: Agree,
}

fn buckets(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("{text:?} is no bucket"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    match range.is_empty() {
        true => Err(format!("{text}: the first one is the larger")),
        false => Ok(range),
    }
}

impl Logical {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Create(create) => create.run(context).await,
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
            Command::Drop { name, ends, agree } => {
                let (link, login) = ends.open(context).await?;
                let mut plan = Report::new(["subscription"]);
                plan.row([json!(name)]);
                if agree.dry_run {
                    context.print(&plan)?;
                    return Ok(Exit::Fine);
                }
                let shown = format!(
                    "Subscription {name} of {} is dropped with its slot. ",
                    ends.to
                );
                if !agree.yes && !confirm::agreed(context, &plan, &shown, "Do this?")? {
                    return Ok(Exit::Fine);
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

impl Create {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let file = context.config_path().with_file_name("hosts.toml");
        let hosts = file.exists().then(|| Hosts::load(&file)).transpose()?;
        let login = self.ends.admin.login()?;
        let wanted = self.wanted(&config, hosts.as_ref());
        let plan = Plan::new(&config, hosts.as_ref(), &wanted, login.role())
            .await
            .map_err(|error| login.explain(error))?;
        let mut report = Report::new(["end", "sql"]);
        for change in plan.changes() {
            report.row([json!(change.end), json!(change.sql)]);
        }
        for note in plan.notes() {
            context.note(&format!("note: {note}"));
        }
        if self.agree.dry_run || plan.changes().is_empty() {
            context.print(&report)?;
            return Ok(Exit::Fine);
        }
        let shown = String::from_utf8_lossy(&report.render(Output::Table)?).into_owned();
        if !self.agree.yes && !confirm::agreed(context, &report, &shown, "Do this?")? {
            return Ok(Exit::Fine);
        }
        plan.apply(|change| context.note(&change.sql))
            .await
            .map_err(|error| login.explain(error))?;
        context.print(&report)?;
        Ok(Exit::Fine)
    }

    fn wanted(&self, config: &Config, hosts: Option<&Hosts>) -> Wanted {
        let tables = match self.all_tables {
            true => config
                .tables
                .iter()
                .map(|table| table.name.clone())
                .collect(),
            false => self.table.iter().map(|name| table(name)).collect(),
        };
        let (from, to) = (self.ends.from.clone(), self.ends.to.clone());
        let mut wanted = Wanted::new(&self.name, from, to, tables);
        wanted.rows = match (self.rows_of, self.buckets.is_empty()) {
            (Some(shard), _) => Rows::OfShard(shard),
            (None, false) => Rows::OfBuckets(self.buckets.clone()),
            (None, true) => Rows::All,
        };
        (wanted.copy, wanted.allow_rows) = (!self.no_copy, self.allow_rows);
        if let Some(hosts) = hosts {
            wanted.user.clone_from(&hosts.replication_user);
            wanted.conninfo.clone_from(&hosts.conninfo);
        }
        if let Some(user) = &self.replication_user {
            wanted.user.clone_from(user);
        }
        if !self.conninfo.is_empty() {
            wanted.conninfo.clone_from(&self.conninfo);
        }
        wanted.passfile.clone_from(&self.passfile);
        wanted
    }
}

fn table(name: &str) -> TableName {
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    TableName {
        schema: schema.to_owned(),
        name: name.to_owned(),
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
