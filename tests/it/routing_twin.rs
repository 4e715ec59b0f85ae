//! Rust and SQL must place every key alike, and `pg` as PostgreSQL's own hash partitioning does.

use pgshard::id::ShardIndex;
use pgshard::local::LocalCluster;
use pgshard::routing::{HashFunction, Key, KeyRef, KeyType, MAX_BUCKETS, Negative, ShardMap, sql};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::{connect, start};

const KEYS: usize = 100_000;

/// A fixed pseudo-random sequence (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }
}

fn uuids() -> Vec<Uuid> {
    let known = [
        "00000000-0000-0000-0000-000000000000",
        "123e4567-e89b-12d3-a456-426614174000",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "80000000-0000-0000-0000-000000000000",
        "7fffffff-ffff-ffff-7fff-ffffffffffff",
    ];
    let mut random = Random(1);
    let known = known.iter().map(|id| id.parse().unwrap());
    let drawn = std::iter::repeat_with(|| Uuid::from_u64_pair(random.next(), random.next()));
    known.chain(drawn).take(KEYS).collect()
}

fn bigints() -> Vec<i64> {
    let edges = [
        0,
        1,
        -1,
        i64::MIN,
        i64::MAX,
        i64::from(i32::MIN),
        1 << 32,
        -(1 << 32),
    ];
    let mut random = Random(2);
    // As many small as large ones.
    let drawn = std::iter::repeat_with(|| random.next() as i64 >> (random.next() % 64));
    edges.into_iter().chain(drawn).take(KEYS).collect()
}

fn texts() -> Vec<String> {
    const ALPHABET: [char; 12] = [
        'a', 'Z', '0', ' ', '\'', '\\', 'é', 'ß', '\u{1}', '日', '🦀', '\u{fb01}',
    ];
    let mut random = Random(3);
    let mut lengths = (0..=300).cycle();
    let mut draw = |max: u64| {
        let length = lengths.next().unwrap_or_default().min(max);
        (0..length)
            .map(|_| ALPHABET[random.next() as usize % ALPHABET.len()])
            .collect()
    };
    // All lengths a few times, then short ones, as keys are.
    let long: Vec<String> = (0..3 * 301).map(|_| draw(300)).collect();
    long.into_iter()
        .chain(std::iter::repeat_with(|| draw(40)))
        .take(KEYS)
        .collect()
}

fn prefix(modulus: u32, negative: Negative) -> HashFunction {
    HashFunction::UuidPrefix { modulus, negative }
}

/// The bucket of every key, by Rust; negative for a key that is refused.
fn in_rust<K: Key>(map: &ShardMap, keys: &[K]) -> Vec<i32> {
    keys.iter()
        .map(|key| map.locate(key).map_or(-1, |place| place.bucket.0 as i32))
        .collect()
}

async fn same<K>(client: &Client, hash: HashFunction, key_type: KeyType, buckets: u32, keys: &[K])
where
    K: Key + ToSql + Sync,
{
    let mut map = ShardMap::builder(hash, key_type).striped(2);
    if !matches!(hash, HashFunction::UuidPrefix { .. }) {
        map = map.buckets(buckets);
    }
    let map = map.build().unwrap();
    let twin = sql::twin(&map);
    client.batch_execute(&twin.functions()).await.unwrap();
    let query = format!(
        "SELECT {}, pgshard.bucket(key) FROM unnest($1::{key_type}[]) AS key",
        twin.bucket_expression("key")
    );
    let rows = client.query(&query, &[&keys]).await.unwrap();
    assert_eq!(rows.len(), keys.len());
    for ((row, expected), key) in rows.iter().zip(in_rust(&map, keys)).zip(keys) {
        let (expression, function): (i32, i32) = (row.get(0), row.get(1));
        let context = format!("{hash} {key_type} {buckets} {}", key.key());
        assert_eq!(expression, function, "{context}");
        assert_eq!(expression.max(-1), expected, "{context}");
    }
    let null = format!(
        "SELECT {} FROM (SELECT NULL::{key_type}) AS t(key)",
        twin.bucket_expression("key")
    );
    assert_eq!(
        client
            .query_one(&null, &[])
            .await
            .unwrap()
            .get::<_, Option<i32>>(0),
        None
    );
}

/// A server with an empty schema `pgshard`, as the owner role sees it.
async fn server() -> (LocalCluster, Client) {
    let cluster = start(1, 0).await;
    let client = connect(cluster.owner_conninfo("s0a").unwrap()).await;
    client
        .batch_execute("CREATE SCHEMA pgshard; CREATE SCHEMA t")
        .await
        .unwrap();
    (cluster, client)
}

