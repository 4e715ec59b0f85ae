//! The next transaction that a subscriber is to apply, as its slot on the publisher holds it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;
use crate::sql::literal;
use crate::sqlstate::SqlState;

use super::change::Change;
use super::pgoutput::{Message, Relation, parse};

/// So many messages are read at most, whatever is in the log.
const MOST: i64 = 50_000;

/// So long a slot may still be held by the process that last read it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A transaction of the publisher that the subscriber has not applied.
#[derive(Debug)]
pub(super) struct Pending {
    /// What `ALTER SUBSCRIPTION … SKIP` takes.
    pub(super) commit: Lsn,
    /// Where the next transaction may begin; none if it is longer than what is read.
    pub(super) end: Option<Lsn>,
    pub(super) xid: u32,
    /// Microseconds since 2000-01-01.
    pub(super) at: i64,
    pub(super) changes: Vec<Change>,
    /// Tables that it empties.
    pub(super) truncated: Vec<String>,
}

/// What the subscriber has applied of what a slot holds.
pub(super) struct Origin<'a> {
    pub(super) slot: &'a str,
    /// Quoted, separated by commas.
    pub(super) publications: &'a str,
    /// Where it stands.
    pub(super) applied: Lsn,
    /// From where on the changes of a table are applied; of others they are left to their copy.
    pub(super) tables: &'a HashMap<String, Lsn>,
}

impl Pending {
    /// Peeks at the slot, which stays as it is. Nobody may be reading it.
    pub(super) async fn find(publisher: &Session, origin: &Origin<'_>) -> Result<Option<Pending>> {
        // What the subscriber has applied, but not confirmed, comes first.
        for wanted in [1, 1_000, MOST] {
            let sql = format!(
                "SELECT data FROM pg_logical_slot_peek_binary_changes({}, NULL, {wanted}, 'proto_version', '1',
                                                                      'publication_names', {})
                  LIMIT {}",
                literal(origin.slot),
                literal(origin.publications),
                wanted + MOST
            );
            let rows = peek(publisher, origin.slot, &sql).await?;
            let messages = rows
                .iter()
                .map(|row| get::<Vec<u8>>(row, 0).and_then(|data| parse(&data)))
                .collect::<Result<Vec<_>>>()?;
            let found = next(&messages, origin);
            let all = i64::try_from(rows.len()).is_ok_and(|count| count < wanted);
            if found.is_some() || all {
                return Ok(found);
            }
        }
        Err(Error::new(
            ErrorKind::Refused,
            format!(
                "{MOST} changes that the subscriber has applied already stand before the next one in slot {}: \
                 let it run (shardctl logical resume --force), and look again when it stops",
                origin.slot
            ),
        ))
    }

    /// How many changes there are of each table.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for change in &self.changes {
            *counts.entry(change.name.clone()).or_default() += 1;
        }
        counts
    }
}

/// The server's process for a subscription outlives its worker by a moment, and has the slot until then.
async fn peek(publisher: &Session, slot: &str, sql: &str) -> Result<Vec<Row>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match publisher.query(sql, &[]).await {
            Err(error) if error.sqlstate() == Some(SqlState::IN_USE) => {
                if Instant::now() > deadline {
                    return Err(Error::refused(format!(
                        "slot {slot} is still being read ({}): if nobody should, end that process on the publisher \
                         with pg_terminate_backend, then look again",
                        error.message()
                    )));
                }
                sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

fn next(messages: &[Message], origin: &Origin<'_>) -> Option<Pending> {
    let mut relations: HashMap<u32, &Relation> = HashMap::new();
    let mut pending: Option<Pending> = None;
    for message in messages {
        match message {
            Message::Relation(relation) => {
                relations.insert(relation.id, relation);
            }
            Message::Begin { commit, at, xid } if *commit >= origin.applied => {
                pending = Some(Pending {
                    commit: *commit,
                    end: None,
                    xid: *xid,
                    at: *at,
                    changes: Vec::new(),
                    truncated: Vec::new(),
                });
            }
            Message::Commit { end } => {
                if let Some(pending) = &mut pending {
                    pending.end = Some(*end);
                    // Servers before PostgreSQL 15 send transactions in which nothing is.
                    if !pending.changes.is_empty() || !pending.truncated.is_empty() {
                        break;
                    }
                }
                pending = None;
            }
            _ => {}
        }
        let Some(pending) = &mut pending else {
            continue;
        };
        let applies = |relation: &Relation| {
            let from = origin.tables.get(&relation.quoted());
            from.is_some_and(|from| *from <= pending.commit)
        };
        match message {
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => {
                let known = relations.get(relation).filter(|known| applies(known));
                let change = known.and_then(|known| Change::of(message, known));
                pending.changes.extend(change);
            }
            Message::Truncate { relations: emptied } => {
                let known = emptied.iter().filter_map(|id| relations.get(id));
                let names = known
                    .filter(|known| applies(known))
                    .map(|known| known.plain());
                pending.truncated.extend(names.collect::<Vec<_>>());
            }
            _ => {}
        }
    }
    pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::logical::pgoutput::Cell;

    fn transaction(commit: u64, key: &str) -> [Message; 4] {
        [
            Message::Begin {
                commit: Lsn(commit),
                at: 0,
                xid: 7,
            },
            Message::Relation(Relation {
                id: 1,
                schema: "public".into(),
                name: "t".into(),
                columns: vec![("id".into(), true)],
            }),
            Message::Insert {
                relation: 1,
                new: vec![Cell::Text(key.into())],
            },
            Message::Commit {
                end: Lsn(commit + 8),
            },
        ]
    }

    #[test]
    fn what_is_applied_already_is_passed_over() {
        let messages: Vec<Message> = [transaction(100, "a"), transaction(200, "b")].concat();
        let find = |applied, from| {
            let tables = HashMap::from([(r#""public"."t""#.to_owned(), Lsn(from))]);
            let origin = Origin {
                slot: "s",
                publications: "p",
                applied: Lsn(applied),
                tables: &tables,
            };
            let found = next(&messages, &origin);
            found.map(|found| (found.commit, found.changes.len(), found.end))
        };
        assert_eq!(find(0, 0), Some((Lsn(100), 1, Some(Lsn(108)))));
        assert_eq!(find(108, 0), Some((Lsn(200), 1, Some(Lsn(208)))));
        assert_eq!(find(208, 0), None);
        // The table's copy brings the first one.
        assert_eq!(find(0, 150), Some((Lsn(200), 1, Some(Lsn(208)))));
    }
}
