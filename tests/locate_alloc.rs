//! Routing a key does not allocate.

use std::hint::black_box;

use pgshard::id::ShardIndex;
use pgshard::routing::{HashFunction, KeyRef, KeyType, Negative, ShardMap};
use uuid::Uuid;

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;

#[test]
fn the_allocator_counts() {
    let (count, _) = allocations(|| black_box(vec![1_u8; 100]));
    assert_eq!(count, 1);
}

#[test]
fn locate_does_not_allocate() {
    let prefix = HashFunction::UuidPrefix {
        modulus: 8,
        negative: Negative::Abs,
    };
    let id = KeyRef::Uuid(Uuid::from_u128(7));
    let text = "a customer's name that is longer than twelve bytes";
    let cases = [
        (HashFunction::Pg, id),
        (HashFunction::Xxh3, id),
        (prefix, id),
        (HashFunction::Pg, KeyRef::BigInt(-7)),
        (HashFunction::Xxh3, KeyRef::BigInt(-7)),
        (HashFunction::Pg, KeyRef::Text(text)),
    ];
    for (hash, key) in cases {
        let builder = ShardMap::builder(hash, key.key_type()).striped(4);
        for map in [
            builder.clone().build().unwrap(),
            builder.pin(&key, ShardIndex(1)).build().unwrap(),
        ] {
            let (count, place) = allocations(|| map.locate(black_box(&key)));
            assert_eq!(count, 0, "{hash} {key}");
            place.unwrap();
        }
    }
    let map = ShardMap::builder(HashFunction::Pg, KeyType::Uuid).striped(4);
    let map = map.build().unwrap();
    let (count, error) = allocations(|| map.locate("not a uuid"));
    assert!(count > 0 && error.is_err(), "only a failure allocates");
}
