//! Making a server of a backup, as it was at a moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::host::spawn::{self, io_error};
use crate::id::{Lsn, NodeId, ShardId, Timeline};
use crate::ops::journal::{Journal, Outcome};

use super::archive::Archive;
use super::recovery::Recovery;
use super::store::quoted;
use super::target::instant;
use super::tools::{Tools, outside_of_data, room};
use super::{Backup, Store, Target};

/// How to restore.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// How far.
    pub target: Target,
    /// The backup to begin with; the newest that is before the target, if none.
    pub backup: Option<String>,
    /// The superuser of the data.
    pub user: String,
    /// The program `shardctl`, which the servers' user runs to fetch the log.
    pub shardctl: PathBuf,
    /// The directory of PostgreSQL's programs; those that are installed, if none.
    pub bindir: Option<PathBuf>,
    /// How long the recovery may take.
    pub limit: Duration,
}

impl RestoreOptions {
    /// To a target, with the defaults: as `postgres`, a day.
    pub fn new(target: Target, shardctl: impl Into<PathBuf>) -> Self {
        RestoreOptions {
            target,
            backup: None,
            user: "postgres".to_owned(),
            shardctl: shardctl.into(),
            bindir: None,
            limit: Duration::from_secs(24 * 3600),
        }
    }
}

/// A restore that was found to be possible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restore {
    shard: String,
    backup: Backup,
    target: Target,
    to: PathBuf,
    fetch: String,
    user: String,
    bindir: Option<PathBuf>,
    limit_seconds: u64,
}

/// What was restored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Restored {
    /// The shard.
    pub shard: String,
    /// The data directory. Its server is stopped, cleanly.
    pub data: PathBuf,
    /// The backup that it began with.
    pub backup: String,
    /// The end of what it has of the old log.
    pub end: String,
    /// When the last transaction that it has was committed, if the log told.
    pub last_commit: Option<String>,
    /// Its new timeline.
    pub timeline: u32,
    /// Transactions that are prepared, and not decided.
    pub prepared: Vec<Prepared>,
}

/// A transaction that is prepared, and not decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Prepared {
    /// Its global identifier.
    pub gid: String,
    /// Its database.
    pub database: String,
    /// When it was prepared, in UTC. With a time as the target that may be later: a recovery to a time ends before
    /// the next COMMIT, and does not look at what was prepared in between.
    pub at: String,
}

impl Restore {
    /// The procedure's name in journals.
    pub const PROCEDURE: &'static str = "restore";

    /// Looks whether a shard can be restored into a directory. Changes nothing, and asks no server.
    ///
    /// # Errors
    ///
    /// `Refused` if the target is in the future or before the first backup, if the archive has a gap before it, if
    /// the directory is not empty or inside of a server's, if there is too little room, or if PostgreSQL's programs here have another version.
    pub async fn plan(
        config: &Config,
        store: &Store,
        shard: ShardId,
        to: &Path,
        options: &RestoreOptions,
    ) -> Result<Restore> {
        let refused = |why: String| Err(Error::refused(why).on_shard(shard));
        if config.shard(shard).is_none() {
            return Err(Error::config(format!("there is no shard {shard}")));
        }
        let to =
            std::path::absolute(to).map_err(|e| Error::config(format!("{}: {e}", to.display())))?;
        outside_of_data(&to).map_err(|error| error.on_shard(shard))?;
        options.target.not_in_the_future()?;
        let backup = choose(store, shard, options).await?;
        let known = !backup.cluster.is_empty();
        if known && backup.cluster != config.cluster.as_str() || backup.shard != shard.as_str() {
            return refused(format!(
                "backup {} is of shard {} of cluster {}",
                backup.id, backup.shard, backup.cluster
            ));
        }
        let tools = Tools::find(options.bindir.as_deref()).await?;
        tools.fit(backup.major, "the backup")?;
        if to.exists() && !super::store::entries(&to)?.is_empty() {
            return refused(format!("{} is not empty", to.display()));
        }
        let room = room(&to)?;
        if room < backup.bytes + backup.bytes / 10 {
            return refused(format!(
                "there is room for {room} bytes at {}, and the backup has {}; a tenth more is needed",
                to.display(),
                backup.bytes
            ));
        }
        tools.account.check_reach(&to)?;
        let fetch = match store.tool() {
            // Where its log ends, the recovery finds out.
            Some(tool) => tool.fetch(shard, &to),
            None => {
                if !tools.account.can_run(&options.shardctl) {
                    return refused(format!(
                        "the servers' user cannot run {}, which fetches the log: install it where that user can \
                         (--shardctl)",
                        options.shardctl.display()
                    ));
                }
                whole(store, shard, &backup, &options.target)?;
                format!(
                    "{} wal fetch %f %p --from {}",
                    quoted(&options.shardctl.display().to_string()),
                    quoted(&store.archive(shard).display().to_string())
                )
            }
        };
        Ok(Restore {
            shard: shard.to_string(),
            backup,
            target: options.target.clone(),
            to,
            fetch: fetch.replace('%', "%%").replace("%%f %%p", "%f %p"),
            user: options.user.clone(),
            bindir: options.bindir.clone(),
            limit_seconds: options.limit.as_secs(),
        })
    }

