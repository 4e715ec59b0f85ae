//! SQL over all shards as if they were one database: planned, and either right or refused.
//!
//! A SELECT is answered by the first of four tiers that is provably right: *pass* (one shard has all),
//! *push* (every shard runs it whole), *split* (the shards' aggregates are put together), *pull* (rows
//! are gathered, and one node runs it over them). What the servers can say they are asked: types, names
//! and collations are theirs, and what is put together is put together by PostgreSQL.
//!
//! - `sql` is what a caller asks, `rows` what comes back, `explain` what would be done, `refusal` why not;
//! - `parse` reads a text, `tree` walks it, `bind` resolves its names (`names` are those of columns), with
//!   `moment` for the time and `volatile` for functions that differ between shards;
//! - `spread` decides what may run where, from `keys` in conditions and `classes` of equal columns;
//!   `closed` tells what a part of a statement names outside of it;
//! - `shape` chooses the tier, `combine` takes a query apart; all of these are pure;
//! - `catalog` is what the databases know, `describe` asks them about a statement, `render` writes texts
//!   for them; `plan` is the outcome, and `planner` keeps it;
//! - `report` writes a split or a push down for a reporting server;
//! - `change` finds where an INSERT, UPDATE or DELETE belongs, `execute` runs it;
//! - `params` encodes parameters, `narrow` finds the shards of keys, `gather` collects rows for one node.

mod bind;
mod catalog;
mod change;
mod classes;
mod closed;
mod combine;
mod describe;
mod execute;
mod explain;
mod gather;
mod keys;
mod moment;
mod names;
mod narrow;
mod params;
mod parse;
mod plan;
mod planner;
#[cfg(feature = "fuzzing")]
pub(crate) mod probe;
mod refusal;
mod render;
mod report;
mod rows;
mod shape;
mod spread;
mod sql;
#[cfg(test)]
mod tests;
mod tree;
mod volatile;

pub use execute::{Executed, ShardExecuted};
pub use explain::{Explained, ShardWork, Tier};
pub use refusal::Refusal;
pub use report::ReportPlan;
pub use rows::SqlRows;
pub use sql::Sql;
