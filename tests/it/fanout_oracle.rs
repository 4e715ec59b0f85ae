//! A merged answer is what one database with all the rows would have answered.
//!
//! The same rows are on three shards and, as a whole, in one plain table: the oracle. Answers are
//! compared byte by byte. It covers what went wrong elsewhere: NULL groups, NULLS FIRST and LAST,
//! MIN and MAX of timestamps off by their fraction, sums of differences of one shard only, text
//! ordered by bytes, IN lists answered by one shard.

use std::time::Duration;

use futures::TryStreamExt;
use pgshard::Cluster;
use pgshard::fanout::{Aggregate, GroupKey, Merge, SortKey};
use pgshard::local::LocalCluster;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, Type};

use crate::support::{installed, owner};

/// A value's bytes, whatever its type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

type Cells = Vec<Option<Raw>>;

struct World {
    _local: LocalCluster,
    cluster: Cluster,
    oracle: Client,
}

async fn world() -> World {
    let (local, config) = installed(3, 0).await;
    let make = "CREATE SCHEMA f; GRANT USAGE ON SCHEMA f TO app;
        CREATE TYPE f.mood AS ENUM ('sad', 'calm', 'glad');
        CREATE TABLE f.rows (
            shard int, i2 int2, i4 int4, i8 int8, n numeric, money numeric(20,2), f4 float4, f8 float8,
            b bool, u uuid, d date, t time, ts timestamp, tz timestamptz, y bytea,
            txt text COLLATE \"C\", other text, m f.mood);
        GRANT SELECT ON f.rows TO app;
        SELECT setseed(0.25);";
    let oracle = owner(&local, "s0a").await;
    oracle.batch_execute(make).await.unwrap();
    // Few values, so that there are ties, groups on several shards and many NULLs.
    let fill = "CREATE TABLE f.whole AS SELECT (g % 3) AS shard,
            (CASE WHEN random() < .9 THEN random() * 6 - 3 END)::int2 AS i2,
            (CASE WHEN random() < .8 THEN random() * 40 - 20 END)::int4 AS i4,
            (CASE WHEN random() < .8 THEN (random() - .5) * 9e15 END)::int8 AS i8,
            (CASE WHEN random() < .8 THEN (random() - .5) * 10 ^ (random() * 20)::int END)::numeric AS n,
            (CASE WHEN random() < .9 THEN (random() - .5) * 1e9 END)::numeric(20,2) AS money,
            (CASE WHEN random() < .8 THEN (random() * 8)::int / 4.0 - 1 END)::float4 AS f4,
            (CASE WHEN random() < .1 THEN 'NaN' WHEN random() < .1 THEN '-Infinity'
                  WHEN random() < .2 THEN '-0' WHEN random() < .8 THEN (random() * 9)::int - 4.5 END)::float8 AS f8,
            CASE WHEN random() < .8 THEN random() < .5 END AS b,
            CASE WHEN random() < .8 THEN md5((random() * 99)::int::text)::uuid END AS u,
            CASE WHEN random() < .1 THEN 'infinity' WHEN random() < .8 THEN date '2024-01-01' + (random() * 30)::int END::date AS d,
            CASE WHEN random() < .8 THEN time '12:00' + random() * interval '1 hour' END AS t,
            CASE WHEN random() < .8 THEN timestamp '1999-12-31 23:00' + random() * interval '2 hours' END AS ts,
            CASE WHEN random() < .1 THEN '-infinity' WHEN random() < .8 THEN timestamptz '2024-01-01' + random() * interval '1 second' END::timestamptz AS tz,
            CASE WHEN random() < .8 THEN decode(md5((random() * 50)::int::text), 'hex') END AS y,
            CASE WHEN random() < .8 THEN left((ARRAY['', 'a', 'B', 'é', 'Z', '_'])[1 + (random() * 5)::int] || md5(random()::text), (random() * 3)::int) END COLLATE \"C\" AS txt,
            (ARRAY['straße', 'Straße', 'STRASSE', NULL])[1 + (random() * 3)::int] AS other,
            (ARRAY['sad', 'calm', 'glad', NULL])[1 + (random() * 3)::int]::f.mood AS m
        FROM generate_series(1, 3000) g";
    oracle.batch_execute(fill).await.unwrap();
    // Type numbers of the enum differ between servers.
    for (i, shard) in local.shards().iter().enumerate() {
        let node = shard.primary().id().as_str().to_owned();
        let session = owner(&local, &node).await;
        if i > 0 {
            session
                .batch_execute("CREATE TABLE public.shifts_oids (i int)")
                .await
                .unwrap();
            session.batch_execute(make).await.unwrap();
        }
        let part = format!("COPY (SELECT * FROM f.whole WHERE shard = {i}) TO STDOUT");
        let part = oracle.copy_out(&part).await.unwrap();
        let data: Vec<_> = part.try_collect().await.unwrap();
        let sink = session.copy_in("COPY f.rows FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        for chunk in data {
            futures::SinkExt::send(&mut sink, chunk).await.unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), 1000);
    }
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    World {
        _local: local,
        cluster,
        oracle,
    }
}

