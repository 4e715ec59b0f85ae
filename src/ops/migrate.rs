//! Schema changes over all shards: the users' own SQL files, one after another, a canary shard first.
//!
//! Each shard keeps a ledger of what was applied to it. [`Migration::load`] reads the files, [`Plan::new`] compares
//! them with the ledgers of all shards, [`Plan::apply`] applies what is missing; run again after a failure, it goes
//! on where it stopped. [`drift`] names what shards have that others lack.

mod apply;
mod drift;
mod file;
mod ledger;
mod plan;
mod split;

pub use apply::{Applied, ApplyOptions};
pub use drift::{Difference, Reference, drift, references};
pub use file::Migration;
pub use plan::{Pending, Plan, State};
