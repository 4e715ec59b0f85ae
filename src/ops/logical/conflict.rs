//! Why a subscription stopped: its next transaction is rehearsed on the subscriber, and rolled back.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio_postgres::error::DbError;

use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;
use crate::sql::ident;

use super::Link;
use super::change::{Change, Values, equal};
use super::pending::{Origin, Pending};

/// So many conflicts of one transaction are told at most.
const MOST: usize = 100;

/// The next transaction of a subscription that does not work, and what stands in its way.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stuck {
    /// The subscription.
    pub subscription: String,
    /// The position of its COMMIT in the publisher's log, which `ALTER SUBSCRIPTION … SKIP` takes.
    pub commit_lsn: String,
    /// Where it ends; none if it is longer than what was looked at.
    pub end_lsn: Option<String>,
    /// Its number on the publisher.
    pub xid: u32,
    /// When it was committed there, as RFC 3339.
    pub committed_at: String,
    /// How many rows it changes of each table.
    pub changes: BTreeMap<String, usize>,
    /// Tables that it empties. That is not rehearsed.
    pub truncated: Vec<String>,
    /// What stands in the way; at most a hundred.
    pub conflicts: Vec<Conflict>,
}

/// A change that the subscriber cannot make as the publisher did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Conflict {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub change: &'static str,
    /// The table.
    pub table: String,
    /// The row: the columns of its replica identity.
    pub key: Vec<(String, Option<String>)>,
    /// Whether it stops the subscription. A row that is missing does not: the change is lost without a word.
    pub stops: bool,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// The row that arrives, without what did not change.
    pub arriving: Vec<(String, Option<String>)>,
    /// The row that is in the way.
    pub present: Option<Vec<(String, Option<String>)>>,
}

impl Stuck {
    /// Whether it cannot be applied as it is.
    pub fn stops(&self) -> bool {
        self.conflicts.iter().any(|conflict| conflict.stops)
    }
}

/// What a subscription's catalogs say of it.
pub(super) struct Standing {
    pub(super) version: i32,
    pub(super) enabled: bool,
    pub(super) oid: u32,
    pub(super) slot: Option<String>,
    /// Quoted, separated by commas.
    pub(super) publications: String,
    pub(super) applied: Lsn,
}

fn position(text: &str) -> Result<Lsn> {
    text.parse()
        .map_err(|_| Error::new(ErrorKind::Decode, format!("{text:?} is no log position")))
}

impl Link {
    pub(super) async fn standing(&self, name: &str) -> Result<Standing> {
        let rows = self
            .subscriber
            .query(
                "SELECT current_setting('server_version_num')::int, s.subenabled, s.oid, s.subslotname::text,
                        (SELECT string_agg(quote_ident(p), ',') FROM unnest(s.subpublications) AS p),
                        coalesce((SELECT o.remote_lsn FROM pg_replication_origin_status o
                                   WHERE o.external_id = 'pg_' || s.oid), '0/0')::text
                   FROM pg_subscription s
                  WHERE s.subname = $1
                    AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[&name],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Err(Error::config(format!("there is no subscription {name}")));
        };
        Ok(Standing {
            version: get(row, 0)?,
            enabled: get(row, 1)?,
            oid: get(row, 2)?,
            slot: get(row, 3)?,
            publications: get(row, 4)?,
            applied: position(get(row, 5)?)?,
        })
    }

