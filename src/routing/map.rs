//! The shard map.

use std::fmt;
use std::num::NonZeroU32;

use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{Bucket, MapVersion, ShardIndex};

use super::builder::ShardMapBuilder;
use super::hash::{pg, prefix, xxh3};
use super::pins::Pins;
use super::{HashFunction, Key, KeyRef, KeyType, Negative, Pin};

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The key's bucket.
    pub bucket: Bucket,
    /// The bucket's owner, or the shard that the key is pinned to.
    pub shard: ShardIndex,
}

/// Bucket → shard, with the hash that makes a key a bucket, and a version.
///
/// It is checked when it is built and never changes: every bucket has an owner, every owner
/// exists.
#[derive(Clone)]
pub struct ShardMap {
    pub(super) hash: HashFunction,
    pub(super) key_type: KeyType,
    pub(super) version: MapVersion,
    pub(super) shards: u16,
    pub(super) owners: Box<[ShardIndex]>,
    pub(super) pins: Option<Pins>,
    /// Hash and type of key in one, to be told apart by one comparison.
    pub(super) scheme: Scheme,
    /// The number of buckets less one, where it is a power of two.
    pub(super) mask: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Scheme {
    PgUuid,
    PgBigInt,
    PgText,
    Xxh3Uuid,
    Xxh3BigInt,
    Prefix(NonZeroU32, Negative),
}

impl ShardMap {
    /// Starts a map; see [`ShardMapBuilder`].
    pub fn builder(hash: HashFunction, key_type: KeyType) -> ShardMapBuilder {
        ShardMapBuilder::new(hash, key_type)
    }

    /// Where a key lives. Takes no lock and does not allocate, unless it fails.
    ///
    /// # Errors
    ///
    /// [`Unroutable`](ErrorKind::Unroutable) if the key is not of the map's [type](Self::key_type),
    /// or if the hash refuses it ([`Negative::Error`](super::Negative::Error)).
    #[inline(always)]
    pub fn locate<K: Key + ?Sized>(&self, key: &K) -> Result<Location> {
        if self.pins.is_some()
            && let Some(place) = self.pinned(key)
        {
            return Ok(place);
        }
        if let Some(bucket) = self.bucket(key.key())
            && let Some(shard) = self.owners.get(bucket as usize)
        {
            return Ok(Location {
                bucket: Bucket(bucket),
                shard: *shard,
            });
        }
        Err(self.unroutable(key))
    }

    // This and `unroutable` take the caller's key, not its `KeyRef`: a value whose address is taken
    // does not stay in registers.
    #[cold]
    #[inline(never)]
    fn pinned<K: Key + ?Sized>(&self, key: &K) -> Option<Location> {
        self.pins.as_ref()?.find(key.key())
    }

    /// The bucket; `None` for a key that has none. Which arm of the outer match it is, is known
    /// when a key type of the caller's is compiled: what is left is one comparison.
    #[inline(always)]
    fn bucket(&self, key: KeyRef<'_>) -> Option<u32> {
        let hash = match key {
            KeyRef::Uuid(id) => match self.scheme {
                Scheme::PgUuid => pg::uuid(id),
                Scheme::Xxh3Uuid => xxh3::uuid(id),
                Scheme::Prefix(modulus, negative) => return prefix::uuid(id, modulus, negative),
                _ => return None,
            },
            KeyRef::BigInt(value) => match self.scheme {
                Scheme::PgBigInt => pg::bigint(value),
                Scheme::Xxh3BigInt => xxh3::bigint(value),
                _ => return None,
            },
            KeyRef::Text(text) => match self.scheme {
                Scheme::PgText => pg::text(text),
                _ => return None,
            },
        };
        Some(hash as u32 & self.mask)
    }

    #[cold]
    #[inline(never)]
    fn unroutable<K: Key + ?Sized>(&self, key: &K) -> Error {
        let key = key.key();
        let message = if key.key_type() != self.key_type {
            format!(
                "the key {:?} is of type {}, but the cluster is sharded by {}: pass a key of that \
                 type",
                key.to_string(),
                key.key_type(),
                self.key_type
            )
        } else {
            format!(
                "the key {key} has a negative remainder, which {} refuses: set `negative` to the \
                 rule by which the existing rows were placed",
                self.hash
            )
        };
        Error::new(ErrorKind::Unroutable, message)
            .with_label(Label::NOT_SENT)
            .in_phase(Phase::Route)
    }

    /// The hash function.
    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    /// The type of the keys.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The version, compared with each shard's at the start of a write.
    pub fn version(&self) -> MapVersion {
        self.version
    }

    /// The number of shards.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The number of buckets.
    pub fn buckets(&self) -> u32 {
        // At most MAX_BUCKETS.
        self.owners.len() as u32
    }

    /// The owner of a bucket; `None` if there is no such bucket.
    pub fn owner(&self, bucket: Bucket) -> Option<ShardIndex> {
        self.owners.get(bucket.0 as usize).copied()
    }

    /// The buckets that a shard owns, ascending.
    pub fn buckets_of(&self, shard: ShardIndex) -> impl Iterator<Item = Bucket> + '_ {
        (0..)
            .zip(&self.owners)
            .filter(move |(_, owner)| **owner == shard)
            .map(|(bucket, _)| Bucket(bucket))
    }

    /// The keys that were placed by hand, ascending.
    pub fn pins(&self) -> impl Iterator<Item = Pin<'_>> + '_ {
        self.pins.iter().flat_map(Pins::iter)
    }
}

impl fmt::Debug for ShardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardMap")
            .field("hash", &self.hash)
            .field("key_type", &self.key_type)
            .field("version", &self.version)
            .field("shards", &self.shards)
            .field("buckets", &self.buckets())
            .field("pins", &self.pins().count())
            .finish_non_exhaustive()
    }
}
