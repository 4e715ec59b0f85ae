//! `shardctl status`.

use std::time::Duration;

use futures::future::join_all;
use pgshard::client::{NodeStatus, ShardStatus};
use pgshard::topology::{Mode, NodeState, ShardState, View};
use pgshard::{Cluster, Config};
use serde_json::json;

use crate::context::Context;
use crate::duration;
use crate::exit::Exit;
use crate::picture;
use crate::render::{Output, Report};

/// Show every node: who is primary, how far replicas are behind, what is down.
///
/// It looks as a service does, with the same credentials, and changes nothing. It ends as soon as
/// every shard has its primary and every node can be read, else when the wait is over.
#[derive(clap::Args)]
#[command(after_help = "\
The table has what fits in 80 columns, with bars of the lag: the same length more for each doubling from 1 KiB to 256 MiB.
Colours are for terminals, unless NO_COLOR is set.

Columns of json and csv: shard; shard_state (steady, suspect, searching, contested, fenced); mode (that operators set: open,
read-only, drained, fenced; shardctl shard acts says who and why); node; role (primary,
standby, superseded, forked, foreign, starting, down, unknown); reign (the term of the primary that
the node follows); timeline (of the server; a primary's whose reign is of another timeline was promoted
and is not adopted yet); lsn; lag_bytes (of a standby's replay); latency_ms (of a probe); readable; fenced (by an operator); pool
(this process's connections: open and lent); failure; reason (of the shard).

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
            for node in &shard.nodes {
                if let Some(failure) = &node.failure {
                    context.note(&format!("node {}: {failure}", node.node));
                }
            }
        }
        Ok(exit(&shards))
    }
}

/// What a client sees once all is well, or the wait is over.
pub(crate) async fn observe(config: Config, wait: Duration) -> pgshard::Result<Vec<ShardStatus>> {
    observe_until(config, wait, is_well).await
}

/// What a client sees once a condition holds for each shard, or the wait is over.
pub(crate) async fn observe_until(
    config: Config,
    wait: Duration,
    holds: fn(&View) -> bool,
) -> pgshard::Result<Vec<ShardStatus>> {
    seen_by(Cluster::observe(config)?, wait, holds).await
}

/// The same, as this client sees it, which is closed then.
pub(crate) async fn seen_by(
    cluster: Cluster,
    wait: Duration,
    holds: fn(&View) -> bool,
) -> pgshard::Result<Vec<ShardStatus>> {
    let shards = cluster.config().shards.iter().map(|shard| shard.id);
    let waits = shards.map(|shard| cluster.wait_for(shard, wait, holds));
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
    match context.output() {
        Output::Table => for_people(shards),
        Output::Json | Output::Csv => for_programs(shards),
    }
}

fn for_programs(shards: &[ShardStatus]) -> Report {
    let mut report = Report::new([
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
        "reason",
    ]);
    for shard in shards {
        for node in &shard.nodes {
            let pool = &node.pool;
            let open = pool.read + pool.write;
            report.row([
                json!(shard.shard),
                json!(shard.state),
                json!(shard.mode),
                json!(node.node),
                json!(node.state),
                json!(node.reign.map(|reign| reign.to_string())),
                json!(node.timeline),
                json!(node.lsn),
                json!(node.lag_bytes),
                json!(node.latency.map(millis)),
                json!(node.readable),
                json!(node.fenced),
                json!({"open": open, "lent": pool.lent, "waiting": pool.waiting}),
                json!(node.failure),
                json!(shard.reason),
            ]);
        }
    }
    report
}

/// What fits in a terminal; the rest is told below.
fn for_people(shards: &[ShardStatus]) -> Report {
    let columns = [
        "shard", "state", "mode", "node", "role", "reign", "tl", "lag", "", "ms", "reads",
    ];
    let mut report = Report::new(columns).tinted(picture::tint);
    let unicode = picture::is_unicode();
    for shard in shards {
        for node in &shard.nodes {
            let lag = node.lag_bytes;
            report.row([
                json!(shard.shard),
                json!(shard.state),
                json!(shard.mode),
                json!(node.node),
                json!(node.state),
                json!(short(node)),
                json!(node.timeline),
                json!(lag.map(picture::bytes)),
                json!(lag.map(|lag| picture::bar(lag, 8, unicode))),
                json!(node.latency.map(millis)),
                json!(if node.fenced {
                    "fenced"
                } else if node.readable {
                    "yes"
                } else {
                    "no"
                }),
            ]);
        }
    }
    report
}

/// People tell reigns apart by their first digits.
pub(crate) fn short(node: &NodeStatus) -> Option<String> {
    let reign = node.reign?.to_string();
    reign.get(..8).map(str::to_owned)
}

fn millis(latency: Duration) -> f64 {
    latency.as_micros() as f64 / 1000.0
}
