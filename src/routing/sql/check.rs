//! Where a row may be: conditions on the key column.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::id::{Bucket, ShardIndex};
use crate::routing::{KeyRef, Pin};
use crate::sql::{ident, literal};

use super::Twin;

impl Twin<'_> {
    /// A condition that a row's key belongs to a shard, pins included: for a CHECK constraint of
    /// the shard's table, or to find rows that are on the wrong shard (`WHERE NOT (…)`).
    ///
    /// It is never NULL: a NULL key belongs to no shard.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no such shard.
    pub fn placement_check(&self, column: &str, shard: ShardIndex) -> Result<String> {
        if shard.0 >= self.map.shards() {
            return Err(Error::config(format!(
                "there is no shard number {}: the shards are numbered 0 to {}",
                shard.0,
                self.map.shards() - 1
            )));
        }
        let column = ident(column).to_string();
        let mut check = format!("{column} IS NOT NULL AND ");
        let owned = self.owned(&self.bucket_of(&column), shard);
        let pins: Vec<Pin<'_>> = self.map.pins().collect();
        let here = |pin: &&Pin<'_>| pin.shard == shard;
        // A pin to the bucket's own shard changes nothing.
        let owner = |pin: &&Pin<'_>| self.map.owner(pin.bucket) == Some(shard);
        let added = keys(pins.iter().filter(here).filter(|pin| !owner(pin)));
        let taken = keys(pins.iter().filter(|pin| !here(pin)).filter(owner));
        match (added, taken) {
            (None, None) => check += &owned,
            (Some(added), None) => {
                let _ = write!(check, "({owned} OR {column} = ANY ({added}))");
            }
            (None, Some(taken)) => {
                let _ = write!(check, "{owned} AND {column} <> ALL ({taken})");
            }
            (Some(added), Some(taken)) => {
                let _ = write!(
                    check,
                    "(({owned} AND {column} <> ALL ({taken})) OR {column} = ANY ({added}))"
                );
            }
        }
        Ok(check)
    }

    fn owned(&self, bucket: &str, shard: ShardIndex) -> String {
        let shards = u32::from(self.map.shards());
        let buckets: Vec<Bucket> = self.map.buckets_of(shard).collect();
        let striped = |(bucket, owner): (u32, ShardIndex)| {
            (owner == shard) == (bucket % shards == u32::from(shard.0))
        };
        let all = (0..self.map.buckets()).zip(self.map.owners.iter().copied());
        if buckets.is_empty() {
            "false".to_owned()
        } else if buckets.len() == self.map.buckets() as usize {
            // Also refuses what no shard owns.
            format!("{bucket} >= 0")
        } else if all.into_iter().all(striped) {
            format!("{bucket} % {shards} = {}", shard.0)
        } else {
            let list: Vec<String> = buckets.iter().map(Bucket::to_string).collect();
            format!("{bucket} = ANY ('{{{}}}'::int[])", list.join(","))
        }
    }
}

fn keys<'a, 'k: 'a>(pins: impl Iterator<Item = &'a Pin<'k>>) -> Option<String> {
    let mut list = String::new();
    for pin in pins {
        list += if list.is_empty() { "ARRAY[" } else { ", " };
        let _ = match pin.key {
            KeyRef::Uuid(id) => write!(list, "'{id}'::uuid"),
            KeyRef::BigInt(value) => write!(list, "'{value}'::bigint"),
            KeyRef::Text(text) => write!(list, "{}::text", literal(text)),
        };
    }
    (!list.is_empty()).then(|| list + "]")
}

#[cfg(test)]
mod tests {
    use crate::id::ShardIndex;
    use crate::routing::{HashFunction, KeyType, ShardMap, sql};

    fn check(map: &ShardMap, shard: u16) -> String {
        let check = sql::twin(map)
            .placement_check("k", ShardIndex(shard))
            .unwrap();
        let check = check.strip_prefix("\"k\" IS NOT NULL AND ").unwrap();
        check.replace(&sql::twin(map).bucket_expression("k"), "B")
    }

    #[test]
    fn conditions() {
        let pg = || ShardMap::builder(HashFunction::Pg, KeyType::Text).buckets(4);
        let s = ShardIndex;
        assert_eq!(check(&pg().striped(1).build().unwrap(), 0), "B >= 0");
        assert_eq!(check(&pg().striped(3).build().unwrap(), 2), "B % 3 = 2");
        let moved = pg().owners(3, [s(0), s(1), s(0), s(0)]).build().unwrap();
        assert_eq!(check(&moved, 0), "B = ANY ('{0,2,3}'::int[])");
        assert_eq!(check(&moved, 2), "false");
        assert!(sql::twin(&moved).placement_check("k", s(3)).is_err());
    }

    #[test]
    fn pins_are_in_the_conditions() {
        let free = ShardMap::builder(HashFunction::Pg, KeyType::Text);
        let free = free.buckets(4).striped(2).build().unwrap();
        let home = |key: &str| free.locate(key).unwrap().shard;
        let on = |shard| {
            (0..)
                .map(|n| format!("it's {n}"))
                .find(|k| home(k.as_str()) == shard)
        };
        let (a, b) = (on(ShardIndex(0)).unwrap(), on(ShardIndex(1)).unwrap());
        let map = |pins: &[(&str, u16)]| {
            let map = ShardMap::builder(HashFunction::Pg, KeyType::Text);
            let map = map.buckets(4).striped(2);
            pins.iter()
                .fold(map, |map, (key, s)| map.pin(*key, ShardIndex(*s)))
                .build()
                .unwrap()
        };
        let quoted = |key: &str| format!("ARRAY['{}'::text]", key.replace('\'', "''"));
        let (qa, qb) = (quoted(&a), quoted(&b));
        assert_eq!(check(&map(&[(&a, 0)]), 0), "B % 2 = 0");
        assert_eq!(
            check(&map(&[(&a, 1)]), 0),
            format!("B % 2 = 0 AND \"k\" <> ALL ({qa})")
        );
        assert_eq!(
            check(&map(&[(&a, 1)]), 1),
            format!("(B % 2 = 1 OR \"k\" = ANY ({qa}))")
        );
        assert_eq!(
            check(&map(&[(&a, 1), (&b, 0)]), 1),
            format!("((B % 2 = 1 AND \"k\" <> ALL ({qb})) OR \"k\" = ANY ({qa}))")
        );
    }
}
