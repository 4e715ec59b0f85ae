//! Reports through postgres_fdw: right totals, pruning, repetition, removal without a trace.

use pgshard::ErrorKind;
use pgshard::fdw::{Change, Fdw, FdwOptions, Source, remove};
use pgshard::local::LocalCluster;
use tokio_postgres::Client;

use crate::support::{
    bank_config, connect, credentials, load_bank_schema, owner, start, superuser,
};

pub(crate) const PASSWORD_MARK: &str = "s3cret-'pass\\word";

/// Two shards with rows, and a reporting server of another cluster with an empty database.
pub(crate) struct Stage {
    pub(crate) shards: LocalCluster,
    pub(crate) config: pgshard::Config,
    pub(crate) server: LocalCluster,
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        Stage::of(2, 1).await
    }

    /// So many shards with so many replicas each.
    pub(crate) async fn of(shards: usize, replicas: usize) -> Stage {
        let (shards, server) = tokio::join!(start(shards, replicas), start(1, 0));
        load_bank_schema(&shards).await;
        let config = bank_config(&shards);
        Stage::over(shards, config, server).await
    }

    /// Over shards with the bank's tables.
    pub(crate) async fn over(
        shards: LocalCluster,
        config: pgshard::Config,
        server: LocalCluster,
    ) -> Stage {
        for shard in shards.shards() {
            let session = superuser(&shards, shard.primary().id().as_str()).await;
            session
                .batch_execute(&format!(
                    "CREATE ROLE reports LOGIN PASSWORD {};
                     GRANT SELECT ON ALL TABLES IN SCHEMA public TO reports;",
                    pgshard::sql::literal(PASSWORD_MARK)
                ))
                .await
                .unwrap();
        }
        let session = superuser(&server, "s0a").await;
        session
            .batch_execute("CREATE DATABASE reports")
            .await
            .unwrap();
        Stage {
            shards,
            config,
            server,
        }
    }

    pub(crate) fn reporting(&self) -> pgshard::fdw::Reporting {
        let settings = self.server.superuser_conninfo("s0a").unwrap();
        pgshard::fdw::Reporting {
            host: "127.0.0.1".to_owned(),
            port: settings.get_ports()[0],
            database: "reports".to_owned(),
            role: credentials(&settings),
            tls: Default::default(),
        }
    }

    pub(crate) fn options(&self) -> FdwOptions {
        FdwOptions::new(pgshard::ops::Credentials {
            user: "reports".to_owned(),
            password: Some(PASSWORD_MARK.into()),
        })
    }

    pub(crate) async fn plan(&self) -> Fdw {
        Fdw::plan(&self.config, self.options()).await.unwrap()
    }

    /// The plan of a query on the reporting server, as text.
    pub(crate) async fn explain(&self, how: &str, sql: &str) -> String {
        let session = self.session().await;
        let rows = session.query(&format!("EXPLAIN ({how}) {sql}"), &[]).await;
        let rows = rows.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        lines.join("\n")
    }

    /// A superuser's session on the reporting database.
    pub(crate) async fn session(&self) -> Client {
        let mut settings = self.server.superuser_conninfo("s0a").unwrap();
        settings.dbname("reports");
        connect(settings).await
    }
}

