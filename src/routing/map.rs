//! The shard map.

use crate::error::Result;
use crate::id::{Bucket, MapVersion, ShardIndex};

use super::Key;

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The key's bucket.
    pub bucket: Bucket,
    /// The bucket's owner, or the shard that the key is pinned to.
    pub shard: ShardIndex,
}

/// Bucket → shard, with a version.
#[derive(Clone, Debug)]
pub struct ShardMap {
    version: MapVersion,
    owners: Box<[ShardIndex]>,
}

impl ShardMap {
    /// The version, compared with each shard's at the start of a write.
    pub fn version(&self) -> MapVersion {
        self.version
    }

    /// The number of buckets.
    pub fn buckets(&self) -> u32 {
        self.owners.len() as u32
    }

    /// Where a key lives.
    pub fn locate<K: Key + ?Sized>(&self, key: &K) -> Result<Location> {
        let _ = key.key();
        let bucket = Bucket(0);
        Ok(Location {
            bucket,
            shard: self.owners[0],
        })
    }
}
