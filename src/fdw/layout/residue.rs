//! The shard map as classes of remainders, which is how PostgreSQL partitions by hash: no I/O.

use crate::error::{Error, Result};
use crate::id::{Bucket, ShardIndex};
use crate::routing::{HashFunction, ShardMap};

/// More partitions than this would cost every plan more than pruning saves.
const MOST: usize = 64;

/// The keys whose hash leaves a remainder, modulo a power of two: all of them one shard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) modulus: u32,
    pub(super) remainder: u32,
    pub(super) shard: ShardIndex,
}

/// The coarsest classes that each belong to one shard, one a shard.
///
/// A foreign table has all rows of its shard, so as the partition of one class of several it would
/// show the others' rows too, once each. PostgreSQL has no way to hold a foreign partition to its
/// bound; so a shard of several classes is refused.
pub(super) fn classes(map: &ShardMap) -> Result<Vec<Class>> {
    if map.hash() != HashFunction::Pg {
        return Err(refused(format!(
            "the keys are placed by {}, and PostgreSQL partitions by its own hash, which is hash = \
             \"pg\"",
            map.hash()
        )));
    }
    if let Some(pin) = map.pins().next() {
        return Err(refused(format!(
            "keys are pinned ({} among them), which PostgreSQL would look for where they hash to",
            pin.key
        )));
    }
    let mut classes = Vec::new();
    split(map, 1, 0, &mut classes);
    if classes.len() > MOST {
        return Err(refused(format!(
            "the shards own more than {MOST} classes of remainders: PostgreSQL's moduli fit shards \
             whose number is a power of two, or that were split from such"
        )));
    }
    for (n, class) in classes.iter().enumerate() {
        let other = classes
            .iter()
            .take(n)
            .find(|other| other.shard == class.shard);
        if let Some(other) = other {
            return Err(refused(format!(
                "shard number {} owns several classes of remainders ({} modulo {} and {} modulo {}), \
                 and a foreign table cannot be held to one of them: each would show the whole shard",
                class.shard.index(),
                other.remainder,
                other.modulus,
                class.remainder,
                class.modulus
            )));
        }
    }
    Ok(classes)
}

fn refused(reason: String) -> Error {
    Error::refused(format!(
        "the layout `partitions` does not fit this shard map: {reason}. Use the layout `views`"
    ))
}

/// Halves a class until one shard owns it; stops when there are too many.
fn split(map: &ShardMap, modulus: u32, remainder: u32, classes: &mut Vec<Class>) {
    if classes.len() > MOST {
        return;
    }
    let Some(shard) = map.owner(Bucket(remainder)) else {
        return;
    };
    let step = usize::try_from(modulus).unwrap_or(usize::MAX);
    let mut buckets = (remainder..map.buckets()).step_by(step);
    if buckets.all(|bucket| map.owner(Bucket(bucket)) == Some(shard)) {
        classes.push(Class {
            modulus,
            remainder,
            shard,
        });
        return;
    }
    split(map, modulus * 2, remainder, classes);
    split(map, modulus * 2, remainder + modulus, classes);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::routing::KeyType;

    fn map(owners: &[u16]) -> ShardMap {
        let shards = owners.iter().max().unwrap() + 1;
        let owners: Vec<_> = owners.iter().map(|shard| ShardIndex(*shard)).collect();
        let builder = ShardMap::builder(HashFunction::Pg, KeyType::Uuid);
        let builder = builder.buckets(u32::try_from(owners.len()).unwrap());
        builder.owners(shards, owners).build().unwrap()
    }

    fn striped(shards: u16) -> ShardMap {
        let builder = ShardMap::builder(HashFunction::Pg, KeyType::Uuid);
        builder.striped(shards).build().unwrap()
    }

    fn plain(map: &ShardMap) -> Vec<(u32, u32, u16)> {
        let classes = classes(map).unwrap();
        let plain = classes.iter();
        plain
            .map(|class| (class.modulus, class.remainder, class.shard.0))
            .collect()
    }

    #[test]
    fn powers_of_two() {
        assert_eq!(plain(&striped(1)), [(1, 0, 0)]);
        assert_eq!(plain(&striped(2)), [(2, 0, 0), (2, 1, 1)]);
        assert_eq!(
            plain(&striped(4)),
            [(4, 0, 0), (4, 2, 2), (4, 1, 1), (4, 3, 3)]
        );
        assert_eq!(plain(&striped(64)).len(), 64);
    }

    #[test]
    fn a_shard_that_was_split() {
        // The odd half was split once more: moduli differ, and each divides the next.
        assert_eq!(
            plain(&map(&[0, 1, 0, 2, 0, 1, 0, 2])),
            [(2, 0, 0), (4, 1, 1), (4, 3, 2)]
        );
    }

    /// Every bucket is in exactly one class, and that is its owner's.
    #[test]
    fn classes_are_the_map() {
        for map in [striped(8), map(&[0, 1, 0, 2, 0, 1, 0, 3])] {
            let classes = classes(&map).unwrap();
            for bucket in 0..map.buckets() {
                let holds = |class: &&Class| bucket % class.modulus == class.remainder;
                let found: Vec<_> = classes.iter().filter(holds).collect();
                assert_eq!(found.len(), 1);
                assert_eq!(Some(found[0].shard), map.owner(Bucket(bucket)));
            }
        }
    }

    #[test]
    fn refusals_say_why() {
        let text = |map: &ShardMap| classes(map).unwrap_err().to_string();
        assert!(text(&striped(3)).contains("more than 64 classes"));
        let several = text(&map(&[0, 0, 1, 1]));
        assert!(several.contains("0 modulo 4 and 1 modulo 4"), "{several}");
        let prefix = ShardMap::builder(HashFunction::Xxh3, KeyType::Uuid);
        assert!(text(&prefix.striped(2).build().unwrap()).contains("placed by xxh3"));
        let pinned = ShardMap::builder(HashFunction::Pg, KeyType::Uuid).striped(2);
        let pinned = pinned.pin(&Uuid::nil(), ShardIndex(1)).build().unwrap();
        assert!(text(&pinned).contains("pinned"));
    }
}