#[tokio::test]
async fn every_hash_is_the_same_in_rust_and_in_sql() {
    let (_cluster, client) = server().await;
    let (uuids, bigints, texts) = (uuids(), bigints(), texts());
    let few = KEYS / 20;
    for (buckets, count) in [(4096, KEYS), (2, few), (MAX_BUCKETS, few)] {
        for hash in [HashFunction::Pg, HashFunction::Xxh3] {
            same(&client, hash, KeyType::Uuid, buckets, &uuids[..count]).await;
            same(&client, hash, KeyType::BigInt, buckets, &bigints[..count]).await;
        }
        same(
            &client,
            HashFunction::Pg,
            KeyType::Text,
            buckets,
            &texts[..count],
        )
        .await;
    }
    use Negative::{Abs, Error, Floor, Unsigned};
    for negative in [Error, Abs, Floor, Unsigned] {
        same(&client, prefix(8, negative), KeyType::Uuid, 8, &uuids).await;
        for modulus in [3, 65_521] {
            same(
                &client,
                prefix(modulus, negative),
                KeyType::Uuid,
                modulus,
                &uuids[..few],
            )
            .await;
        }
    }
}

/// The function of the guide, word for word, for what `uuid-prefix` claims.
#[tokio::test]
async fn uuid_prefix_is_the_guides_function() {
    let (_cluster, client) = server().await;
    client
        .batch_execute(
            "CREATE FUNCTION t.shard_customer_id(uuid_val UUID) RETURNS INTEGER AS $$
             BEGIN
                 RETURN (('x' || substring(uuid_val::text, 1, 8))::bit(32)::int % 8);
             END;
             $$ LANGUAGE plpgsql IMMUTABLE",
        )
        .await
        .unwrap();
    let keys = &uuids()[..10_000];
    let rows = client
        .query(
            "SELECT t.shard_customer_id(key) FROM unnest($1::uuid[]) AS key",
            &[&keys],
        )
        .await
        .unwrap();
    let by = |negative| {
        let map = ShardMap::builder(prefix(8, negative), KeyType::Uuid).striped(8);
        in_rust(&map.build().unwrap(), keys)
    };
    let (error, abs, floor) = (by(Negative::Error), by(Negative::Abs), by(Negative::Floor));
    for (i, row) in rows.iter().enumerate() {
        let guide: i32 = row.get(0);
        assert_eq!(error[i], guide.max(-1), "{}", keys[i]);
        assert_eq!(abs[i], guide.abs(), "{}", keys[i]);
        assert_eq!(floor[i], guide.rem_euclid(8), "{}", keys[i]);
    }
}

async fn as_partitions<K: Key + ToSql + Sync>(client: &Client, key_type: KeyType, keys: &[K]) {
    let map = ShardMap::builder(HashFunction::Pg, key_type)
        .striped(2)
        .build()
        .unwrap();
    let table = format!("t.by_{key_type}");
    client
        .batch_execute(&format!(
            "CREATE TABLE {table} (at int, key {key_type}) PARTITION BY HASH (key)"
        ))
        .await
        .unwrap();
    // Against the check that a partition of modulus 4096 would have.
    let misplaced = client
        .query_one(
            &format!(
                "SELECT count(*) FROM unnest($1::{key_type}[], $2::int[]) AS k(key, bucket)
                 WHERE NOT satisfies_hash_partition('{table}'::regclass, 4096, bucket, key)"
            ),
            &[&keys, &in_rust(&map, keys)],
        )
        .await
        .unwrap();
    assert_eq!(misplaced.get::<_, i64>(0), 0, "{key_type}");
    // Against where rows really go, for a modulus of which 4096 is a multiple.
    for n in 0..8 {
        client
            .batch_execute(&format!(
                "CREATE TABLE {table}_{n} PARTITION OF {table} FOR VALUES WITH (MODULUS 8, REMAINDER {n})"
            ))
            .await
            .unwrap();
    }
    let ordered = format!(
        "INSERT INTO {table} SELECT at, key FROM unnest($1::{key_type}[]) WITH ORDINALITY AS k(key, at)"
    );
    client.execute(&ordered, &[&keys]).await.unwrap();
    let rows = client
        .query(
            &format!("SELECT right(tableoid::regclass::text, 1)::int FROM {table} ORDER BY at"),
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), keys.len());
    for ((row, bucket), key) in rows.iter().zip(in_rust(&map, keys)).zip(keys) {
        assert_eq!(row.get::<_, i32>(0), bucket % 8, "{}", key.key());
    }
}