    /// The shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// How far it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The new data directory: what its journal is about.
    pub fn data(&self) -> &Path {
        &self.to
    }

    /// The backup that it begins with.
    pub fn backup(&self) -> &Backup {
        &self.backup
    }

    /// What would be done, in order.
    ///
    /// # Errors
    ///
    /// If the names are not this configuration's.
    pub fn steps(&self) -> Result<Vec<crate::ops::primary::Step>> {
        let node =
            NodeId::new(&self.backup.node).map_err(|error| Error::config(error.to_string()))?;
        let step = |name: &str, what: String| crate::ops::primary::Step::new(name, node, what);
        let (id, to) = (&self.backup.id, self.to.display());
        Ok(vec![
            step(
                "copy",
                format!("backup {id}, {} bytes, to {to}", self.backup.bytes),
            ),
            step(
                "verify",
                "every file against the backup's manifest".to_owned(),
            ),
            step(
                "configure",
                "recovery.signal; no network, no archiving".to_owned(),
            ),
            step("recover", format!("to {}, and paused there", self.target)),
            step(
                "promote",
                "what it has is looked at; it ends its recovery".to_owned(),
            ),
            step("release", "stopped; its own settings again".to_owned()),
        ])
    }

    fn recovery<'t>(&self, tools: &'t Tools) -> Recovery<'t> {
        Recovery {
            tools,
            data: self.to.clone(),
            user: self.user.clone(),
        }
    }

    /// Does it, or what an interrupted run left to do. `progress` is told how far the recovery is.
    ///
    /// # Errors
    ///
    /// What a step met; `Refused` if the archive ends before the target. The journal stays open: run it again, or
    /// [`undo`](Restore::undo) it.
    pub async fn run(
        &self,
        store: &Store,
        mut journal: Journal,
        progress: impl Fn(&str),
    ) -> Result<Restored> {
        let shard = ShardId::new(&self.shard).map_err(|error| Error::config(error.to_string()))?;
        let tools = Tools::find(self.bindir.as_deref()).await?;
        let recovery = self.recovery(&tools);
        journal
            .step("copy", self.copy(store, shard, &tools))
            .await?;
        journal
            .step("verify", async {
                match store.tool() {
                    // It verifies what it copies.
                    Some(_) => Ok(()),
                    None => super::take::check(&tools, self.to.clone()).await,
                }
            })
            .await?;
        journal
            .step("configure", recovery.configure(&self.target, &self.fetch))
            .await?;
        let limit = Duration::from_secs(self.limit_seconds);
        journal
            .step("recover", async {
                recovery.start().await?;
                recovery.until_there(&self.target, limit, &progress).await
            })
            .await?;
        let restored = journal
            .step("promote", async {
                recovery.start().await?;
                recovery.until_there(&self.target, limit, &progress).await?;
                self.promote(&recovery).await
            })
            .await?;
        journal
            .step("release", async {
                recovery.stop().await?;
                recovery.release()
            })
            .await?;
        journal.end(Outcome::Done)?;
        Ok(restored)
    }

    /// What an interrupted copy left is replaced.
    async fn copy(&self, store: &Store, shard: ShardId, tools: &Tools) -> Result<()> {
        empty(tools, &self.to)?;
        match store.tool() {
            Some(tool) => tool.restore(shard, &self.backup.id, &self.to).await,
            None => {
                let from = store.backup(shard, &self.backup.id).join("data");
                copy(tools, &from, &self.to).await
            }
        }
    }

    async fn promote(&self, recovery: &Recovery<'_>) -> Result<Restored> {
        let line = recovery
            .ask(
                "SELECT coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn()),
                        coalesce(to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC',
                                         'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '')",
            )
            .await?;
        let (end, commit) = line.split_once('|').unwrap_or((&line, ""));
        let (end, last_commit) = (
            end.to_owned(),
            Some(commit.to_owned()).filter(|c| !c.is_empty()),
        );
        self.judge(&end, last_commit.as_deref())?;
        recovery
            .ask("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")
            .await?;
        for _ in 0..6000 {
            if recovery.ask("SELECT pg_is_in_recovery()").await? == "f" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        recovery.ask("CHECKPOINT").await?;
        let timeline = recovery
            .ask("SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int")
            .await?;
        let prepared = recovery
            .ask(
                "SELECT coalesce(json_agg(json_build_object('gid', gid, 'database', database,
                        'at', to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))
                        ORDER BY gid), '[]')
                   FROM pg_prepared_xacts",
            )
            .await?;
        let prepared = serde_json::from_str(&prepared).map_err(|error| {
            Error::new(
                crate::ErrorKind::Decode,
                format!("pg_prepared_xacts cannot be read: {error}"),
            )
        })?;
        Ok(Restored {
            shard: self.shard.clone(),
            data: self.to.clone(),
            backup: self.backup.id.clone(),
            end,
            last_commit,
            timeline: timeline.parse().unwrap_or(0),
            prepared,
        })
    }

    /// Whether it ended where it was asked to.
    fn judge(&self, end: &str, last_commit: Option<&str>) -> Result<()> {
        let wrong = |why: String| {
            Err(Error::refused(format!(
                "it came to {end}, which is not {}: {why}; its data are at {}, for you to look at",
                self.target,
                self.to.display()
            )))
        };
        match &self.target {
            Target::Lsn(lsn) => match (end.parse::<Lsn>(), lsn.parse::<Lsn>()) {
                (Ok(end), Ok(wanted)) if end >= wanted => Ok(()),
                _ => wrong("it is before it".to_owned()),
            },
            Target::Time(time) => match last_commit {
                Some(commit) if instant(commit)? > instant(time)? => {
                    wrong(format!("it has a transaction of {commit}"))
                }
                _ => Ok(()),
            },
            Target::Name(_) | Target::Latest => Ok(()),
        }
    }

    /// Takes an interrupted run back: its directory is deleted.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub async fn undo(&self, journal: Journal) -> Result<()> {
        let tools = Tools::find(self.bindir.as_deref()).await?;
        if journal.has_begun("copy") {
            self.recovery(&tools).stop().await?;
            match std::fs::remove_dir_all(&self.to) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_error(format!("cannot delete {}", self.to.display()), e));
                }
                _ => {}
            }
        }
        journal.end(Outcome::Undone)
    }
}

