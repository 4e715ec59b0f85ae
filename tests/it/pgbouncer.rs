//! Nodes behind a real PgBouncer in transaction mode: what works is as honest as on a direct
//! connection, and what cannot work is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pgshard::config::{GuardMode, Proxy};
use pgshard::fanout::Merge;
use pgshard::local::{LocalCluster, LocalSpec, PgBouncer, PgBouncerSpec};
use pgshard::{Cluster, Config, CustomerId, ErrorKind, IdempotencyKey, Label};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::support::{
    INSERT, client, install, installed, installed_programs, owner, rows_of, start_spec, superuser,
    until,
};

/// The configuration of the first shard alone, whose one node is a proxy.
fn through(mut config: Config, port: u16, proxy: Proxy) -> Config {
    let nodes = &mut config.shards[0].nodes;
    nodes.truncate(1);
    nodes[0].port = port;
    nodes[0].proxy = Some(proxy);
    config
}

fn new_id() -> CustomerId {
    CustomerId(Uuid::new_v4())
}

/// A customer of the first shard.
fn of_first_shard(cluster: &Cluster) -> CustomerId {
    let mine = |id: &CustomerId| cluster.session(id).unwrap().shard().as_str() == "s0";
    std::iter::repeat_with(new_id).find(mine).unwrap()
}

async fn count(cluster: &Cluster, id: CustomerId) -> pgshard::Result<i64> {
    let sql = "SELECT count(*) FROM customers WHERE customer_id = $1";
    let read = cluster.session(&id)?.read();
    let (count,) = read.query_one(sql, &[&id]).await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_pgbouncer_types_pins_and_refusals() {
    if !installed_programs(&["pgbouncer"]) {
        return;
    }
    let (local, config) = installed(2, 0).await;
    let spec = PgBouncerSpec {
        pool_size: 2,
        ..PgBouncerSpec::default()
    };
    let bouncer = local.pgbouncer("s0a", spec).await.unwrap();
    let config = through(config, bouncer.port(), Proxy::PgBouncer);
    let cluster = client(config.clone()).await;
    let id = of_first_shard(&cluster);
    let session = cluster.session(&id).unwrap();

    values_come_back(&cluster, id).await;
    // What a direct session starts with, the transaction has; and a reading one cannot write.
    let pins: Vec<(String, String, String)> = session
        .read()
        .query(
            "SELECT current_setting('TimeZone'), current_setting('search_path'), \
             current_setting('transaction_read_only')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(pins[0].0, "UTC");
    assert_eq!(pins[0].2, "on");
    let written = session.read().query::<(i64,)>(INSERT, &[&id]).await;
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Refused);

    refusals(&local, &cluster, &config, id).await;
    the_guard_is_set(config, id).await;
    interleaved(&cluster).await;
    given_up_statements_end(&local, &cluster, id).await;
    fan_out(&cluster).await;

    // Nothing was left on the servers that everybody shares.
    let (left,): (i64,) = session
        .read()
        .query_one("SELECT count(*) FROM pg_prepared_statements", &[])
        .await
        .unwrap();
    assert_eq!(left, 0);
    wrong_server(&local, &bouncer, &cluster).await;
}

async fn values_come_back(cluster: &Cluster, id: CustomerId) {
    let session = cluster.session(&id).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_751_328_000_919_160);
    let money: Decimal = "-12345678901234.5600".parse().unwrap();
    let ids = vec![id, new_id()];
    let nothing: Option<i32> = None;
    let read = || session.read();
    let one: (CustomerId, i16, i32, i64, bool, String) = read()
        .query_one(
            "SELECT $1, $2, $3, $4, $5, $6",
            &[&id, &7_i16, &-7_i32, &(1_i64 << 40), &true, &"naïve 'x'"],
        )
        .await
        .unwrap();
    assert_eq!(one, (id, 7, -7, 1 << 40, true, "naïve 'x'".to_owned()));
    let two: (Vec<u8>, SystemTime, Decimal, Vec<CustomerId>, Option<i32>) = read()
        .query_one(
            "SELECT $1, $2, $3, $4, $5",
            &[&vec![0_u8, 255], &now, &money, &ids, &nothing],
        )
        .await
        .unwrap();
    assert_eq!(two, (vec![0, 255], now, money, ids, nothing));
    // Narrower columns take wider parameters, as assignments between columns do.
    let (sum,): (i64,) = session
        .read()
        .query_one(
            "SELECT sum(n) FROM generate_series(1, $1::int) n WHERE n < $2",
            &[&10_i32, &5_i64],
        )
        .await
        .unwrap();
    assert_eq!(sum, 10);
}

