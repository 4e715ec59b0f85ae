use super::*;
use crate::ErrorKind;
use crate::routing::Negative;

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn pg() -> ShardMapBuilder {
    ShardMap::builder(HashFunction::Pg, KeyType::Uuid)
}

fn prefix(modulus: u32, negative: Negative) -> ShardMapBuilder {
    ShardMap::builder(
        HashFunction::UuidPrefix { modulus, negative },
        KeyType::Uuid,
    )
}

#[test]
fn a_striped_map_covers_every_bucket() {
    let map = pg().striped(3).build().unwrap();
    assert_eq!((map.buckets(), map.shards()), (4096, 3));
    let of = |s| map.buckets_of(ShardIndex(s)).collect::<Vec<_>>();
    assert_eq!(of(0).len() + of(1).len() + of(2).len(), 4096);
    assert_eq!(of(2).first(), Some(&Bucket(2)));
    assert_eq!(map.owner(Bucket(4095)), Some(ShardIndex(0)));
    assert_eq!(map.owner(Bucket(4096)), None);
    assert_eq!(of(3), []);
}

#[test]
fn wrong_maps_are_refused() {
    let s = ShardIndex;
    let text = |hash| ShardMap::builder(hash, KeyType::Text).striped(1);
    let cases = [
        ("no shards", pg()),
        ("power of two", pg().buckets(1000).striped(2)),
        ("power of two", pg().buckets(0).striped(2)),
        ("power of two", pg().buckets(1 << 21).striped(2)),
        ("only 2 buckets", pg().buckets(2).striped(3)),
        ("every bucket", pg().buckets(4).owners(2, [s(0), s(1)])),
        ("bucket 1 belongs", pg().buckets(2).owners(2, [s(0), s(2)])),
        (
            "pinned to shard number 2",
            pg().striped(2).pin(&uuid(1), s(2)),
        ),
        (
            "pinned twice",
            pg().striped(2).pin(&uuid(1), s(0)).pin(&uuid(1), s(1)),
        ),
        ("map version is 0", pg().striped(2).version(MapVersion(0))),
        ("modulus is 0", prefix(0, Negative::Abs).striped(1)),
        (
            "has 8 buckets",
            prefix(8, Negative::Abs).buckets(16).striped(1),
        ),
        ("does not take text", text(HashFunction::Xxh3)),
    ];
    for (message, builder) in cases {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
    let error = pg().striped(2).pin(&1_i64, s(0)).build().unwrap_err();
    assert!(error.to_string().contains("is of type bigint"), "{error}");
    let many = (0..=MAX_PINS as u128).fold(pg().striped(2), |map, n| map.pin(&uuid(n), s(0)));
    assert!(
        many.build()
            .unwrap_err()
            .to_string()
            .contains("at most 1000")
    );
}

#[test]
fn a_key_of_another_type_is_unroutable() {
    let map = pg().striped(4).build().unwrap();
    let text = uuid(7).to_string();
    for error in [
        map.locate(&7_i64).unwrap_err(),
        map.locate(&text).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unroutable, "{error}");
        assert!(error.has(crate::Label::NOT_SENT));
    }
    assert_eq!(
        map.locate(&uuid(7)).unwrap(),
        map.locate(&KeyRef::Uuid(uuid(7))).unwrap()
    );
}

#[test]
fn pins_win_over_the_hash_and_keep_the_bucket() {
    let free = pg().striped(4).build().unwrap();
    let (a, b) = (uuid(11), uuid(3));
    let map = pg()
        .striped(4)
        .pin(&a, ShardIndex(1))
        .pin(&b, ShardIndex(2))
        .build()
        .unwrap();
    assert_eq!(map.locate(&a).unwrap().shard, ShardIndex(1));
    assert_eq!(
        map.locate(&a).unwrap().bucket,
        free.locate(&a).unwrap().bucket
    );
    assert_eq!(
        map.locate(&uuid(12)).unwrap(),
        free.locate(&uuid(12)).unwrap()
    );
    let keys: Vec<_> = map.pins().map(|pin| (pin.key, pin.shard)).collect();
    assert_eq!(
        keys,
        [
            (KeyRef::Uuid(b), ShardIndex(2)),
            (KeyRef::Uuid(a), ShardIndex(1))
        ]
    );
}

#[test]
fn texts_and_integers_route() {
    let text = ShardMap::builder(HashFunction::Pg, KeyType::Text).striped(4);
    let text = text.pin("acme", ShardIndex(3)).build().unwrap();
    assert_eq!(text.locate("acme").unwrap().shard, ShardIndex(3));
    assert!(text.locate("").is_ok());
    let int = ShardMap::builder(HashFunction::Xxh3, KeyType::BigInt)
        .striped(4)
        .build()
        .unwrap();
    assert_eq!(int.locate(&-5_i32).unwrap(), int.locate(&-5_i64).unwrap());
}

#[test]
fn a_negative_prefix_is_refused_if_the_rule_says_so() {
    let map = prefix(8, Negative::Error).striped(4).build().unwrap();
    assert_eq!(map.buckets(), 8);
    let error = map.locate(&uuid(u128::MAX)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unroutable);
    assert!(
        error.to_string().contains("uuid-prefix(8, error)"),
        "{error}"
    );
}
