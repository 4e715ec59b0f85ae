//! Timeline histories: where one server's log left another's.

use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Lsn, Timeline};

/// The timelines of a server's past, each with the position where the next one began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    past: Vec<(Timeline, Lsn)>,
    now: Timeline,
}

impl History {
    /// That of a server that was never promoted.
    pub(super) fn first() -> History {
        History {
            past: Vec::new(),
            now: Timeline(1),
        }
    }

    /// Where the timeline of now began; `None` for the first.
    pub(super) fn began(&self) -> Option<Lsn> {
        self.past.last().map(|(_, end)| *end)
    }

    /// A history file's text: the past of timeline `now`.
    pub(super) fn parse(now: Timeline, text: &str) -> Option<History> {
        let mut past = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let mut words = line.split_whitespace();
            let timeline = Timeline(words.next()?.parse().ok()?);
            past.push((timeline, words.next()?.parse().ok()?));
        }
        Some(History { past, now })
    }

    /// A running server's, of the timeline that it is on.
    pub(super) async fn read(session: &Session, now: Timeline) -> Result<History> {
        if now.0 == 1 {
            return Ok(History::first());
        }
        let sql = format!("SELECT pg_read_file('pg_wal/{:08X}.history')", now.0);
        let text: String = get(&session.one(&sql, &[]).await?, 0)?;
        History::parse(now, &text).ok_or_else(|| {
            session.fail(Error::new(
                ErrorKind::Decode,
                format!("the history of timeline {now} cannot be read"),
            ))
        })
    }

    /// Where a server that is on `other`'s timeline left this history, as far as numbers tell: the end of
    /// what both have. `None` if its timeline is this one's present: it may follow.
    pub(super) fn fork(&self, other: &History) -> Option<Lsn> {
        let mine = self.past.iter().copied().chain([(self.now, Lsn(u64::MAX))]);
        let theirs = other
            .past
            .iter()
            .copied()
            .chain([(other.now, Lsn(u64::MAX))]);
        for ((a, a_end), (b, b_end)) in mine.zip(theirs) {
            if a != b {
                // They parted where the timeline before ended.
                return self
                    .past
                    .iter()
                    .take_while(|(t, _)| *t < a.min(b))
                    .map(|(_, end)| *end)
                    .last();
            }
            if a_end != b_end {
                return Some(a_end.min(b_end));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(now: u32, text: &str) -> History {
        History::parse(Timeline(now), text).unwrap()
    }

    #[test]
    fn where_they_parted() {
        let one = history(1, "");
        let two = history(2, "1\t0/5000148\tno recovery target specified\n");
        let three = history(3, "1\t0/5000148\tx\n2\t0/6000000\tx\n");
        let later = history(2, "1\t0/5000200\tx\n");
        assert_eq!(two.fork(&one), Some(Lsn(0x500_0148)));
        assert_eq!(three.fork(&one), Some(Lsn(0x500_0148)));
        assert_eq!(three.fork(&two), Some(Lsn(0x600_0000)));
        assert_eq!(two.fork(&two), None);
        // Both promoted from timeline 1, at two positions.
        assert_eq!(two.fork(&later), Some(Lsn(0x500_0148)));
        // 2 and 3 both promoted from 1 at one position.
        let other = history(3, "1\t0/5000148\tx\n");
        assert_eq!(two.fork(&other), Some(Lsn(0x500_0148)));
        assert_eq!(History::parse(Timeline(2), "x\ty"), None);
    }
}
