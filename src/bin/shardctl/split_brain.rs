//! `shardctl split-brain`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pgshard::id::{NodeId, ShardId};
use pgshard::ops::primary::Admin;
use pgshard::ops::primary::divergence::{self, Divergence};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::procedure::Machines;
use crate::render::Report;

/// Show what servers of a shard have committed that its primary lacks. Changes nothing.
///
/// Run it before a rejoin throws that away. Where two servers take writes, name the one that is right.
#[derive(Args)]
#[command(after_help = "\
Columns: node, timeline, writable, fork (the end of what both have), commits, prepared (and not decided),
first, last, table, inserted, updated, deleted; a row a table. Numbers are lower bounds if more is true.

Exit codes: 0 nothing is lost by a rejoin, 1 something would be, 3 unreachable, 4 refused.

Examples:
  shardctl split-brain s0
  shardctl split-brain s0 --primary s0b --rows lost.jsonl")]
pub(crate) struct SplitBrain {
    /// The shard.
    shard: ShardId,

    /// The server that is right, where two take writes.
    #[arg(long, value_name = "NODE")]
    primary: Option<NodeId>,

    /// Write the rows that the primary lacks into this file, as JSON lines; it must not be there.
    ///
    /// Only of servers that run: at most 10,000 a table. Deleted rows are not among them.
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,

    #[command(flatten)]
    machines: Machines,
}

impl SplitBrain {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let found = divergence::find(&admin, self.shard, self.primary)
            .await
            .map_err(|error| login.explain(error))?;
        if let Some(file) = &self.rows {
            write_rows(file, &found)?;
            let tables = found.iter().flat_map(|found| &found.tables);
            for table in tables.filter(|table| table.rows_cut) {
                context.note(&format!(
                    "{} has more rows than the {} that were written: compare the table itself",
                    table.name,
                    table.rows.len()
                ));
            }
        }
        context.print(&report(&found))?;
        if found.is_empty() {
            context.note("every server has the primary's history");
            return Ok(Exit::Fine);
        }
        Ok(Exit::Problem)
    }
}

fn write_rows(file: &Path, found: &[Divergence]) -> anyhow::Result<()> {
    let open = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        // They are customers' rows.
        .mode(0o600)
        .open(file);
    let mut out = open.with_context(|| format!("cannot create {}", file.display()))?;
    for divergence in found {
        for table in &divergence.tables {
            for row in &table.rows {
                let line = json!({"node": divergence.node, "table": table.name, "row": row});
                writeln!(out, "{line}")
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
    }
    Ok(out.sync_all()?)
}

fn report(found: &[Divergence]) -> Report {
    let mut report = Report::new([
        "node", "timeline", "writable", "fork", "commits", "prepared", "first", "last", "table",
        "inserted", "updated", "deleted", "more",
    ]);
    for divergence in found {
        let (first, last) = divergence.between.clone().unzip();
        let head = [
            json!(divergence.node),
            json!(divergence.timeline),
            json!(divergence.writable),
            json!(divergence.fork.to_string()),
            json!(divergence.commits),
            json!(divergence.prepared),
            json!(first),
            json!(last),
        ];
        let row = |name: Option<&str>, numbers: [Option<u64>; 3]| {
            let tail = numbers.map(|number| json!(number));
            let tail = [json!(name)].into_iter().chain(tail);
            head.iter()
                .cloned()
                .chain(tail)
                .chain([json!(divergence.more)])
        };
        if divergence.tables.is_empty() {
            report.row(row(None, [None; 3]));
        }
        for table in &divergence.tables {
            let numbers = [table.inserted, table.updated, table.deleted];
            report.row(row(Some(&table.name), numbers.map(Some)));
        }
    }
    report
}