async fn refusals(local: &LocalCluster, cluster: &Cluster, config: &Config, id: CustomerId) {
    let session = cluster.session(&id).unwrap();
    for sql in [
        "SET TimeZone = 'Asia/Tokyo'",
        "LISTEN news",
        "SELECT pg_advisory_lock(1)",
        "SELECT set_config('a.b', 'c', false)",
    ] {
        let refused = session.read().query::<(i64,)>(sql, &[]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{sql}: {refused}");
        let refused = session
            .transaction(|tx| async move { tx.execute(sql, &[]).await })
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{sql}: {refused}");
    }
    let kept = session
        .transaction(|tx| async move {
            tx.execute("SET LOCAL statement_timeout = '5s'", &[])
                .await?;
            tx.query::<(bool,)>("SELECT pg_try_advisory_xact_lock(42)", &[])
                .await
        })
        .await
        .unwrap();
    assert_eq!(kept.value, [(true,)]);
    // The driver's own client.
    let refused = session.read().lease().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    let raw = session
        .transaction(|tx| async move { tx.raw().map(drop) })
        .await;
    assert_eq!(raw.unwrap_err().kind(), ErrorKind::Refused);
    // A type that the driver would look up by a named statement.
    let ddl = owner(local, "s0a").await;
    ddl.batch_execute("CREATE TYPE mood AS ENUM ('fine'); GRANT USAGE ON TYPE mood TO app")
        .await
        .unwrap();
    let sql = "SELECT 'fine'::mood";
    let refused = session
        .read()
        .query::<(String,)>(sql, &[])
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused:?}");
    assert!(
        refused.to_string().contains("cast the column to text"),
        "{refused}"
    );
    let refused = session
        .transaction(|tx| async move { tx.query::<(String,)>(sql, &[]).await })
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused:?}");
    let (text,): (String,) = session
        .read()
        .query_one("SELECT ($1::text::mood)::text", &[&"fine"])
        .await
        .unwrap();
    assert_eq!(text, "fine");
    // Operators' commands need sessions of their own.
    let options = pgshard::ops::install::InstallOptions::new(local.owner());
    let plan = pgshard::ops::install::Install::plan(config, options).await;
    assert!(plan.unwrap_err().to_string().contains("behind a proxy"));
}

/// The key that the guard compares rows with is set for the one transaction.
async fn the_guard_is_set(mut config: Config, id: CustomerId) {
    config.guard = GuardMode::Send;
    let cluster = client(config).await;
    let session = cluster.session(&id).unwrap();
    let sql = "SELECT current_setting('pgshard.key')";
    let (read,): (String,) = session.read().query_one(sql, &[]).await.unwrap();
    let written =
        session.transaction(|tx| async move { tx.query_one::<(String,)>(sql, &[]).await });
    let written = written.await.unwrap().value.0;
    assert_eq!((read, written), (id.0.to_string(), id.0.to_string()));
}

/// Twenty tasks on two servers: nobody gets another's rows.
async fn interleaved(cluster: &Cluster) {
    let tasks = (0..20_i64).map(|task| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            for round in 0..10_i64 {
                let id = of_first_shard(&cluster);
                let session = cluster.session(&id).unwrap();
                let wanted = task * 1_000 + round;
                let (echo, name): (i64, String) = session
                    .read()
                    .query_one("SELECT $1::bigint, $2", &[&wanted, &format!("task {task}")])
                    .await?;
                assert_eq!((echo, name), (wanted, format!("task {task}")));
                session
                    .transaction(|tx| async move {
                        let (echo,): (i64,) =
                            tx.query_one("SELECT $1::bigint + 1", &[&wanted]).await?;
                        assert_eq!(echo, wanted + 1);
                        tx.execute(INSERT, &[&id]).await
                    })
                    .await?;
                assert_eq!(count(&cluster, id).await?, 1);
            }
            Ok::<_, pgshard::Error>(())
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap().unwrap();
    }
}

