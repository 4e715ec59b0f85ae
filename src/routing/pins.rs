//! Single keys that are placed by hand.

use uuid::Uuid;

use crate::id::{Bucket, ShardIndex};

use super::{KeyRef, Location};

/// A key that was placed by hand, whoever owns its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The key.
    pub key: KeyRef<'a>,
    /// The bucket that the key hashes to.
    pub bucket: Bucket,
    /// The shard that the key is pinned to.
    pub shard: ShardIndex,
}

/// The pins, sorted, so that a look-up takes no hash. Keys of other types than the map's never get
/// in.
#[derive(Clone, Debug)]
pub(super) enum Pins {
    Uuid(Box<[(Uuid, Location)]>),
    BigInt(Box<[(i64, Location)]>),
    Text(Box<[(Box<str>, Location)]>),
}

impl Pins {
    pub(super) fn find(&self, key: KeyRef<'_>) -> Option<Location> {
        match (self, key) {
            (Pins::Uuid(pins), KeyRef::Uuid(key)) => search(pins, |pin| pin.cmp(&key)),
            (Pins::BigInt(pins), KeyRef::BigInt(key)) => search(pins, |pin| pin.cmp(&key)),
            (Pins::Text(pins), KeyRef::Text(key)) => search(pins, |pin| (**pin).cmp(key)),
            _ => None,
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = Pin<'_>> + '_> {
        let pin = |key, place: &Location| Pin {
            key,
            bucket: place.bucket,
            shard: place.shard,
        };
        match self {
            Pins::Uuid(pins) => Box::new(pins.iter().map(move |(k, p)| pin(KeyRef::Uuid(*k), p))),
            Pins::BigInt(pins) => {
                Box::new(pins.iter().map(move |(k, p)| pin(KeyRef::BigInt(*k), p)))
            }
            Pins::Text(pins) => Box::new(pins.iter().map(move |(k, p)| pin(KeyRef::Text(k), p))),
        }
    }
}

fn search<T>(pins: &[(T, Location)], cmp: impl Fn(&T) -> std::cmp::Ordering) -> Option<Location> {
    let at = pins.binary_search_by(|(key, _)| cmp(key)).ok()?;
    pins.get(at).map(|(_, place)| *place)
}
