//! Logical replication: chosen tables, or the rows of some buckets of them, from one server to another.
//!
//! [`Plan`] checks both ends and makes a publication, a slot and a subscription of one name. [`Link`] tells how
//! subscriptions stand, waits for them, and drops them.

mod endpoint;
mod plan;
mod rows;
mod server;
mod state;

pub use endpoint::Endpoint;
pub use plan::{Change, End, Plan, Wanted};
pub use rows::Rows;
pub use state::{Link, State, TableState};
