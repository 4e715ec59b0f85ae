//! Planning by itself: a statement that is known, and one that is new.
//!
//! `cargo bench --features local,sql,fuzzing --bench plan [-- --pairs 15]`
//!
//! Known: its plan is looked up, its parameter is encoded, its key located. New: each query over the bank in
//! `tests/sql` is parsed, its names bound, its shape found and the shards' texts written; what the servers say
//! of it is known before, for their part is round trips. Nothing is sent in either. Each figure is the median
//! of rounds, with its 95 % interval. To hold: 5 us, and 300 us for the median query.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pgshard::fuzzing::{Planning, located};
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::{Cluster, CustomerId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

mod support;

use support::paired::Paired;

const KNOWN: Duration = Duration::from_micros(5);
const NEW: Duration = Duration::from_micros(300);
/// Look-ups, and plans of one statement, in a round.
const LOOK_UPS: u32 = 20_000;
const PLANS: u32 = 20;

const POINT: &str = "SELECT full_name FROM customers WHERE customer_id = $1";
const WIDE: &str =
    "SELECT country, count(*) AS n FROM customers WHERE status = $1 GROUP BY country";

/// The queries over the bank.
fn corpus() -> Vec<String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sql/bank");
    let files = std::fs::read_dir(dir).expect("the corpus");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ext| ext == "sql"));
    files.sort();
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("text"));
    let queries = texts.flat_map(|text| {
        let blocks = text.split("-- name:").skip(1).map(|block| {
            let lines = block.lines().skip(1).filter(|line| !line.starts_with("--"));
            let query: Vec<&str> = lines.collect();
            query.join("\n").trim().trim_end_matches(';').to_owned()
        });
        blocks.collect::<Vec<_>>()
    });
    queries.collect()
}

fn micros(start: Instant, times: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

/// Prints the median of rounds beside a bound, and says whether it holds.
fn hold(name: &str, rounds: &[f64], bound: Duration) {
    let ones = vec![1.0; rounds.len()];
    let of = Paired::of(rounds, &ones);
    let bound = bound.as_secs_f64() * 1e6;
    println!(
        "{name:<40} {:>8.2} us  [{:.2}, {:.2}]  {} {bound} us",
        of.ratio,
        of.low,
        of.high,
        if of.ratio < bound { "holds" } else { "MISSES" },
    );
}

async fn known(cluster: &Cluster, rounds: usize) {
    let id = CustomerId::from(Uuid::from_u128(7));
    let parameters: [&[&(dyn ToSql + Sync)]; 2] = [&[&id], &[&"active"]];
    for (name, sql, parameters) in [
        ("known, one key", POINT, parameters[0]),
        ("known, all shards", WIDE, parameters[1]),
    ] {
        let one_shard = located(&cluster.sql(sql, parameters)).await;
        assert_eq!(one_shard.expect("a plan"), sql == POINT);
        let mut figures = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            for _ in 0..LOOK_UPS {
                let sql = cluster.sql(black_box(sql), black_box(parameters));
                black_box(located(&sql).await.expect("a plan"));
            }
            figures.push(micros(start, LOOK_UPS));
        }
        hold(name, &figures, KNOWN);
    }
}

async fn new(cluster: &Cluster, rounds: usize) {
    let queries = corpus();
    let texts: Vec<&str> = queries.iter().map(String::as_str).collect();
    let planning = Planning::of(cluster, &texts).await.expect("a catalogue");
    let statements: Vec<&str> = planning.statements().collect();
    println!(
        "{} queries, of which {} are planned",
        texts.len(),
        statements.len()
    );
    let (mut medians, mut slowest) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut each: Vec<f64> = statements
            .iter()
            .map(|sql| {
                let start = Instant::now();
                for _ in 0..PLANS {
                    black_box(planning.plan(black_box(sql)).expect("a plan"));
                }
                micros(start, PLANS)
            })
            .collect();
        each.sort_by(f64::total_cmp);
        medians.push(each[each.len() / 2]);
        slowest.push(each[each.len() - 1]);
    }
    hold("new, the median query", &medians, NEW);
    let ones = vec![1.0; slowest.len()];
    println!(
        "{:<40} {:>8.2} us",
        "new, the slowest query",
        Paired::of(&slowest, &ones).ratio
    );
}

async fn run(rounds: usize) {
    let spec = LocalSpec {
        shards: 4,
        replicas: 0,
        ..LocalSpec::default()
    };
    let servers = LocalCluster::start(spec).await.expect("servers");
    let config = servers.install(|_| ()).await.expect("an installation");
    let cluster = Cluster::connect(config).expect("a client");
    let ready = cluster.ready(Duration::from_secs(30)).await;
    ready.expect("primaries");
    known(&cluster, rounds).await;
    new(&cluster, rounds).await;
    cluster.close().await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--pairs");
    let rounds = at.and_then(|at| arguments.get(at + 1));
    let rounds = rounds.map_or(15, |rounds| rounds.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(rounds));
}
