//! `shardctl restore`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use pgshard::id::ShardId;
use pgshard::ops::backup::{Restore as Plan, RestoreOptions, Restored, Target};
use pgshard::ops::journal::Journal;
use serde_json::json;

use crate::backup::{StoreOption, shards};
use crate::confirm::Consent;
use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::procedure::Directory;
use crate::render::Report;

/// Make servers of backups, as they were at a moment, in new directories.
///
/// No running server is asked or changed. Each shard's data are at DIR/SHARD afterwards, recovered, verified to have
/// ended where asked, stopped, and not archiving.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, data, backup, end (of what it has of the old log), last_commit, timeline, prepared (transactions
that are prepared and not decided: gid, database, at; commit or roll them back).

Each step is in a journal. When this is interrupted, --resume goes on, and --undo deletes what it made.

Exit codes: 0 done, 1 a server or machine failed, 4 refused, with the reason.

Examples:
  shardctl restore --store /backups --to /restored --time 2026-11-26T15:59:00Z
  shardctl restore s0 --store /backups --to /restored --name before-release-12
  shardctl restore s0 --store /backups --to /restored --latest")]
pub(crate) struct Restore {
    /// The shards; all, if none is named.
    shards: Vec<ShardId>,

    #[command(flatten)]
    store: StoreOption,

    /// The directory under which each shard gets one of its name.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Through the last transaction committed at or before a time: UTC, such as 2026-11-26T15:59:00Z.
    #[arg(long, value_name = "TIME", group = "target")]
    time: Option<String>,

    /// Through a position of the log; of one shard.
    #[arg(long, value_name = "LSN", group = "target")]
    lsn: Option<String>,

    /// To a named point: see backup mark.
    #[arg(long, value_name = "NAME", group = "target")]
    name: Option<String>,

    /// To the end of the archive.
    #[arg(long, group = "target")]
    latest: bool,

    /// The backup to begin with, of one shard; else the newest before the target.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,

    /// The superuser of the data.
    #[arg(long, value_name = "ROLE", default_value = "postgres")]
    superuser: String,

    /// The program that the servers' user runs to fetch the log; this one.
    #[arg(long, value_name = "PROGRAM")]
    shardctl: Option<PathBuf>,

    /// The directory of PostgreSQL's programs.
    #[arg(long, value_name = "DIR")]
    pg_bindir: Option<PathBuf>,

    /// How many shards at once.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,

    /// How long the recovery of one may take.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    limit: Duration,

    #[command(flatten)]
    directory: Directory,

    #[command(flatten)]
    consent: Consent,

    /// Go on with an interrupted run.
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,

    /// Delete what an interrupted run made.
    #[arg(long, conflicts_with_all = ["resume", "dry_run"])]
    undo: bool,
}

impl Restore {
    fn target(&self) -> anyhow::Result<Target> {
        Ok(match (&self.time, &self.lsn, &self.name) {
            (Some(time), ..) => Target::time(time)?,
            (_, Some(lsn), _) => Target::lsn(lsn)?,
            (.., Some(name)) => Target::Name(name.clone()),
            _ if self.latest => Target::Latest,
            _ => {
                let text = "say how far: --time, --lsn, --name or --latest";
                return Err(crate::exit::Usage(text.to_owned()).into());
            }
        })
    }

