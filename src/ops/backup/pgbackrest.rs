//! pgBackRest as the tool behind a store: it takes the backups, keeps the log, and brings both back.
//!
//! What its programs print is read as JSON where they print that; where they succeed in spite of errors, as `verify`
//! does, what they say is judged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::direct::Credentials;
use crate::error::{Error, ErrorKind, Result};
use crate::host::account::Account;
use crate::host::spawn;
use crate::id::ShardId;

use super::store::{Backup, quoted, tool_record};

/// For what only looks.
const SHORT: Duration = Duration::from_secs(120);
/// For what reads or copies a whole server.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// The repository that a configuration file describes. A shard's stanza has the shard's name.
#[derive(Clone, Debug)]
pub(super) struct PgBackRest {
    config: PathBuf,
}

/// How much of a server a backup holds itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Extent {
    /// All.
    #[default]
    Full,
    /// What changed since the last full one; by pgBackRest only.
    Diff,
    /// What changed since the last one; by pgBackRest only.
    Incr,
}

impl Extent {
    fn name(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Diff => "diff",
            Extent::Incr => "incr",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stanza {
    name: String,
    status: Status,
    db: Vec<Database>,
    archive: Vec<ArchiveRange>,
    backup: Vec<Taken>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Database {
    id: u32,
    #[serde(rename = "system-id")]
    system: u64,
    version: String,
}

#[derive(Deserialize)]
struct ArchiveRange {
    max: Option<String>,
}

#[derive(Deserialize)]
struct Taken {
    label: String,
    /// Whether a page was damaged.
    #[serde(default)]
    error: Option<bool>,
    archive: Range,
    lsn: Option<Range>,
    timestamp: Times,
    database: InDatabase,
    info: Sizes,
}

#[derive(Deserialize)]
struct Range {
    start: Option<String>,
    stop: Option<String>,
}

#[derive(Deserialize)]
struct Times {
    start: u64,
    stop: u64,
}

#[derive(Deserialize)]
struct InDatabase {
    id: u32,
}

#[derive(Deserialize)]
struct Sizes {
    size: u64,
}

impl PgBackRest {
    /// Its file in a store's directory.
    pub(super) const FILE: &str = "pgbackrest.conf";

    pub(super) fn new(config: PathBuf) -> Self {
        PgBackRest { config }
    }

    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    fn arguments(&self, shard: ShardId) -> [String; 2] {
        [
            format!("--config={}", self.config.display()),
            format!("--stanza={shard}"),
        ]
    }

    /// It runs as the servers' user, to whom the repository belongs.
    fn command(&self, shard: ShardId, arguments: &[&str]) -> Result<Command> {
        let account = Account::find()?;
        let program = Path::new("pgbackrest");
        let mut command = spawn::command(program, &account, Path::new("/"), Signal::SIGTERM);
        command.args(self.arguments(shard)).args(arguments);
        Ok(command)
    }

    async fn run(&self, shard: ShardId, command: Command, limit: Duration) -> Result<String> {
        let output = spawn::run(command, limit).await.map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let missing = source.is_some_and(|text| text.contains("No such file"));
            match missing {
                true => Error::config(format!(
                    "{} is for pgBackRest, which is not on this machine: install it (Debian: pgbackrest)",
                    self.config.display()
                )),
                false => error,
            }
            .on_shard(shard)
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn stanza(&self, shard: ShardId) -> Result<Stanza> {
        let command = self.command(shard, &["info", "--output=json"])?;
        let text = self.run(shard, command, SHORT).await?;
        let failed = |why: String| {
            Error::new(
                ErrorKind::Decode,
                format!("what pgbackrest info prints: {why}"),
            )
            .on_shard(shard)
        };
        let all: Vec<Stanza> =
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let stanza = all
            .into_iter()
            .find(|stanza| stanza.name == shard.as_str())
            .ok_or_else(|| failed(format!("there is no stanza {shard} in it")))?;
        // 1: no stanza yet, 2: no backup yet. What cannot be read is not empty.
        match stanza.status.code {
            0..=2 => Ok(stanza),
            _ => Err(Error::new(
                ErrorKind::Io,
                format!("pgBackRest's repository: {}", stanza.status.message),
            )
            .on_shard(shard)),
        }
    }

    /// The backups of a shard, the oldest first; those with damaged pages are left out.
    pub(super) async fn list(&self, shard: ShardId) -> Result<Vec<Backup>> {
        let stanza = self.stanza(shard).await?;
        let whole = stanza.backup.iter().filter(|one| one.error != Some(true));
        whole.map(|one| backup(shard, &stanza, one)).collect()
    }

    /// Whether a file of the log is in the repository, or a later one of its timeline.
    pub(super) async fn has(&self, shard: ShardId, file: &str) -> Result<bool> {
        let stanza = self.stanza(shard).await?;
        let mut newest = stanza.archive.iter().filter_map(|one| one.max.as_deref());
        Ok(newest.any(|newest| newest.get(..8) == file.get(..8) && newest >= file))
    }

    /// Makes the stanza, where there is none: it asks the server who it is.
    pub(super) async fn create(&self, shard: ShardId, role: &Credentials) -> Result<()> {
        let command = self.as_role(shard, &["stanza-create"], role)?;
        self.run(shard, command, SHORT).await.map(drop)
    }

    fn as_role(&self, shard: ShardId, arguments: &[&str], role: &Credentials) -> Result<Command> {
        let mut command = self.command(shard, arguments)?;
        command.env("PGUSER", &role.user);
        if let Some(password) = &role.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        Ok(command)
    }

    /// Takes a backup, and returns its label.
    pub(super) async fn take(
        &self,
        shard: ShardId,
        extent: Extent,
        standby: bool,
        role: &Credentials,
        limit: Duration,
    ) -> Result<String> {
        let before = self.stanza(shard).await?;
        let extent = format!("--type={}", extent.name());
        let mut arguments = vec!["backup", extent.as_str()];
        if standby {
            arguments.push("--backup-standby");
        }
        let command = self.as_role(shard, &arguments, role)?;
        self.run(shard, command, limit).await?;
        let after = self.stanza(shard).await?;
        let new = |one: &&Taken| !before.backup.iter().any(|old| old.label == one.label);
        let taken = after.backup.iter().rfind(new).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                "pgbackrest backup succeeded, and there is no new one",
            )
            .on_shard(shard)
        })?;
        match taken.error {
            Some(true) => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "backup {} has pages with wrong checksums: the server's data are damaged (pgbackrest info \
                     --set={0} names the files)",
                    taken.label
                ),
            )
            .on_shard(shard)),
            _ => Ok(taken.label.clone()),
        }
    }

    /// Has the whole repository of a shard verified: every file of every backup, and the log.
    pub(super) async fn verify(&self, shard: ShardId) -> Result<()> {
        let command = self.command(shard, &["verify", "--output=text", "--verbose"])?;
        let text = self.run(shard, command, LONG).await?;
        // Its exit code is 0 whatever it finds.
        let mut lines = text.lines().map(str::trim);
        if lines.clone().any(|line| line == "status: ok") {
            return Ok(());
        }
        let found = lines.by_ref().filter(|line| {
            let invalid = line.starts_with("backup:") && !line.contains("status: valid");
            invalid
                || line.contains("invalid:") && !line.contains("missing: 0, checksum invalid: 0")
        });
        let found: Vec<&str> = found.collect();
        let what = match found.is_empty() {
            true => spawn::tail(&text),
            false => found.join("; "),
        };
        Err(Error::new(
            ErrorKind::Io,
            format!("the repository is not whole: {what}"),
        )
        .on_shard(shard))
    }

    /// Brings a backup back into an empty directory of the servers' user.
    pub(super) async fn restore(&self, shard: ShardId, label: &str, to: &Path) -> Result<()> {
        let (set, to) = (
            format!("--set={label}"),
            format!("--pg1-path={}", to.display()),
        );
        // Where recovery goes is said elsewhere.
        let command = self.command(shard, &[&set, &to, "--type=none", "restore"])?;
        self.run(shard, command, LONG).await.map(drop)
    }

    /// The `archive_command` of a shard's servers.
    pub(super) fn push(&self, shard: ShardId) -> String {
        let [config, stanza] = self.arguments(shard).map(|text| quoted(&text));
        format!("pgbackrest {config} {stanza} archive-push %p")
    }

    /// The `restore_command` of a server in a directory. A failure is none of "there is no such file", which ends a
    /// recovery: it gets a code that PostgreSQL stops at.
    pub(super) fn fetch(&self, shard: ShardId, to: &Path) -> String {
        let [config, stanza] = self.arguments(shard).map(|text| quoted(&text));
        let data = quoted(&format!("--pg1-path={}", to.display()));
        format!(
            "pgbackrest {config} {stanza} {data} archive-get %f %p || {{ code=$?; [ $code = 1 ] || code=255; exit $code; }}"
        )
    }
}

