//! Queries over many shards, with a merge that is declared, and either right or refused.
//!
//! - `merge` is pure: what the shards' rows become;
//! - `plan` is what a caller asks for: shards, where to read, bounds;
//! - `source` is one shard's work, `scatter` all of it: started together, merged while it streams,
//!   cancelled when it is dropped;
//! - `answer` is what comes out, `report` what happened on each shard.

mod answer;
pub(crate) mod merge;
mod plan;
mod report;
mod scatter;
mod source;

pub use answer::{Answer, FanOutRow};
pub use merge::{Aggregate, ColumnRef, GroupKey, Merge, SortKey};
pub use plan::FanOut;
pub use report::{Outcome, Report, ShardReport};
pub use scatter::FanOutRows;
