//! Where backups and archives are, and what is known of each.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::host::account::Account;
use crate::host::spawn::io_error;
use crate::id::ShardId;

use super::pgbackrest::PgBackRest;
use super::tools::outside_of_data;

/// The format's version. Another one is not read.
const VERSION: u32 = 1;

const RECORD: &str = "backup.json";

/// A directory of backups: in it one of each shard's name, with `backups` and `wal`. One that has a file
/// `pgbackrest.conf` leaves these two to pgBackRest.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    tool: Option<PgBackRest>,
}

/// A base backup, as it was taken and verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backup {
    version: u32,
    /// Its name in the store: when it was begun.
    pub id: String,
    /// The cluster; empty where pgBackRest took it, which knows none.
    pub cluster: String,
    /// The shard.
    pub shard: String,
    /// The node that it was taken from, or `pgbackrest`.
    pub node: String,
    /// The servers' identity, as text.
    pub system: String,
    /// PostgreSQL's major version.
    pub major: u32,
    /// The timeline.
    pub timeline: u32,
    /// Where recovery begins.
    pub start: String,
    /// From where on the data are consistent.
    pub stop: String,
    /// When it was begun, in UTC, by this machine's clock.
    pub began: String,
    /// When it was complete and verified; recovery may end at any time after that.
    pub ended: String,
    /// Its size.
    pub bytes: u64,
    /// The size of a file of the log.
    pub segment: u64,
}

impl Backup {
    /// How long ago it was complete; none if that is in the future, or cannot be read.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let ended = humantime::parse_rfc3339(&self.ended).ok()?;
        // pgBackRest tells whole seconds, which are rounded up.
        let ahead = Duration::from_secs(1);
        let age = (now + ahead).duration_since(ended).ok()?;
        Some(age.saturating_sub(ahead))
    }
}

/// The record of a backup that was taken.
pub(super) fn record(
    id: String,
    cluster: String,
    shard: ShardId,
    node: String,
    about: &super::manifest::About,
    times: (String, String),
    bytes: u64,
) -> Backup {
    Backup {
        version: VERSION,
        id,
        cluster,
        shard: shard.to_string(),
        node,
        system: about.system.clone(),
        major: about.major,
        timeline: about.timeline,
        start: about.start.to_string(),
        stop: about.stop.to_string(),
        began: times.0,
        ended: times.1,
        bytes,
        segment: about.segment,
    }
}

/// The record of a backup that pgBackRest has.
pub(super) fn tool_record(
    id: String,
    shard: ShardId,
    about: &super::manifest::About,
    times: (String, String),
    bytes: u64,
) -> Backup {
    let node = "pgbackrest".to_owned();
    record(id, String::new(), shard, node, about, times, bytes)
}

/// A named point of a shard's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// The name, given to `pg_create_restore_point`.
    pub name: String,
    /// Where it is.
    pub lsn: String,
    /// The timeline.
    pub timeline: u32,
    /// When it was made, in UTC, by this machine's clock.
    pub at: String,
}

impl Mark {
    pub(super) fn new(name: &str, lsn: String, timeline: u32, at: String) -> Mark {
        Mark {
            name: name.to_owned(),
            lsn,
            timeline,
            at,
        }
    }
}

impl Store {
    /// The store in a directory.
    ///
    /// # Errors
    ///
    /// `Config` if the directory is not there: an unmounted one must not be taken for an empty one. `Refused` if it is a
    /// server's data directory, or inside of one.
    pub fn open(root: impl AsRef<Path>) -> Result<Store> {
        let root = std::path::absolute(root.as_ref())
            .map_err(|e| Error::config(format!("{}: {e}", root.as_ref().display())))?;
        if !root.is_dir() {
            return Err(Error::config(format!(
                "there is no directory {}: mount it, or create it",
                root.display()
            )));
        }
        outside_of_data(&root.join(RECORD))?;
        let config = root.join(PgBackRest::FILE);
        let tool = config.is_file().then(|| PgBackRest::new(config));
        Ok(Store { root, tool })
    }

    /// pgBackRest, where it is the tool behind this store.
    pub(super) fn tool(&self) -> Option<&PgBackRest> {
        self.tool.as_ref()
    }

