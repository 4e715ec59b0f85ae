//! What a plan does, for people and machines.

use std::fmt;

use serde::Serialize;

use super::plan::{Merging, Plan, Steps};
use super::shape::Count;
use crate::id::ShardId;

/// How a statement is answered: the first of these that is provably right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Tier {
    /// One shard runs it as it is.
    Pass,
    /// Every shard runs it whole; the rows are concatenated or merged.
    Push,
    /// Every shard computes aggregates; one node puts them together.
    Split,
    /// Rows of every shard are gathered; one node runs the statement over them.
    Pull,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Tier::Pass => "pass",
            Tier::Push => "push",
            Tier::Split => "split",
            Tier::Pull => "pull",
        })
    }
}

/// A statement's plan, as [`Sql::explain`](super::Sql::explain) tells it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explained {
    /// The tier.
    pub tier: Tier,
    /// What the shards run.
    pub shards: Vec<ShardWork>,
    /// How the client puts the rows together.
    pub merge: String,
    /// What one node runs over the rows gathered, as parameters that are arrays.
    pub combine: Option<String>,
}

/// What shards run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ShardWork {
    /// These shards.
    #[serde(serialize_with = "ids")]
    pub shards: Vec<ShardId>,
    /// The statement.
    pub sql: String,
}

fn ids<S: serde::Serializer>(shards: &[ShardId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(shards.iter().map(ToString::to_string))
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tier: {}", self.tier)?;
        for work in &self.shards {
            let shards: Vec<String> = work.shards.iter().map(ToString::to_string).collect();
            writeln!(f, "shards {}: {}", shards.join(", "), work.sql)?;
        }
        write!(f, "merge: {}", self.merge)?;
        match &self.combine {
            Some(sql) => write!(f, "\ncombine: {sql}"),
            None => Ok(()),
        }
    }
}

impl Plan {
    /// How the client puts the rows together.
    pub(super) fn merge(&self) -> String {
        match &self.steps {
            Steps::Merge(merging) => merging.describe(),
            Steps::Combine(_) => "gathered for one node".to_owned(),
            Steps::Anywhere | Steps::OneShard(_) => "none".to_owned(),
        }
    }
}

impl Merging {
    fn describe(&self) -> String {
        let mut text = match self.order.len() {
            0 => "concatenated".to_owned(),
            1 => "merged in the order of one column".to_owned(),
            n => format!("merged in the order of {n} columns"),
        };
        for (what, count) in [("limit", &self.limit), ("offset", &self.offset)] {
            match count {
                Some(Count::Number(number)) => text.push_str(&format!(", {what} {number}")),
                Some(Count::Param(number)) => text.push_str(&format!(", {what} ${number}")),
                None => {}
            }
        }
        text
    }
}
