//! One question to all shards, by several ways, on the same rows.
//!
//! `cargo bench --features local,sql --bench fanout \
//!  [-- --rows 1000000 --pairs 16 --shapes aggregate,top,ordered,point --contestants raw,sql
//!   --workers 2]`
//!
//! Four shards of the example bank, and a reporting server, all on one machine. Rows are
//! transactions, 100 a customer. In each round every contestant answers, and ratios are taken within a
//! round. The order is that of a Latin square in which everyone follows everyone else equally often: what a
//! contestant leaves behind, such as cold caches, falls on all alike. Before that all have to give the same
//! answer.
//!
//! `--workers` is the servers' max_parallel_workers_per_gather. A query over a cursor, which is how
//! postgres_fdw reads, is never parallel.
//!
//! Each contestant is a variant of [`Contestant`]; [`answer`](Contestant::answer) says how it asks. A
//! new one is added there, with a module of its own.

mod support;

#[path = "fanout/by_sql.rs"]
mod by_sql;
#[path = "fanout/by_views.rs"]
mod by_views;
#[path = "fanout/digest.rs"]
mod digest;
#[path = "fanout/explicit.rs"]
mod explicit;
#[path = "fanout/memory.rs"]
mod memory;
#[path = "fanout/plan.rs"]
mod plan;
#[path = "fanout/raw.rs"]
mod raw;
#[path = "fanout/raw_combine.rs"]
mod raw_combine;
#[path = "fanout/shape.rs"]
mod shape;
#[path = "fanout/world.rs"]
mod world;

use std::time::Instant;

use digest::Digest;
use plan::Plan;
use shape::Shape;
use support::load::cpu;
use support::paired::Paired;
use world::World;

/// Ways to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    /// A connection a shard, partial results put together by hand: what all are compared with.
    Raw,
    /// The same, but partial results are put together by one more round trip to one of the shards, as
    /// `Cluster::sql` does it. Where nothing has to be put together it is as by hand.
    RawCombined,
    /// `Cluster::sql`: the statement as for one database.
    Sql,
    /// `Cluster::fan_out` with a merge that is declared.
    FanOut,
    /// Foreign tables and UNION ALL views as the operators' guide writes them, no options.
    GuideViews,
    /// The views that `pgshard::fdw` makes.
    Views,
    /// The same with the layout `partitions`.
    Partitions,
    /// A report view from the planner's split; by key, where there is none, the views.
    Reports,
}

impl Contestant {
    const ALL: [Contestant; 8] = [
        Contestant::Raw,
        Contestant::RawCombined,
        Contestant::Sql,
        Contestant::FanOut,
        Contestant::GuideViews,
        Contestant::Views,
        Contestant::Partitions,
        Contestant::Reports,
    ];

    fn name(self) -> &'static str {
        match self {
            Contestant::Raw => "raw",
            Contestant::RawCombined => "raw, combined",
            Contestant::Sql => "sql",
            Contestant::FanOut => "fan_out",
            Contestant::GuideViews => "guide's views",
            Contestant::Views => "pgshard's views",
            Contestant::Partitions => "partitions",
            Contestant::Reports => "report views",
        }
    }

    /// How it is named on the command line.
    fn argument(self) -> String {
        self.name()
            .replace("'s ", "-")
            .replace(", ", "-")
            .replace(' ', "-")
    }

    async fn answer(self, world: &World, shape: Shape, turn: usize) -> Digest {
        match self {
            Contestant::Raw => raw::answer(world, shape, turn).await,
            Contestant::RawCombined => raw_combine::answer(world, shape, turn).await,
            Contestant::Sql => by_sql::answer(world, shape, turn).await,
            Contestant::FanOut => explicit::answer(world, shape, turn).await,
            Contestant::GuideViews => {
                by_views::answer(&world.report, &shape.sql("guide"), world, shape, turn).await
            }
            Contestant::Views => {
                by_views::answer(&world.report, &shape.sql("reporting"), world, shape, turn).await
            }
            Contestant::Partitions => {
                let sql = shape.sql("reporting");
                by_views::answer(&world.partitions, &sql, world, shape, turn).await
            }
            Contestant::Reports => {
                let sql = shape.report_sql().unwrap_or(shape.sql("reporting"));
                by_views::answer(&world.report, &sql, world, shape, turn).await
            }
        }
    }
}

