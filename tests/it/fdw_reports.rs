//! Reports that stay on the reporting server: pushed down and asynchronous, kept by later applies,
//! known again, removed.

use pgshard::ErrorKind;
use pgshard::config::TableName;
use pgshard::fdw::{Branch, Change, Fdw, Report, Source, refresh_materialised, remove};

use crate::fdw_views::{Stage, inventory};
use crate::support::superuser;

async fn filled() -> Stage {
    let stage = Stage::of(2, 0).await;
    for (n, node) in ["s0a", "s1a"].into_iter().enumerate() {
        superuser(&stage.shards, node)
            .await
            .batch_execute(&format!(
                "INSERT INTO customers SELECT gen_random_uuid(), 'Zoë', 'z@example.com', 'DE'
                   FROM generate_series(1, {});
                 INSERT INTO bank_accounts SELECT customer_id, gen_random_uuid(), 'EUR', 100.01
                   FROM customers;",
                (n + 1) * 7
            ))
            .await
            .unwrap();
    }
    stage
}

async fn planned(stage: &Stage) -> Fdw {
    let mut options = stage.options();
    options.source = Source::Primaries;
    Fdw::plan(&stage.config, options).await.unwrap()
}

/// As a planner would split `SELECT currency, count(*), sum(balance) … GROUP BY currency`.
fn split(fdw: &Fdw, stage: &Stage) -> Report {
    let table = TableName {
        schema: "public".to_owned(),
        name: "bank_accounts".to_owned(),
    };
    let branches = stage.config.shards.iter().map(|shard| Branch {
        shard: shard.id,
        sql: format!(
            "SELECT currency, count(*) AS n, sum(balance) AS s FROM {} GROUP BY currency",
            fdw.foreign_table(shard.id, &table).unwrap()
        ),
    });
    Report::Split {
        name: "balances".to_owned(),
        branches: branches.collect(),
        combine: "SELECT currency, sum(n)::bigint AS accounts, sum(s) AS balance FROM partials \
                  GROUP BY currency ORDER BY currency"
            .to_owned(),
    }
}

#[tokio::test]
async fn a_split_is_pushed_down_and_asynchronous() {
    let stage = filled().await;
    let fdw = planned(&stage).await;
    fdw.apply(&stage.reporting()).await.unwrap();
    let report = split(&fdw, &stage);
    let fdw = fdw.with_report(report);
    let changes = fdw.apply(&stage.reporting()).await.unwrap();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].object, "view \"reporting\".\"balances\"");
    assert_eq!(changes[0].change, Change::Create);

    let session = stage.session().await;
    session
        .batch_execute("SET ROLE pgshard_reader")
        .await
        .unwrap();
    let row = session
        .query_one(
            "SELECT currency, accounts, balance::text FROM reporting.balances",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0).trim(), "EUR");
    assert_eq!(row.get::<_, i64>(1), 21);
    assert_eq!(row.get::<_, String>(2), "2100.21");
    session.batch_execute("RESET ROLE").await.unwrap();

    let plan = stage
        .explain("VERBOSE, COSTS OFF", "SELECT * FROM reporting.balances")
        .await;
    assert_eq!(plan.matches("Async Foreign Scan").count(), 2, "{plan}");
    let remote: Vec<_> = plan
        .lines()
        .filter(|line| line.contains("Remote SQL"))
        .collect();
    assert_eq!(remote.len(), 2, "{plan}");
    for line in remote {
        assert!(
            line.contains("sum(balance)") && line.contains("GROUP BY"),
            "{plan}"
        );
    }

    // A later apply that does not know it keeps it, and makes it again with what it reads.
    let plain = planned(&stage).await;
    assert_eq!(plain.diff(&stage.reporting()).await.unwrap(), []);
    for node in ["s0a", "s1a"] {
        let session = superuser(&stage.shards, node).await;
        let sql = "ALTER TABLE bank_accounts ADD COLUMN note text";
        session.batch_execute(sql).await.unwrap();
    }
    let plain = planned(&stage).await;
    let changes = plain.apply(&stage.reporting()).await.unwrap();
    assert!(
        changes
            .iter()
            .any(|d| d.object == "view \"reporting\".\"balances\""
                && d.change == Change::Replace
                && d.detail[0].contains("which is replaced")),
        "{changes:#?}"
    );
    assert_eq!(plain.diff(&stage.reporting()).await.unwrap(), []);

    // Altered by hand, it is put right.
    session
        .batch_execute(
            "CREATE OR REPLACE VIEW reporting.balances AS
                 SELECT 'EUR'::text AS currency, 1::bigint AS accounts, 1::numeric AS balance",
        )
        .await
        .unwrap();
    let drift = plain.diff(&stage.reporting()).await.unwrap();
    assert_eq!(drift.len(), 1, "{drift:#?}");
    assert_eq!(drift[0].detail, ["altered by somebody"]);
    plain.apply(&stage.reporting()).await.unwrap();
    let row = session.query_one("SELECT accounts FROM reporting.balances", &[]);
    assert_eq!(row.await.unwrap().get::<_, i64>(0), 21);
}

