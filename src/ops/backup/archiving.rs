//! Whether servers archive their log, and how they are told to.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde::Serialize;

use crate::config::Config;
use crate::direct::{Credentials, Session, Writable, find, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};
use crate::ops::replication::named_shards;
use crate::sql::literal;

use super::Store;
use super::store::Mark;
use super::target::now;

/// How a shard's primary archives its log.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Archiving {
    /// The shard.
    pub shard: ShardId,
    /// Its primary.
    pub node: NodeId,
    /// `archive_mode`.
    pub mode: String,
    /// `archive_command`, or the library that does it.
    pub command: String,
    /// The file that was archived last.
    pub last: Option<String>,
    /// Seconds since then.
    pub age: Option<f64>,
    /// Files that wait to be archived.
    pub waiting: i64,
    /// The file that failed last, if none was archived since.
    pub failing: Option<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// Looks at the primaries of shards; of all, if none is named. Changes nothing.
///
/// # Errors
///
/// Where a shard has no primary that answers.
pub async fn archiving(
    config: &Config,
    named: &[ShardId],
    role: &Credentials,
) -> Result<Vec<Archiving>> {
    let asked = named_shards(config, named)?.into_iter().map(|shard| async {
        let Writable { session, node, .. } = find(config, shard, role).await?;
        let row = session
            .one(
                "SELECT current_setting('archive_mode'),
                        coalesce(nullif(current_setting('archive_library', true), ''),
                                 current_setting('archive_command')),
                        last_archived_wal,
                        extract(epoch FROM clock_timestamp() - last_archived_time)::float8,
                        (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '\\.ready$'),
                        CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity')
                             THEN last_failed_wal END
                   FROM pg_stat_archiver",
                &[],
            )
            .await?;
        let mut found = Archiving {
            shard: shard.id,
            node,
            mode: get(&row, 0)?,
            command: get(&row, 1)?,
            last: get(&row, 2)?,
            age: get(&row, 3)?,
            waiting: get(&row, 4)?,
            failing: get(&row, 5)?,
            problems: Vec::new(),
        };
        found.problems = problems(&found);
        Ok::<_, Error>(found)
    });
    try_join_all(asked).await
}

fn problems(found: &Archiving) -> Vec<String> {
    let mut problems = Vec::new();
    if found.mode == "off" {
        problems.push(
            "archive_mode = off: the shard can be recovered to the end of a backup, and no further"
                .to_owned(),
        );
        return problems;
    }
    if matches!(found.command.as_str(), "" | "(disabled)") {
        problems.push(
            "there is no archive_command: the log is kept, until the disk is full".to_owned(),
        );
    }
    if found.command.starts_with("cp ") || found.command.starts_with("rsync ") {
        problems.push(
            "archive_command replaces files and does not wait for the disk: use `shardctl wal push`"
                .to_owned(),
        );
    }
    if let Some(file) = &found.failing {
        problems.push(format!(
            "{file} cannot be archived, and the log is kept until it can: the server's log says why"
        ));
    }
    if found.waiting > 10 {
        problems.push(format!("{} files wait to be archived", found.waiting));
    }
    problems
}

/// Sets a shard's primary up to archive with a command, and makes the archive in the store. Returns whether it has to
/// be restarted first.
///
/// # Errors
///
/// What the server answers.
pub async fn configure(
    config: &Config,
    store: &Store,
    shard: ShardId,
    role: &Credentials,
    command: &str,
) -> Result<bool> {
    match store.tool() {
        Some(tool) => tool.create(shard, role).await?,
        None => store.make_archive(shard)?,
    }
    let shard = named_shards(config, &[shard])?;
    let Some(shard) = shard.first() else {
        return Ok(false);
    };
    let Writable { session, .. } = find(config, shard, role).await?;
    for (name, value) in [
        ("archive_command", command),
        ("archive_mode", "on"),
        // What was written is in the archive after a minute, also when little is.
        ("archive_timeout", "60s"),
    ] {
        let sql = format!("ALTER SYSTEM SET {name} = {}", literal(value));
        session.batch(&sql).await?;
    }
    session.batch("SELECT pg_reload_conf()").await?;
    let row = session
        .one("SELECT current_setting('archive_mode') = 'off'", &[])
        .await?;
    get(&row, 0)
}

