//! `shardctl migrate`.

mod load;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::id::ShardId;
use pgshard::ops::migrate::{self as library, ApplyOptions, Migration, Plan};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::{DdlRole, Login};
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Change the schema on all shards: your own SQL files, a canary shard first.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Files are named by number, such as 0012_add_index.sql. Each runs in a transaction with its line in the shard's
ledger; one whose first line is \"-- pgshard: no-transaction\" runs outside, for CONCURRENTLY.

Examples:
  shardctl migrate plan --dir migrations --ddl-user bank_owner
  shardctl migrate apply --dir migrations --ddl-user bank_owner --canary s0 --yes
  shardctl migrate status --dir migrations --ddl-user bank_owner
  shardctl migrate drift --ddl-user bank_owner
  shardctl migrate references --ddl-user bank_owner
  shardctl migrate load currencies --file currencies.csv --ddl-user bank_owner --dry-run"
)]
pub(crate) struct Migrate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what is not applied everywhere. Changes nothing. Exit code 1 if anything is.
    Plan(Files),
    /// Apply what is not applied: each migration to the canary, then to the others.
    Apply(Apply),
    /// Show each migration on each shard: applied, pending, begun. Changes nothing.
    Status(Files),
    /// Show what some shards' schemas have that others lack. Changes nothing. Exit code 1 if anything.
    Drift(Role),
    /// Compare the rows of the reference tables on all shards. Changes nothing. Exit code 1 if they differ.
    References(Role),
    Load(load::Load),
}

#[derive(Args)]
struct Role {
    #[command(flatten)]
    role: DdlRole,
}

#[derive(Args)]
struct Files {
    /// The directory of the migrations.
    #[arg(long, value_name = "DIR", default_value = "migrations")]
    dir: PathBuf,

    /// The shard that comes first; without it, the first of the topology file.
    #[arg(long, value_name = "SHARD")]
    canary: Option<ShardId>,

    #[command(flatten)]
    role: DdlRole,
}

#[derive(Args)]
#[command(after_help = "\
Columns of the plan: version, name, shards. Of the result: name, shard, attempts; a row a migration and shard.

Exit codes: 0 all is applied, 1 one failed (on the canary: nowhere else), 3 a shard is down: nothing was begun,
4 refused.")]
struct Apply {
    #[command(flatten)]
    files: Files,

    /// How long a statement waits for a lock; others wait behind it meanwhile.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    lock_timeout: Duration,

    /// How often a migration is tried that did not get its locks.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    attempts: u32,

    /// How long a migration may take on a shard.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    limit: Duration,

    /// To how many shards at once, after the canary.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,

    #[command(flatten)]
    consent: Consent,
}

impl Files {
    async fn plan(&self, config: &Config, login: &Login) -> anyhow::Result<Plan> {
        let migrations = Migration::load(&self.dir)?;
        Plan::new(config, login.role(), migrations, self.canary)
            .await
            .map_err(|error| login.explain(error))
    }
}

impl Migrate {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        match self.command {
            Command::Plan(files) => {
                let plan = files.plan(&config, &files.role.login()?).await?;
                let report = pending(&plan);
                context.print(&report)?;
                Ok(problem(!report.is_empty()))
            }
            Command::Apply(apply) => apply.run(context, &config).await,
            Command::Load(load) => load.run(context, &config).await,
            Command::Status(files) => {
                let plan = files.plan(&config, &files.role.login()?).await?;
                let mut report = Report::new(["version", "name", "shard", "state"]);
                for (migration, shard, state) in plan.states() {
                    report.row([
                        json!(migration.version),
                        json!(migration.name),
                        json!(shard),
                        json!(state),
                    ]);
                }
                context.print(&report)?;
                Ok(Exit::Fine)
            }
            Command::Drift(Role { role }) => {
                let login = role.login()?;
                let found = library::drift(&config, login.role())
                    .await
                    .map_err(|error| login.explain(error))?;
                let mut report = Report::new(["object", "have", "lack"]);
                for one in &found {
                    report.row([json!(one.object), json!(one.have), json!(one.lack)]);
                }
                context.print(&report)?;
                Ok(problem(!found.is_empty()))
            }
            Command::References(Role { role }) => {
                let login = role.login()?;
                let found = library::references(&config, login.role())
                    .await
                    .map_err(|error| login.explain(error))?;
                let mut report = Report::new(["table", "shard", "rows", "digest", "differs"]);
                for one in &found {
                    report.row([
                        json!(one.table),
                        json!(one.shard),
                        json!(one.rows),
                        json!(one.digest),
                        json!(one.differs),
                    ]);
                }
                context.print(&report)?;
                Ok(problem(found.iter().any(|one| one.differs)))
            }
        }
    }
}

impl Apply {
    async fn run(self, context: &Context, config: &Config) -> anyhow::Result<Exit> {
        let login = self.files.role.login()?;
        let plan = self.files.plan(config, &login).await?;
        let planned = pending(&plan);
        if planned.is_empty() {
            context.print(&planned)?;
            return Ok(Exit::Fine);
        }
        if let Some(exit) = self
            .consent
            .ends(context, &planned, &planned.shown(), "Apply this?")?
        {
            return Ok(exit);
        }
        let mut options = ApplyOptions::default();
        (options.lock_timeout, options.attempts) = (self.lock_timeout, self.attempts);
        (options.limit, options.parallel) = (self.limit, usize::from(self.parallel));
        let mut report = Report::new(["name", "shard", "attempts"]);
        let applied = plan.apply(&options, |one| {
            context.note(&format!("{}: {} is applied", one.shard, one.name));
            report.row([json!(one.name), json!(one.shard), json!(one.attempts)]);
        });
        let applied = applied.await;
        context.print(&report)?;
        applied.map_err(|error| login.explain(error))?;
        Ok(Exit::Fine)
    }
}

fn pending(plan: &Plan) -> Report {
    let mut report = Report::new(["version", "name", "shards"]);
    for one in plan.pending() {
        report.row([
            json!(one.migration.version),
            json!(one.migration.name),
            json!(one.shards),
        ]);
    }
    report
}

fn problem(found: bool) -> Exit {
    match found {
        true => Exit::Problem,
        false => Exit::Fine,
    }
}
