//! `shardctl topology`.

use std::fmt::Write as _;
use std::time::Duration;

use pgshard::client::{NodeStatus, ShardStatus};
use serde_json::json;

use crate::context::Context;
use crate::duration;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// Draw the cluster as it is now: for Graphviz, or for Mermaid as many wikis show it.
///
/// Arrows lead from a primary to the standbys of its term; they do not say through whom a standby streams.
#[derive(clap::Args)]
#[command(after_help = "\
With --output json or csv, the drawing's nodes as columns: shard, node, role, host, port, lag_bytes, primary (whose
term it follows).

Exit codes: as shardctl status.

Examples:
  shardctl topology --format dot | dot -Tsvg > cluster.svg
  shardctl topology --format mermaid")]
pub(crate) struct Topology {
    /// For which program.
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,

    /// How long to wait for a complete picture, such as 500ms, 5s or 2m.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Dot,
    Mermaid,
}

impl Topology {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let name = config.cluster.as_str().to_owned();
        let shards = crate::status::observe(config, self.wait).await?;
        match (context.output(), self.format) {
            (Output::Table, Format::Dot) => crate::render::write(dot(&name, &shards).as_bytes())?,
            (Output::Table, Format::Mermaid) => {
                crate::render::write(mermaid(&name, &shards).as_bytes())?;
            }
            _ => context.print(&report(&shards))?,
        }
        Ok(crate::status::exit(&shards))
    }
}

fn report(shards: &[ShardStatus]) -> Report {
    let mut report = Report::new([
        "shard",
        "node",
        "role",
        "host",
        "port",
        "lag_bytes",
        "primary",
    ]);
    for shard in shards {
        for node in &shard.nodes {
            let follows = shard.primary.filter(|_| follows(shard, node));
            report.row([
                json!(shard.shard),
                json!(node.node),
                json!(node.state),
                json!(node.host),
                json!(node.port),
                json!(node.lag_bytes),
                json!(follows),
            ]);
        }
    }
    report
}

/// Whether a node is a standby in the term of the shard's primary.
fn follows(shard: &ShardStatus, node: &NodeStatus) -> bool {
    node.state == "standby" && shard.reign.is_some() && node.reign == shard.reign
}

/// Lines of a node's label. Names and hosts of a topology file hold no quotes; hosts are escaped all the same.
fn label(node: &NodeStatus, newline: &str) -> String {
    let host = node.host.replace(['"', '\\'], "?");
    format!(
        "{}{newline}{}{newline}{host}:{}",
        node.node, node.state, node.port
    )
}

fn lag(node: &NodeStatus) -> String {
    match node.lag_bytes {
        Some(bytes) => format!("{bytes} bytes behind"),
        None => "lag unknown".to_owned(),
    }
}

fn dot(cluster: &str, shards: &[ShardStatus]) -> String {
    let mut text = format!(
        "digraph \"{cluster}\" {{\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white];\n"
    );
    for (at, shard) in shards.iter().enumerate() {
        let _ = writeln!(
            text,
            "  subgraph cluster_{at} {{\n    label=\"{} ({}, {})\";",
            shard.shard, shard.state, shard.mode
        );
        for node in &shard.nodes {
            let style = match node.state {
                "primary" => ", fillcolor=palegreen",
                "standby" => "",
                _ => ", fillcolor=lightpink, style=\"rounded,filled,dashed\"",
            };
            let _ = writeln!(
                text,
                "    \"{}\" [label=\"{}\"{style}];",
                node.node,
                label(node, "\\n")
            );
        }
        text.push_str("  }\n");
        if let Some(primary) = shard.primary {
            for node in shard.nodes.iter().filter(|node| follows(shard, node)) {
                let _ = writeln!(
                    text,
                    "  \"{primary}\" -> \"{}\" [label=\"{}\"];",
                    node.node,
                    lag(node)
                );
            }
        }
    }
    text.push_str("}\n");
    text
}

fn mermaid(cluster: &str, shards: &[ShardStatus]) -> String {
    // Identifiers of its own: names may hold what Mermaid takes for syntax.
    let mut text = format!("%% {cluster}\nflowchart LR\n");
    for (s, shard) in shards.iter().enumerate() {
        let _ = writeln!(
            text,
            "  subgraph s{s}[\"{} ({}, {})\"]",
            shard.shard, shard.state, shard.mode
        );
        for (n, node) in shard.nodes.iter().enumerate() {
            let class = match node.state {
                "primary" => "primary",
                "standby" => "standby",
                _ => "out",
            };
            let _ = writeln!(text, "    s{s}n{n}[\"{}\"]:::{class}", label(node, "<br/>"));
        }
        text.push_str("  end\n");
        let primary = shard
            .nodes
            .iter()
            .position(|node| Some(node.node) == shard.primary);
        if let Some(primary) = primary {
            for (n, node) in shard.nodes.iter().enumerate() {
                if follows(shard, node) {
                    let _ = writeln!(text, "  s{s}n{primary} -->|\"{}\"| s{s}n{n}", lag(node));
                }
            }
        }
    }
    text.push_str(
        "  classDef primary fill:#c8f7c5\n  classDef standby fill:#ffffff\n  classDef out fill:#f7c5c5\n",
    );
    text
}