fn materialised(name: &str, select: &str, unique: &[&str]) -> Report {
    Report::Materialised {
        name: name.to_owned(),
        select: select.to_owned(),
        unique: unique.iter().map(|c| (*c).to_owned()).collect(),
    }
}

#[tokio::test]
async fn materialised_reports_are_refreshed_and_removed() {
    let stage = filled().await;
    let session = stage.session().await;
    let before = inventory(&session).await;
    let select = "SELECT shard, count(*) AS n FROM customers GROUP BY shard;";
    let fdw = planned(&stage)
        .await
        .with_report(materialised("by_shard", select, &["shard"]))
        .with_report(materialised(
            "total",
            "SELECT sum(n) AS n FROM by_shard",
            &[],
        ));
    fdw.apply(&stage.reporting()).await.unwrap();
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);
    let count = || async {
        let sql = "SELECT (SELECT n FROM reporting.by_shard WHERE shard = 's1'), n::bigint
                     FROM reporting.total";
        let row = session.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    assert_eq!(count().await, (14, 21));

    let shard = superuser(&stage.shards, "s1a").await;
    let insert = "INSERT INTO customers VALUES (gen_random_uuid(), 'Ada', 'a@example.com', 'DE')";
    shard.batch_execute(insert).await.unwrap();
    assert_eq!(count().await, (14, 21));
    // A reader's lock stands in the way of the one without a unique index only.
    let reader = stage.session().await;
    reader
        .batch_execute("BEGIN; SELECT * FROM reporting.by_shard")
        .await
        .unwrap();
    let one = ["by_shard".to_owned()];
    let done = refresh_materialised(&stage.config, &stage.reporting(), &one)
        .await
        .unwrap();
    assert_eq!(done.len(), 1);
    assert!(done[0].detail[0].contains("while it was read"), "{done:?}");
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(count().await, (15, 21));
    let done = refresh_materialised(&stage.config, &stage.reporting(), &[])
        .await
        .unwrap();
    assert!(done[1].detail[0].contains("readers waited"), "{done:?}");
    assert_eq!(count().await, (15, 22));
    let missing = ["by_day".to_owned()];
    let error = refresh_materialised(&stage.config, &stage.reporting(), &missing).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);

    // Readers read it, and write nothing.
    session
        .batch_execute("SET ROLE pgshard_reader")
        .await
        .unwrap();
    count().await;
    let refresh = "REFRESH MATERIALIZED VIEW reporting.total";
    assert!(session.batch_execute(refresh).await.is_err());
    session.batch_execute("RESET ROLE").await.unwrap();

    // A lost index is drift, and so is another definition.
    session
        .batch_execute("DROP INDEX reporting.by_shard_shard_idx")
        .await
        .unwrap();
    let drift = planned(&stage)
        .await
        .diff(&stage.reporting())
        .await
        .unwrap();
    assert_eq!(drift[0].detail, ["unique index: missing"], "{drift:#?}");
    let other = "SELECT shard, count(*) + 1 AS n FROM customers GROUP BY shard";
    let changed = planned(&stage)
        .await
        .with_report(materialised("by_shard", other, &["shard"]));
    changed.apply(&stage.reporting()).await.unwrap();
    assert_eq!(count().await, (16, 24));

    remove(&stage.config, &stage.reporting()).await.unwrap();
    assert_eq!(inventory(&session).await, before);
}

#[tokio::test]
async fn a_report_is_one_statement_and_does_not_hide_a_table() {
    let stage = filled().await;
    let session = stage.session().await;
    let base = || planned(&stage);
    base().await.apply(&stage.reporting()).await.unwrap();
    let before = inventory(&session).await;
    let two = "SELECT 1 AS a; CREATE TABLE public.planted ()";
    for report in [
        materialised("two", two, &[]),
        materialised("customers", "SELECT 1 AS a", &[]),
        materialised("broken", "SELECT nothing FROM nowhere", &[]),
        materialised(
            "writes",
            "WITH x AS (DELETE FROM pgshard_fdw.s0_customers RETURNING 1) SELECT * FROM x",
            &[],
        ),
    ] {
        let error = base()
            .await
            .with_report(report)
            .apply(&stage.reporting())
            .await;
        assert!(error.is_err());
        assert_eq!(inventory(&session).await, before);
    }

    // A comment that somebody else wrote is not run.
    let cluster = stage.config.cluster;
    session
        .batch_execute(&format!(
            "CREATE ROLE mallory; GRANT CREATE, USAGE ON SCHEMA reporting TO mallory;
             SET ROLE mallory; CREATE VIEW reporting.trap AS SELECT 1 AS a;
             COMMENT ON VIEW reporting.trap IS 'pgshard fdw: cluster {cluster}; sql 0; seen 0; report {}';
             RESET ROLE",
            r#"{"kind":"materialised","name":"planted","select":"SELECT 1 AS a","unique":[]}"#
        ))
        .await
        .unwrap();
    base().await.apply(&stage.reporting()).await.unwrap();
    let planted = "SELECT to_regclass('reporting.planted') IS NULL";
    assert!(
        session
            .query_one(planted, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
}