impl World {
    async fn merged(&self, sql: &str, merge: impl Into<Merge>) -> Vec<Cells> {
        let sql = sql.replace("FROM t", "FROM f.rows");
        let mut rows = self.cluster.fan_out(&sql, &[], merge).stream().unwrap();
        let mut out = Vec::new();
        while let Some(row) = rows.next().await {
            let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"));
            let row = row.row();
            out.push(
                (0..row.columns().len())
                    .map(|i| row.at(i).unwrap())
                    .collect(),
            );
        }
        assert!(rows.report().is_complete());
        out
    }

    async fn expected(&self, sql: &str) -> Vec<Cells> {
        let sql = sql.replace("FROM t", "FROM f.whole");
        let rows = self
            .oracle
            .query(&sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter()
            .map(|row| (0..row.len()).map(|i| row.get(i)).collect())
            .collect()
    }

    /// Compares rows in their order.
    async fn same(&self, sql: &str, merge: impl Into<Merge>) {
        let (merged, expected) = (self.merged(sql, merge).await, self.expected(sql).await);
        assert!(!expected.is_empty(), "{sql}");
        assert_eq!(merged.len(), expected.len(), "{sql}");
        for (i, (a, b)) in merged.iter().zip(&expected).enumerate() {
            assert_eq!(a, b, "{sql}: row {i}");
        }
    }

    /// Compares rows in any order.
    async fn same_set(&self, sql: &str, merge: impl Into<Merge>) {
        let (mut merged, mut expected) = (self.merged(sql, merge).await, self.expected(sql).await);
        merged.sort();
        expected.sort();
        assert_eq!(merged, expected, "{sql}");
    }
}

#[tokio::test]
async fn merged_answers_are_those_of_one_database() {
    let world = world().await;
    orders(&world).await;
    aggregates(&world).await;
    world.same_set("SELECT * FROM t", Merge::concat()).await;
    // Peers answered an IN list by the shard of its first value.
    world
        .same_set(
            "SELECT i2, i4, u FROM t WHERE i2 IN (1, 3)",
            Merge::concat(),
        )
        .await;
}

async fn orders(world: &World) {
    for column in [
        "i2", "i4", "i8", "n", "money", "f4", "f8", "b", "u", "d", "t", "ts", "tz", "y", "txt",
    ] {
        let key = |descending| {
            let key = if descending {
                SortKey::desc(column)
            } else {
                SortKey::asc(column)
            };
            if column == "txt" { key.text_c() } else { key }
        };
        // Only the ordering column: rows that tie may come in any order.
        let sql = |order| match column {
            // -0 and 0 tie.
            "f8" => format!("SELECT f8 + 0 AS f8 FROM t ORDER BY 1 {order}"),
            // As do 1.0 and 1.00.
            "n" => format!("SELECT trim_scale(n) AS n FROM t ORDER BY 1 {order}"),
            column => format!("SELECT {column} FROM t ORDER BY 1 {order}"),
        };
        world.same(&sql("ASC"), Merge::ordered([key(false)])).await;
        world.same(&sql("DESC"), Merge::ordered([key(true)])).await;
        world
            .same(
                &sql("NULLS FIRST"),
                Merge::ordered([key(false).nulls_first()]),
            )
            .await;
        world
            .same(
                &sql("DESC NULLS LAST"),
                Merge::ordered([key(true).nulls_last()]),
            )
            .await;
    }
    let keys = || {
        [
            SortKey::desc("b").nulls_last(),
            SortKey::asc("i2").nulls_first(),
            SortKey::desc("tz"),
            SortKey::asc(3),
            SortKey::asc(4),
        ]
    };
    let sql =
        "SELECT b, i2, tz, i8, u FROM t ORDER BY b DESC NULLS LAST, i2 NULLS FIRST, tz DESC, i8, u";
    world.same(sql, Merge::ordered(keys())).await;
    let page = |from: usize, rows: usize| {
        Merge::ordered(keys())
            .offset(from as u64)
            .limit(rows as u64)
    };
    let all = world.expected(sql).await;
    for (from, rows) in [(0, 1), (0, 10), (100, 250), (2990, 100), (5000, 1), (7, 0)] {
        let merged = world.merged(sql, page(from, rows)).await;
        let expected: Vec<_> = all.iter().skip(from).take(rows).cloned().collect();
        assert_eq!(merged, expected, "{from} {rows}");
    }
}

async fn aggregates(world: &World) {
    let whole = "SELECT count(*) AS rows, count(i4) AS n, sum(i4) AS s4, sum(i8) AS s8, sum(n) AS sn,
            sum(money) AS sm, sum(i4) - sum(i2) AS difference, min(i8) AS lo, max(i8) AS hi,
            min(ts) AS ts0, max(ts) AS ts1, min(tz) AS tz0, max(tz) AS tz1, min(d) AS d0, max(d) AS d1,
            min(txt) AS txt0, max(txt) AS txt1, min(f8 + 0) AS f0, max(f8) AS f1, min(t) AS t0 FROM t";
    let declared = || {
        let declared = Aggregate::new().text_c();
        let declared = declared
            .count("rows")
            .count("n")
            .sum("s4")
            .sum("s8")
            .sum("sn")
            .sum("sm");
        let declared = declared
            .sum("difference")
            .min("lo")
            .max("hi")
            .min("ts0")
            .max("ts1");
        let declared = declared
            .min("tz0")
            .max("tz1")
            .min("d0")
            .max("d1")
            .min("txt0")
            .max("txt1");
        declared.min("f0").max("f1").min("t0")
    };
    world.same(whole, declared()).await;
    // Of no rows: a count of 0, the rest NULL.
    world
        .same(&format!("{whole} WHERE false"), declared())
        .await;
    // Of rows on one shard only.
    world
        .same(&format!("{whole} WHERE shard = 1"), declared())
        .await;

    for column in ["i2", "i4", "b", "u", "d", "txt", "other", "m", "f8 + 0"] {
        let text = ["txt", "other"].contains(&column);
        let key = if text {
            GroupKey::new(0).deterministic()
        } else {
            GroupKey::new(0)
        };
        let by = || {
            Aggregate::new()
                .group_by(key.clone())
                .count("rows")
                .sum("s")
                .max("hi")
        };
        let sql = format!(
            "SELECT {column} AS g, count(*) AS rows, sum(money) AS s, max(ts) AS hi FROM t GROUP BY 1"
        );
        world.same_set(&sql, by()).await;
        world
            .same_set(
                &format!("{sql}, b, i2").replace(" AS g", " AS g, b, i2"),
                by().group_by("b").group_by("i2"),
            )
            .await;
    }
    // Ordered and cut after the merge; the oracle does it by SQL.
    let sql = "SELECT i4, count(*) AS rows FROM t GROUP BY 1";
    let merge = Aggregate::new()
        .group_by("i4")
        .count("rows")
        .order_by([SortKey::desc("rows"), SortKey::asc("i4").nulls_first()])
        .limit(7);
    let merged = world.merged(sql, merge).await;
    let expected = world
        .expected(&format!("{sql} ORDER BY 2 DESC, 1 NULLS FIRST LIMIT 7"))
        .await;
    assert_eq!(merged, expected);
    // Sums of floats depend on the order of addition: in the last digits only.
    let float = |cells: &[Cells]| {
        let Some(Raw(bytes)) = &cells[0][0] else {
            panic!("NULL")
        };
        f64::from_be_bytes(bytes.as_slice().try_into().unwrap())
    };
    let sql = "SELECT sum(i8::float8 / 7) AS s FROM t";
    let (a, b) = (
        world.merged(sql, Aggregate::new().sum("s")).await,
        world.expected(sql).await,
    );
    assert!((float(&a) / float(&b) - 1.0).abs() < 1e-9);
}
