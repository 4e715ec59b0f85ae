//! A write transaction of one statement, beside raw BEGIN, UPDATE, COMMIT.
//!
//! `cargo bench --features local --bench transaction [-- --pairs 21 --ms 250 --callers 8]`
//!
//! Both take three round trips. Ours also locks the gate, checks shard, map version and reign, sets
//! and checks the nonce, and reads the log position after COMMIT. The servers run without fsync, so
//! that this shows CPU, not the disk.

mod support;

use support::bank::{WRITE, World};
use support::load::{Plan, compare, sample};
use support::paired::Paired;

async fn pgshard(world: &World, caller: usize, turn: usize) {
    let (id, _) = *world.customer(caller, turn);
    let session = world.cluster.session(&id).expect("a route");
    let committed = session
        .transaction(|tx| async move { tx.execute(WRITE, &[&id]).await })
        .await
        .expect("a commit");
    assert_eq!(committed.value, 1);
}

async fn raw(world: &World, caller: usize, turn: usize) {
    let (id, shard) = world.customer(caller, turn);
    let pinned = &world.pinned[caller][*shard];
    let client = &pinned.client;
    client.batch_execute("BEGIN").await.expect("BEGIN");
    let count = client.execute(&pinned.write, &[id]).await.expect("UPDATE");
    assert_eq!(count, 1);
    client.batch_execute("COMMIT").await.expect("COMMIT");
}

async fn run(world: &'static World, plan: Plan) {
    for callers in plan.callers() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first round opens the connections and is not counted.
        for round in 0..=plan.pairs {
            for step in 0..2 {
                let ours_now = (round + step) % 2 == 0;
                let taken = if ours_now {
                    sample(callers, plan.time, move |c, t| pgshard(world, c, t)).await
                } else {
                    sample(callers, plan.time, move |c, t| raw(world, c, t)).await
                };
                if round > 0 {
                    if ours_now { &mut ours } else { &mut theirs }.push(taken);
                }
            }
        }
        println!("\n{callers} callers");
        println!("{}", Paired::head("pgshard", "raw"));
        compare("pgshard/raw", &ours, &theirs);
    }
}

fn main() {
    let plan = Plan::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (servers, world) = runtime.block_on(World::start(true));
    runtime.block_on(async {
        run(world, plan).await;
        world.cluster.close().await;
    });
    drop(servers);
}
