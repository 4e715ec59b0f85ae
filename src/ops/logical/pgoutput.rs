//! Messages of PostgreSQL's logical replication, protocol version 1, as `pgoutput` writes them: pure.
//!
//! Source: "Logical Replication Message Formats" of the PostgreSQL manual.

use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Begin {
        /// The position of its COMMIT: what `ALTER SUBSCRIPTION … SKIP` takes.
        commit: Lsn,
        /// Microseconds since 2000-01-01.
        at: i64,
        xid: u32,
    },
    Commit {
        end: Lsn,
    },
    Relation(Relation),
    Insert {
        relation: u32,
        new: Vec<Cell>,
    },
    Update {
        relation: u32,
        /// The row before: its key, or all of it; none where the key did not change.
        old: Option<Vec<Cell>>,
        new: Vec<Cell>,
    },
    Delete {
        relation: u32,
        old: Vec<Cell>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// An origin, a type, a message of an application.
    Other,
}

/// A table, as it was when the changes that follow were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Names, and whether each belongs to the replica identity.
    pub(super) columns: Vec<(String, bool)>,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    /// A large value that did not change, and is not sent.
    Unchanged,
    Text(String),
}

/// Reads one message.
///
/// # Errors
///
/// `Decode` for what the manual does not describe.
pub(super) fn parse(bytes: &[u8]) -> Result<Message> {
    let mut reader = Reader(bytes);
    let message = reader.message().ok_or_else(|| {
        let kind = bytes.first().map(|byte| char::from(*byte));
        Error::new(
            ErrorKind::Decode,
            format!("a message of logical replication cannot be read (kind {kind:?})"),
        )
    })?;
    Ok(message)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn lsn(&mut self) -> Option<Lsn> {
        self.take().map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.0.split_at_checked(end)?;
        let text = std::str::from_utf8(text).ok()?.to_owned();
        self.0 = rest.get(1..)?;
        Some(text)
    }

    fn row(&mut self) -> Option<Vec<Cell>> {
        let count = self.short()?;
        (0..count).map(|_| self.cell()).collect()
    }

    fn cell(&mut self) -> Option<Cell> {
        match self.byte()? {
            b'n' => Some(Cell::Null),
            b'u' => Some(Cell::Unchanged),
            b't' => {
                let length = usize::try_from(self.word()?).ok()?;
                let (text, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Some(Cell::Text(std::str::from_utf8(text).ok()?.to_owned()))
            }
            _ => None,
        }
    }

    fn relation(&mut self) -> Option<Relation> {
        let id = self.word()?;
        let schema = match self.text()? {
            // So it is written where it is pg_catalog.
            empty if empty.is_empty() => "pg_catalog".to_owned(),
            schema => schema,
        };
        let name = self.text()?;
        self.byte()?;
        let count = self.short()?;
        let columns = (0..count)
            .map(|_| {
                let key = self.byte()? & 1 == 1;
                let name = self.text()?;
                self.word()?;
                self.word()?;
                Some((name, key))
            })
            .collect::<Option<_>>()?;
        Some(Relation {
            id,
            schema,
            name,
            columns,
        })
    }

    fn message(&mut self) -> Option<Message> {
        Some(match self.byte()? {
            b'B' => Message::Begin {
                commit: self.lsn()?,
                at: self.take().map(i64::from_be_bytes)?,
                xid: self.word()?,
            },
            b'C' => {
                self.byte()?;
                self.lsn()?;
                Message::Commit { end: self.lsn()? }
            }
            b'R' => Message::Relation(self.relation()?),
            b'I' => {
                let relation = self.word()?;
                if self.byte()? != b'N' {
                    return None;
                }
                Message::Insert {
                    relation,
                    new: self.row()?,
                }
            }
            b'U' => {
                let relation = self.word()?;
                let old = match self.byte()? {
                    b'K' | b'O' => {
                        let old = self.row()?;
                        if self.byte()? != b'N' {
                            return None;
                        }
                        Some(old)
                    }
                    b'N' => None,
                    _ => return None,
                };
                Message::Update {
                    relation,
                    old,
                    new: self.row()?,
                }
            }
            b'D' => {
                let relation = self.word()?;
                if !matches!(self.byte()?, b'K' | b'O') {
                    return None;
                }
                Message::Delete {
                    relation,
                    old: self.row()?,
                }
            }
            b'T' => {
                let count = self.word()?;
                self.byte()?;
                let relations = (0..count).map(|_| self.word()).collect::<Option<_>>()?;
                Message::Truncate { relations }
            }
            b'O' | b'Y' | b'M' => Message::Other,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_the_manual_has_them() {
        let mut begin = vec![b'B'];
        begin.extend(0x16B_3748_u64.to_be_bytes());
        begin.extend(7i64.to_be_bytes());
        begin.extend(742u32.to_be_bytes());
        let found = Message::Begin {
            commit: Lsn(0x16B_3748),
            at: 7,
            xid: 742,
        };
        assert_eq!(parse(&begin).unwrap(), found);

        let insert = b"I\0\0\x40\x01N\0\x03t\0\0\0\x02abnu";
        let new = vec![Cell::Text("ab".into()), Cell::Null, Cell::Unchanged];
        let found = Message::Insert {
            relation: 16385,
            new,
        };
        assert_eq!(parse(insert).unwrap(), found);

        let relation = b"R\0\0\x40\x01public\0t\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff";
        let Message::Relation(found) = parse(relation).unwrap() else {
            panic!("a relation");
        };
        assert_eq!(found.columns, [("id".to_owned(), true)]);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let insert = b"I\0\0\x40\x01N\0\x01t\0\0\0\x02ab";
        for end in 0..insert.len() {
            parse(&insert[..end]).unwrap_err();
        }
        parse(b"?").unwrap_err();
    }
}
