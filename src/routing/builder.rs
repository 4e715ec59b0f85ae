//! Building a shard map, with every rule about one checked.

use std::num::NonZeroU32;

use crate::error::{Error, Result};
use crate::id::{Bucket, MapVersion, ShardIndex};

use super::map::Scheme;
use super::pins::Pins;
use super::{HashFunction, Key, KeyRef, KeyType, Location, ShardMap};

/// The number of buckets, unless another is given.
pub const DEFAULT_BUCKETS: u32 = 4096;
/// The most buckets that a map may have. More would make every table of owners, placement check and
/// audit large without placing keys any better.
pub const MAX_BUCKETS: u32 = 1 << 16;
/// The most pins that a map may have: each is a part of every CHECK constraint.
pub const MAX_PINS: usize = 1000;

/// Builds a [`ShardMap`].
///
/// ```
/// use pgshard::id::{MapVersion, ShardIndex};
/// use pgshard::routing::{HashFunction, KeyType, ShardMap};
///
/// let large = uuid::Uuid::from_u128(42);
/// let map = ShardMap::builder(HashFunction::Pg, KeyType::Uuid)
///     .buckets(1024)
///     .striped(4)
///     .pin(&large, ShardIndex(3))
///     .version(MapVersion(7))
///     .build()?;
/// assert_eq!(map.buckets_of(ShardIndex(1)).count(), 256);
/// assert_eq!(map.locate(&large)?.shard, ShardIndex(3));
/// # Ok::<(), pgshard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShardMapBuilder {
    hash: HashFunction,
    key_type: KeyType,
    version: MapVersion,
    buckets: Option<u32>,
    shards: u16,
    owners: Option<Vec<ShardIndex>>,
    pins: Vec<(OwnedKey, ShardIndex)>,
}

#[derive(Clone, Debug)]
enum OwnedKey {
    Uuid(uuid::Uuid),
    BigInt(i64),
    Text(Box<str>),
}

impl OwnedKey {
    fn as_ref(&self) -> KeyRef<'_> {
        match self {
            OwnedKey::Uuid(id) => KeyRef::Uuid(*id),
            OwnedKey::BigInt(value) => KeyRef::BigInt(*value),
            OwnedKey::Text(text) => KeyRef::Text(text),
        }
    }
}

impl ShardMapBuilder {
    pub(super) fn new(hash: HashFunction, key_type: KeyType) -> Self {
        ShardMapBuilder {
            hash,
            key_type,
            version: MapVersion(1),
            buckets: None,
            shards: 0,
            owners: None,
            pins: Vec::new(),
        }
    }

    /// Sets the number of buckets: a power of two, [`DEFAULT_BUCKETS`] if it is not set. For
    /// [`HashFunction::UuidPrefix`] it is the modulus and need not be given.
    pub fn buckets(mut self, buckets: u32) -> Self {
        self.buckets = Some(buckets);
        self
    }

    /// Stripes the buckets over the shards: bucket b belongs to shard b mod `shards`.
    pub fn striped(mut self, shards: u16) -> Self {
        self.shards = shards;
        self.owners = None;
        self
    }

    /// Names the owner of each bucket, in the order of the buckets, of `shards` shards. A shard may
    /// own none.
    pub fn owners(mut self, shards: u16, owners: impl Into<Vec<ShardIndex>>) -> Self {
        self.shards = shards;
        self.owners = Some(owners.into());
        self
    }

    /// Places one key by hand.
    pub fn pin<K: Key + ?Sized>(mut self, key: &K, shard: ShardIndex) -> Self {
        let key = match key.key() {
            KeyRef::Uuid(id) => OwnedKey::Uuid(id),
            KeyRef::BigInt(value) => OwnedKey::BigInt(value),
            KeyRef::Text(text) => OwnedKey::Text(text.into()),
        };
        self.pins.push((key, shard));
        self
    }

    /// Sets the version, 1 if it is not set.
    pub fn version(mut self, version: MapVersion) -> Self {
        self.version = version;
        self
    }

    /// The map.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: the hash does not take the type
    /// of key; the number of buckets is not a power of two, too large, or not the modulus; there
    /// are no shards or more than buckets; a bucket or a pin belongs to a shard that does not
    /// exist; a key is pinned twice or is of another type; the version is less than 1.
    pub fn build(self) -> Result<ShardMap> {
        let scheme = self.scheme()?;
        let buckets = self.checked_buckets()?;
        self.check_shards(buckets)?;
        if self.version.0 < 1 {
            return Err(Error::config(format!(
                "the map version is {}: start at 1 and add 1 with each change of the map",
                self.version
            )));
        }
        let owners = match self.owners {
            Some(owners) => owners.into_boxed_slice(),
            None => (0..buckets)
                // The remainder is less than the number of shards, a u16.
                .map(|bucket| ShardIndex((bucket % u32::from(self.shards)) as u16))
                .collect(),
        };
        let mut map = ShardMap {
            hash: self.hash,
            key_type: self.key_type,
            version: self.version,
            shards: self.shards,
            owners,
            pins: None,
            scheme,
            mask: buckets - 1,
        };
        map.pins = pins(&map, self.pins)?;
        Ok(map)
    }