fn backup(shard: ShardId, stanza: &Stanza, one: &Taken) -> Result<Backup> {
    let wrong = |what: &str| {
        Error::new(
            ErrorKind::Decode,
            format!("pgBackRest says of backup {} no {what}", one.label),
        )
        .on_shard(shard)
    };
    let database = stanza.db.iter().find(|db| db.id == one.database.id);
    let database = database.ok_or_else(|| wrong("database"))?;
    let major = database.version.split('.').next();
    let major = major
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong("version"))?;
    let file = one.archive.start.as_deref().unwrap_or_default();
    let timeline = file
        .get(..8)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let range = one.lsn.as_ref();
    let lsn =
        |end: Option<&Option<String>>| end.cloned().flatten().ok_or_else(|| wrong("position"));
    let time = |seconds: u64| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(at).to_string()
    };
    Ok(tool_record(
        one.label.clone(),
        shard,
        &super::manifest::About {
            system: database.system.to_string(),
            major,
            timeline: timeline.ok_or_else(|| wrong("timeline"))?,
            start: parsed(lsn(range.map(|range| &range.start))?, &wrong)?,
            stop: parsed(lsn(range.map(|range| &range.stop))?, &wrong)?,
            segment: 0,
        },
        // Its seconds are cut off: it was complete before the next one.
        (time(one.timestamp.start), time(one.timestamp.stop + 1)),
        one.info.size,
    ))
}

fn parsed(text: String, wrong: &impl Fn(&str) -> Error) -> Result<crate::id::Lsn> {
    text.parse().map_err(|_| wrong("position"))
}