/// What is given up half-way is ended on the server, though it can only be reached through the
/// proxy, and the next caller does not wait behind it.
async fn given_up_statements_end(local: &LocalCluster, cluster: &Cluster, id: CustomerId) {
    let admin = superuser(local, "s0a").await;
    let session = cluster.session(&id).unwrap();
    let sleep = session
        .read()
        .query::<(String,)>("SELECT pg_sleep(60)::text", &[]);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), sleep)
            .await
            .is_err()
    );
    until(
        &admin,
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' \
         AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid())",
    )
    .await;
    assert_eq!(count(cluster, id).await.unwrap(), 0);
}

async fn fan_out(cluster: &Cluster) {
    for (country, expected) in [("GB", 3), ("XX", 0)] {
        let sql =
            "SELECT customer_id FROM customers WHERE country = $1 AND full_name = 'Ada' LIMIT 3";
        let rows = cluster
            .fan_out(sql, &[&country], Merge::concat())
            .query::<(CustomerId,)>()
            .await
            .unwrap();
        // The other shard, which is asked directly, has no customers.
        assert_eq!(rows.rows.len(), expected);
    }
}

/// The address of one shard is given to another behind our back: not even the first answer is
/// taken for ours.
async fn wrong_server(local: &LocalCluster, bouncer: &PgBouncer, cluster: &Cluster) {
    let id = of_first_shard(cluster);
    assert_eq!(count(cluster, id).await.unwrap(), 0);
    bouncer.point_at(local.node("s1a").unwrap().port()).unwrap();
    bouncer.reload().await.unwrap();
    let other = superuser(local, "s1a").await;
    for _ in 0..3 {
        let session = cluster.session(&id).unwrap();
        let read = session.read().within(Duration::from_secs(1));
        let sql = "SELECT count(*) FROM customers WHERE customer_id = $1";
        let read = read.query_one::<(i64,)>(sql, &[&id]).await.unwrap_err();
        let write = session.write().within(Duration::from_secs(1));
        let write = write.run(|tx| async move { tx.execute(INSERT, &[&id]).await });
        let write = write.await.unwrap_err();
        for error in [read, write] {
            let kinds = [ErrorKind::WrongNode, ErrorKind::Unavailable];
            assert!(kinds.contains(&error.kind()), "{error:?}");
        }
    }
    assert_eq!(rows_of(&other, id).await, 0);
    bouncer.point_at(local.node("s0a").unwrap().port()).unwrap();
    bouncer.reload().await.unwrap();
    // Waiting for a shard whose servers are another's ends at once: there is nothing to wait for.
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = count(cluster, id).await {
        assert!(Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Who was written, and whether that was read at once.
type Outcome = (CustomerId, pgshard::Result<bool>);

/// Writers and readers that go on while something is done to the servers.
struct Load {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
    writers: Vec<tokio::task::JoinHandle<Vec<Outcome>>>,
    slowest: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let reads = Arc::new(AtomicUsize::new(0));
        let slowest = Arc::new(AtomicUsize::new(0));
        let given_up = Arc::new(AtomicUsize::new(0));
        let writers = (0..8).map(|_| {
            let (cluster, stop) = (cluster.clone(), Arc::clone(&stop));
            let (reads, slowest) = (Arc::clone(&reads), Arc::clone(&slowest));
            let given_up = Arc::clone(&given_up);
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = of_first_shard(&cluster);
                    let began = Instant::now();
                    let outcome = write_and_read(&cluster, id, &given_up).await;
                    slowest.fetch_max(began.elapsed().as_millis() as usize, Ordering::Relaxed);
                    reads.fetch_add(1, Ordering::Relaxed);
                    outcomes.push((id, outcome));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                outcomes
            })
        });
        let writers = writers.collect();
        Load {
            stop,
            reads,
            writers,
            slowest,
            given_up,
        }
    }

    async fn past(&self, more: usize) {
        let goal = self.reads.load(Ordering::Relaxed) + more;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.reads.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "the load stands still");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every write was answered, was there at once, and is there exactly once on the servers.
    async fn check(self, what: &str, admin: &tokio_postgres::Client) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = 0;
        for writer in self.writers {
            for (id, outcome) in writer.await.unwrap() {
                match outcome {
                    Ok(seen) => assert!(seen, "{what}: not read after it was written"),
                    Err(error) => panic!("{what}: an error reached the caller: {error:?}"),
                }
                assert_eq!(rows_of(admin, id).await, 1, "{what}: lost or doubled");
                written += 1;
            }
        }
        let slowest = self.slowest.load(Ordering::Relaxed);
        let given_up = self.given_up.load(Ordering::Relaxed);
        println!("{what}: {written} writes, the slowest took {slowest} ms, {given_up} repeated");
        assert!(written > 50, "{what}: only {written} writes");
        given_up
    }
}

