//! What the guard costs: a routed read and a routed write with it, beside the same without.
//!
//! `cargo bench --features local --bench guard [-- --pairs 21 --ms 250 --callers 8]`
//!
//! Two clusters of four shards with the same customers: the tables of the one are guarded, those of the
//! other are not.

mod support;

use std::hint::black_box;

use pgshard::config::GuardMode;
use support::bank::{READ, WRITE, World};
use support::load::{Plan, compare, sample};
use support::paired::Paired;

async fn read(world: &World, caller: usize, turn: usize) {
    let (id, _) = world.customer(caller, turn);
    let session = world.cluster.session(id).expect("a route");
    let (name,): (String,) = session.read().query_one(READ, &[id]).await.expect("a row");
    black_box(name);
}

async fn write(world: &World, caller: usize, turn: usize) {
    let (id, _) = *world.customer(caller, turn);
    let committed = world
        .cluster
        .session(&id)
        .expect("a route")
        .transaction(|tx| async move { tx.execute(WRITE, &[&id]).await })
        .await
        .expect("a commit");
    assert_eq!(committed.value, 1);
}

async fn run(guarded: &'static World, open: &'static World, plan: Plan) {
    for callers in plan.callers() {
        for writes in [false, true] {
            let (mut with, mut without) = (Vec::new(), Vec::new());
            // The first round opens the connections and is not counted.
            for round in 0..=plan.pairs {
                for step in 0..2 {
                    let guards = (round + step) % 2 == 0;
                    let world = if guards { guarded } else { open };
                    let taken = if writes {
                        sample(callers, plan.time, move |c, t| write(world, c, t)).await
                    } else {
                        sample(callers, plan.time, move |c, t| read(world, c, t)).await
                    };
                    if round > 0 {
                        if guards { &mut with } else { &mut without }.push(taken);
                    }
                }
            }
            let what = if writes { "write" } else { "read" };
            println!("\n{callers} callers, {what}");
            println!("{}", Paired::head("guarded", "unguarded"));
            compare(what, &with, &without);
        }
    }
}

fn main() {
    let plan = Plan::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (first, guarded) = runtime.block_on(World::guarded(false, GuardMode::Require));
    let (second, open) = runtime.block_on(World::start(false));
    runtime.block_on(async {
        run(guarded, open, plan).await;
        guarded.cluster.close().await;
        open.cluster.close().await;
    });
    drop((first, second));
}
