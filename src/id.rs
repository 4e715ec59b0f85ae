//! The names of things: clusters, shards, nodes, buckets, positions in the log, terms of a primary.
//!
//! Nothing here does I/O. The words are those of the architecture chapter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

mod name;

pub use name::{ClusterId, InvalidName, NodeId, ShardId};

/// The position of a shard in the shard map: an index into its list of shards.
///
/// It is a number of this process, cheap to copy and compare. What is stored or sent anywhere is
/// the [`ShardId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u16);

impl ShardIndex {
    /// The index, for slices.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The position of a node in the list of its shard's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u16);

impl NodeIndex {
    /// The index, for slices.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One of the B virtual slots that a key hashes to; `0..B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bucket(pub u32);

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a shard map. A shard refuses a write from a client with another version.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MapVersion(pub i64);

impl fmt::Display for MapVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in a server's write-ahead log, in bytes; PostgreSQL's `pg_lsn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The end of the last record, where this is `pg_current_wal_insert_lsn()`: where the next record
    /// would begin.
    ///
    /// The two differ where a record ends with its page, or with its segment as `pg_switch_wal` has it:
    /// the next one begins after the header of the next page, and a standby that has replayed everything
    /// says that it is still before it. No other record ends inside of a header. (A header has 24 bytes, and
    /// at the start of a segment 40. Those are multiples of 1 MiB, whatever a server was built with; where
    /// pages are larger than 8 KiB, one in their middle ends no record that decides a transaction, for such
    /// a record is longer than 24 bytes.)
    #[must_use]
    pub fn written(self) -> Lsn {
        const PAGE: u64 = 8 << 10;
        const SEGMENT: u64 = 1 << 20;
        let header = match (self.0 % PAGE, self.0 % SEGMENT) {
            (24, _) => 24,
            (_, 40) => 40,
            _ => 0,
        };
        Lsn(self.0 - header)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// The text is not a log position such as `0/16B3748`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log position; expected two hexadecimal numbers such as 0/16B3748")]
pub struct InvalidLsn;

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_once('/').ok_or(InvalidLsn)?;
        let half = |part: &str| {
            if part.is_empty() || part.len() > 8 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(InvalidLsn);
            }
            u64::from_str_radix(part, 16).map_err(|_| InvalidLsn)
        };
        Ok(Lsn(half(high)? << 32 | half(low)?))
    }
}

/// A timeline number. It does not identify a history: see [`ReignId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one `initdb`: `pg_control_system().system_identifier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One primary's term.
///
/// Two replicas that are promoted separately carry the same timeline number and the same system
/// identifier. So the first client that adopts a new primary writes a row with a fresh uuid there;
/// the row replicates, and a node belongs to a term only if it holds that row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReignId(pub Uuid);

impl fmt::Display for ReignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which primary, in which term, as this process counted: what a lease is stamped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The servers' common identity.
    pub system: SystemId,
    /// The primary's term.
    pub reign: ReignId,
    /// Counts adoptions seen by this process; larger is later.
    pub counter: u64,
}

/// A customer: the key that the example bank, and most of its users, shard by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomerId(pub Uuid);

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Uuid> for CustomerId {
    fn from(id: Uuid) -> Self {
        CustomerId(id)
    }
}

impl FromStr for CustomerId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(CustomerId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_text_round_trips() {
        for text in ["0/0", "0/16B3748", "FFFFFFFF/FFFFFFFF", "1/0"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        for text in ["", "0", "/", "0/", "0/123456789", "x/0", "+1/0", "0/-1"] {
            assert_eq!(text.parse::<Lsn>(), Err(InvalidLsn), "{text}");
        }
    }

    #[test]
    fn what_is_written_ends_before_the_next_header() {
        let written = |text: &str| text.parse::<Lsn>().unwrap().written().to_string();
        for (insert, end) in [
            ("1/5000028", "1/5000000"),
            ("1/5002018", "1/5002000"),
            ("1/5002028", "1/5002028"),
            ("1/5000030", "1/5000030"),
            ("1/5001018", "1/5001018"),
            ("0/0", "0/0"),
        ] {
            assert_eq!(written(insert), end);
        }
    }
}
