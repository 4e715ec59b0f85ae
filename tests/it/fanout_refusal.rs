//! What a fan-out cannot answer rightly, it refuses.

use std::time::Duration;

use pgshard::fanout::{Aggregate, Merge, SortKey};
use pgshard::{Cluster, ErrorKind};
use uuid::Uuid;

use crate::support::{installed, owner};

#[tokio::test]
async fn no_wrong_answers() {
    let (local, config) = installed(2, 0).await;
    for (node, columns) in [("s0a", "a int, b text"), ("s1a", "a int, b varchar(9)")] {
        let session = owner(&local, node).await;
        let sql = format!(
            "CREATE SCHEMA f; GRANT USAGE ON SCHEMA f TO app; CREATE TABLE f.t ({columns});
             CREATE TABLE f.w (i int); GRANT SELECT, INSERT ON f.t, f.w TO app;
             CREATE FUNCTION f.write() RETURNS int LANGUAGE sql AS 'INSERT INTO f.w VALUES (1) RETURNING i';
             INSERT INTO f.t SELECT g, g::text FROM generate_series(1, 20) g"
        );
        session.batch_execute(&sql).await.unwrap();
    }
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let refused = async |sql: &str, merge: Merge| {
        let error = cluster
            .fan_out(sql, &[], merge)
            .query::<(i32,)>()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{sql}: {error}");
        error
    };
    let by_a = || Merge::ordered([SortKey::asc("a")]);

    // A shard without the ORDER BY, or with another.
    let error = refused("SELECT a FROM f.t", Merge::ordered([SortKey::desc("a")])).await;
    assert!(error.to_string().contains("ORDER BY"), "{error}");
    assert!(error.shard().is_some());
    refused("SELECT a FROM f.t ORDER BY a DESC", by_a()).await;
    refused(
        "SELECT a, b FROM f.t ORDER BY b",
        Merge::ordered([SortKey::asc("b")]),
    )
    .await;
    // Columns of one shard that are not those of the other.
    let error = refused("SELECT a, b FROM f.t ORDER BY a", by_a()).await;
    assert!(error.to_string().contains("different columns"), "{error}");
    // Aggregates that do not follow from the shards'.
    refused(
        "SELECT avg(a) AS x FROM f.t",
        Aggregate::new().sum("x").into(),
    )
    .await;
    refused(
        "SELECT count(DISTINCT a) AS n FROM f.t",
        Aggregate::new().count("n").into(),
    )
    .await;
    refused(
        "SELECT count(*), max(a) FROM f.t",
        Aggregate::new().count("count").into(),
    )
    .await;
    refused("SELECT a FROM f.t ORDER BY a OFFSET 3", by_a()).await;
    // More rows than there is room for.
    let few = cluster
        .fan_out("SELECT a FROM f.t", &[], Merge::concat())
        .max_rows(39);
    assert_eq!(
        few.query::<(i32,)>().await.unwrap_err().kind(),
        ErrorKind::Refused
    );
    let exactly = cluster
        .fan_out("SELECT a FROM f.t", &[], Merge::concat())
        .max_rows(40);
    assert_eq!(exactly.query::<(i32,)>().await.unwrap().rows.len(), 40);
    let groups = Aggregate::new().group_by("a").max_groups(19);
    refused("SELECT a FROM f.t GROUP BY a", groups.into()).await;

    // Writing.
    for sql in ["INSERT INTO f.w VALUES (1)", "SELECT f.write()"] {
        let error = cluster
            .fan_out(sql, &[], Merge::concat())
            .query::<(i32,)>()
            .await
            .unwrap_err();
        assert_eq!(
            error.sqlstate().unwrap().as_str(),
            "25006",
            "{sql}: {error}"
        );
    }
    let written = cluster
        .fan_out(
            "SELECT count(*) AS n FROM f.w",
            &[],
            Aggregate::new().count("n"),
        )
        .query_one::<(i64,)>()
        .await
        .unwrap();
    assert_eq!(written, (0,));

    // No shards, and shards that do not exist.
    let all = || cluster.fan_out("SELECT 1", &[], Merge::concat());
    let unknown = "nowhere".parse().unwrap();
    assert_eq!(
        all().shards([]).stream().unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(
        all().shards([unknown]).stream().unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(
        all().keys(&[7_i64]).stream().unwrap_err().kind(),
        ErrorKind::Unroutable
    );
    assert_eq!(
        all().query_one::<(i32,)>().await.unwrap_err().kind(),
        ErrorKind::Decode
    );

    // A subset is a subset.
    let one = all()
        .shards([cluster.config().shards[1].id])
        .query::<(i32,)>()
        .await
        .unwrap();
    assert_eq!((one.rows.len(), one.report.shards.len()), (1, 1));
    assert_eq!(one.report.shards[0].shard.as_str(), "s1");
    let id = Uuid::nil();
    let home = cluster.session(&id).unwrap().shard();
    let keyed = all().keys([&id, &id]).query::<(i32,)>().await.unwrap();
    assert_eq!(keyed.report.shards[0].shard, home);
    assert_eq!(keyed.rows.len(), 1);
    // Named twice is named once more, or rows of the first would be missing.
    let both = all().shards(["s1".parse().unwrap()]).keys([&id]);
    let elsewhere = (0..).map(Uuid::from_u128).find(|id| {
        let shard = cluster.session(id).unwrap().shard();
        shard != home
    });
    let both = both.keys([&elsewhere.unwrap()]).query::<(i32,)>().await;
    assert_eq!(both.unwrap().report.shards.len(), 2);
    cluster.close().await;
}
