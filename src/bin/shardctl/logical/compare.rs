//! `shardctl logical compare`.

use std::time::Duration;

use clap::Args;
use pgshard::ops::logical::Compared;
use serde_json::{Value, json};

use super::{Ends, object};
use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::render::Report;

/// Compare the rows of both ends while they go on, and list those that differ. Changes nothing.
#[derive(Args)]
pub(super) struct Compare {
    /// The subscription.
    name: String,

    #[command(flatten)]
    ends: Ends,

    /// How long a table may take, and the subscriber to catch up.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    wait: Duration,
}

impl Compare {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (link, login) = self.ends.open(context).await?;
        let shown = context.progress().spinner(format!("{} …", self.name));
        let compared = link
            .compare(&self.name, self.wait, |table| {
                shown.set_message(table.to_owned())
            })
            .await;
        let compared = compared.map_err(|error| login.explain(error))?;
        shown.finish_and_clear();
        context.print(&report(&compared))?;
        for table in &compared {
            context.note(&summary(table));
        }
        let same =
            |table: &Compared| table.differences.is_empty() && !table.more && table.undecided == 0;
        Ok(match compared.iter().all(same) {
            true => Exit::Fine,
            false => Exit::Problem,
        })
    }
}

fn summary(table: &Compared) -> String {
    let mut text = format!(
        "{}: {} rows published, {} subscribed, {} differ",
        table.table,
        table.published,
        table.subscribed,
        table.differences.len()
    );
    if table.more {
        text.push_str(", and there may be more");
    }
    if table.undecided > 0 {
        text.push_str(&format!(
            ", {} changed too fast to be compared",
            table.undecided
        ));
    }
    text
}

fn report(compared: &[Compared]) -> Report {
    let mut report = Report::new(["table", "key", "published", "subscribed"]);
    for table in compared {
        for row in &table.differences {
            let side = |row: &Option<Vec<_>>| row.as_deref().map_or(Value::Null, object);
            report.row([
                json!(table.table),
                object(&row.key),
                side(&row.published),
                side(&row.subscribed),
            ]);
        }
    }
    report
}
