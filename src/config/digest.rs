//! The layout of a shard map as a short text, so that two processes can tell whether theirs agree.

use xxhash_rust::xxh3::Xxh3;

use super::Config;
use crate::id::{Bucket, ShardIndex};

impl Config {
    /// A digest of hash, key type, bucket → shard and pins, by the shards' names.
    ///
    /// `shardctl install` stores it with the map's version, and every connection compares it: a file
    /// whose shards were reordered, or joined by another, under the old version would place keys
    /// elsewhere without a word.
    pub fn layout_digest(&self) -> String {
        let name = |shard: ShardIndex| self.shards.get(shard.index()).map_or("", |s| s.id.as_str());
        let mut digest = Xxh3::new();
        digest.update(format!("{} {}\n", self.map.hash(), self.map.key_type()).as_bytes());
        for owner in (0..self.map.buckets()).filter_map(|b| self.map.owner(Bucket(b))) {
            digest.update(name(owner).as_bytes());
            digest.update(b"\n");
        }
        for pin in self.map.pins() {
            digest.update(format!("{}={}\n", pin.key, name(pin.shard)).as_bytes());
        }
        format!("{:016x}", digest.digest())
    }
}
