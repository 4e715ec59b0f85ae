//! SQL over shards when something is too much, too late, down, or other than it was.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pgshard::config::{Proxy, ShardedTable, TableName};
use pgshard::local::{LocalCluster, PgBouncerSpec};
use pgshard::query::{Refusal, Tier};
use pgshard::{Cluster, Config, CustomerId, Error, ErrorKind, Label, Token};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use uuid::Uuid;

use crate::support::{client, installed, installed_programs, owner, superuser};

/// One query of each tier that has one over many shards, all of which count the things.
const TIERS: [(Tier, &str); 3] = [
    (Tier::Push, "SELECT n FROM things ORDER BY n"),
    (Tier::Split, "SELECT max(n) FROM things"),
    (
        Tier::Pull,
        "SELECT n FROM (SELECT n, row_number() OVER (ORDER BY n) AS r FROM things) s ORDER BY n",
    ),
];

/// A table beside the bank's, `things (customer_id, n)`: 1 on the first shard, 2 on the second, and so on.
async fn things(shards: usize, replicas: usize) -> (LocalCluster, Config, Vec<Client>) {
    let (local, mut config) = installed(shards, replicas).await;
    config.tables.push(ShardedTable {
        name: TableName {
            schema: "public".to_owned(),
            name: "things".to_owned(),
        },
        key: "customer_id".to_owned(),
    });
    let cluster = client(config.clone()).await;
    let mut owners = Vec::new();
    for shard in 0..shards {
        let owner = owner(&local, &format!("s{shard}a")).await;
        owner
            .batch_execute(
                "CREATE TABLE things (customer_id uuid NOT NULL PRIMARY KEY, n bigint); \
                 GRANT ALL ON things TO app",
            )
            .await
            .unwrap();
        let n = shard as i64 + 1;
        owner
            .execute(
                "INSERT INTO things VALUES ($1, $2)",
                &[&key(&cluster, shard), &n],
            )
            .await
            .unwrap();
        owners.push(owner);
    }
    cluster.close().await;
    (local, config, owners)
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A key of a shard.
fn key(cluster: &Cluster, shard: usize) -> CustomerId {
    let name = format!("s{shard}");
    (1..)
        .map(|n| CustomerId(Uuid::from_u128(n * 7919)))
        .find(|id| cluster.session(id).unwrap().shard().as_str() == name)
        .unwrap()
}

async fn numbers(cluster: &Cluster, sql: &str) -> pgshard::Result<Vec<i64>> {
    let answer = cluster.sql(sql, &[]).query::<(i64,)>().await?;
    let mut numbers: Vec<i64> = answer.rows.into_iter().map(|(n,)| n).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: pgshard::Result<T>) -> Refusal {
    let error = outcome.unwrap_err();
    Refusal::of(&error)
        .unwrap_or_else(|| panic!("{error:?}"))
        .clone()
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_before_it_is_in_memory() {
    let (_local, config, owners) = things(2, 0).await;
    for owner in &owners {
        owner
            .batch_execute(
                "ALTER TABLE things ADD COLUMN x text; INSERT INTO things \
                 SELECT gen_random_uuid(), g, repeat('x', 1000) FROM generate_series(1, 40000) g",
            )
            .await
            .unwrap();
    }
    let cluster = client(config).await;
    let sql = "SELECT count(*) FROM (SELECT x, row_number() OVER (ORDER BY n) AS r FROM things) s WHERE r % 2 = 0 AND x > ''";
    let explained = cluster.sql(sql, &[]).explain().await.unwrap();
    assert_eq!(explained.tier, Tier::Pull);
    for (rows, bytes) in [(1000, usize::MAX), (usize::MAX, 1 << 20)] {
        let before = resident();
        let query = cluster.sql(sql, &[]).max_gathered(rows, bytes);
        let error = query.query::<(i64,)>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        let told = error.message();
        assert!(
            told.contains("things") && told.contains("max_gathered()"),
            "{told}"
        );
        assert!(
            told.contains("1000 rows") || told.contains("1048576 bytes"),
            "{told}"
        );
        let grown = resident().saturating_sub(before);
        assert!(grown < 24 << 20, "{grown}");
    }
    let (count,) = cluster
        .sql(sql, &[])
        .max_gathered(100_000, 200 << 20)
        .query_one::<(i64,)>()
        .await
        .unwrap();
    // The two rows that were there before have no x.
    assert!((39_999..=40_001).contains(&count), "{count}");
    let error = cluster
        .sql("SELECT n FROM things", &[])
        .max_rows(10)
        .query::<(Option<i64>,)>();
    let error = error.await.unwrap_err();
    assert!(error.message().contains("10 rows"), "{error}");
}

/// The application's statements that run on all shards.
async fn running(owners: &[Client]) -> i64 {
    let mut running = 0;
    for owner in owners {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                   AND state <> 'idle' AND (query LIKE '%generate_series%' OR query LIKE '%repeat%')";
        running += owner.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    }
    running
}

async fn until_running(owners: &[Client], wanted: i64) {
    let started = Instant::now();
    while running(owners).await != wanted {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{}",
            running(owners).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_or_late_leaves_no_work() {
    let (local, mut config, owners) = things(2, 0).await;
    // A connection that is not given back would be missed at once.
    config.pool.max_size = 2;
    config.timeouts.checkout = Duration::from_secs(5);
    let cluster = client(config).await;
    let admins = [
        superuser(&local, "s0a").await,
        superuser(&local, "s1a").await,
    ];
    let series = "generate_series(1, 2000000000) g";
    let slow = [
        format!("SELECT t.n FROM things t, {series} WHERE g < 0 ORDER BY 1"),
        format!("SELECT sum(t.n + g) FROM things t, {series}"),
        format!("SELECT g, row_number() OVER (ORDER BY t.n) FROM things t, {series} WHERE g < 0"),
    ];
    for sql in &slow {
        for _ in 0..2 {
            let mut query = Box::pin(cluster.sql(sql, &[]).query::<(i64,)>());
            tokio::select! {
                answer = &mut query => panic!("{answer:?}"),
                () = until_running(&admins, 2) => {}
            }
            drop(query);
            for (_, sql) in TIERS {
                assert!(!numbers(&cluster, sql).await.unwrap().is_empty());
            }
            until_running(&admins, 0).await;
        }
        let started = Instant::now();
        let query = cluster.sql(sql, &[]).within(Duration::from_millis(600));
        let error = query.query::<(i64,)>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        until_running(&admins, 0).await;
    }
    // A stream that was begun.
    for owner in &owners {
        owner
            .batch_execute(
                "INSERT INTO things SELECT gen_random_uuid(), g FROM generate_series(1, 100000) g",
            )
            .await
            .unwrap();
    }
    let sql = "SELECT n, repeat('x', 1000) FROM things";
    let mut rows = cluster.sql(sql, &[]).stream().await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    until_running(&admins, 0).await;
    for (_, sql) in TIERS {
        assert!(!numbers(&cluster, sql).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_down_is_an_error_and_never_a_part() {
    let (local, mut config, _) = things(3, 0).await;
    config.timeouts.primary = Duration::from_secs(1);
    let cluster = client(config).await;
    for (tier, sql) in TIERS {
        assert_eq!(
            cluster.sql(sql, &[]).explain().await.unwrap().tier,
            tier,
            "{sql}"
        );
        assert!(!numbers(&cluster, sql).await.unwrap().is_empty());
    }
    local.kill("s1a").await.unwrap();
    for (_, sql) in TIERS {
        let query = cluster.sql(sql, &[]).within(Duration::from_secs(2));
        let error = query.query::<(i64,)>().await.unwrap_err();
        assert_eq!(
            error.shard().map(|s| s.to_string()).as_deref(),
            Some("s1"),
            "{error:?}"
        );
    }
    // Those that are up answer for their own, by plans that are kept and by new ones.
    let own = "SELECT n FROM things WHERE customer_id = $1";
    for shard in [0, 2] {
        let key = key(&cluster, shard);
        let (n,) = cluster
            .sql(own, &[&key])
            .query_one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(n, shard as i64 + 1);
    }
    let gone = key(&cluster, 1);
    let params: Params<'_> = &[&gone];
    let query = cluster.sql(own, params).within(Duration::from_secs(2));
    query.query::<(i64,)>().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_sees_its_write_in_every_tier() {
    let (_local, config, _) = things(2, 1).await;
    let cluster = client(config).await;
    let keys = [key(&cluster, 0), key(&cluster, 1)];
    for n in 10..25_i64 {
        let sql = "UPDATE things SET n = $2 WHERE customer_id = ANY ($1)";
        let done = cluster
            .sql(sql, &[&keys.to_vec(), &n])
            .execute()
            .await
            .unwrap();
        let mut token: Option<Token> = None;
        for shard in &done.shards {
            let own = shard.outcome.as_ref().unwrap().token.clone().unwrap();
            match &mut token {
                Some(token) => token.join(&own).unwrap(),
                None => token = Some(own),
            }
        }
        let token = token.unwrap();
        for (tier, sql) in TIERS {
            let query = cluster.sql(sql, &[]).prefer_replica().at_least(&token);
            let answer = query.query::<(i64,)>().await.unwrap().rows;
            assert!(
                answer.iter().all(|(seen,)| *seen == n),
                "{tier}: {answer:?}"
            );
        }
        let own = "SELECT n FROM things WHERE customer_id = $1";
        let params: Params<'_> = &[&keys[1]];
        let query = cluster.sql(own, params).prefer_replica().at_least(&token);
        assert_eq!(query.query_one::<(i64,)>().await.unwrap(), (n,));
    }
}

/// The sessions of the application end, and with them what they had prepared.
async fn end_sessions(local: &LocalCluster) {
    for shard in local.shards() {
        superuser(local, shard.primary().id().as_str())
            .await
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
            )
            .await
            .unwrap();
    }
}

/// Whatever plans are kept: right, or an error and then right.
async fn soon<T: pgshard::FromRow + PartialEq + std::fmt::Debug>(
    cluster: &Cluster,
    sql: &str,
    expected: &[T],
) {
    for left in (0..3).rev() {
        match cluster.sql(sql, &[]).query::<T>().await {
            Ok(answer) => return assert_eq!(answer.rows, expected, "{sql}"),
            Err(error) => assert!(left > 0, "{sql}: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_outlive_no_change_of_the_tables() {
    let (local, config, owners) = things(2, 0).await;
    let cluster = client(config).await;
    let all = async |sql: &str| {
        for owner in &owners {
            owner.batch_execute(sql).await.unwrap();
        }
    };
    let star = "SELECT * FROM things ORDER BY n";
    let (a, b) = (key(&cluster, 0), key(&cluster, 1));
    let one = format!("SELECT * FROM things WHERE customer_id = '{a}'");
    let shown = "SELECT max(n)::text FROM things";
    for end in [false, true] {
        all("ALTER TABLE things ALTER n TYPE bigint").await;
        soon(&cluster, star, &[(a, 1_i64), (b, 2)]).await;
        soon(&cluster, &one, &[(a, 1_i64)]).await;
        soon(&cluster, shown, &["2".to_owned()].map(|n| (n,))).await;
        for (_, sql) in TIERS {
            soon(
                &cluster,
                sql,
                &if sql.contains("max") {
                    vec![(2_i64,)]
                } else {
                    vec![(1,), (2,)]
                },
            )
            .await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        // As wide as before, so that nobody stumbles over a length.
        all("ALTER TABLE things ALTER n TYPE double precision").await;
        if end {
            end_sessions(&local).await;
        }
        for (_, sql) in TIERS {
            soon(
                &cluster,
                sql,
                &if sql.contains("max") {
                    vec![(2_f64,)]
                } else {
                    vec![(1.,), (2.,)]
                },
            )
            .await;
        }
        soon(&cluster, shown, &["2".to_owned()].map(|n| (n,))).await;
        soon(&cluster, star, &[(a, 1_f64), (b, 2.)]).await;
        soon(&cluster, &one, &[(a, 1_f64)]).await;
        tokio::time::sleep(Duration::from_millis(150)).await;

        all("ALTER TABLE things ADD COLUMN extra text DEFAULT 'x'").await;
        if end {
            end_sessions(&local).await;
        }
        // Nothing tells a plan of a new column; those with stars are kept for a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let x = || "x".to_owned();
        soon(&cluster, star, &[(a, 1_f64, x()), (b, 2., x())]).await;
        soon(&cluster, &one, &[(a, 1_f64, x())]).await;
        soon(&cluster, "SELECT DISTINCT extra FROM things", &[(x(),)]).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        all("ALTER TABLE things DROP COLUMN extra").await;
        if end {
            end_sessions(&local).await;
        }
        soon(&cluster, star, &[(a, 1_f64), (b, 2.)]).await;
        soon(&cluster, &one, &[(a, 1_f64)]).await;
        let gone = "SELECT DISTINCT extra FROM things";
        let error = cluster
            .sql(gone, &[])
            .query::<(String,)>()
            .await
            .unwrap_err();
        assert_eq!(error.sqlstate().unwrap().as_str(), "42703");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_same_everywhere_is_refused_by_name() {
    let (_local, config, owners) = things(2, 0).await;
    for owner in &owners {
        owner
            .batch_execute(
                "CREATE TABLE loose (customer_id uuid, n int); CREATE VIEW seen AS SELECT * FROM things; \
                 GRANT ALL ON loose, seen TO app",
            )
            .await
            .unwrap();
    }
    owners[1]
        .batch_execute("ALTER TABLE things ADD COLUMN late int")
        .await
        .unwrap();
    let cluster = client(config).await;
    let ask = async |sql: &str| refusal(cluster.sql(sql, &[]).query::<(i64,)>().await);
    let drift = ask("SELECT count(*) FROM things").await.to_string();
    for word in ["things", "s0", "s1", "columns"] {
        assert!(drift.contains(word), "{drift}");
    }
    for (sql, name) in [
        ("SELECT count(*) FROM loose", "loose"),
        ("SELECT count(*) FROM currencies, loose", "loose"),
        ("SELECT count(*) FROM seen", "seen"),
        ("SELECT count(*) FROM pg_class", "pg_class"),
        (
            "SELECT count(*) FROM pg_catalog.pg_stat_activity",
            "pg_stat_activity",
        ),
        ("SELECT count(*) FROM information_schema.tables", "tables"),
        (
            "SELECT count(*) FROM customers WHERE EXISTS (SELECT FROM loose)",
            "loose",
        ),
    ] {
        let refusal = ask(sql).await;
        assert!(refusal.to_string().contains(name), "{refusal}");
        assert!(refusal.position().is_some(), "{refusal}");
    }
    // Once it is the same it is answered, without a new client.
    owners[0]
        .batch_execute("ALTER TABLE things ADD COLUMN late int")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    soon(&cluster, "SELECT count(*) FROM things", &[(2_i64,)]).await;
    for owner in &owners {
        owner
            .batch_execute("CREATE TABLE newer (n int)")
            .await
            .unwrap();
    }
    let newer = ask("SELECT count(*) FROM newer").await;
    assert!(newer.to_string().contains("newer"), "{newer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_those_of_each_call() {
    let (_local, config, _) = things(2, 0).await;
    let cluster = client(config).await;
    let (a, b) = (key(&cluster, 0), key(&cluster, 1));
    // One text, and so one plan, for other shards each time.
    let any = "SELECT n FROM things WHERE customer_id = ANY ($1) ORDER BY n";
    let keys: [(Vec<CustomerId>, &[i64]); 5] = [
        (vec![a], &[1]),
        (vec![a, b], &[1, 2]),
        (vec![b], &[2]),
        (vec![], &[]),
        (vec![a, b, b], &[1, 2]),
    ];
    for (keys, expected) in &keys {
        for _ in 0..2 {
            let rows = cluster
                .sql(any, &[keys])
                .query::<(i64,)>()
                .await
                .unwrap()
                .rows;
            assert_eq!(rows, expected.iter().map(|n| (*n,)).collect::<Vec<_>>());
        }
    }
    let one = "SELECT sum(n)::bigint FROM things WHERE customer_id = $1";
    let none: Option<Uuid> = None;
    let cases: [(Params<'_>, Option<i64>); 4] = [
        (&[&a], Some(1)),
        (&[&b], Some(2)),
        (&[&none], None),
        (&[&a], Some(1)),
    ];
    for (params, expected) in cases {
        assert_eq!(
            cluster
                .sql(one, params)
                .query_one::<(Option<i64>,)>()
                .await
                .unwrap(),
            (expected,)
        );
    }
    fn params<'a>(params: Params<'a>) -> Params<'a> {
        params
    }
    let null = "SELECT n FROM things WHERE $1::bigint IS NULL OR n = $1 ORDER BY n LIMIT $2";
    let (no, ten, two): (Option<i64>, i64, i64) = (None, 10, 2);
    for (params, expected) in [
        (params(&[&no, &ten]), vec![(1_i64,), (2,)]),
        (params(&[&no, &1_i64]), vec![(1,)]),
        (params(&[&two, &no]), vec![(2,)]),
    ] {
        let rows = cluster
            .sql(null, params)
            .query::<(i64,)>()
            .await
            .unwrap()
            .rows;
        assert_eq!(rows, expected);
    }
    for params in [&[] as Params<'_>, &[&a, &b], &[&"x"], &[&1_i32]] {
        let error = cluster
            .sql(any, params)
            .query::<(i64,)>()
            .await
            .unwrap_err();
        assert!(error.has(Label::NOT_SENT), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_take_bounded_memory() {
    let (_local, mut config, _) = things(1, 0).await;
    config.pool.max_size = 1;
    let cluster = client(config).await;
    let ask = async |from: usize, to: usize| {
        for n in from..to {
            let sql = format!("SELECT {n}::bigint /* {} */", "x".repeat(15 << 10));
            assert_eq!(numbers(&cluster, &sql).await.unwrap(), [n as i64]);
        }
    };
    // Enough for all that is kept to be full once.
    ask(0, 1100).await;
    let before = resident();
    ask(1100, 3200).await;
    let grown = resident().saturating_sub(before);
    // The texts alone are 32 MB.
    assert!(grown < 12 << 20, "{grown}");
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_in_no_error_and_statements_in_no_log() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    tracing_subscriber::registry()
        .with(tracing_subscriber::filter::LevelFilter::INFO)
        .with(tracing_subscriber::fmt::layer().with_writer(move || writer.clone()))
        .init();
    let (local, config, owners) = things(2, 0).await;
    for owner in &owners {
        owner
            .batch_execute("ALTER TABLE things ADD COLUMN x text CHECK (x <> 'bad')")
            .await
            .unwrap();
    }
    let cluster = client(config).await;
    let secret = "hunter2-is-a-secret";
    let mut told = Vec::new();
    let mut note = |error: Error| told.push(format!("{error} {error:?}"));
    for sql in [
        "SELECT x FROM things WHERE coalesce(x, $1) = $1 AND 1 / (n - n) = 1",
        "SELECT max($1::text) FROM things WHERE 1 / (n - n) = 1",
        "SELECT random() FROM things WHERE x = $1",
        "SELECT nothing FROM things WHERE x = $1",
        "SELECT n FROM things WHERE n = $1",
    ] {
        note(
            cluster
                .sql(sql, &[&secret])
                .query::<(i64,)>()
                .await
                .unwrap_err(),
        );
        if let Err(error) = cluster.sql(sql, &[&secret]).explain().await {
            note(error);
        }
    }
    let update = "UPDATE things SET x = $1, n = 1 / (n - n)";
    note(
        cluster
            .sql(update, &[&secret])
            .all_shards()
            .execute()
            .await
            .unwrap_err(),
    );
    note(cluster.sql(update, &[&secret]).execute().await.unwrap_err());
    let insert = "INSERT INTO things VALUES ($1, 1, $2)";
    note(
        cluster
            .sql(insert, &[&None::<Uuid>, &secret])
            .execute()
            .await
            .unwrap_err(),
    );
    let debug = format!(
        "{:?}",
        cluster.sql(&format!("SELECT '{secret}'"), &[&secret])
    );
    local.kill("s1a").await.unwrap();
    let params: Params<'_> = &[&secret];
    let query = cluster.sql("SELECT x, 'marked' FROM things WHERE x = $1", params);
    note(
        query
            .within(Duration::from_secs(1))
            .query::<(String, String)>()
            .await
            .unwrap_err(),
    );
    for text in told.iter().chain([&debug]) {
        assert!(!text.contains(secret), "{text}");
    }
    let logs = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    assert!(!logs.contains(secret) && !logs.contains("SELECT"), "{logs}");
    assert!(!logs.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_behind_a_proxy_are_refused() {
    if !installed_programs(&["pgbouncer"]) {
        return;
    }
    let (local, mut config, _) = things(2, 0).await;
    let bouncer = local
        .pgbouncer("s0a", PgBouncerSpec::default())
        .await
        .unwrap();
    let nodes = &mut config.shards[0].nodes;
    nodes[0].port = bouncer.port();
    nodes[0].proxy = Some(Proxy::PgBouncer);
    let text = "SELECT count(*) FROM things";
    let cluster = client(config).await;
    let error = cluster.sql(text, &[]).query::<(i64,)>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(error.message().contains("direct node"), "{error}");
    let change = cluster.sql("UPDATE things SET n = 1", &[]).all_shards();
    let error = change.execute().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
}