    fn scheme(&self) -> Result<Scheme> {
        Ok(match (self.hash, self.key_type) {
            (HashFunction::Pg, KeyType::Uuid) => Scheme::PgUuid,
            (HashFunction::Pg, KeyType::BigInt) => Scheme::PgBigInt,
            (HashFunction::Pg, KeyType::Text) => Scheme::PgText,
            (HashFunction::Xxh3, KeyType::Uuid) => Scheme::Xxh3Uuid,
            (HashFunction::Xxh3, KeyType::BigInt) => Scheme::Xxh3BigInt,
            (HashFunction::UuidPrefix { modulus, negative }, KeyType::Uuid) => {
                match NonZeroU32::new(modulus) {
                    Some(modulus) if modulus.get() <= MAX_BUCKETS => {
                        Scheme::Prefix(modulus, negative)
                    }
                    _ => {
                        return Err(Error::config(format!(
                            "the modulus is {modulus}: it must be between 1 and {MAX_BUCKETS}, \
                             the one that the existing rows were placed by"
                        )));
                    }
                }
            }
            (hash, key_type) => {
                return Err(Error::config(format!(
                    "hash \"{}\" does not take {key_type} keys: use hash \"pg\"",
                    hash.name()
                )));
            }
        })
    }

    fn checked_buckets(&self) -> Result<u32> {
        let hash = self.hash.name();
        if let HashFunction::UuidPrefix { modulus, .. } = self.hash {
            return match self.buckets {
                Some(buckets) if buckets != modulus => Err(Error::config(format!(
                    "hash \"{hash}\" with modulus {modulus} has {modulus} buckets, not {buckets}: \
                     leave the number of buckets out"
                ))),
                _ => Ok(modulus),
            };
        }
        let buckets = self.buckets.unwrap_or(DEFAULT_BUCKETS);
        if !buckets.is_power_of_two() || buckets > MAX_BUCKETS {
            return Err(Error::config(format!(
                "the number of buckets is {buckets}: it must be a power of two, at most \
                 {MAX_BUCKETS}; {DEFAULT_BUCKETS} is a good choice"
            )));
        }
        Ok(buckets)
    }

    fn check_shards(&self, buckets: u32) -> Result<()> {
        let shards = self.shards;
        if shards == 0 {
            return Err(Error::config("there are no shards: name at least one"));
        }
        if u32::from(shards) > buckets {
            return Err(Error::config(format!(
                "there are {shards} shards but only {buckets} buckets: a shard without a bucket \
                 gets no keys; use more buckets"
            )));
        }
        let Some(owners) = &self.owners else {
            return Ok(());
        };
        if owners.len() != buckets as usize {
            return Err(Error::config(format!(
                "{} buckets have an owner, but there are {buckets}: give every bucket one owner",
                owners.len()
            )));
        }
        if let Some((bucket, owner)) = owners.iter().enumerate().find(|(_, s)| s.0 >= shards) {
            return Err(Error::config(format!(
                "bucket {bucket} belongs to shard number {}, but the shards are numbered 0 to {}",
                owner.0,
                shards - 1
            )));
        }
        Ok(())
    }
}

fn pins(map: &ShardMap, pins: Vec<(OwnedKey, ShardIndex)>) -> Result<Option<Pins>> {
    if pins.is_empty() {
        return Ok(None);
    }
    if pins.len() > MAX_PINS {
        return Err(Error::config(format!(
            "{} keys are pinned: at most {MAX_PINS} may be; move whole buckets instead",
            pins.len()
        )));
    }
    let mut placed = Vec::with_capacity(pins.len());
    for (key, shard) in pins {
        if shard.0 >= map.shards {
            return Err(Error::config(format!(
                "the key {} is pinned to shard number {}, but the shards are numbered 0 to {}",
                key.as_ref(),
                shard.0,
                map.shards - 1
            )));
        }
        let bucket: Bucket = map.locate(&key.as_ref())?.bucket;
        placed.push((key, Location { bucket, shard }));
    }
    // `locate` has refused keys of another type.
    Ok(Some(match map.key_type {
        KeyType::Uuid => Pins::Uuid(sorted(placed, |key| match key {
            OwnedKey::Uuid(id) => Some(id),
            _ => None,
        })?),
        KeyType::BigInt => Pins::BigInt(sorted(placed, |key| match key {
            OwnedKey::BigInt(value) => Some(value),
            _ => None,
        })?),
        KeyType::Text => Pins::Text(sorted(placed, |key| match key {
            OwnedKey::Text(text) => Some(text),
            _ => None,
        })?),
    }))
}

fn sorted<T: Ord + std::fmt::Display>(
    pins: Vec<(OwnedKey, Location)>,
    key: impl Fn(OwnedKey) -> Option<T>,
) -> Result<Box<[(T, Location)]>> {
    let mut pins: Vec<(T, Location)> = pins
        .into_iter()
        .filter_map(|(owned, place)| Some((key(owned)?, place)))
        .collect();
    pins.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some([(twice, _), _]) = pins.array_windows().find(|[a, b]| a.0 == b.0) {
        return Err(Error::config(format!(
            "the key {twice} is pinned twice: keep one of the pins"
        )));
    }
    Ok(pins.into_boxed_slice())
}

#[cfg(test)]
mod tests;