    /// From where on the changes of each table are applied, by quoted name; tables that are not copied are not in it.
    async fn followed(&self, oid: u32) -> Result<HashMap<String, Lsn>> {
        let rows = self
            .subscriber
            .query(
                "SELECT n.nspname::text, c.relname::text,
                        CASE r.srsubstate WHEN 's' THEN r.srsublsn::text ELSE '0/0' END
                   FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE r.srsubid = $1 AND r.srsubstate IN ('r', 's')",
                &[&oid],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let (schema, name): (String, String) = (get(row, 0)?, get(row, 1)?);
                let table = format!("{}.{}", ident(&schema), ident(&name));
                Ok((table, position(get(row, 2)?)?))
            })
            .collect()
    }

    /// The next transaction of a subscription that is disabled, rehearsed on the subscriber in a transaction that
    /// is rolled back; none if nothing waits. It takes the locks of the changes for that time, and waits two
    /// seconds for them at most.
    ///
    /// # Errors
    ///
    /// `Config` if there is none of that name; `Refused` if it is enabled, or has no slot; what a server answers.
    pub async fn stuck(&self, name: &str) -> Result<Option<Stuck>> {
        let standing = self.standing(name).await?;
        if standing.enabled {
            return Err(Error::refused(format!(
                "subscription {name} is enabled, and reads its slot itself. One that a conflict stops is disabled by \
                 it (disable_on_error, which shardctl status asks for); else ALTER SUBSCRIPTION {} DISABLE",
                ident(name)
            )));
        }
        let Some(slot) = &standing.slot else {
            return Err(Error::refused(format!("subscription {name} has no slot")));
        };
        let tables = self.followed(standing.oid).await?;
        let origin = Origin {
            slot,
            publications: &standing.publications,
            applied: standing.applied,
            tables: &tables,
        };
        let Some(pending) = Pending::find(&self.publisher, &origin).await? else {
            return Ok(None);
        };
        let session = &self.subscriber;
        session
            .batch(
                "BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL lock_timeout = '2s'",
            )
            .await?;
        let conflicts = rehearse(session, name, &standing, &pending).await;
        session.batch("ROLLBACK").await?;
        Ok(Some(Stuck {
            subscription: name.to_owned(),
            commit_lsn: pending.commit.to_string(),
            end_lsn: pending.end.map(|end| end.to_string()),
            xid: pending.xid,
            committed_at: time(pending.at),
            changes: pending.counts(),
            truncated: pending.truncated.clone(),
            conflicts: conflicts?,
        }))
    }
}

/// Microseconds since 2000-01-01, as RFC 3339.
fn time(at: i64) -> String {
    const EPOCH: Duration = Duration::from_secs(946_684_800);
    let since = EPOCH + Duration::from_micros(u64::try_from(at).unwrap_or_default());
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since).to_string()
}

async fn rehearse(
    session: &Session,
    name: &str,
    standing: &Standing,
    pending: &Pending,
) -> Result<Vec<Conflict>> {
    let mut conflicts = Vec::new();
    for change in &pending.changes {
        if conflicts.len() == MOST {
            break;
        }
        session.batch("SAVEPOINT change").await?;
        match session.query(&change.sql(), &[]).await {
            Ok(rows) if rows.is_empty() => conflicts.push(missing(change)),
            Ok(_) => {}
            Err(error) if error.sqlstate().is_some() => {
                session.batch("ROLLBACK TO SAVEPOINT change").await?;
                conflicts.push(explain(session, name, standing, pending, change, &error).await?);
            }
            Err(error) => return Err(error),
        }
        session.batch("RELEASE SAVEPOINT change").await?;
    }
    Ok(conflicts)
}

fn missing(change: &Change) -> Conflict {
    Conflict {
        change: change.kind,
        table: change.name.clone(),
        key: change.key.clone(),
        stops: false,
        reason: "the row is not there: the change is lost, and no error is raised".to_owned(),
        remedy: "find out who deleted it: shardctl logical compare lists all rows that differ"
            .to_owned(),
        arriving: change.row.clone(),
        present: None,
    }
}

