//! Queries over many shards, with a merge that is declared, and either right or refused.
//!
//! - `merge` is pure: what the shards' rows become;
//! - `plan` is what a caller asks for: shards, where to read, bounds;
//! - `reading` is where shards are read, `statement` what they are asked;
//! - `source` is one shard's work, `scatter` all of it: started together, merged while it streams,
//!   cancelled when it is dropped;
//! - `answer` is what comes out, `report` what happened on each shard.

mod answer;
pub(crate) mod merge;
mod plan;
mod reading;
mod report;
mod scatter;
mod source;
mod statement;

pub use answer::{Answer, FanOutRow};
pub use merge::{Aggregate, ColumnRef, GroupKey, Merge, SortKey};
pub use plan::FanOut;
pub use report::{Outcome, Report, ShardReport};
pub use scatter::FanOutRows;
#[cfg(feature = "sql")]
pub(crate) use {
    reading::Reading,
    scatter::start,
    statement::{Encoded, Statement},
};