/// Writes a customer under an idempotency key and reads the row with the write's token.
async fn write_and_read(
    cluster: &Cluster,
    id: CustomerId,
    given_up: &AtomicUsize,
) -> pgshard::Result<bool> {
    let session = cluster.session(&id)?;
    let committed = loop {
        let key = IdempotencyKey::generate();
        let outcome = session
            .write()
            .within(Duration::from_secs(20))
            .idempotent(&key, &id.0)?
            .run(|tx| async move { tx.execute(INSERT, &[&id]).await })
            .await;
        match outcome {
            // Known to be undone: the answer says to repeat it under a new key.
            Err(error) if error.has(Label::KEY_GIVEN_UP) => {
                given_up.fetch_add(1, Ordering::Relaxed);
            }
            outcome => break outcome?,
        }
    };
    let read = session.read().within(Duration::from_secs(20));
    let read = match &committed.token {
        Some(token) => read.at_least(token),
        None => read,
    };
    let sql = "SELECT count(*) FROM customers WHERE customer_id = $1";
    let (count,): (i64,) = read.query_one(sql, &[&id]).await?;
    Ok(count == 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_pgbouncer_a_restart_and_a_failover_lose_nothing() {
    if !installed_programs(&["pgbouncer"]) {
        return;
    }
    let local = start_spec(LocalSpec {
        synchronous: true,
        ..LocalSpec::default()
    })
    .await;
    let config = install(&local).await;
    let bouncer = local
        .pgbouncer("s0a", PgBouncerSpec::default())
        .await
        .unwrap();
    let config = through(config, bouncer.port(), Proxy::PgBouncer);
    let cluster = client(config).await;

    // It dies under load, twice, and comes back.
    let load = Load::start(&cluster);
    for _ in 0..2 {
        load.past(40).await;
        bouncer.kill().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        bouncer.start().await.unwrap();
    }
    load.past(40).await;
    load.check("restart", &superuser(&local, "s0a").await).await;

    // The planned way to another server: nobody notices but by the clock.
    let load = Load::start(&cluster);
    load.past(40).await;
    bouncer.pause().await.unwrap();
    local.promote("s0b").await.unwrap();
    bouncer.point_at(local.node("s0b").unwrap().port()).unwrap();
    bouncer.reload().await.unwrap();
    bouncer.resume().await.unwrap();
    load.past(80).await;
    let admin = superuser(&local, "s0b").await;
    let repeated = load.check("PAUSE, promote, RELOAD, RESUME", &admin).await;
    assert_eq!(repeated, 0, "nothing was in doubt");
    // The new reign is written: later tokens are of it.
    until(&admin, "SELECT count(*) = 2 FROM pgshard.reign").await;

    // A pool that is paused for long is no failure of the node: callers wait, and say why.
    bouncer.pause().await.unwrap();
    let id = of_first_shard(&cluster);
    let session = cluster.session(&id).unwrap();
    let read = session.read().within(Duration::from_millis(700));
    let paused = read
        .query_one::<(i64,)>("SELECT 1::bigint", &[])
        .await
        .unwrap_err();
    assert!(
        paused.kind() == ErrorKind::Timeout || paused.has(Label::RETRYABLE),
        "{paused:?}"
    );
    bouncer.resume().await.unwrap();
    cluster.ready(Duration::from_secs(20)).await.unwrap();
    let given_up = AtomicUsize::new(0);
    assert!(write_and_read(&cluster, id, &given_up).await.unwrap());
}