/// The named backup, or the newest from which the target can be reached.
async fn choose(store: &Store, shard: ShardId, options: &RestoreOptions) -> Result<Backup> {
    let refused = |why: String| Err(Error::refused(why).on_shard(shard));
    let backups = store.list(shard).await?;
    let marks = store.marks(shard)?;
    let Some(first) = backups.first() else {
        return refused("the store has no backup of it".to_owned());
    };
    if let Some(id) = &options.backup {
        let Some(backup) = backups.iter().find(|backup| backup.id == *id) else {
            return refused(format!("the store has no backup {id}"));
        };
        return match options.target.after(backup, &marks)? {
            true => Ok(backup.clone()),
            false => refused(format!(
                "{} is before backup {id} was complete ({}, {})",
                options.target, backup.ended, backup.stop
            )),
        };
    }
    for backup in backups.iter().rev() {
        if options.target.after(backup, &marks)? {
            return Ok(backup.clone());
        }
    }
    refused(format!(
        "{} is before the first backup was complete ({}, {})",
        options.target, first.ended, first.stop
    ))
}

/// Whether the archive has what lies between the backup and the target, as far as that is known.
fn whole(store: &Store, shard: ShardId, backup: &Backup, target: &Target) -> Result<()> {
    let (Ok(start), Ok(stop)) = (backup.start.parse::<Lsn>(), backup.stop.parse::<Lsn>()) else {
        return Err(Error::refused(format!(
            "backup {} has no position",
            backup.id
        )));
    };
    let place = store.archive(shard);
    if !place.is_dir() {
        return Err(Error::refused(format!(
            "there is no archive at {}: mount it; if there never was one, make an empty one, and a restore ends where \
             the backup does",
            place.display()
        ))
        .on_shard(shard));
    }
    let mut archive = Archive::read(&place, backup.segment)?;
    // Recovery reads these as well.
    let own = store.backup(shard, &backup.id).join("data/pg_wal");
    archive.add(&own)?;
    let position = target.position(&store.marks(shard)?);
    let end = archive
        .end(Timeline(backup.timeline), start, position)
        .map_err(|error| error.on_shard(shard))?
        // It brings its own part of the log.
        .max(stop);
    match position {
        Some(wanted) if wanted > end => Err(Error::refused(format!(
            "the archive ends at {end}, before {target}"
        ))
        .on_shard(shard)),
        _ => Ok(()),
    }
}

/// An empty directory of the servers' user, whatever was there.
fn empty(tools: &Tools, to: &Path) -> Result<()> {
    let failed = |e| io_error(format!("cannot make {}", to.display()), e);
    match std::fs::remove_dir_all(to) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    std::fs::create_dir_all(to).map_err(failed)?;
    tools.account.own(to, 0o700)
}

/// Copies a backup into an empty directory.
async fn copy(tools: &Tools, from: &Path, to: &Path) -> Result<()> {
    let mut cp = spawn::command(
        Path::new("/bin/cp"),
        &tools.account,
        Path::new("/"),
        nix::sys::signal::Signal::SIGTERM,
    );
    cp.args(["-a", "--reflink=auto"])
        .arg(from.join("."))
        .arg(to);
    spawn::run(cp, Duration::from_secs(24 * 3600))
        .await
        .map(drop)
}
