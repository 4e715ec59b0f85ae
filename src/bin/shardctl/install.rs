//! `shardctl install`.

use std::time::Duration;

use pgshard::ops::install::{self as library, InstallOptions, ShardPlan};
use serde_json::{Value, json};

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::DdlRole;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// Create or upgrade the schema pgshard on every shard.
///
/// It holds each shard's identity, the terms of its primaries, the ledger of idempotency keys and the
/// functions that write transactions call. What would be done is shown first; nothing is changed
/// before you agree. It may be repeated: what is missing is completed.
#[derive(clap::Args)]
#[command(after_help = "\
The DDL role must be able to create schemas in the database and must not be the application's.
Its password is read from PGSHARD_DDL_PASSWORD or from --ddl-password-file.

Examples:
  shardctl install --ddl-user bank_owner --dry-run     show the SQL, change nothing
  shardctl install --ddl-user bank_owner               show it, ask, then do it
  shardctl install --ddl-user bank_owner --yes --placement-check
  shardctl install --ddl-user bank_owner --verify      check what is installed

Columns: shard, node, version (of the schema that was found), action, status (planned, done), sql
(with --output json or csv). With --verify: shard, node, problem; exit code 1 if there are any.")]
pub(crate) struct Install {
    #[command(flatten)]
    role: DdlRole,

    #[command(flatten)]
    consent: Consent,

    /// Only check what is installed, and what the application's role may do.
    #[arg(long, conflicts_with_all = ["dry_run", "yes", "placement_check", "guard", "ledger_retention_days"])]
    verify: bool,

    /// Add a CHECK constraint to every sharded table: only rows that belong to the shard.
    ///
    /// New rows are checked at once. Those that are there are read and checked after that, while
    /// reads and writes go on.
    #[arg(long)]
    placement_check: bool,

    /// Have the servers hold each statement of the application to the rows of its handle's key, by
    /// row security on every sharded table.
    ///
    /// Set guard.mode to "send" in all services before, and to "require" afterwards: where a service
    /// says nothing of a key, its statements fail from then on.
    #[arg(long)]
    guard: bool,

    /// Remember idempotency keys for so many days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    ledger_retention_days: Option<u32>,

    /// Give up a lock that is not to be had for so many seconds; others queue behind the wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lock_timeout: u64,
}

impl Install {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let login = self.role.login()?;
        if self.verify {
            let findings = library::verify(&config, login.role())
                .await
                .map_err(|error| login.explain(error))?;
            let mut report = Report::new(["shard", "node", "problem"]);
            for finding in &findings {
                report.row([
                    json!(finding.shard),
                    json!(finding.node),
                    json!(finding.what),
                ]);
            }
            context.print(&report)?;
            return Ok(if findings.is_empty() {
                context.note("all shards are as they should be");
                Exit::Fine
            } else {
                Exit::Problem
            });
        }

        let mut options = InstallOptions::new(login.role().clone());
        options.placement_check = self.placement_check;
        options.guard = self.guard;
        options.lock_timeout = Duration::from_secs(self.lock_timeout);
        options.ledger_retention = self
            .ledger_retention_days
            .map(|days| Duration::from_secs(u64::from(days) * 86_400));
        let install = library::Install::plan(&config, options)
            .await
            .map_err(|error| login.explain(error))?;
        for plan in install.shards() {
            for note in &plan.notes {
                context.note(&format!("shard {}: {note}", plan.shard));
            }
        }
        if install.is_complete() {
            context.note("nothing to do: all shards are complete");
            context.print(&table(context, install.shards(), "done"))?;
            return Ok(Exit::Fine);
        }
        let plan = table(context, install.shards(), "planned");
        let shown = sql(install.shards());
        if self.consent.is_dry() {
            context.note(&shown);
        }
        let shards = install.shards().iter();
        let shards = shards.filter(|plan| !plan.actions.is_empty()).count();
        let question = format!("Do this on {shards} shards?");
        if let Some(exit) = self.consent.ends(context, &plan, &shown, &question)? {
            return Ok(exit);
        }
        let progress = context.progress();
        let bar = progress.bar(install.shards().len() as u64, "installing");
        let applied = install.apply(|_| bar.inc(1)).await;
        bar.finish_and_clear();
        applied?;
        context.print(&table(context, install.shards(), "done"))?;
        Ok(Exit::Fine)
    }
}

fn table(context: &Context, plans: &[ShardPlan], status: &str) -> Report {
    let full = context.output() != Output::Table;
    let mut columns = vec!["shard", "node", "version", "action", "status"];
    if full {
        columns.push("sql");
    }
    let mut report = Report::new(columns);
    for plan in plans {
        for action in &plan.actions {
            let mut row: Vec<Value> = vec![
                json!(plan.shard),
                json!(plan.node),
                json!(plan.found),
                json!(action.what),
                json!(status),
            ];
            if full {
                row.push(json!(action.sql));
            }
            report.row(row);
        }
    }
    report
}

/// The SQL for people; scripts find it in the result. What is the same on several shards is shown
/// once.
fn sql(plans: &[ShardPlan]) -> String {
    let mut text = String::new();
    let mut shown: Vec<&str> = Vec::new();
    for plan in plans {
        for action in &plan.actions {
            if shown.contains(&action.sql.as_str()) {
                continue;
            }
            shown.push(&action.sql);
            let shards: Vec<&str> = plans
                .iter()
                .filter(|plan| plan.actions.iter().any(|other| other.sql == action.sql))
                .map(|plan| plan.shard.as_str())
                .collect();
            text.push_str(&format!(
                "-- {} (shard {})\n{}\n",
                action.what,
                shards.join(", "),
                action.sql
            ));
        }
    }
    text
}