async fn explain(
    session: &Session,
    name: &str,
    standing: &Standing,
    pending: &Pending,
    change: &Change,
    error: &Error,
) -> Result<Conflict> {
    let answer = answer(error);
    let state = error.sqlstate();
    let state = state.as_ref().map_or("", |state| state.as_str());
    let mut present = None;
    if state == "23505"
        && let Some(answer) = answer
    {
        present = in_the_way(session, change, answer).await?;
    }
    let leave_out = match (pending.end, standing.version) {
        (Some(end), ..150_000) => format!(
            "SELECT pg_replication_origin_advance('pg_{}', '{end}') on the subscriber, then shardctl logical \
             resume",
            standing.oid
        ),
        _ => format!("shardctl logical skip {name}"),
    };
    let count = pending.changes.len();
    let lost = format!("{leave_out}, which leaves out all {count} changes of the transaction");
    let resume = format!("shardctl logical resume {name}");
    let constraint = answer.and_then(DbError::constraint).unwrap_or("constraint");
    let remedy = match (state, &present) {
        ("23505", Some((key, row))) => {
            let delete = format!("DELETE FROM {} WHERE {}", change.table, equal(key));
            let same = change.row.iter().all(|value| row.contains(value));
            match same {
                true => format!("the very same row is there already: {delete}; then {resume}"),
                false => format!(
                    "another row is there. To take the publisher's: {delete}; then {resume}. To keep the \
                     subscriber's: {lost}"
                ),
            }
        }
        ("23505", None) => format!("mend the row that is there, then {resume}; or {lost}"),
        ("23502" | "23514" | "23503" | "23P01", _) => format!(
            "the subscriber's own {constraint} of {} refuses what the publisher allows: make it allow it, then \
             {resume}; or {lost}",
            change.name
        ),
        ("42P01" | "42703" | "42804" | "22P02" | "428C9", _) => format!(
            "the tables differ: change {} on the subscriber as it is on the publisher, then {resume}",
            change.name
        ),
        ("42501", _) => format!("give the subscription's owner the right, then {resume}"),
        ("55P03" | "57014", _) => {
            "no conflict, but another transaction on the subscriber holds the row: end it (pg_locks), then look \
             again"
                .to_owned()
        }
        _ => format!("mend what the subscriber says, then {resume}; or {lost}"),
    };
    Ok(Conflict {
        change: change.kind,
        table: change.name.clone(),
        key: change.key.clone(),
        stops: true,
        reason: answer.map_or_else(|| error.message().to_owned(), said),
        remedy,
        arriving: change.row.clone(),
        present: present.map(|(_, row)| row),
    })
}

/// The server's own answer.
fn answer(error: &Error) -> Option<&DbError> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<tokio_postgres::Error>() {
            return found.as_db_error();
        }
        source = cause.source();
    }
    None
}

fn said(answer: &DbError) -> String {
    let detail = answer.detail().map(|detail| format!(": {detail}"));
    format!("{}{}", answer.message(), detail.unwrap_or_default())
}

/// The row that has the key already, and that key.
async fn in_the_way(
    session: &Session,
    change: &Change,
    answer: &DbError,
) -> Result<Option<(Values, Values)>> {
    let (Some(schema), Some(index)) = (answer.schema(), answer.constraint()) else {
        return Ok(None);
    };
    let rows = session
        .query(
            "SELECT a.attname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               JOIN pg_namespace n ON n.oid = c.relnamespace
              CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
              WHERE n.nspname = $1 AND c.relname = $2 AND i.indexprs IS NULL AND k.place <= i.indnkeyatts",
            &[&schema, &index],
        )
        .await?;
    let mut key = Values::new();
    for row in &rows {
        let column: String = get(row, 0)?;
        match change.row.iter().find(|(name, _)| *name == column) {
            Some(value) => key.push(value.clone()),
            None => return Ok(None),
        }
    }
    if key.is_empty() {
        return Ok(None);
    }
    let columns: Vec<String> = change
        .row
        .iter()
        .map(|(name, _)| format!("{}::text", ident(name)))
        .collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE {}",
        columns.join(", "),
        change.table,
        equal(&key)
    );
    let rows = session.query(&sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let names = change.row.iter().enumerate();
    let values = names.map(|(at, (name, _))| Ok((name.clone(), get(row, at)?)));
    Ok(Some((key, values.collect::<Result<_>>()?)))
}
