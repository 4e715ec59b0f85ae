//! Which backups are kept.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::spawn::io_error;
use crate::id::{Lsn, ShardId, Timeline};

use super::archive::Archive;
use super::target::instant;
use super::{Backup, Store};

/// Which backups are kept: those that any of the two keeps, and always the newest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// So many of the newest.
    pub last: usize,
    /// Those from which a recovery to any moment of that time back begins.
    pub window: Duration,
}

/// What is not kept.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Pruned {
    /// The shard.
    pub shard: ShardId,
    /// Backups.
    pub backups: Vec<String>,
    /// Files of the log that no kept backup needs.
    pub files: usize,
    /// The size of all of it.
    pub bytes: u64,
}

/// Finds what a store does not have to keep of a shard, and deletes it unless `dry_run`.
///
/// # Errors
///
/// `Config` if nothing says what to keep; `Refused` where pgBackRest decides that; `Io`.
pub async fn prune(store: &Store, shard: ShardId, keep: Keep, dry_run: bool) -> Result<Pruned> {
    if keep.last == 0 && keep.window.is_zero() {
        return Err(Error::config(
            "say how many backups to keep, or for how long",
        ));
    }
    if let Some(tool) = store.tool() {
        return Err(Error::refused(format!(
            "pgBackRest deletes what it need not keep after each backup: set repo1-retention-full in {}, and run pgbackrest \
             expire",
            tool.config().display()
        )));
    }
    let backups = store.list(shard).await?;
    let gone = superfluous(&backups, keep, SystemTime::now())?;
    let mut pruned = Pruned {
        shard,
        backups: gone.iter().map(|backup| backup.id.clone()).collect(),
        files: 0,
        bytes: gone.iter().map(|backup| backup.bytes).sum(),
    };
    let kept = backups.iter().find(|b| !pruned.backups.contains(&b.id));
    let dir = store.archive(shard);
    let mut files = Vec::new();
    if let Some(oldest) = kept {
        let start: Option<Lsn> = oldest.start.parse().ok();
        if let Some(start) = start {
            let archive = Archive::read(&dir, oldest.segment)?;
            files = archive.before(Timeline(oldest.timeline), start);
        }
    }
    for file in &files {
        let size = std::fs::metadata(dir.join(file)).map_or(0, |about| about.len());
        pruned.bytes += size;
    }
    pruned.files = files.len();
    if dry_run {
        return Ok(pruned);
    }
    for id in &pruned.backups {
        let whole = store.backup(shard, id);
        let part = store.partial(shard, id);
        let failed = |e| io_error(format!("cannot delete {}", whole.display()), e);
        // First none of the store's any more, at once.
        std::fs::rename(&whole, &part).map_err(failed)?;
        std::fs::remove_dir_all(&part).map_err(failed)?;
    }
    for file in files {
        let path = dir.join(file);
        std::fs::remove_file(&path)
            .map_err(|e| io_error(format!("cannot delete {}", path.display()), e))?;
    }
    Ok(pruned)
}

/// The backups, the oldest first, that need not be kept.
fn superfluous(backups: &[Backup], keep: Keep, now: SystemTime) -> Result<Vec<&Backup>> {
    let newest = backups.len().saturating_sub(keep.last.max(1));
    let since = now.checked_sub(keep.window).unwrap_or(now);
    // A recovery to the window's first moment begins at the last backup that was complete before it.
    let mut first = backups.len();
    if !keep.window.is_zero() {
        first = 0;
        for (at, backup) in backups.iter().enumerate() {
            if instant(&backup.ended)? <= since {
                first = at;
            }
        }
    }
    Ok(backups[..newest.min(first)].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backups(ended: &[&str]) -> Vec<Backup> {
        let one = |ended: &&str| {
            let text = format!(
                r#"{{"version":1,"id":"{ended}","cluster":"bank","shard":"s0","node":"s0a","system":"1",
                "major":15,"timeline":1,"start":"0/2000028","stop":"0/2000100","began":"{ended}",
                "ended":"{ended}","bytes":10,"segment":1048576}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        ended.iter().map(one).collect()
    }

    #[test]
    fn what_is_kept() {
        let all = backups(&[
            "2026-11-01T00:00:00Z",
            "2026-11-08T00:00:00Z",
            "2026-11-15T00:00:00Z",
            "2026-11-22T00:00:00Z",
        ]);
        let now = instant("2026-11-24T00:00:00Z").unwrap();
        let gone = |last, days: u64| {
            let window = Duration::from_secs(days * 86_400);
            superfluous(&all, Keep { last, window }, now).unwrap().len()
        };
        assert_eq!(gone(1, 0), 3);
        assert_eq!(gone(3, 0), 1);
        assert_eq!(gone(9, 0), 0);
        // Any moment of the last ten days: from the 14th, so from the backup of the 8th.
        assert_eq!(gone(0, 10), 1);
        assert_eq!(gone(1, 1), 3);
        assert_eq!(gone(0, 400), 0);
        assert_eq!(gone(3, 1), 1);
    }
}
