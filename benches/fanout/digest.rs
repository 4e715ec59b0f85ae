//! An answer in short, for all contestants to agree on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

/// An answer in short.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Digest {
    Groups(BTreeMap<String, (i64, Decimal)>),
    /// How many, and a hash of them in their order.
    Rows(u64, u64),
    Name(String),
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Digest::Groups(groups) => write!(f, "{} groups", groups.len()),
            Digest::Rows(rows, _) => write!(f, "{rows} rows"),
            Digest::Name(_) => write!(f, "1 row"),
        }
    }
}

/// Takes in rows one after the other.
#[derive(Default)]
pub(crate) struct Rows {
    count: u64,
    hash: Xxh3,
}

impl Rows {
    pub(crate) fn add(&mut self, at: SystemTime, id: Uuid) {
        let micros = at.duration_since(UNIX_EPOCH).expect("a time").as_micros();
        self.count += 1;
        self.hash.update(&(micros as u64).to_le_bytes());
        self.hash.update(id.as_bytes());
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::Rows(self.count, self.hash.digest())
    }
}
