//! `shardctl status`.

use std::time::Duration;

use futures::future::join_all;
use pgshard::client::{NodeStatus, ShardStatus};
use pgshard::topology::{Mode, NodeState, ShardState, View};
use pgshard::{Cluster, Config};
use serde_json::{Value, json};

use crate::context::Context;
use crate::duration;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// Show every node: who is primary, how far replicas are behind, what is down.
///
/// It looks as a service does, with the same credentials, and changes nothing. It ends as soon as
/// every shard has its primary and every node can be read, else when the wait is over.
#[derive(clap::Args)]
#[command(after_help = "\
Columns: shard; shard_state (steady, suspect, searching, contested, fenced); mode (that operators set: open,
read-only, drained, fenced; shardctl shard acts says who and why); node; role (primary,
standby, superseded, forked, foreign, starting, down, unknown); reign (the term of the primary that
the node follows); timeline (of the server; a primary's whose reign is of another timeline was promoted
and is not adopted yet); lsn; lag_bytes (of a standby's replay); latency_ms (of a probe); readable; fenced (by an operator); pool
(this process's connections: open and lent); failure; reason (of the shard; json and csv only).

Exit codes: 0 all shards are steady and all nodes readable, 1 otherwise, 3 no server answered.

Examples:
  shardctl status
  shardctl --output json status --wait 500ms")]
pub(crate) struct Status {
    /// How long to wait for a complete picture, such as 500ms, 5s or 2m.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    wait: Duration,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shards = observe(context.load()?, self.wait).await?;
        context.print(&report(context, &shards))?;
        for shard in &shards {
            if let Some(reason) = &shard.reason {
                context.note(&format!("shard {}: {reason}", shard.shard));
            }
        }
        Ok(exit(&shards))
    }
}

/// What a client sees once all is well, or the wait is over.
pub(crate) async fn observe(config: Config, wait: Duration) -> pgshard::Result<Vec<ShardStatus>> {
    let cluster = Cluster::observe(config)?;
    let shards = cluster.config().shards.iter().map(|shard| shard.id);
    let waits = shards.map(|shard| cluster.wait_for(shard, wait, is_well));
    for waited in join_all(waits).await {
        waited?;
    }
    let shards = cluster.status();
    cluster.close().await;
    Ok(shards)
}

fn is_well(view: &View) -> bool {
    // A shard that an operator closed stays so.
    let decided = view.orders.mode == Mode::Fenced;
    (decided || matches!(view.state, ShardState::Steady { .. }))
        && view
            .nodes
            .iter()
            .filter(|node| node.state != NodeState::Retired)
            .all(|node| node.readable || node.fenced || decided)
}

pub(crate) fn exit(shards: &[ShardStatus]) -> Exit {
    let nodes = || shards.iter().flat_map(|shard| &shard.nodes);
    if !nodes().any(|node| node.answers) {
        Exit::Unreachable
    } else if shards.iter().all(is_steady) && nodes().all(|n| n.readable) {
        Exit::Fine
    } else {
        Exit::Problem
    }
}

fn is_steady(shard: &ShardStatus) -> bool {
    shard.state == "steady" && shard.mode == "open"
}

fn report(context: &Context, shards: &[ShardStatus]) -> Report {
    let for_people = context.output() == Output::Table;
    let mut columns = vec![
        "shard",
        "shard_state",
        "mode",
        "node",
        "role",
        "reign",
        "timeline",
        "lsn",
        "lag_bytes",
        "latency_ms",
        "readable",
        "fenced",
        "pool",
        "failure",
    ];
    if !for_people {
        columns.push("reason");
    }
    let mut report = Report::new(columns);
    for shard in shards {
        for node in &shard.nodes {
            let mut row = vec![
                json!(shard.shard),
                json!(shard.state),
                json!(shard.mode),
                json!(node.node),
                json!(node.state),
                reign(node, for_people),
                json!(node.timeline),
                json!(node.lsn),
                json!(node.lag_bytes),
                json!(node.latency.map(millis)),
                yes(node.readable, for_people),
                yes(node.fenced, for_people),
                pool(node, for_people),
                json!(node.failure),
            ];
            if !for_people {
                row.push(json!(shard.reason));
            }
            report.row(row);
        }
    }
    report
}

/// People tell reigns apart by their first digits.
fn reign(node: &NodeStatus, for_people: bool) -> Value {
    let text = node.reign.map(|reign| reign.to_string());
    match text {
        Some(text) if for_people => json!(text.get(..8)),
        text => json!(text),
    }
}

fn millis(latency: Duration) -> f64 {
    latency.as_micros() as f64 / 1000.0
}

fn yes(is_so: bool, for_people: bool) -> Value {
    match (for_people, is_so) {
        (true, true) => json!("yes"),
        (true, false) => json!("no"),
        (false, is_so) => json!(is_so),
    }
}

fn pool(node: &NodeStatus, for_people: bool) -> Value {
    let pool = &node.pool;
    let open = pool.read + pool.write;
    if for_people {
        json!(format!("{open} open, {} lent", pool.lent))
    } else {
        json!({"open": open, "lent": pool.lent, "waiting": pool.waiting})
    }
}