    fn has_target(&self) -> bool {
        self.latest || self.time.is_some() || self.lsn.is_some() || self.name.is_some()
    }

    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let store = self.store.open()?;
        let named = shards(&config, &self.shards)?;
        let directory = self.directory.path(context);
        if named.len() > 1 && (self.lsn.is_some() || self.backup.is_some()) {
            let text = "a position or a backup is one shard's: name the shard";
            return Err(crate::exit::Usage(text.to_owned()).into());
        }
        if self.resume || self.undo {
            let mut begun = Vec::new();
            for head in Journal::unfinished(&directory)? {
                if head.procedure != Plan::PROCEDURE {
                    continue;
                }
                let plan: Plan = head.arguments()?;
                let ours = |shard: &ShardId| {
                    let to = std::path::absolute(self.to.join(shard.as_str()));
                    to.is_ok_and(|to| to == plan.data())
                };
                if named.iter().any(ours) {
                    begun.push((plan, Journal::resume(&directory, head.id)?));
                }
            }
            if begun.is_empty() {
                return Err(pgshard::Error::refused(format!(
                    "no restore into {} was interrupted: see shardctl journal list",
                    self.to.display()
                ))
                .into());
            }
            if self.has_target()
                && let Some((plan, _)) = begun
                    .iter()
                    .find(|(plan, _)| Some(plan.target()) != self.target().ok().as_ref())
            {
                let text = format!(
                    "the interrupted restore into {} goes to {}: leave the target out",
                    plan.data().display(),
                    plan.target()
                );
                return Err(crate::exit::Usage(text).into());
            }
            if self.undo {
                for (plan, journal) in begun {
                    plan.undo(journal).await?;
                }
                return Ok(Exit::Fine);
            }
            let begun = begun
                .into_iter()
                .map(|(plan, journal)| (plan, Some(journal)));
            return self.carry_out(context, &store, begun.collect()).await;
        }

        let shardctl = match &self.shardctl {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let mut options = RestoreOptions::new(self.target()?, shardctl);
        options.backup.clone_from(&self.backup);
        options.user.clone_from(&self.superuser);
        options.bindir.clone_from(&self.pg_bindir);
        options.limit = self.limit;
        // All are looked at before the first is begun.
        let mut plans = Vec::new();
        for shard in named {
            let to = self.to.join(shard.as_str());
            let plan = Plan::plan(&config, &store, shard, &to, &options).await?;
            plans.push((plan, None));
        }
        let mut shown = Report::new(["shard", "step", "what"]);
        for (plan, _) in &plans {
            for step in plan.steps()? {
                shown.row([json!(plan.shard()), json!(step.name), json!(step.what)]);
            }
        }
        if let Some(exit) = self
            .consent
            .ends(context, &shown, &shown.shown(), "Do this?")?
        {
            return Ok(exit);
        }
        self.carry_out(context, &store, plans).await
    }

    async fn carry_out(
        &self,
        context: &Context,
        store: &pgshard::ops::backup::Store,
        plans: Vec<(Plan, Option<Journal>)>,
    ) -> anyhow::Result<Exit> {
        let progress = context.progress();
        let directory = self.directory.path(context);
        let work = plans.into_iter().map(|(plan, journal)| {
            let (directory, progress) = (&directory, &progress);
            async move {
                let bar = progress.spinner(plan.shard().to_owned());
                let journal = match journal {
                    Some(journal) => journal,
                    None => {
                        let subject = plan.data().display().to_string();
                        Journal::begin(directory, Plan::PROCEDURE, &subject, &plan)?
                    }
                };
                let told = |lsn: &str| bar.set_message(format!("{} {lsn}", plan.shard()));
                let restored = plan.run(store, journal, told).await;
                bar.finish_and_clear();
                restored
            }
        });
        let results: Vec<pgshard::Result<Restored>> = futures::stream::iter(work)
            .buffer_unordered(usize::from(self.parallel))
            .collect()
            .await;
        let mut report = Report::new([
            "shard",
            "data",
            "backup",
            "end",
            "last_commit",
            "timeline",
            "prepared",
        ]);
        let (mut done, mut failed) = (Vec::new(), None);
        for result in results {
            match result {
                Ok(restored) => done.push(restored),
                Err(error) if failed.is_none() => failed = Some(error),
                Err(error) => context.note(&format!("error: {error}")),
            }
        }
        done.sort_by(|a, b| a.shard.cmp(&b.shard));
        for one in done {
            report.row([
                json!(one.shard),
                json!(one.data),
                json!(one.backup),
                json!(one.end),
                json!(one.last_commit),
                json!(one.timeline),
                json!(one.prepared),
            ]);
        }
        context.print(&report)?;
        match failed {
            None => Ok(Exit::Fine),
            Some(error) => {
                let command = format!("restore --to {}", self.to.display());
                Err(crate::procedure::interrupted(error.into(), &command))
            }
        }
    }
}
