//! `shardctl fdw`, as operators use it: layouts, advice, materialised reports, following a failover.

use std::process::Stdio;
use std::time::Duration;

use pgshard::Cluster;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::fdw_views::{PASSWORD_MARK, Stage};
use crate::support::cli::{Ran, Shardctl};
use crate::support::{credentials, installed, start, superuser};

struct Desk {
    stage: Stage,
    shardctl: Shardctl,
    port: String,
    reporting: String,
    ddl: String,
}

impl Desk {
    async fn new(stage: Stage) -> Desk {
        let settings = stage.reporting();
        let password = |role: &pgshard::ops::Credentials| {
            role.password.as_ref().unwrap().expose_secret().to_owned()
        };
        Desk {
            shardctl: Shardctl::new(&stage.shards),
            port: settings.port.to_string(),
            reporting: password(&settings.role),
            ddl: password(&credentials(
                &stage.shards.superuser_conninfo("s0a").unwrap(),
            )),
            stage,
        }
    }

    fn variables(&self) -> [(&str, &str); 3] {
        [
            ("PGSHARD_FDW_PASSWORD", PASSWORD_MARK),
            ("PGSHARD_REPORTING_PASSWORD", &self.reporting),
            ("PGSHARD_DDL_PASSWORD", &self.ddl),
        ]
    }

    fn server(&self) -> Vec<&str> {
        let place = ["--reporting-host", "127.0.0.1", "--port", &self.port];
        [&place[..], &["--database", "reports", "--user", "postgres"]].concat()
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        let arguments = [&["--output", "json", "fdw"], arguments].concat();
        self.shardctl.run_with(&self.variables(), &arguments).await
    }

    /// With the reporting server's arguments.
    async fn there(&self, arguments: &[&str]) -> Ran {
        self.run(&[arguments, &self.server()].concat()).await
    }
}