/// What there is in a database, and its roles.
pub(crate) async fn inventory(session: &Client) -> String {
    let row = session
        .query_one(
            "SELECT string_agg(x, E'\\n' ORDER BY x) FROM (
                 SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
                 UNION ALL SELECT 'relation ' || oid::regclass::text FROM pg_class WHERE oid >= 16384
                 UNION ALL SELECT 'type ' || oid::regtype::text FROM pg_type WHERE oid >= 16384
                 UNION ALL SELECT 'function ' || oid::regprocedure::text FROM pg_proc WHERE oid >= 16384
                 UNION ALL SELECT 'extension ' || extname FROM pg_extension
                 UNION ALL SELECT 'server ' || srvname FROM pg_foreign_server
                 UNION ALL SELECT 'mapping ' || srvname || usename FROM pg_user_mappings
                 UNION ALL SELECT 'role ' || rolname FROM pg_roles
             ) s(x)",
            &[],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn totals_are_those_of_the_shards_and_shards_are_pruned() {
    let stage = Stage::new().await;
    let mut expected = Vec::new();
    for (n, shard) in stage.shards.shards().iter().enumerate() {
        let session = owner(&stage.shards, shard.primary().id().as_str()).await;
        session
            .batch_execute(&format!(
                "INSERT INTO customers
                 SELECT gen_random_uuid(), 'Zoë ' || i, 'z@example.com', 'DE' FROM generate_series(1, {}) i;
                 INSERT INTO bank_accounts SELECT customer_id, gen_random_uuid(), 'EUR', 100.01
                   FROM customers;",
                (n + 1) * 7
            ))
            .await
            .unwrap();
        let row = session
            .query_one(
                "SELECT count(*), sum(balance)::text FROM bank_accounts",
                &[],
            )
            .await
            .unwrap();
        expected.push((
            shard.id().to_string(),
            row.get::<_, i64>(0),
            row.get::<_, String>(1),
        ));
    }
    let mut options = stage.options();
    // The replicas may be a moment behind.
    options.source = Source::Primaries;
    let fdw = Fdw::plan(&stage.config, options).await.unwrap();
    let made = fdw.apply(&stage.reporting()).await.unwrap();
    assert!(made.iter().all(|d| d.change == Change::Create), "{made:#?}");

    let session = stage.session().await;
    let rows = session
        .query(
            "SELECT shard, count(*), sum(balance)::text FROM reporting.bank_accounts
              GROUP BY shard ORDER BY shard",
            &[],
        )
        .await
        .unwrap();
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.get::<_, String>(0), row.get(1), row.get(2)))
        .collect();
    assert_eq!(found, expected);

    // A reference table is read once, not once a shard.
    let row = session.query_one("SELECT count(*) FROM reporting.currencies", &[]);
    assert_eq!(row.await.unwrap().get::<_, i64>(0), 6);

    let plan = |sql: &'static str| {
        let session = &session;
        async move {
            let rows = session
                .query(&format!("EXPLAIN (COSTS OFF) {sql}"), &[])
                .await;
            let lines = rows.unwrap();
            let lines = lines.iter().map(|row| row.get::<_, String>(0));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    let all = plan("SELECT * FROM reporting.customers").await;
    assert!(all.contains("Async Foreign Scan on s0_customers"), "{all}");
    assert!(all.contains("Async Foreign Scan on s1_customers"), "{all}");
    let one = plan("SELECT * FROM reporting.customers WHERE shard = 's1'").await;
    assert!(
        one.contains("s1_customers") && !one.contains("s0_customers"),
        "{one}"
    );

    // The reader sees the views, and neither the tables behind them nor a password.
    session
        .batch_execute("SET ROLE pgshard_reader")
        .await
        .unwrap();
    let sum = session.query_one("SELECT count(*) FROM reporting.transactions", &[]);
    assert_eq!(sum.await.unwrap().get::<_, i64>(0), 0);
    let denied = session
        .query("SELECT * FROM pgshard_fdw.s0_customers", &[])
        .await;
    assert!(denied.is_err());
    let write = "DELETE FROM reporting.currencies";
    assert!(session.batch_execute(write).await.is_err());
    let shown = session
        .query(
            "SELECT umoptions FROM pg_user_mappings WHERE umoptions IS NOT NULL",
            &[],
        )
        .await
        .unwrap();
    assert!(shown.is_empty());
}

#[tokio::test]
async fn applying_again_changes_nothing_and_removing_leaves_nothing() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    session
        .batch_execute("CREATE TABLE public.mine (i int); CREATE VIEW public.my_view AS SELECT 1")
        .await
        .unwrap();
    let before = inventory(&session).await;
    let fdw = stage.plan().await;
    assert_eq!(fdw.sql(), stage.plan().await.sql());

    assert!(!fdw.diff(&stage.reporting()).await.unwrap().is_empty());
    assert_eq!(
        inventory(&session).await,
        before,
        "a diff changed something"
    );
    fdw.apply(&stage.reporting()).await.unwrap();
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);
    assert_eq!(fdw.apply(&stage.reporting()).await.unwrap(), []);

    let removed = remove(&stage.config, &stage.reporting()).await.unwrap();
    assert!(
        removed.iter().all(|d| d.change == Change::Remove),
        "{removed:#?}"
    );
    assert_eq!(inventory(&session).await, before);
    assert_eq!(remove(&stage.config, &stage.reporting()).await.unwrap(), []);
}

