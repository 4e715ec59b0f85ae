//! `shardctl logical conflicts|resume|skip`: a subscription that stopped.

use std::time::Duration;

use clap::Args;
use pgshard::ops::logical::{Conflict, Stuck};
use serde_json::{Value, json};

use super::{Ends, object};
use crate::confirm::Consent;
use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Show what the next transaction of a subscription that stopped runs into: it is rehearsed on the subscriber, and rolled back.
#[derive(Args)]
pub(super) struct Conflicts {
    /// The subscription.
    name: String,

    #[command(flatten)]
    ends: Ends,

    /// Show the rows as well: the one that arrives, and the one that is in its way.
    #[arg(long)]
    rows: bool,
}

/// Enable a subscription that stopped, once nothing is in its way any more.
#[derive(Args)]
pub(super) struct Resume {
    /// The subscription.
    name: String,

    #[command(flatten)]
    ends: Ends,

    /// Do not look for conflicts first.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    go: Go,
}

/// Leave out the whole transaction at which a subscription stopped, and go on: its changes are lost there.
#[derive(Args)]
pub(super) struct Skip {
    /// The subscription.
    name: String,

    #[command(flatten)]
    ends: Ends,

    #[command(flatten)]
    go: Go,
}

#[derive(Args)]
struct Go {
    /// Wait so long until it has passed the transaction.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    wait: Duration,

    #[command(flatten)]
    consent: Consent,
}

impl Conflicts {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (link, login) = self.ends.open(context).await?;
        let stuck = link.stuck(&self.name).await;
        let stuck = stuck.map_err(|error| login.explain(error))?;
        context.print(&report(stuck.as_ref(), self.rows))?;
        match &stuck {
            Some(stuck) => context.note(&summary(stuck)),
            None => context.note("Nothing waits in its slot."),
        }
        Ok(
            match stuck.is_some_and(|stuck| !stuck.conflicts.is_empty()) {
                true => Exit::Problem,
                false => Exit::Fine,
            },
        )
    }
}

impl Resume {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (link, login) = self.ends.open(context).await?;
        let mut stuck = None;
        if !self.force {
            stuck = link
                .stuck(&self.name)
                .await
                .map_err(|error| login.explain(error))?;
        }
        let plan = report(stuck.as_ref(), false);
        if let Some(stuck) = stuck.as_ref().filter(|stuck| stuck.stops()) {
            context.print(&plan)?;
            context.note(&format!(
                "Refused: it would stop at the same transaction again. {}",
                summary(stuck)
            ));
            return Ok(Exit::Refused);
        }
        let about = format!("Subscription {} is enabled. ", self.name);
        if let Some(exit) = self.go.ends(context, &plan, &about)? {
            return Ok(exit);
        }
        let resumed = link.resume(&self.name, stuck.as_ref(), self.go.wait).await;
        resumed.map_err(|error| login.explain(error))?;
        context.print(&plan)?;
        Ok(Exit::Fine)
    }
}

impl Skip {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (link, login) = self.ends.open(context).await?;
        let stuck = link
            .stuck(&self.name)
            .await
            .map_err(|error| login.explain(error))?;
        let plan = report(stuck.as_ref(), false);
        let Some(stuck) = stuck.filter(Stuck::stops) else {
            context.note(&format!(
                "Refused: nothing is in its way, so there is nothing to leave out: shardctl logical resume {}",
                self.name
            ));
            return Ok(Exit::Refused);
        };
        let about = format!(
            "Left out, and lost on {}: {} ",
            self.ends.to,
            summary(&stuck)
        );
        if let Some(exit) = self.go.ends(context, &plan, &about)? {
            return Ok(exit);
        }
        let skipped = link.skip(&stuck, self.go.wait).await;
        skipped.map_err(|error| login.explain(error))?;
        context.print(&plan)?;
        Ok(Exit::Fine)
    }
}

impl Go {
    /// The exit code, if it is not to be done.
    fn ends(&self, context: &Context, plan: &Report, about: &str) -> anyhow::Result<Option<Exit>> {
        if self.consent.is_dry() {
            context.note(about);
        }
        let shown = format!("{}{about}", plan.shown());
        self.consent.ends(context, plan, &shown, "Do this?")
    }
}

fn summary(stuck: &Stuck) -> String {
    let tables = stuck.changes.iter();
    let mut changes: Vec<String> = tables
        .map(|(table, count)| format!("{count} of {table}"))
        .collect();
    changes.extend(
        stuck
            .truncated
            .iter()
            .map(|table| format!("all of {table}")),
    );
    let more = match stuck.end_lsn {
        Some(_) => "",
        None => ", and more than was looked at",
    };
    format!(
        "Transaction {} of {}, with its COMMIT at {}: {}{more}.",
        stuck.xid,
        stuck.committed_at,
        stuck.commit_lsn,
        changes.join(", ")
    )
}

fn report(stuck: Option<&Stuck>, rows: bool) -> Report {
    let mut columns = vec![
        "subscription",
        "commit_lsn",
        "committed_at",
        "changes",
        "change",
        "table",
        "key",
        "stops",
        "reason",
        "remedy",
    ];
    if rows {
        columns.extend(["arriving", "present"]);
    }
    let mut report = Report::new(columns);
    if let Some(stuck) = stuck {
        for conflict in &stuck.conflicts {
            report.row(line(stuck, conflict, rows));
        }
    }
    report
}

fn line(stuck: &Stuck, conflict: &Conflict, rows: bool) -> Vec<Value> {
    let mut line = vec![
        json!(stuck.subscription),
        json!(stuck.commit_lsn),
        json!(stuck.committed_at),
        json!(stuck.changes),
        json!(conflict.change),
        json!(conflict.table),
        object(&conflict.key),
        json!(conflict.stops),
        json!(conflict.reason),
        json!(conflict.remedy),
    ];
    if rows {
        line.push(object(&conflict.arriving));
        line.push(conflict.present.as_deref().map_or(Value::Null, object));
    }
    line
}