    /// The `archive_command` of a shard's servers; `shardctl` is that program on their machines.
    pub fn push_command(&self, shard: ShardId, shardctl: &str) -> String {
        match &self.tool {
            Some(tool) => tool.push(shard),
            None => format!(
                "{} wal push %p --to {}",
                quoted(shardctl),
                quoted(&self.archive(shard).display().to_string())
            ),
        }
    }

    /// The archive of a shard's log.
    pub fn archive(&self, shard: ShardId) -> PathBuf {
        self.root.join(shard.as_str()).join("wal")
    }

    /// Makes the archive's directory, where the servers' user of this machine can write.
    pub(super) fn make_archive(&self, shard: ShardId) -> Result<()> {
        let account = Account::find()?;
        let mut dir = self.root.clone();
        for name in [shard.as_str(), "wal"] {
            dir.push(name);
            match std::fs::create_dir(&dir) {
                Ok(()) => account.own(&dir, 0o750)?,
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(io_error(format!("cannot make {}", dir.display()), e)),
            }
        }
        Ok(())
    }

    pub(super) fn backups(&self, shard: ShardId) -> PathBuf {
        self.root.join(shard.as_str()).join("backups")
    }

    /// The directory of a backup: its record, and `data`.
    pub fn backup(&self, shard: ShardId, id: &str) -> PathBuf {
        self.backups(shard).join(id)
    }

    /// Where a backup is until it is complete.
    pub(super) fn partial(&self, shard: ShardId, id: &str) -> PathBuf {
        self.backups(shard).join(format!(".{id}.part"))
    }

    /// The complete backups of a shard, the oldest first.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or is of another version of this library; if pgBackRest fails.
    pub async fn list(&self, shard: ShardId) -> Result<Vec<Backup>> {
        if let Some(tool) = &self.tool {
            return tool.list(shard).await;
        }
        let mut found = Vec::new();
        for path in entries(&self.backups(shard))? {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| !name.starts_with('.')) && path.is_dir() {
                let file = path.join(RECORD);
                let backup: Backup = parse(&file, &read(&file)?)?;
                if backup.version != VERSION {
                    return Err(Error::refused(format!(
                        "{} was written by another version of this program",
                        file.display()
                    )));
                }
                found.push(backup);
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Makes a backup that is complete one of the store's: all at once.
    pub(super) fn complete(&self, shard: ShardId, backup: &Backup) -> Result<()> {
        let (part, whole) = (
            self.partial(shard, &backup.id),
            self.backup(shard, &backup.id),
        );
        let failed = |e| io_error(format!("cannot complete {}", whole.display()), e);
        let text = serde_json::to_vec_pretty(backup).map_err(|e| failed(e.into()))?;
        std::fs::write(part.join(RECORD), text).map_err(failed)?;
        let sync = |path: &Path| std::fs::File::open(path)?.sync_all();
        sync(&part.join(RECORD)).map_err(failed)?;
        std::fs::rename(&part, &whole).map_err(failed)?;
        sync(&self.backups(shard)).map_err(failed)
    }

    /// The named points of a shard's log, the oldest first.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn marks(&self, shard: ShardId) -> Result<Vec<Mark>> {
        let file = self.marks_file(shard);
        if !file.exists() {
            return Ok(Vec::new());
        }
        let text = read(&file)?;
        text.lines().map(|line| parse(&file, line)).collect()
    }

    pub(super) fn add_mark(&self, shard: ShardId, mark: &Mark) -> Result<()> {
        use std::io::Write as _;
        let file = self.marks_file(shard);
        let failed = |e| io_error(format!("cannot write {}", file.display()), e);
        std::fs::create_dir_all(self.root.join(shard.as_str())).map_err(failed)?;
        let mut line = serde_json::to_vec(mark).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        let mut out = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .map_err(failed)?;
        out.write_all(&line).map_err(failed)?;
        out.sync_all().map_err(failed)
    }

    fn marks_file(&self, shard: ShardId) -> PathBuf {
        self.root.join(shard.as_str()).join("marks.jsonl")
    }
}

/// A word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What is in a directory, which need not be there.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| io_error(format!("cannot list {}", dir.display()), e);
    match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other
            .map_err(failed)?
            .map(|entry| Ok(entry.map_err(failed)?.path()))
            .collect(),
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|e| io_error(format!("cannot read {}", file.display()), e))
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        let message = format!("{} is damaged: {e}", file.display());
        Error::new(ErrorKind::Io, message).with_source(e)
    })
}