/// What one measurement saw, of each answer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    millis: f64,
    /// CPU of this process; the servers are others.
    cpu: f64,
    /// Memory of this process at its height, above what it had before, in MiB.
    peak: f64,
}

async fn sample(contestant: Contestant, world: &World, shape: Shape, round: usize) -> Sample {
    memory::reset_peak();
    let (memory, cpu_before, start) = (memory::now(), cpu(), Instant::now());
    let repeats = shape.repeats();
    for turn in 0..repeats {
        contestant
            .answer(world, shape, round * repeats + turn)
            .await;
    }
    let of_each = |seconds: f64| seconds * 1e3 / repeats as f64;
    Sample {
        millis: of_each(start.elapsed().as_secs_f64()),
        cpu: of_each((cpu() - cpu_before).as_secs_f64()),
        peak: memory::peak().saturating_sub(memory) as f64 / 1024.0,
    }
}

/// All contestants have to agree, and have done everything once.
async fn agree(world: &World, shape: Shape, contestants: &[Contestant]) {
    let truth = Contestant::Raw.answer(world, shape, 0).await;
    for contestant in contestants {
        let answer = contestant.answer(world, shape, 0).await;
        assert_eq!(answer, truth, "{} of {}", shape.name(), contestant.name());
    }
    println!("\n{}: {truth}", shape.name());
}

/// Who is at a step of a round, of an even number: Williams' design.
fn turn(round: usize, step: usize, contestants: usize) -> usize {
    let zigzag = if step.is_multiple_of(2) {
        step / 2
    } else {
        contestants - step.div_ceil(2)
    };
    (zigzag + round) % contestants
}

async fn compare(world: &World, shape: Shape, plan: &Plan) {
    let contestants = &plan.contestants;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); contestants.len()];
    for round in 0..plan.pairs {
        for step in 0..contestants.len() {
            let which = turn(round, step, contestants.len());
            samples[which].push(sample(contestants[which], world, shape, round).await);
        }
    }
    println!(
        "{:<17} {:>11} {:>8}  {:<17} {:>9} {:>8}  {:>9}",
        "", "ms", "of raw", "95 % interval", "CPU ms", "of raw", "MiB more"
    );
    let figures = |which: usize, of: fn(&Sample) -> f64| -> Vec<f64> {
        samples[which].iter().map(of).collect()
    };
    for (which, contestant) in contestants.iter().enumerate() {
        let time = Paired::of(&figures(which, |s| s.millis), &figures(0, |s| s.millis));
        let cpu = Paired::of(&figures(which, |s| s.cpu), &figures(0, |s| s.cpu));
        let peak = figures(which, |s| s.peak).into_iter().fold(0.0, f64::max);
        println!(
            "{:<17} {:>11.3} {:>8.3}  {:<17} {:>9.3} {:>8.3}  {peak:>9.1}",
            contestant.name(),
            time.subject,
            time.ratio,
            format!("[{:.3}, {:.3}]", time.low, time.high),
            cpu.subject,
            cpu.ratio,
        );
    }
}

async fn run(plan: Plan) {
    let start = Instant::now();
    let world = World::start(plan.rows, plan.workers).await;
    println!(
        "{} rows on 4 shards, loaded in {:.0} s; {} rounds; {} parallel workers",
        plan.rows,
        start.elapsed().as_secs_f64(),
        plan.pairs,
        plan.workers
    );
    for shape in plan.shapes.iter().copied() {
        agree(&world, shape, &plan.contestants).await;
        compare(&world, shape, &plan).await;
    }
    world.end().await;
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(Plan::from_args()));
}
