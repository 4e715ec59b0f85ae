//! `shardctl replication slots` and `drop-slot`.

use clap::Args;
use pgshard::id::{NodeId, ShardId};
use pgshard::ops::primary::Admin;
use pgshard::ops::replication as library;
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::AdminRole;
use crate::exit::Exit;
use crate::procedure::Machines;
use crate::render::Report;

/// List replication slots and what they keep. Changes nothing.
#[derive(Args)]
#[command(after_help = "\
Columns: shard, node, slot, kind, reader (the node whose slot it is), active, retained_bytes, wal_status,
safe_bytes (how much more may be written before it is in danger; none where there is no limit).")]
pub(crate) struct Slots {
    /// The shards; all, if none is named.
    shards: Vec<ShardId>,

    #[command(flatten)]
    admin: AdminRole,
}

/// Drop a replication slot that nobody reads from: its log is kept no more.
///
/// Who reads from it later needs a new copy.
#[derive(Args)]
#[command(after_help = "\
Columns: node, slot.

Exit codes: 0 done, 4 refused: there is none, or somebody reads from it.")]
pub(crate) struct DropSlot {
    /// The server.
    node: NodeId,

    /// The slot.
    slot: String,

    #[command(flatten)]
    machines: Machines,

    #[command(flatten)]
    consent: Consent,
}

impl Slots {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let login = self.admin.login()?;
        let slots = library::slots(&config, &self.shards, login.role())
            .await
            .map_err(|error| login.explain(error))?;
        let mut report = Report::new([
            "shard",
            "node",
            "slot",
            "kind",
            "reader",
            "active",
            "retained_bytes",
            "wal_status",
            "safe_bytes",
        ]);
        for kept in &slots {
            report.row([
                json!(kept.shard),
                json!(kept.node),
                json!(kept.slot.name),
                json!(kept.slot.kind),
                json!(kept.reader),
                json!(kept.slot.active),
                json!(kept.slot.retained),
                json!(kept.slot.wal_status),
                json!(kept.slot.safe),
            ]);
        }
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}

impl DropSlot {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (config, hosts, login) = self.machines.load(context)?;
        let admin = Admin::new(&config, &hosts, login.role());
        let mut report = Report::new(["node", "slot"]);
        report.row([json!(self.node), json!(self.slot)]);
        let shown = format!(
            "Slot {} of {} is dropped; who reads from it later needs a new copy. ",
            self.slot, self.node
        );
        if let Some(exit) = self.consent.ends(context, &report, &shown, "Do this?")? {
            return Ok(exit);
        }
        library::drop_slot(&admin, self.node, &self.slot)
            .await
            .map_err(|error| login.explain(error))?;
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}
