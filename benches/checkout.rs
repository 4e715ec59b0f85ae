//! Lending a connection and taking it back, with a free one in the pool.
//!
//! `cargo bench --features local --bench checkout`: criterion's figures, then pairs beside a plain
//! deadpool-postgres pool.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use pgshard::CustomerId;
use support::bank::World;
use support::load::Plan;
use support::paired::Paired;

const ROUNDS: u64 = 20_000;

/// Time for so many checkouts in a task of its own, as a service's handlers are.
fn pgshard(runtime: &tokio::runtime::Runtime, world: &'static World, rounds: u64) -> Duration {
    let id: CustomerId = world.customer(0, 0).0;
    in_task(runtime, async move {
        let read = world.cluster.session(&id).expect("a route").read();
        let start = Instant::now();
        for _ in 0..rounds {
            drop(black_box(read.lease().await.expect("a connection")));
        }
        start.elapsed()
    })
}

fn deadpool(runtime: &tokio::runtime::Runtime, world: &'static World, rounds: u64) -> Duration {
    let pool = &world.pools[world.customer(0, 0).1];
    in_task(runtime, async move {
        let start = Instant::now();
        for _ in 0..rounds {
            drop(black_box(pool.get().await.expect("a connection")));
        }
        start.elapsed()
    })
}

fn in_task(
    runtime: &tokio::runtime::Runtime,
    task: impl Future<Output = Duration> + Send + 'static,
) -> Duration {
    runtime.block_on(async { tokio::spawn(task).await.expect("a task that ends") })
}

fn main() {
    let plan = Plan::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (servers, world) = runtime.block_on(World::start(false));
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    criterion.bench_function("checkout/pgshard", |bench| {
        bench.iter_custom(|rounds| pgshard(&runtime, world, rounds));
    });
    criterion.bench_function("checkout/deadpool", |bench| {
        bench.iter_custom(|rounds| deadpool(&runtime, world, rounds));
    });
    let nanos = |time: Duration| time.as_nanos() as f64 / ROUNDS as f64;
    let paired = Paired::measure(
        plan.pairs.max(41),
        || nanos(pgshard(&runtime, world, ROUNDS)),
        || nanos(deadpool(&runtime, world, ROUNDS)),
    );
    println!("\n{}", Paired::head("pgshard", "deadpool"));
    println!("{}", paired.row("checkout and return", "ns"));
    runtime.block_on(world.cluster.close());
    criterion.final_summary();
    drop(servers);
}