#[tokio::test]
async fn drift_is_shown_and_mended() {
    let mut stage = Stage::new().await;
    stage.plan().await.apply(&stage.reporting()).await.unwrap();
    let session = stage.session().await;
    session
        .batch_execute(
            "CREATE OR REPLACE VIEW reporting.currencies AS
                 SELECT currency, upper(name) AS name FROM pgshard_fdw.s0_currencies;
             ALTER SERVER pgshard_s1 OPTIONS (SET fetch_size '7', ADD extensions 'postgres_fdw');
             DROP VIEW reporting.transactions;
             REVOKE USAGE ON SCHEMA reporting FROM pgshard_reader;
             ALTER FOREIGN TABLE pgshard_fdw.s1_bank_accounts ALTER COLUMN balance TYPE text;",
        )
        .await
        .unwrap_err();
    // A column that a view reads cannot be altered; the rest can.
    session
        .batch_execute(
            "CREATE OR REPLACE VIEW reporting.currencies AS
                 SELECT currency, upper(name) AS name FROM pgshard_fdw.s0_currencies;
             ALTER SERVER pgshard_s1 OPTIONS (SET fetch_size '7');
             DROP VIEW reporting.transactions;
             ALTER FOREIGN TABLE pgshard_fdw.s1_transactions ALTER COLUMN amount TYPE text;
             REVOKE USAGE ON SCHEMA reporting FROM pgshard_reader;
             ALTER USER MAPPING FOR postgres SERVER pgshard_s0 OPTIONS (SET password 'old');",
        )
        .await
        .unwrap();
    // And the shards get another column.
    for node in ["s0a", "s1a"] {
        let sql = "ALTER TABLE customers ADD COLUMN phone varchar(30)";
        owner(&stage.shards, node)
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    }
    let fdw = stage.plan().await;
    let differences = fdw.diff(&stage.reporting()).await.unwrap();
    // What was not shown is not done.
    let shown = &differences[1..];
    let error = fdw.apply_planned(&stage.reporting(), shown).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Refused);
    let still = fdw.diff(&stage.reporting()).await.unwrap();
    assert_eq!(still, differences);
    let text: Vec<String> = differences
        .iter()
        .map(|d| format!("{} {}: {}", d.change, d.object, d.detail.join("; ")))
        .collect();
    for expected in [
        "alter schema \"reporting\": USAGE of the reader: missing",
        "alter user mapping \"pgshard_s0\": password",
        "alter server \"pgshard_s1\": fetch_size: '7' / '100'",
        "replace foreign table \"pgshard_fdw\".\"s0_customers\": \"phone\": missing / character varying(30)",
        "replace foreign table \"pgshard_fdw\".\"s1_transactions\": \"amount\": text NOT NULL / numeric(20,2) NOT NULL",
        "create view \"reporting\".\"transactions\": ",
        "replace view \"reporting\".\"currencies\": altered by somebody",
    ] {
        assert!(
            text.iter().any(|line| line == expected),
            "{expected}\n{text:#?}"
        );
    }
    assert!(!format!("{differences:?}").contains(PASSWORD_MARK));
    assert_eq!(fdw.apply(&stage.reporting()).await.unwrap(), differences);
    assert_eq!(fdw.diff(&stage.reporting()).await.unwrap(), []);

    // A table that is not configured any more goes, with its foreign tables.
    stage
        .config
        .tables
        .retain(|table| table.name.name != "transactions");
    let fdw = stage.plan().await;
    let changes = fdw.apply(&stage.reporting()).await.unwrap();
    assert_eq!(changes.len(), 3, "{changes:#?}");
    assert!(changes.iter().all(|d| d.change == Change::Remove));
}

/// A report that somebody built on a view is not dropped behind their back.
#[tokio::test]
async fn what_others_built_on_the_views_is_kept() {
    let stage = Stage::new().await;
    stage.plan().await.apply(&stage.reporting()).await.unwrap();
    let session = stage.session().await;
    let sql =
        "CREATE VIEW public.report AS SELECT shard, count(*) FROM reporting.customers GROUP BY 1";
    session.batch_execute(sql).await.unwrap();
    let before = inventory(&session).await;
    let error = remove(&stage.config, &stage.reporting()).await.unwrap_err();
    assert_eq!(error.kind(), pgshard::ErrorKind::Refused);
    assert!(error.to_string().contains("public.report"), "{error}");
    assert_eq!(inventory(&session).await, before);
}
