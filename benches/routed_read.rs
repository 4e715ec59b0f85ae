//! A routed point read by primary key, beside a plain pool and pinned connections.
//!
//! `cargo bench --features local --bench routed_read [-- --pairs 21 --ms 250 --callers 8]`
//!
//! Four shards; 1, 8 and 64 callers in closed loops. In each round every contestant runs for a
//! moment, in changing order, and ratios are taken within a round.
//!
//! - pgshard: `session(key).read().query_one(…)`, 16 connections a shard.
//! - deadpool: one plain deadpool-postgres pool a shard, of 16 connections, last in first out like
//!   ours; `prepare_cached`, `query_one`. It is told the shard: routing costs it nothing.
//! - raw: tokio-postgres, a connection a caller and shard, statements prepared beforehand.

mod support;

use std::hint::black_box;

use support::bank::{READ, World};
use support::load::{Plan, Sample, compare, cpu, sample};
use support::paired::Paired;

async fn pgshard(world: &World, caller: usize, turn: usize) {
    let (id, _) = world.customer(caller, turn);
    let session = world.cluster.session(id).expect("a route");
    let (name,): (String,) = session.read().query_one(READ, &[id]).await.expect("a row");
    black_box(name);
}

async fn deadpool(world: &World, caller: usize, turn: usize) {
    let (id, shard) = world.customer(caller, turn);
    let client = world.pools[*shard].get().await.expect("a connection");
    let statement = client.prepare_cached(READ).await.expect("a statement");
    let row = client.query_one(&statement, &[id]).await.expect("a row");
    let name: String = row.try_get(0).expect("a name");
    black_box(name);
}

async fn raw(world: &World, caller: usize, turn: usize) {
    let (id, shard) = world.customer(caller, turn);
    let pinned = &world.pinned[caller][*shard];
    let row = pinned.client.query_one(&pinned.read, &[id]).await;
    let name: String = row.expect("a row").try_get(0).expect("a name");
    black_box(name);
}

async fn run(world: &'static World, plan: Plan) {
    let before = cpu();
    let idle = std::time::Instant::now();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    println!(
        "\nCPU while idle, all monitors: {:.0} us/s",
        (cpu() - before).as_secs_f64() * 1e6 / idle.elapsed().as_secs_f64()
    );
    for callers in plan.callers() {
        let mut samples: [Vec<Sample>; 3] = Default::default();
        // The first round opens the connections and is not counted.
        for round in 0..=plan.pairs {
            for step in 0..3 {
                let which = (round + step) % 3;
                if !plan.includes(which) {
                    continue;
                }
                let taken = match which {
                    0 => sample(callers, plan.time, move |c, t| pgshard(world, c, t)).await,
                    1 => sample(callers, plan.time, move |c, t| deadpool(world, c, t)).await,
                    _ => sample(callers, plan.time, move |c, t| raw(world, c, t)).await,
                };
                if round > 0 {
                    samples[which].push(taken);
                }
            }
        }
        if samples.iter().any(Vec::is_empty) {
            let operations = samples.iter().flatten().map(|sample| sample.operations);
            println!("{} operations", operations.sum::<f64>());
            continue;
        }
        let [pgshard, deadpool, raw] = &samples;
        println!("\n{callers} callers");
        println!("{}", Paired::head("pgshard", "deadpool"));
        compare("pgshard/deadpool", pgshard, deadpool);
        println!("{}", Paired::head("pgshard", "raw"));
        compare("pgshard/raw", pgshard, raw);
        println!("{}", Paired::head("deadpool", "raw"));
        compare("deadpool/raw", deadpool, raw);
    }
}

fn main() {
    let plan = Plan::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (servers, world) = runtime.block_on(World::start(plan.includes(2)));
    runtime.block_on(async {
        run(world, plan).await;
        world.cluster.close().await;
    });
    drop(servers);
}