#[tokio::test]
async fn pg_is_postgresqls_hash_partitioning() {
    let (_cluster, client) = server().await;
    as_partitions(&client, KeyType::Uuid, &uuids()).await;
    as_partitions(&client, KeyType::BigInt, &bigints()).await;
    as_partitions(&client, KeyType::Text, &texts()).await;
}

#[tokio::test]
async fn every_key_belongs_to_exactly_one_shard() {
    let (_cluster, client) = server().await;
    let keys = &uuids()[..2_000];
    let owners: Vec<_> = (0..64)
        .map(|bucket| ShardIndex([0, 2, 1, 2, 0][bucket % 5]))
        .collect();
    let free = ShardMap::builder(HashFunction::Pg, KeyType::Uuid);
    let striped = free.clone().buckets(64).striped(3);
    let explicit = free.buckets(64).owners(3, owners);
    let xxh3 = ShardMap::builder(HashFunction::Xxh3, KeyType::Uuid).striped(3);
    let guide = ShardMap::builder(prefix(8, Negative::Abs), KeyType::Uuid).striped(3);
    for map in [striped, explicit, xxh3, guide] {
        let pinned = keys[..20].iter().enumerate();
        let pinned = pinned.fold(map.clone(), |map, (i, key)| {
            map.pin(key, ShardIndex((i % 3) as u16))
        });
        for map in [map.build().unwrap(), pinned.build().unwrap()] {
            let twin = sql::twin(&map);
            client.batch_execute(&twin.functions()).await.unwrap();
            let check = |shard| twin.placement_check("key", ShardIndex(shard)).unwrap();
            let query = format!(
                "SELECT {}, {}, {} FROM unnest($1::uuid[]) AS key",
                check(0),
                check(1),
                check(2)
            );
            let rows = client.query(&query, &[&keys]).await.unwrap();
            for (row, key) in rows.iter().zip(keys) {
                let shard = map.locate(key).unwrap().shard;
                for s in 0..3 {
                    assert_eq!(row.get::<_, bool>(s), s == shard.index(), "{key} {map:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_server_refuses_a_misplaced_row() {
    let (_cluster, client) = server().await;
    for hash in [
        HashFunction::Pg,
        HashFunction::Xxh3,
        prefix(8, Negative::Error),
    ] {
        let map = ShardMap::builder(hash, KeyType::Uuid)
            .striped(2)
            .build()
            .unwrap();
        let twin = sql::twin(&map);
        let check = twin.placement_check("key", ShardIndex(1)).unwrap();
        client
            .batch_execute(&format!(
                "{}DROP TABLE IF EXISTS t.placed; CREATE TABLE t.placed (key uuid, CHECK ({check}))",
                twin.functions()
            ))
            .await
            .unwrap();
        let code = async |key: Option<Uuid>| {
            let error = client
                .execute("INSERT INTO t.placed VALUES ($1)", &[&key])
                .await
                .err()?;
            error.code().map(|code| code.code().to_owned())
        };
        assert_eq!(code(None).await.as_deref(), Some("23514"), "{hash}");
        for key in &uuids()[..200] {
            let here = map
                .locate(key)
                .is_ok_and(|place| place.shard == ShardIndex(1));
            let expected = (!here).then_some("23514");
            assert_eq!(code(Some(*key)).await.as_deref(), expected, "{hash} {key}");
        }
    }
}

/// What `bucket_of` takes is SQL, so that a query can name the key's table.
#[tokio::test]
async fn texts_hash_by_their_bytes_whatever_the_collation() {
    let (_cluster, client) = server().await;
    let map = ShardMap::builder(HashFunction::Pg, KeyType::Text)
        .striped(2)
        .build()
        .unwrap();
    // A server without ICU has at least ucs_basic.
    let collation: String = client
        .query_one(
            "SELECT collname::text FROM pg_collation
             WHERE collname IN ('en-US-x-icu', 'ucs_basic') ORDER BY collname LIMIT 1",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let query = format!(
        "SELECT {} FROM (SELECT $1::text COLLATE \"{collation}\" AS key) AS t",
        sql::twin(&map).bucket_of("t.key")
    );
    for key in ["", "Ünïcode", "STRASSE", "straße"] {
        let row = client.query_one(&query, &[&key]).await.unwrap();
        let place = map.locate(&KeyRef::Text(key)).unwrap();
        assert_eq!(row.get::<_, i32>(0), place.bucket.0 as i32, "{key}");
    }
}