const REMOTE: [&str; 4] = ["--remote-user", "reports", "--source", "primaries"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layouts_advice_and_materialised_reports() {
    let desk = Desk::new(Stage::of(2, 0).await).await;
    for node in ["s0a", "s1a"] {
        superuser(&desk.stage.shards, node)
            .await
            .batch_execute(
                "INSERT INTO customers SELECT gen_random_uuid(), 'Ada', 'a@example.com', 'DE'
                   FROM generate_series(1, 500)",
            )
            .await
            .unwrap();
    }
    // The role is there already, and may read.
    let role = [
        "role",
        "--remote-user",
        "reports",
        "--ddl-user",
        "postgres",
        "--yes",
    ];
    let ran = desk.run(&role).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let statements = ran.json();
    let statements = statements.as_array().unwrap();
    assert_eq!(statements.len(), 2, "{statements:?}");
    assert_eq!(desk.run(&role).await.json(), Value::Array(vec![]));

    let apply = [
        &["apply"],
        &REMOTE[..],
        &["--layout", "partitions", "--yes", "--analyze"],
    ]
    .concat();
    let ran = desk.there(&apply).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let diff = [&["diff"], &REMOTE[..], &["--layout", "partitions"]].concat();
    assert_eq!(desk.there(&diff).await.code, 0);
    let other = [&["diff"], &REMOTE[..]].concat();
    assert_eq!(desk.there(&other).await.code, 1);
    let apply = [&["apply"], &REMOTE[..], &["--yes"]].concat();
    assert_eq!(desk.there(&apply).await.code, 0);

    // The reporting server can be a part of the check.
    let check = async |more: &str| {
        let arguments = [&REMOTE[..], &desk.server(), &[more]].concat().join(" ");
        let check = ["--output", "json", "check", "--fdw", &arguments];
        let ran = desk.shardctl.run_with(&desk.variables(), &check).await;
        let rows = ran.json();
        let about = |row: &&Value| {
            let of = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
            of("id") == "fdw-drift" || of("evidence").contains("the reporting server")
        };
        rows.as_array().unwrap().iter().find(about).cloned()
    };
    assert_eq!(check("").await, None);
    let drift = check("--layout partitions").await.expect("another layout");
    assert_eq!(drift["id"], "fdw-drift");
    assert!(
        drift["evidence"].as_str().unwrap().contains("create table"),
        "{drift}"
    );
    let silent = check("--reporting-tls verify-full")
        .await
        .expect("not reachable so");
    assert_eq!(silent["id"], "unread");
    let wrong = desk
        .shardctl
        .run(&["check", "--fdw", "--remote-user 'reports"])
        .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let wrong = desk.shardctl.run(&["check", "--fdw", "--nonsense"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");

    let advise = [
        &["advise"],
        &REMOTE[..],
        &["--runs", "1", "--table", "customers"],
    ]
    .concat();
    let ran = desk.there(&advise).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = ran.json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 24, "{rows:#?}");
    for shape in ["aggregate", "top", "drain", "point"] {
        let of = |options: &str| {
            let found = rows
                .iter()
                .find(|r| r["shape"] == shape && r["options"] == options);
            found.unwrap_or_else(|| panic!("{shape} {options}"))
        };
        assert!(of("none")["ms"].as_f64().unwrap() > 0.0);
        assert_eq!(of("none")["async"], false);
    }
    let drain = rows
        .iter()
        .find(|r| r["shape"] == "drain" && r["options"] == "async");
    assert_eq!(drain.unwrap()["async"], true);
    assert!(rows.iter().any(|row| row["suggested"] == true));
    // Nothing is left of it.
    assert_eq!(desk.there(&other).await.code, 0);

    let select = "SELECT shard, count(*) AS n FROM customers GROUP BY shard";
    let materialise = [
        "materialise",
        "by_shard",
        select,
        "--unique",
        "shard",
        "--yes",
    ];
    let ran = desk.there(&[&materialise[..], &REMOTE[..]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = desk.there(&["refresh-materialised", "by_shard"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.json()[0]["detail"]
            .as_str()
            .unwrap()
            .contains("while it was read")
    );
    assert_eq!(desk.there(&other).await.code, 0);
    let ran = desk.there(&["drop", "--report", "by_shard", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = desk.there(&["drop", "--report", "by_shard", "--yes"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");

    let guide = desk
        .run(&["sql", "--remote-user", "reports", "--guide-names"])
        .await;
    assert!(
        guide.out.contains("CREATE VIEW customers_all AS"),
        "{guide:?}"
    );
    assert!(!guide.out.contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_from_the_planners_split() {
    let ((shards, config), server) = tokio::join!(installed(2, 0), start(1, 0));
    let desk = Desk::new(Stage::over(shards, config, server).await).await;
    for n in 0..7 {
        let id = uuid::Uuid::from_u128(n);
        let shard = desk.stage.config.map.locate(&id).unwrap().shard.index();
        let insert = format!("INSERT INTO customers VALUES ('{id}', 'Ada', 'a@example.com', 'DE')");
        let node = superuser(&desk.stage.shards, &format!("s{shard}a")).await;
        node.batch_execute(&insert).await.unwrap();
    }
    let report = |sql: &'static str, how: &'static str| {
        let arguments = [&["report", "per_country", sql, how], &REMOTE[..]].concat();
        let desk = &desk;
        async move { desk.there(&arguments).await }
    };
    let sql = "SELECT country, count(*) AS n FROM customers GROUP BY country;";
    // Shown first, with the SQL of it where people read.
    let shown = [
        &["fdw", "report", "per_country", sql, "--dry-run"],
        &REMOTE[..],
        &desk.server()[..],
    ]
    .concat();
    let shown = desk.shardctl.run_with(&desk.variables(), &shown).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.err.contains("s1_customers"), "{shown:?}");
    assert!(shown.err.contains("partials"), "{shown:?}");

    let ran = report(sql, "--yes").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let session = desk.stage.session().await;
    let row = session.query_one("SELECT country, n FROM reporting.per_country", &[]);
    let row = row.await.unwrap();
    assert_eq!(
        (row.get::<_, &str>(0).trim(), row.get::<_, i64>(1)),
        ("DE", 7)
    );
    assert_eq!(desk.there(&[&["diff"], &REMOTE[..]].concat()).await.code, 0);

    // What would gather rows is refused, and what was there stays.
    let ran = report(
        "SELECT string_agg(full_name, ',' ORDER BY full_name) AS names FROM customers",
        "--yes",
    )
    .await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("read the views"), "{ran:?}");
    assert_eq!(desk.there(&[&["diff"], &REMOTE[..]].concat()).await.code, 0);
    let ran = desk
        .there(&["drop", "--report", "per_country", "--yes"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_repoints_the_servers() {
    let ((shards, config), server) = tokio::join!(installed(2, 1), start(1, 0));
    let desk = Desk::new(Stage::over(shards, config, server).await).await;
    let service = Cluster::connect(desk.stage.config.clone()).unwrap();
    service.ready(Duration::from_secs(30)).await.unwrap();
    let apply = [&["apply"], &REMOTE[..], &["--hosts", "current", "--yes"]].concat();
    let ran = desk.there(&apply).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let count = || async {
        let session = desk.stage.session().await;
        session
            .query_one("SELECT count(*) FROM reporting.customers", &[])
            .await
    };
    assert_eq!(count().await.unwrap().get::<_, i64>(0), 0);

    let arguments = [
        &["--output", "json", "watch", "--refresh-fdw"],
        &desk.server()[..],
    ]
    .concat();
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_shardctl"))
        .args(arguments)
        .current_dir(desk.shardctl.dir())
        .envs(desk.variables())
        .env("PGSHARD_PASSWORD", desk.shardctl.password())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    desk.stage.shards.kill("s0a").await.unwrap();
    desk.stage.shards.promote("s0b").await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let line = lines.next_line().await.unwrap().expect("a line");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["event"] == "reports-repointed" {
                return line;
            }
        }
    });
    let told = told.await.expect("the servers are repointed");
    assert!(
        told["text"].as_str().unwrap().contains("pgshard_s0"),
        "{told}"
    );
    assert_eq!(count().await.unwrap().get::<_, i64>(0), 0);
    watch.kill().await.unwrap();
    // By hand there is nothing left to do.
    let ran = desk.there(&["refresh"]).await;
    assert_eq!((ran.code, ran.json()), (0, Value::Array(vec![])), "{ran:?}");
    service.close().await;
}
