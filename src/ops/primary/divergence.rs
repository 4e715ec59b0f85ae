//! What a server holds that the primary lacks: the other side of a split brain.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::host::control_data::ControlData;
use crate::id::{Lsn, NodeId, ShardId, Timeline};
use crate::ops::hosts::{Host, Script};
use crate::sql::ident;

use super::Admin;
use super::history::History;
use super::survey::Survey;
use super::waldump::{self, File, Log};

/// How many lines of the log are read: beyond, there is too much to be told apart by looking.
const LINES: usize = 200_000;

/// How many rows of a table are shown.
const ROWS: usize = 10_000;

/// A server that went its own way.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Divergence {
    /// The server.
    pub node: NodeId,
    /// Its timeline.
    pub timeline: Timeline,
    /// Whether it takes writes now.
    pub writable: bool,
    /// The end of what it and the primary both have.
    #[serde(serialize_with = "text")]
    pub fork: Lsn,
    /// The transactions that were committed there, and that the primary lacks.
    pub commits: u64,
    /// The transactions that were prepared there and not decided, and that the primary lacks.
    pub prepared: u64,
    /// When the first and the last of them were committed, as the server's log has it.
    pub between: Option<(String, String)>,
    /// Their changes, by table.
    pub tables: Vec<Table>,
    /// Whether there are more than could be read; then all numbers are lower bounds.
    pub more: bool,
}

impl Divergence {
    /// What would be lost with it, in words; none if nothing.
    pub(super) fn lost(&self) -> Option<String> {
        let mut all = Vec::new();
        if self.commits > 0 {
            all.push(format!("committed {} transactions", self.commits));
        }
        if self.prepared > 0 {
            all.push(format!("prepared {} transactions", self.prepared));
        }
        if self.more {
            all.push("written more than can be read".to_owned());
        }
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// The changes of a table that the primary lacks.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// Its name with its schema, or the file's number where no table has it now.
    pub name: String,
    /// Rows that were inserted.
    pub inserted: u64,
    /// Rows that were updated.
    pub updated: u64,
    /// Rows that were deleted. Those are not among `rows`: the primary has them still.
    pub deleted: u64,
    /// The rows as they are there now, where the server can be asked: inserted or updated since the fork, at
    /// most 10,000.
    pub rows: Vec<Value>,
    /// Whether there are more rows than that.
    pub rows_cut: bool,
}

fn text<S: serde::Serializer>(lsn: &Lsn, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(lsn)
}

/// Looks at the servers of a shard for what the primary lacks. Changes nothing.
///
/// `primary` is the one that is right; it has to be named where two take writes. A server whose log
/// leads to the primary's present is not among the answers.
///
/// # Errors
///
/// `Contested` if two servers take writes and none is named; what a server or a machine answers.
pub async fn find(
    admin: &Admin<'_>,
    shard: ShardId,
    primary: Option<NodeId>,
) -> Result<Vec<Divergence>> {
    let survey = Survey::new(admin, shard).await?;
    let primary = match primary {
        Some(node) => {
            if survey.server(node)?.standby {
                return Err(Error::refused(format!("{node} is a standby")).on_node(node));
            }
            node
        }
        None => survey.primary()?.0,
    };
    let mut found = Vec::new();
    for node in admin.shard(shard)?.nodes.iter().map(|node| node.id) {
        if node != primary
            && let Some(divergence) = of_node(admin, primary, node, true).await?
        {
            found.push(divergence);
        }
    }
    Ok(found)
}

/// A node's divergence from the primary; `None` if it can follow as it is.
pub(super) async fn of_node(
    admin: &Admin<'_>,
    primary: NodeId,
    node: NodeId,
    rows: bool,
) -> Result<Option<Divergence>> {
    let host = admin.host(node)?;
    let right = admin.session(primary).await?;
    let present = crate::ops::replication::Server::read(&right).await?;
    let history = History::read(&right, present.timeline).await?;

    // A running server is asked, a stopped one's files are looked at.
    let running = match admin.session(node).await {
        Ok(session) => {
            let server = crate::ops::replication::Server::read(&session).await?;
            Some((session, server))
        }
        Err(error) if crate::direct::refuses_role(&error) => return Err(error),
        Err(_) => None,
    };
    let control = host.control_data().await?;
    let timeline = match &running {
        Some((_, server)) => server.timeline.max(control.timeline),
        // A promotion reaches the control file with the next checkpoint only.
        None => control.timeline.max(newest(&host).await?),
    };
    let writable = running.as_ref().is_some_and(|(_, server)| !server.standby);
    let own = history_of(&host, timeline).await?;
    let parted = match history.fork(&own) {
        Some(fork) => Some(fork),
        // The same number: a standby of it, or one that was promoted beside it.
        None => {
            let was_primary = writable || !control.state.contains("recovery");
            was_primary.then(|| history.began()).flatten()
        }
    };
    let Some(fork) = parted else { return Ok(None) };
    let log = dump(&host, &control, timeline, fork).await?;
    if let Some(reason) = &log.failed {
        return Err(Error::refused(format!(
            "what {node} has written since {fork} cannot be read any more ({reason}): treat all of it as \
             different"
        ))
        .on_node(node));
    }
    // A standby that received more than the primary has is behind the fork in nothing.
    let end = log.last.unwrap_or(fork);
    if log.commits.is_empty() && !writable && end <= fork {
        return Ok(None);
    }
    let mut tables = Vec::new();
    let session = match &running {
        Some((session, _)) => session,
        None => &right,
    };
    for (file, counts) in &log.changes {
        let Some(name) = named(session, file).await? else {
            continue;
        };
        let mut shown = match (&running, rows, &name) {
            (Some((session, _)), true, Name::Table(schema, table)) => {
                changed(session, schema, table, &log.xids).await?
            }
            _ => Vec::new(),
        };
        let rows_cut = shown.len() > ROWS;
        shown.truncate(ROWS);
        tables.push(Table {
            name: name.to_string(),
            inserted: counts.inserted,
            updated: counts.updated,
            deleted: counts.deleted,
            rows: shown,
            rows_cut,
        });
    }
    let (first, last) = (log.commits.first(), log.commits.last());
    Ok(Some(Divergence {
        node,
        timeline,
        writable,
        fork,
        commits: log.commits.len().try_into().unwrap_or(u64::MAX),
        prepared: log.prepared,
        between: first.zip(last).map(|(a, b)| (a.at.clone(), b.at.clone())),
        tables,
        more: log.cut,
    }))
}

/// The newest timeline of which a server's files have a log.
async fn newest(host: &Host) -> Result<Timeline> {
    let script = Script::program("ls")
        .arg(host.data.join("pg_wal").display())
        .raw("| grep -E '^[0-9A-F]{24}' | cut -c1-8 | sort | tail -n 1");
    let text = host.run(&script, Duration::from_secs(30)).await?;
    Ok(Timeline(u32::from_str_radix(text.trim(), 16).unwrap_or(0)))
}

/// The history of the timeline that a node's files are on.
async fn history_of(host: &Host, timeline: Timeline) -> Result<History> {
    if timeline.0 == 1 {
        return Ok(History::first());
    }
    let file = host
        .data
        .join("pg_wal")
        .join(format!("{:08X}.history", timeline.0));
    let script = Script::program("cat").arg(file.display());
    let text = host.run(&script, Duration::from_secs(30)).await?;
    History::parse(timeline, &text).ok_or_else(|| {
        Error::refused(format!("{} is not a timeline's history", file.display())).on_node(host.node)
    })
}

async fn dump(host: &Host, control: &ControlData, timeline: Timeline, fork: Lsn) -> Result<Log> {
    // The first file is named, because pg_waldump would read the size of a file from any, also from one
    // that is made ready and empty; and then the last one too, or it ends with the first.
    let first = control.file(timeline, fork);
    let last = format!(
        "\"$(ls | grep -E '^{:08X}[0-9A-F]{{16}}$' | tail -n 1)\"",
        timeline.0
    );
    let waldump = host
        .program("pg_waldump")
        .arg("-s")
        .arg(fork)
        .arg(first)
        .raw(&last);
    let script = Script::program("cd")
        .arg(host.data.join("pg_wal").display())
        .and(&waldump)
        .raw(&format!("2>&1 | head -n {}", LINES + 1));
    let text = host.run(&script, Duration::from_secs(300)).await?;
    Ok(waldump::parse(&text, LINES))
}

enum Name {
    Table(String, String),
    File(File),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Table(schema, table) => write!(f, "{schema}.{table}"),
            Name::File(file) => write!(f, "file {}/{}", file.database, file.filenode),
        }
    }
}

