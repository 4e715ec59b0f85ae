//! `shardctl replication follow`.

use clap::Args;
use pgshard::id::NodeId;
use pgshard::ops::primary::Admin;
use pgshard::ops::replication as library;
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::Exit;
use crate::procedure::Machines;
use crate::render::Report;

/// Have a running standby stream from another server of its shard: the primary, or a standby.
///
/// So standbys cascade: one of them sends the log on, and the primary sends it once.
#[derive(Args)]
#[command(after_help = "\
Columns: node, source, what.

Exit codes: 0 it streams, 3 it does not in time, 4 refused, with the reason.")]
pub(crate) struct Follow {
    /// The standby.
    node: NodeId,

    /// Its new source.
    #[arg(long, value_name = "NODE")]
    source: NodeId,

    #[command(flatten)]
    machines: Machines,

    #[command(flatten)]
    consent: Consent,
}

impl Follow {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let mut report = Report::new(["node", "source", "what"]);
        report.row([
            json!(self.node),
            json!(self.source),
            json!("a slot there, primary_conninfo, and the old slot is dropped"),
        ]);
        let shown = format!("{} is to stream from {}. ", self.node, self.source);
        if let Some(exit) = self.consent.ends(context, &report, &shown, "Do this?")? {
            return Ok(exit);
        }
        library::follow(&admin, self.node, self.source)
            .await
            .map_err(|error| login.explain(error))?;
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
