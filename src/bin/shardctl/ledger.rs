//! `shardctl ledger`.

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::id::ShardId;
use pgshard::ops::ledger::{self as library, PurgeOptions};
use serde_json::{Value, json};

use crate::confirm;
use crate::context::Context;
use crate::credentials::{DdlRole, Login};
use crate::exit::Exit;
use crate::failure;
use crate::render::{Output, Report};

/// Look after the shards' ledgers of idempotency keys.
#[derive(Args)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Purge(Purge),
}

/// Delete the keys that nobody may ask for any more.
///
/// A ledger refuses keys older than its retention, and keeps their rows for as long again. Older ones
/// are deleted, a batch in a transaction. It may be stopped at any time and run again.
#[derive(Args)]
#[command(after_help = "\
The role must own the schema pgshard. Its password is read from --ddl-password-file, else from
PGSHARD_DDL_PASSWORD.

Examples:
  shardctl ledger purge --ddl-user bank_owner --dry-run    count, change nothing
  shardctl ledger purge --ddl-user bank_owner              count, ask, then do it
  shardctl ledger purge --ddl-user bank_owner --yes        do it, as a job does

Columns: shard, node, kept_days (how long rows are kept), rows, status (planned, done, failed), error.
With --yes, a shard that fails does not keep the others from being purged; the exit code is that of
the first failure.")]
struct Purge {
    #[command(flatten)]
    role: DdlRole,

    /// Purge these shards only.
    #[arg(long, value_name = "SHARD", value_delimiter = ',', value_parser = crate::query::shard_id)]
    shard: Vec<ShardId>,

    /// How many rows one transaction deletes.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,

    /// Count what would be deleted; change nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do it without counting and asking.
    #[arg(long)]
    yes: bool,
}

impl Ledger {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.action {
            Action::Purge(purge) => purge.run(context).await,
        }
    }
}

impl Purge {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let login = self.role.login()?;
        let mut options = PurgeOptions::new(login.role().clone());
        options.batch = self.batch;
        let shards = if self.shard.is_empty() {
            config.shards.iter().map(|shard| shard.id).collect()
        } else {
            self.shard
        };

        let mut expected = None;
        if !self.yes {
            let mut plan = table();
            let mut rows = 0;
            for &shard in &shards {
                let counted = library::expired(&config, shard, &options).await;
                let counted = counted.map_err(|error| login.explain(error))?;
                rows += counted.rows;
                plan.row(row(&counted, "planned"));
            }
            if rows == 0 {
                context.note("nothing to do: no key is old enough");
            }
            if rows == 0 || self.dry_run {
                context.print(&plan)?;
                return Ok(Exit::Fine);
            }
            let shown = plan.render(Output::Table)?;
            let question = format!("Delete {rows} rows?");
            if !confirm::agreed(context, &plan, &String::from_utf8_lossy(&shown), &question)? {
                return Ok(Exit::Refused);
            }
            expected = Some(rows);
        }
        purge(context, &config, &login, &options, &shards, expected).await
    }
}

/// Purges shard by shard, past those that fail.
async fn purge(
    context: &Context,
    config: &Config,
    login: &Login,
    options: &PurgeOptions,
    shards: &[ShardId],
    expected: Option<u64>,
) -> anyhow::Result<Exit> {
    let progress = context.progress();
    let bar = match expected {
        Some(rows) => progress.bar(rows, "purging"),
        None => progress.spinner("purging"),
    };
    let mut report = table();
    let mut failed = None;
    for &shard in shards {
        let purged = library::purge(config, shard, options, |rows| bar.inc(rows)).await;
        match purged {
            Ok(purged) => report.row(row(&purged, "done")),
            Err(error) => {
                let node = error.node();
                let error = login.explain(error);
                let words = failure::in_words(&error);
                report.row([
                    json!(shard),
                    json!(node),
                    Value::Null,
                    Value::Null,
                    json!("failed"),
                    json!(words),
                ]);
                failed.get_or_insert(error);
            }
        }
    }
    bar.finish_and_clear();
    context.print(&report)?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Exit::Fine),
    }
}

fn table() -> Report {
    Report::new(["shard", "node", "kept_days", "rows", "status", "error"])
}

fn row(purge: &library::Purge, status: &str) -> [Value; 6] {
    [
        json!(purge.shard),
        json!(purge.node),
        json!(purge.kept.as_secs_f64() / 86_400.0),
        json!(purge.rows),
        json!(status),
        Value::Null,
    ]
}