/// The table of a file; `None` for a catalog or a table's own storage of long values.
async fn named(session: &Session, file: &File) -> Result<Option<Name>> {
    let rows = session
        .query(
            "SELECT n.nspname::text, c.relname::text, n.nspname ~ '^pg_'
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.oid = pg_filenode_relation($1, $2)
                AND $3 = (SELECT oid FROM pg_database WHERE datname = current_database())",
            &[&tablespace(file.tablespace), &file.filenode, &file.database],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Some(Name::File(*file)));
    };
    if get::<bool>(row, 2)? {
        return Ok(None);
    }
    Ok(Some(Name::Table(get(row, 0)?, get(row, 1)?)))
}

/// `pg_filenode_relation` calls the default tablespace 0.
fn tablespace(oid: u32) -> u32 {
    match oid {
        1663 => 0,
        other => other,
    }
}

/// The rows of a table that these transactions left.
async fn changed(
    session: &Session,
    schema: &str,
    table: &str,
    xids: &BTreeSet<u32>,
) -> Result<Vec<Value>> {
    let xids: Vec<i64> = xids.iter().copied().map(i64::from).collect();
    let sql = format!(
        "SELECT to_jsonb(t.*)::text FROM {}.{} t WHERE t.xmin::text::bigint = ANY ($1) LIMIT {}",
        ident(schema),
        ident(table),
        ROWS + 1
    );
    let rows = session.query(&sql, &[&xids]).await?;
    rows.iter()
        .map(|row| {
            let text: String = get(row, 0)?;
            serde_json::from_str(&text).map_err(|error| {
                session.fail(Error::new(
                    crate::error::ErrorKind::Decode,
                    format!("a row of {schema}.{table} is no JSON: {error}"),
                ))
            })
        })
        .collect()
}
