//! Schema changes over all shards: the users' own SQL files, one after another, a canary shard first.
//!
//! Each shard keeps a ledger of what was applied to it. [`Migration::load`] reads the files, [`Plan::new`] compares
//! them with the ledgers of all shards, [`Plan::apply`] applies what is missing; run again after a failure, it goes
//! on where it stopped. [`drift`] names what shards have that others lack, [`references`] compares the rows of the
//! reference tables, and [`Load`] makes them the same.

mod apply;
mod drift;
mod file;
mod ledger;
mod load;
mod plan;
mod references;
mod split;

pub use apply::{Applied, ApplyOptions};
pub use drift::{Difference, drift};
pub use file::Migration;
pub use load::{Load, LoadOptions, Loaded, Rows};
pub use plan::{Pending, Plan, State};
pub use references::{Reference, references};
