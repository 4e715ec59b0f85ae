//! What happened on each shard.

use std::time::Duration;

use crate::error::Error;
use crate::id::{NodeId, ShardId};

/// What a fan-out did, shard by shard.
#[derive(Debug)]
pub struct Report {
    /// The shards that were asked, in the order of the configuration.
    pub shards: Vec<ShardReport>,
}

/// What a fan-out did on one shard.
#[derive(Debug)]
pub struct ShardReport {
    /// The shard.
    pub shard: ShardId,
    /// The node that answered; `None` if none did.
    pub node: Option<NodeId>,
    /// The rows that it sent, as far as they were read.
    pub rows: u64,
    /// How long it was waited for: connecting, executing, and the way of its rows.
    pub time: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a shard's work ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// All rows were read.
    Complete,
    /// It was cancelled: the rows that were asked for are complete, or another shard failed.
    Stopped,
    /// It failed.
    Failed(Error),
}

impl Report {
    /// Whether no shard failed.
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The shards that failed, and why.
    pub fn missing(&self) -> impl Iterator<Item = (ShardId, &Error)> {
        self.shards.iter().filter_map(|shard| match &shard.outcome {
            Outcome::Failed(error) => Some((shard.shard, error)),
            _ => None,
        })
    }
}

#[cfg(feature = "sql")]
impl Report {
    /// One report of what several did at the same time; `None` of none.
    pub(crate) fn together(reports: Vec<Report>) -> Option<Report> {
        let mut all: Vec<ShardReport> = Vec::new();
        for report in reports.into_iter().flat_map(|report| report.shards) {
            match all.iter_mut().find(|known| known.shard == report.shard) {
                Some(known) => {
                    known.rows += report.rows;
                    known.time = known.time.max(report.time);
                }
                None => all.push(report),
            }
        }
        (!all.is_empty()).then_some(Report { shards: all })
    }
}
