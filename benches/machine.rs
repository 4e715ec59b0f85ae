//! The topology machine: what an event costs, and what a thousand real probes cost.
//!
//! `cargo bench --bench machine --features local`. To hold: at most 1 µs a steady event. The probes
//! are those of a client with a real server: their processor time is this process's own.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pgshard::Cluster;
use pgshard::id::NodeIndex;
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::topology::Event;

#[path = "../tests/support/steady.rs"]
mod steady;

use steady::Steady;

/// At most so much for an event that tells nothing new.
const BOUND: Duration = Duration::from_micros(1);

/// Makes the event of a turn.
type Make<'a> = &'a dyn Fn(usize, Duration) -> Event;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    let Steady {
        mut machine,
        facts,
        epoch,
    } = Steady::new(3);
    let mut now = Duration::from_secs(10);
    let mut round = |event: Make<'_>, count: usize| {
        for at in 0..count {
            now += Duration::from_millis(1);
            black_box(machine.step(event(at % 3, now), now));
        }
    };
    let answered = |node: usize, now: Duration| Event::Answered {
        node: NodeIndex(node as u16),
        asked_at: now,
        facts: facts[node].clone(),
    };
    let proved = |_: usize, now: Duration| Event::Proved {
        node: NodeIndex(0),
        asked_at: now,
        epoch,
    };
    let moved = |node: usize, now: Duration| {
        let mut facts = facts[node].clone();
        facts.lsn.0 += now.as_millis() as u64;
        Event::Answered {
            node: NodeIndex(node as u16),
            asked_at: now,
            facts,
        }
    };
    let events: [(&str, Make<'_>); 3] = [
        ("an answer that tells nothing new", &answered),
        ("traffic proves the role", &proved),
        ("an answer with a new position", &moved),
    ];
    for (name, event) in events {
        criterion.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                let began = Instant::now();
                round(event, times as usize);
                began.elapsed()
            });
        });
    }
    const EVENTS: u32 = 100_000;
    for (name, event) in &events[..2] {
        let began = Instant::now();
        round(event, EVENTS as usize);
        let each = began.elapsed() / EVENTS;
        println!("{name}: {each:?} an event (at most {BOUND:?})");
        assert!(each <= BOUND, "{name}: {each:?}");
    }
    criterion.final_summary();
    probes();
}

/// Processor time of this process.
fn processor() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the usage");
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

fn probes() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let spec = LocalSpec {
            replicas: 0,
            ..LocalSpec::default()
        };
        let local = LocalCluster::start(spec).await.expect("a server");
        let mut config = local.install(|_| ()).await.expect("an installation");
        config.failover.probe_interval = Duration::from_millis(2);
        let (admin, connection) = local
            .superuser_conninfo("s0a")
            .expect("a node")
            .connect(tokio_postgres::NoTls)
            .await
            .expect("a session");
        tokio::spawn(connection);
        let count = async || -> i64 {
            // The statistics of other sessions come late.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'bankdb'";
            admin.query_one(sql, &[]).await.expect("a count").get(0)
        };
        let cluster = Cluster::connect(config).expect("a client");
        cluster.ready(Duration::from_secs(10)).await.expect("a primary");
        let before = count().await;
        let used = processor();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let used = processor() - used;
        let probes = (count().await - before) as f64 * 10.0 / 11.5;
        println!(
            "1,000 probes of a real server: {:.1} ms of this process's processor time ({probes:.0} probes)",
            used.as_secs_f64() * 1e6 / probes
        );
        cluster.close().await;
        local.shutdown().await.expect("an end");
    });
}
