//! `shardctl backup archiving`.

use std::time::Duration;

use clap::Args;
use pgshard::ops::backup as library;
use serde_json::json;

use super::Place;
use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Show whether primaries archive their log; set it up; prove that it arrives.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, node, mode, command, last, age_seconds, waiting, failing, problems. With --apply: shard, command,
restart (true: archive_mode takes effect when you restart the primary). With --prove: shard, file.

Exit codes: 0 all is well, 1 there are problems, or a restart is due, 3 nothing arrived in time.")]
pub(crate) struct Archiving {
    #[command(flatten)]
    place: Place,

    /// Set archive_mode, archive_command and archive_timeout on the primaries.
    #[arg(long, conflicts_with = "prove")]
    apply: bool,

    /// The program that the servers run to archive; they find it there on their machines.
    #[arg(long, value_name = "PROGRAM", default_value = "shardctl")]
    shardctl: String,

    /// Have each primary archive now, and wait until it is in the store.
    #[arg(long)]
    prove: bool,

    /// How long.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    wait: Duration,

    #[command(flatten)]
    admin: AdminRole,

    #[command(flatten)]
    consent: Consent,
}

impl Archiving {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, store, shards) = self.place.load(context)?;
        let login = self.admin.login()?;
        let role = login.role();
        if self.prove {
            let mut report = Report::new(["shard", "file"]);
            for shard in shards {
                let file = library::prove(&config, &store, shard, role, self.wait)
                    .await
                    .map_err(|error| login.explain(error))?;
                report.row([json!(shard), json!(file)]);
            }
            context.print(&report)?;
            return Ok(Exit::Fine);
        }
        if self.apply {
            let command = |shard| store.push_command(shard, &self.shardctl);
            let mut plan = Report::new(["shard", "command"]);
            for &shard in &shards {
                plan.row([json!(shard), json!(command(shard))]);
            }
            let about = plan.shown();
            if let Some(exit) = self.consent.ends(context, &plan, &about, "Set this?")? {
                return Ok(exit);
            }
            let mut report = Report::new(["shard", "command", "restart"]);
            let mut due = false;
            for shard in shards {
                let command = command(shard);
                let restart = library::configure(&config, &store, shard, role, &command)
                    .await
                    .map_err(|error| login.explain(error))?;
                due |= restart;
                report.row([json!(shard), json!(command), json!(restart)]);
            }
            context.print(&report)?;
            return Ok(if due { Exit::Problem } else { Exit::Fine });
        }
        let found = library::archiving(&config, &shards, role)
            .await
            .map_err(|error| login.explain(error))?;
        let mut report = Report::new([
            "shard",
            "node",
            "mode",
            "command",
            "last",
            "age_seconds",
            "waiting",
            "failing",
            "problems",
        ]);
        for one in &found {
            report.row([
                json!(one.shard),
                json!(one.node),
                json!(one.mode),
                json!(one.command),
                json!(one.last),
                json!(one.age),
                json!(one.waiting),
                json!(one.failing),
                json!(one.problems.join("; ")),
            ]);
        }
        context.print(&report)?;
        Ok(match found.iter().all(|one| one.problems.is_empty()) {
            true => Exit::Fine,
            false => Exit::Problem,
        })
    }
}
