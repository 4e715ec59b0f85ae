//! `shardctl replication plan` and `apply`.

use std::path::PathBuf;

use clap::Args;
use pgshard::id::ShardId;
use pgshard::ops::primary::Admin;
use pgshard::ops::replication::{self as library, Change, How, PlanOptions, Synchronous};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::Exit;
use crate::procedure::Machines;
use crate::render::Report;

/// Show what a shard's servers lack for streaming replication. Changes nothing.
#[derive(Args)]
#[command(after_help = "\
Columns: node, what, how (apply, apply-and-restart, by-hand), text.

Exit codes: 0 nothing is lacking, 1 something is.")]
pub(crate) struct Plan {
    #[command(flatten)]
    wanted: Wanted,
}

/// Give a shard's servers what they lack for streaming replication. No server is restarted.
#[derive(Args)]
#[command(after_help = "\
Columns: node, what, how, text; with how = apply-and-restart, restart the server yourself; by-hand is left to
you.

Exit codes: 0 done, 1 something is left to you, 4 refused.")]
pub(crate) struct Apply {
    #[command(flatten)]
    wanted: Wanted,

    #[command(flatten)]
    consent: Consent,
}

#[derive(Args)]
struct Wanted {
    /// The shard.
    shard: ShardId,

    /// For how many standbys COMMIT waits: off, any:N (the fastest) or first:N (of the topology file).
    #[arg(long, value_name = "WHO", value_parser = synchronous)]
    synchronous: Option<Synchronous>,

    /// How many MiB of log a slot may keep; 10240 where there is no limit yet.
    #[arg(long, value_name = "MIB")]
    max_slot_wal: Option<u64>,

    /// A file with the password that the replication role is to have, if it is not there yet.
    ///
    /// Without it, the variable PGSHARD_REPLICATION_PASSWORD. The server gets a verifier of it only.
    #[arg(long, value_name = "FILE")]
    replication_password_file: Option<PathBuf>,

    #[command(flatten)]
    machines: Machines,
}

fn synchronous(text: &str) -> Result<Synchronous, String> {
    let many = |number: &str| {
        number
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| format!("{number:?} is no number of standbys"))
    };
    match text.split_once(':') {
        None if text == "off" => Ok(Synchronous::Off),
        Some(("any", number)) => many(number).map(Synchronous::Any),
        Some(("first", number)) => many(number).map(Synchronous::First),
        _ => Err("give off, any:N or first:N".to_owned()),
    }
}

impl Wanted {
    fn options(&self) -> anyhow::Result<PlanOptions> {
        let mut options = PlanOptions::default();
        (options.synchronous, options.max_slot_wal) = (self.synchronous, self.max_slot_wal);
        options.replication_password = match &self.replication_password_file {
            Some(file) => Some(pgshard::config::password_file(file)?),
            None => std::env::var("PGSHARD_REPLICATION_PASSWORD")
                .ok()
                .map(Into::into),
        };
        Ok(options)
    }
}

impl Plan {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.wanted.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let plan = library::Plan::new(&admin, self.wanted.shard, &self.wanted.options()?)
            .await
            .map_err(|error| login.explain(error))?;
        context.print(&report(plan.changes()))?;
        Ok(match plan.changes().is_empty() {
            true => Exit::Fine,
            false => Exit::Problem,
        })
    }
}

impl Apply {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.wanted.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let plan = library::Plan::new(&admin, self.wanted.shard, &self.wanted.options()?)
            .await
            .map_err(|error| login.explain(error))?;
        let changes = plan.changes();
        let report = report(changes);
        if changes.is_empty() {
            context.print(&report)?;
            return Ok(Exit::Fine);
        }
        if let Some(exit) = self
            .consent
            .ends(context, &report, &report.shown(), "Apply this?")?
        {
            return Ok(exit);
        }
        plan.apply(|change| context.note(&format!("{}: {}", change.node, change.what)))
            .await
            .map_err(|error| login.explain(error))?;
        context.print(&report)?;
        Ok(
            match changes.iter().all(|change| change.how == How::Apply) {
                true => Exit::Fine,
                false => Exit::Problem,
            },
        )
    }
}

fn report(changes: &[Change]) -> Report {
    let mut report = Report::new(["node", "what", "how", "text"]);
    for change in changes {
        report.row([
            json!(change.node),
            json!(change.what),
            json!(change.how),
            json!(change.text),
        ]);
    }
    report
}
