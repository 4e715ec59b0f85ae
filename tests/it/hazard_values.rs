//! Keys that have no place are refused, never broadcast (peers: NULL keys and unknown keys go to
//! every shard; SPQR, PgDog), and values that do not fit are errors, where `Row::get` panics
//! (rust-postgres: row.rs).

use pgshard::routing::{HashFunction, KeyType, Negative, ShardMap};
use pgshard::{CustomerId, ErrorKind, FromRow, Label};
use uuid::Uuid;

use crate::support::{client, installed};

pgshard::row! {
    #[derive(Debug)]
    struct Named {
        full_name: String,
        missing: Option<i32>,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_refused_or_read() {
    let (_local, config) = installed(2, 0).await;
    let cluster = client(config).await;
    // Of another type than the map's.
    for error in [
        cluster.session(&7_i64).unwrap_err(),
        cluster.session("text").unwrap_err(),
        cluster.locate(&7_i64).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unroutable, "{error:?}");
        assert!(!error.has(Label::RETRYABLE));
    }
    let batch = cluster.batch(&[1_i64, 2]);
    let rows = batch.query::<(i64,)>("SELECT 1", "x").await;
    assert_eq!(rows.unwrap_err().kind(), ErrorKind::Unroutable);

    let read = cluster.session(&CustomerId(Uuid::nil())).unwrap().read();
    let decode = |error: pgshard::Error| {
        assert_eq!(error.kind(), ErrorKind::Decode, "{error:?}");
        assert!(!error.has(Label::RETRYABLE));
        error.to_string()
    };
    // NULL, another type, a missing column, too few or too many rows.
    let text = decode(
        read.query_one::<(String,)>("SELECT NULL::text AS a", &[])
            .await
            .unwrap_err(),
    );
    assert!(text.contains("a text"), "{text}");
    assert!(text.contains("Option"), "{text}");
    // The driver cannot send it: no fault of the connection.
    decode(read.rows("SELECT 'a\0b'", &[]).await.unwrap_err());
    let absent: (Option<String>,) = read.query_one("SELECT NULL::text", &[]).await.unwrap();
    assert_eq!(absent.0, None);
    decode(
        read.query_one::<(i64,)>("SELECT 1::int4", &[])
            .await
            .unwrap_err(),
    );
    decode(read.query::<(i32, i32)>("SELECT 1", &[]).await.unwrap_err());
    decode(
        read.query::<Named>("SELECT 'Ada' AS full_name", &[])
            .await
            .unwrap_err(),
    );
    decode(
        read.query_one::<(i32,)>("SELECT 1 WHERE false", &[])
            .await
            .unwrap_err(),
    );
    decode(
        read.query_opt::<(i32,)>("SELECT generate_series(1, 2)", &[])
            .await
            .unwrap_err(),
    );
    // Parameters: too few, too many, of another type. The connection is as good as before.
    decode(read.rows("SELECT $1::int4", &[]).await.unwrap_err());
    decode(read.rows("SELECT 1", &[&1_i32]).await.unwrap_err());
    decode(read.rows("SELECT $1::int4", &[&"x"]).await.unwrap_err());
    // Rows without columns, and columns of one name.
    let rows = read
        .rows("SELECT FROM generate_series(1, 3)", &[])
        .await
        .unwrap();
    assert!(
        rows.iter()
            .all(|row| <(i32,)>::from_row(&row.into()).is_err())
    );
    // In a batch: the key's column is NULL, of another type, or not there.
    let ids = [CustomerId(Uuid::nil())];
    for sql in [
        "SELECT NULL::uuid AS id WHERE $1::uuid[] IS NOT NULL",
        "SELECT 1 AS id WHERE $1::uuid[] IS NOT NULL",
        "SELECT 1 AS other WHERE $1::uuid[] IS NOT NULL",
    ] {
        let rows = cluster
            .batch(&ids)
            .query::<(Option<Uuid>,)>(sql, "id")
            .await;
        decode(rows.unwrap_err());
    }
    // A row of a key that nobody asked for is not given to anyone, nor left out.
    let rows = cluster
        .batch(&ids)
        .query::<(Uuid,)>(
            "SELECT gen_random_uuid() AS id WHERE $1::uuid[] IS NOT NULL",
            "id",
        )
        .await;
    assert_eq!(rows.unwrap_err().kind(), ErrorKind::Refused);
    cluster.close().await;

    // A hash that refuses some of the keys.
    let map = ShardMap::builder(
        HashFunction::UuidPrefix {
            modulus: 3,
            negative: Negative::Error,
        },
        KeyType::Uuid,
    )
    .striped(3)
    .build()
    .unwrap();
    assert!(map.locate(&Uuid::from_u128(1)).is_ok());
    let error = map.locate(&Uuid::from_u128(u128::MAX)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unroutable);
}
