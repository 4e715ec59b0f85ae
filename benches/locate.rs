//! Key → shard, beside the bare hash and a table look-up.
//!
//! `cargo bench --bench locate`: criterion's figures, then the ratios by interleaved pairs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use pgshard::CustomerId;
use pgshard::id::ShardIndex;
use pgshard::routing::{HashFunction, Key, KeyType, Negative, ShardMap};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

#[path = "support/paired.rs"]
mod paired;

use paired::Paired;

const KEYS: usize = 4096;
const ROUNDS: usize = 500;
const PAIRS: usize = 41;

fn ids() -> Vec<CustomerId> {
    (0..KEYS as u64)
        .map(|n| CustomerId(Uuid::from_u64_pair(xxh3_64(&n.to_le_bytes()), n)))
        .collect()
}

/// Bare lookup3 over 16 bytes with PostgreSQL's seed, written straight down.
#[inline(always)]
fn lookup3(id: &Uuid) -> u64 {
    const START: u32 = 0x9e37_79b9_u32.wrapping_add(16).wrapping_add(3_923_095);
    let [
        x0,
        x1,
        x2,
        x3,
        y0,
        y1,
        y2,
        y3,
        z0,
        z1,
        z2,
        z3,
        w0,
        w1,
        w2,
        w3,
    ] = *id.as_bytes();
    // The seed's mix is the same for every key of 16 bytes.
    let (mut a, mut b, mut c) = const {
        let a = START.wrapping_add(0x7A5B_2236);
        let b = START.wrapping_add(0x7996_DCFD);
        mix(a, b, START)
    };
    a = a.wrapping_add(u32::from_le_bytes([x0, x1, x2, x3]));
    b = b.wrapping_add(u32::from_le_bytes([y0, y1, y2, y3]));
    c = c.wrapping_add(u32::from_le_bytes([z0, z1, z2, z3]));
    (a, b, c) = mix(a, b, c);
    a = a.wrapping_add(u32::from_le_bytes([w0, w1, w2, w3]));
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (u64::from(b) << 32 | u64::from(c)).wrapping_add(0x49a0_f4dd_15e5_a8e3)
}

#[inline(always)]
const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

/// Nanoseconds a call, over many calls that do not wait for each other's result.
fn time<K>(keys: &[K], mut call: impl FnMut(&K)) -> f64 {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for key in keys {
            call(black_box(key));
        }
    }
    start.elapsed().as_nanos() as f64 / (ROUNDS * keys.len()) as f64
}

fn map(hash: HashFunction, key_type: KeyType) -> ShardMap {
    ShardMap::builder(hash, key_type)
        .striped(4)
        .build()
        .unwrap()
}

fn table(map: &ShardMap) -> Box<[ShardIndex]> {
    (0..map.buckets())
        .map(|bucket| map.owner(pgshard::id::Bucket(bucket)).unwrap())
        .collect()
}

fn compare<K: Key>(name: &str, map: &ShardMap, keys: &[K], bare: impl Fn(&K) -> usize) -> Paired {
    let owners = table(map);
    for key in keys {
        assert_eq!(map.locate(key).unwrap().shard, owners[bare(key)]);
    }
    let paired = Paired::measure(
        PAIRS,
        || {
            time(keys, |key| {
                if let Ok(place) = black_box(map).locate(key) {
                    black_box(place.shard);
                }
            })
        },
        || {
            time(keys, |key| {
                black_box(black_box(&owners)[bare(key)]);
            })
        },
    );
    println!("{}", paired.row(name, "ns"));
    paired
}

fn main() {
    let ids = ids();
    let ints: Vec<i64> = ids.iter().map(|id| id.0.as_u64_pair().0 as i64).collect();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let prefix = HashFunction::UuidPrefix {
        modulus: 8,
        negative: Negative::Floor,
    };
    for (name, hash) in [
        ("pg", HashFunction::Pg),
        ("xxh3", HashFunction::Xxh3),
        ("prefix", prefix),
    ] {
        let map = map(hash, KeyType::Uuid);
        let mut next = 0;
        criterion.bench_function(&format!("locate/uuid/{name}"), |bench| {
            bench.iter(|| {
                next = (next + 1) % KEYS;
                map.locate(black_box(&ids[next]))
                    .map(|place| place.shard)
                    .ok()
            });
        });
    }
    println!("\n{}", Paired::head("locate", "bare + table"));
    let pg = map(HashFunction::Pg, KeyType::Uuid);
    compare("uuid pg", &pg, &ids, |id| lookup3(&id.0) as usize & 4095);
    let xxh3 = map(HashFunction::Xxh3, KeyType::Uuid);
    compare("uuid xxh3", &xxh3, &ids, |id| {
        xxh3_64(id.0.as_bytes()) as usize & 4095
    });
    let prefix = map(prefix, KeyType::Uuid);
    compare("uuid uuid-prefix", &prefix, &ids, |id| {
        let [a, b, c, d, ..] = *id.0.as_bytes();
        i32::from_be_bytes([a, b, c, d]).rem_euclid(black_box(8)) as usize
    });
    let xxh3 = map(HashFunction::Xxh3, KeyType::BigInt);
    compare("bigint xxh3", &xxh3, &ints, |n| {
        xxh3_64(&n.to_be_bytes()) as usize & 4095
    });
    criterion.final_summary();
}