/// Has a shard's primary archive what it has written, and waits until that is in the store. Returns the file.
///
/// # Errors
///
/// `Timeout` if it does not arrive, with the file that failed.
pub async fn prove(
    config: &Config,
    store: &Store,
    shard: ShardId,
    role: &Credentials,
    patience: Duration,
) -> Result<String> {
    let named = named_shards(config, &[shard])?;
    let Some(named) = named.first() else {
        return Err(Error::config(format!("there is no shard {shard}")));
    };
    let Writable { session, node, .. } = find(config, named, role).await?;
    let file = switch(&session, "archiving is proven").await?;
    arrived(store, shard, node, &session, &file, patience).await?;
    Ok(file)
}

/// Writes something into the log, and ends its file, which is returned.
async fn switch(session: &Session, name: &str) -> Result<String> {
    let sql = "SELECT pg_walfile_name(pg_create_restore_point($1))";
    let file = get(&session.one(sql, &[&name]).await?, 0)?;
    session.batch("SELECT pg_switch_wal()").await?;
    Ok(file)
}

async fn arrived(
    store: &Store,
    shard: ShardId,
    node: NodeId,
    session: &Session,
    file: &str,
    patience: Duration,
) -> Result<()> {
    let path = store.archive(shard).join(file);
    let deadline = Instant::now() + patience;
    let there = async || match store.tool() {
        Some(tool) => tool.has(shard, file).await,
        None => Ok(path.exists()),
    };
    while !there().await? {
        if Instant::now() > deadline {
            let row = session
                .one(
                    "SELECT last_failed_wal, failed_count FROM pg_stat_archiver",
                    &[],
                )
                .await?;
            let (failed, count): (Option<String>, i64) = (get(&row, 0)?, get(&row, 1)?);
            let seen = match failed {
                Some(failed) => format!("{count} attempts failed, the last with {failed}"),
                None => "no attempt failed: does it archive elsewhere?".to_owned(),
            };
            return Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "{file} did not arrive in the archive within {} s; {seen}",
                    patience.as_secs()
                ),
            )
            .on_shard(shard)
            .on_node(node));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Names a point of the log of each shard, to recover to, and waits until it is in the archive.
///
/// The points of several shards are made one beside the other, not at one moment: a transaction across shards may
/// be before one and after another.
///
/// # Errors
///
/// `Refused` for a name that a shard's store has, or that is too long; where a primary does not answer.
pub async fn mark(
    config: &Config,
    store: &Store,
    named: &[ShardId],
    role: &Credentials,
    name: &str,
    patience: Duration,
) -> Result<Vec<(ShardId, Mark)>> {
    if name.is_empty() || name.len() > 63 {
        return Err(Error::config("a name has 1 to 63 bytes"));
    }
    let shards = named_shards(config, named)?;
    for shard in &shards {
        if store.marks(shard.id)?.iter().any(|mark| mark.name == name) {
            return Err(
                Error::refused(format!("there is a point {name} already")).on_shard(shard.id)
            );
        }
    }
    let found = shards.iter().map(|shard| find(config, shard, role));
    let primaries = try_join_all(found).await?;
    let made = shards
        .iter()
        .zip(&primaries)
        .map(|(shard, primary)| async move {
            let session = &primary.session;
            let sql = "SELECT l::text, pg_walfile_name(l),
                          ('x' || left(pg_walfile_name(l), 8))::bit(32)::int
                     FROM pg_create_restore_point($1) l";
            let row = session.one(sql, &[&name]).await?;
            let (lsn, file): (String, String) = (get(&row, 0)?, get(&row, 1)?);
            let timeline: i32 = get(&row, 2)?;
            let timeline = u32::try_from(timeline).unwrap_or(0);
            let mark = Mark::new(name, lsn, timeline, now());
            store.add_mark(shard.id, &mark)?;
            session.batch("SELECT pg_switch_wal()").await?;
            arrived(store, shard.id, primary.node, session, &file, patience).await?;
            Ok::<_, Error>((shard.id, mark))
        });
    try_join_all(made).await
}
