//! How long until writes go on after a failover, beside what others offer, all at the same time on
//! the same servers: real Patroni and etcd, one shard of two nodes.
//!
//! `cargo bench --features local,etcd --bench failover \
//!  [-- --failovers 20 --kinds kill,hang,switchover --told etcd|patroni|nodes --within 10]`
//!
//! - *ready*: from the moment at which the new primary takes a write (a client that asks it
//!   every millisecond) to the contestant's first acknowledged write there;
//! - *gap*: from the contestant's last acknowledged write on the old primary to its first on the new.
//!   Most of it is Patroni's: ttl 5 s, loop_wait 1 s;
//! - *never*: how often the contestant was not there within 10 s after the new primary was ready.
//!
//! `kill` is SIGKILL to the primary's PostgreSQL and Patroni, `hang` SIGSTOP to both, `switchover`
//! Patroni's own. Contestants without deadlines of their own are given one of 2 s, and reconnect
//! 10 ms after a failure. PgBouncer is led to the new primary by a script that asks Patroni.

use std::collections::BTreeMap;

#[path = "failover/contest.rs"]
mod contest;
#[path = "failover/contestants.rs"]
mod contestants;
#[path = "failover/figures.rs"]
mod figures;
#[path = "failover/plan.rs"]
mod plan;

use contest::Contest;
use figures::{Figures, millis};
use plan::{Kind, Plan};

/// Failovers in a row that may come to nothing.
const IN_VAIN: usize = 3;

async fn run(plan: Plan) {
    let contest = Contest::start(plan.told).await;
    let mut all: BTreeMap<(Kind, usize), Vec<Figures>> = BTreeMap::new();
    for round in 0..plan.failovers {
        for &kind in &plan.kinds {
            let figures = failover(&contest, kind, &plan).await;
            let line: Vec<String> = contest
                .contestants
                .iter()
                .zip(&figures)
                .map(|((name, _), f)| format!("{name} {}", millis(f.after_ready)))
                .collect();
            eprintln!(
                "{}/{} {kind:?}, ms after ready: {}",
                round + 1,
                plan.failovers,
                line.join(", ")
            );
            for (at, figures) in figures.into_iter().enumerate() {
                all.entry((kind, at)).or_default().push(figures);
            }
        }
    }
    println!(
        "\n{} failovers of each kind, pgshard told by {:?}, in milliseconds",
        plan.failovers, plan.told
    );
    figures::head();
    for ((kind, at), figures) in &all {
        figures::report(*kind, contest.contestants[*at].0, figures);
    }
    contest.end().await;
}

/// A failover that came about.
async fn failover(contest: &Contest, kind: Kind, plan: &Plan) -> Vec<Figures> {
    let mut in_vain = 0;
    loop {
        match contest.failover(kind, plan.within).await {
            Ok(figures) => return figures,
            Err(reason) => {
                eprintln!("{kind:?}, once more: {reason}");
                in_vain += 1;
                assert!(in_vain < IN_VAIN, "{kind:?} does not come about");
            }
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(Plan::from_args()));
}
