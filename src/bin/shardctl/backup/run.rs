//! `shardctl backup run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use pgshard::id::ShardId;
use pgshard::ops::backup::{Backup, Extent, Source, Take, TakeOptions};
use pgshard::ops::journal::Journal;

use super::Place;
use super::list::report;
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::procedure::Directory;

/// Take a base backup of each shard, and verify it.
#[derive(Args)]
#[command(after_help = "\
Columns: those of list. A backup is one of the store's when it is complete and verified.

When this is interrupted, --resume takes those that were begun, and no others.

Exit codes: 0 all are taken, 1 one failed, 4 refused.")]
pub(crate) struct Run {
    #[command(flatten)]
    place: Place,

    /// From a streaming standby instead of the primary.
    #[arg(long)]
    standby: bool,

    /// How much of a server; what changed since the last backup only where pgBackRest is the tool.
    #[arg(
        long = "type",
        value_enum,
        value_name = "EXTENT",
        default_value = "full"
    )]
    extent: Wanted,

    /// How many shards at once.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,

    /// How long one may take.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    limit: Duration,

    /// The directory of PostgreSQL's programs.
    #[arg(long, value_name = "DIR")]
    pg_bindir: Option<PathBuf>,

    #[command(flatten)]
    admin: AdminRole,

    #[command(flatten)]
    directory: Directory,

    /// Take the backups that an interrupted run began.
    #[arg(long)]
    resume: bool,

    /// Show what would be taken, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Wanted {
    /// All.
    Full,
    /// What changed since the last full one.
    Diff,
    /// What changed since the last one.
    Incr,
}

impl Run {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, store, shards) = self.place.load(context)?;
        let login = self.admin.login()?;
        let mut options = TakeOptions::default();
        if self.standby {
            options.source = Source::Standby;
        }
        options.extent = match self.extent {
            Wanted::Full => Extent::Full,
            Wanted::Diff => Extent::Diff,
            Wanted::Incr => Extent::Incr,
        };
        options.limit = self.limit;
        options.bindir.clone_from(&self.pg_bindir);
        let directory = self.directory.path(context);

        // All are looked at before the first is begun.
        let mut begun: Vec<(Take, Option<Journal>)> = Vec::new();
        for shard in shards {
            if self.resume {
                if let Some((take, journal)) = interrupted(&directory, shard)? {
                    begun.push((take, Some(journal)));
                }
                continue;
            }
            let take = Take::plan(&config, &store, login.role(), shard, &options)
                .await
                .map_err(|error| login.explain(error))?;
            begun.push((take, None));
        }
        if self.dry_run {
            let mut plan = crate::render::Report::new(["shard", "step", "node", "what"]);
            for (take, _) in &begun {
                for step in take.steps(&store)? {
                    let values = [take.shard(), &step.name, step.node.as_str(), &step.what];
                    plan.row(values.map(|value| serde_json::json!(value)));
                }
            }
            context.print(&plan)?;
            return Ok(Exit::Fine);
        }
        let progress = context.progress();
        let work = begun.into_iter().map(|(take, journal)| {
            let (config, store, role) = (&config, &store, login.role());
            let (directory, progress) = (&directory, &progress);
            async move {
                let bar = progress.bar(take.bytes(), take.shard().to_owned());
                let journal = match journal {
                    Some(journal) => journal,
                    None => Journal::begin(directory, Take::PROCEDURE, take.shard(), &take)?,
                };
                let taken = take
                    .run(config, store, role, journal, |bytes| {
                        bar.set_position(bytes)
                    })
                    .await;
                bar.finish_and_clear();
                taken
            }
        });
        let results: Vec<pgshard::Result<Backup>> = futures::stream::iter(work)
            .buffer_unordered(usize::from(self.parallel))
            .collect()
            .await;
        let mut taken = Vec::new();
        let mut failed = None;
        for result in results {
            match result {
                Ok(backup) => taken.push(backup),
                Err(error) if failed.is_none() => failed = Some(error),
                Err(error) => context.note(&format!("error: {error}")),
            }
        }
        taken.sort_by(|a, b| a.shard.cmp(&b.shard));
        context.print(&report(&taken))?;
        match failed {
            None => Ok(Exit::Fine),
            Some(error) => Err(login.explain(error)),
        }
    }
}

fn interrupted(
    directory: &std::path::Path,
    shard: ShardId,
) -> anyhow::Result<Option<(Take, Journal)>> {
    let found = Journal::unfinished(directory)?
        .into_iter()
        .find(|head| head.procedure == Take::PROCEDURE && head.subject == shard.as_str());
    match found {
        None => Ok(None),
        Some(head) => Ok(Some((
            head.arguments()?,
            Journal::resume(directory, head.id)?,
        ))),
    }
}
