//! Whether a shard can be brought back as it was at a moment: its log is archived, its backups are new enough.

#[cfg(feature = "operate")]
use std::path::PathBuf;
use std::time::Duration;

use super::Findings;
use super::facts::{Facts, Read};
use super::rules::{ARCHIVE_FAILING, ARCHIVE_OFF, BACKUP_OLD, UNREAD};
use crate::direct::{Session, get};
use crate::error::Result;

/// How old backups may be.
#[cfg(feature = "operate")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupPolicy {
    /// The directory of the [`Store`](crate::ops::backup::Store).
    pub store: PathBuf,
    /// How old a shard's newest may be.
    pub max_age: Duration,
}

#[cfg(feature = "operate")]
impl BackupPolicy {
    /// A policy.
    pub fn new(store: PathBuf, max_age: Duration) -> Self {
        BackupPolicy { store, max_age }
    }
}

/// What a server says of its archiver.
#[derive(Clone, Debug)]
pub(super) struct Archiver {
    pub(super) last_failed: Option<String>,
    /// Whether the last attempt failed.
    pub(super) failing: bool,
}

/// What is known of a shard's newest backup.
pub(super) struct Newest {
    /// Its age; none if there is no backup.
    pub(super) age: Read<Option<Duration>>,
    pub(super) allowed: Duration,
}

pub(super) async fn read(session: &Session) -> Result<Archiver> {
    let row = session
        .one(
            "SELECT last_failed_wal, coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
               FROM pg_stat_archiver",
            &[],
        )
        .await?;
    Ok(Archiver {
        last_failed: get(&row, 0)?,
        failing: get(&row, 1)?,
    })
}

/// The newest backup of each shard.
#[cfg(feature = "operate")]
pub(super) async fn newest(
    shards: impl Iterator<Item = crate::id::ShardId>,
    policy: &BackupPolicy,
) -> Vec<(crate::id::ShardId, Newest)> {
    use crate::ops::backup::Store;
    let store = Store::open(&policy.store);
    let now = std::time::SystemTime::now();
    let found = shards.map(async |shard| {
        let age = match &store {
            Ok(store) => store
                .list(shard)
                .await
                .map(|mut backups| backups.pop().and_then(|newest| newest.age(now)))
                .map_err(|error| error.message().to_owned()),
            Err(error) => Err(error.message().to_owned()),
        };
        let allowed = policy.max_age;
        (shard, Newest { age, allowed })
    });
    futures::future::join_all(found).await
}

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for shard in &facts.shards {
        for (node, answers) in shard.primaries() {
            match answers.setting("archive_mode") {
                Some("off") => findings.node(&ARCHIVE_OFF, node, "archive_mode = off"),
                Some(_) => match &answers.archiver {
                    Ok(archiver) if archiver.failing => {
                        let file = archiver.last_failed.as_deref().unwrap_or("a file");
                        findings.node(
                            &ARCHIVE_FAILING,
                            node,
                            format!("{file} could not be archived"),
                        );
                    }
                    Ok(_) => {
                        let nothing = |name| answers.setting(name).is_none_or(str::is_empty);
                        if nothing("archive_command") && nothing("archive_library") {
                            let evidence = "archive_mode = on, and neither archive_command nor archive_library";
                            findings.node(&ARCHIVE_FAILING, node, evidence);
                        }
                    }
                    Err(reason) => {
                        findings.node(&UNREAD, node, format!("pg_stat_archiver: {reason}"));
                    }
                },
                // That no setting could be read is said elsewhere.
                None => {}
            }
        }
        let newest = facts
            .backups
            .iter()
            .find(|(known, _)| *known == shard.shard);
        let Some((_, newest)) = newest else {
            continue;
        };
        match &newest.age {
            Ok(Some(age)) if *age <= newest.allowed => {}
            Ok(Some(age)) => findings.shard(
                &BACKUP_OLD,
                shard,
                format!("the newest is {} old", hours(*age)),
            ),
            Ok(None) => findings.shard(&BACKUP_OLD, shard, "there is no backup"),
            Err(reason) => findings.shard(&UNREAD, shard, format!("the backups: {reason}")),
        }
    }
}

fn hours(age: Duration) -> String {
    format!("{} h {} min", age.as_secs() / 3600, age.as_secs() / 60 % 60)
}
