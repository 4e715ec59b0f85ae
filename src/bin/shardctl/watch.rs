//! `shardctl watch`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use futures::future::join_all;
use pgshard::client::ShardStatus;
use pgshard::topology::ShardState;
use pgshard::topology::View;
use pgshard::{Cluster, ShardEvent};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::context::Context;
use crate::duration;
use crate::exit::{Exit, Usage};
use crate::fdw::MaybeServer;
use crate::render::{self, Output};

mod reports;

use reports::Reports;

/// How often to look whether the foreign servers are right.
const LOOK: Duration = Duration::from_secs(1);

/// Show what happens to the shards as it happens: failovers, fences, lost and returned nodes.
///
/// It looks as a service does, with the same credentials, and changes nothing on the shards; a new primary is shown as
/// adopted once a service has adopted it. First comes the present state, then a line an event.
#[derive(Args)]
#[command(after_help = "\
Columns: time (UTC), shard, event, text. With --output json one object a line: at, shard, event, good
(whether it is good news), text; csv is not available. The events: state (at the start, and after events
were missed), primary-suspected, primary-lost, primary-adopted, primary-returned, node-down, node-up,
promoted, superseded, forked, foreign, contested, writes-lost, log-went-back, fenced, unfenced, mode-changed,
node-fenced, node-unfenced, node-joined, node-left, decided, operator-refused, missed; with --refresh-fdw
also reports-repointed, reports-kept, reports-failed.

It ends on Ctrl-C, or when --for is over, with exit code 0; with 3 if no server answered at all.

Examples:
  shardctl watch
  shardctl --output json watch --for 10m
  shardctl watch --refresh-fdw --reporting-host rep1 --database reports --user postgres")]
pub(crate) struct Watch {
    /// How long to watch, such as 30s or 10m; without it, until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    length: Option<Duration>,

    /// How long to wait for a complete picture at the start.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    wait: Duration,

    /// Point the foreign servers of a reporting server at the nodes as they are, now and whenever that
    /// changes, as `fdw refresh` does.
    #[arg(long, requires = "reporting_host")]
    refresh_fdw: bool,

    #[command(flatten)]
    reports: MaybeServer,
}

impl Watch {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if context.output() == Output::Csv {
            return Err(Usage("watch prints a table or json".to_owned()).into());
        }
        let cluster = Cluster::observe(context.load()?)?;
        let end = self.length.map(|length| Instant::now() + length);
        let watched = async {
            let shards = cluster.config().shards.iter().map(|shard| shard.id);
            let waits = shards.map(|shard| cluster.wait_for(shard, self.wait, is_settled));
            for waited in join_all(waits).await {
                waited?;
            }
            let reports = self.reports.0.as_ref().filter(|_| self.refresh_fdw);
            let reports = reports.map(Reports::new).transpose()?;
            follow(context, &cluster, reports).await
        };
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            watched = watched => watched,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
            () = over => Ok(()),
        };
        let answers = cluster
            .status()
            .iter()
            .flat_map(|shard| &shard.nodes)
            .any(|node| node.answers);
        cluster.close().await;
        ended?;
        Ok(if answers {
            Exit::Fine
        } else {
            Exit::Unreachable
        })
    }
}

/// Prints the present state, and then what happens.
async fn follow(
    context: &Context,
    cluster: &Cluster,
    mut reports: Option<Reports>,
) -> anyhow::Result<()> {
    let mut events = cluster.events();
    states(context, cluster)?;
    loop {
        if let Some(reports) = &mut reports {
            for told in reports.follow(cluster).await {
                line(context, &told)?;
            }
        }
        let event = match &reports {
            // An event may come before what it tells of is to be seen.
            Some(_) => match tokio::time::timeout(LOOK, events.recv()).await {
                Ok(event) => event,
                Err(_) => continue,
            },
            None => events.recv().await,
        };
        match event {
            Ok(event) => line(context, &Line::of(&event))?,
            Err(RecvError::Lagged(missed)) => {
                line(
                    context,
                    &Line {
                        at: SystemTime::now(),
                        shard: None,
                        event: "missed",
                        good: false,
                        text: format!("{missed} events were missed; the present state follows"),
                    },
                )?;
                states(context, cluster)?;
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// Whether a shard is known well enough to be shown.
pub(crate) fn is_settled(view: &View) -> bool {
    matches!(
        view.state,
        ShardState::Steady { .. } | ShardState::Fenced { .. } | ShardState::Contested { .. }
    ) && view
        .nodes
        .iter()
        .all(|node| node.readable || node.state.as_str() != "unknown")
}

fn states(context: &Context, cluster: &Cluster) -> anyhow::Result<()> {
    for shard in cluster.status() {
        line(
            context,
            &Line {
                at: SystemTime::now(),
                good: shard.state == "steady" && shard.mode == "open",
                event: "state",
                text: in_words(&shard),
                shard: Some(shard.shard.to_string()),
            },
        )?;
    }
    Ok(())
}

/// A shard's state in one sentence.
fn in_words(shard: &ShardStatus) -> String {
    let nodes: Vec<String> = shard
        .nodes
        .iter()
        .map(|node| {
            let fenced = if node.fenced { " (fenced)" } else { "" };
            format!("{} {}{fenced}", node.node, node.state)
        })
        .collect();
    let mode = match shard.mode {
        "open" | "fenced" => String::new(),
        mode => format!(", {mode}"),
    };
    let reason = match &shard.reason {
        Some(reason) => format!("; {reason}"),
        None => String::new(),
    };
    format!("{}{mode}: {}{reason}", shard.state, nodes.join(", "))
}

struct Line {
    at: SystemTime,
    shard: Option<String>,
    event: &'static str,
    good: bool,
    text: String,
}

impl Line {
    fn of(event: &ShardEvent) -> Line {
        Line {
            at: event.at,
            shard: Some(event.shard.to_string()),
            event: event.event.as_str(),
            good: event.good,
            text: event.text.clone(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "at": utc(self.at),
            "shard": self.shard,
            "event": self.event,
            "good": self.good,
            "text": self.text,
        })
    }
}

fn line(context: &Context, line: &Line) -> anyhow::Result<()> {
    let text = if context.output() == Output::Json {
        format!("{}\n", line.json())
    } else {
        let shard = line.shard.as_deref().unwrap_or("-");
        // A server's own words may be in it.
        let text: String = line.text.chars().filter(|c| !c.is_control()).collect();
        format!("{}  {shard}  {:<17}  {text}\n", utc(line.at), line.event)
    };
    render::write(text.as_bytes())
}

/// A time as `2026-11-23T03:04:05.678Z`.
pub(crate) fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 0000-03-01, in eras of 400 years: see "chrono-Compatible Low-Level Date Algorithms".
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at =
            |seconds, millis: u32| utc(UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_401_845, 678), "2026-11-23T02:44:05.678Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
