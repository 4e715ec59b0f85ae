//! Logical replication: chosen tables, or the rows of some buckets of them, from one server to another.
//!
//! [`Plan`] checks both ends and makes a publication, a slot and a subscription of one name. [`Link`] tells how
//! subscriptions stand, waits for them, and drops them; and of one that stopped, which row is in its way
//! ([`Stuck`]). [`Compared`] tells which rows differ.

mod change;
mod compare;
mod conflict;
mod endpoint;
mod go_on;
mod link;
mod pending;
mod pgoutput;
mod plan;
mod requirements;
mod rows;
mod server;
mod state;

pub use compare::{Compared, Difference};
pub use conflict::{Conflict, Stuck};
pub use endpoint::Endpoint;
pub use link::Link;
pub use plan::{Change, End, Plan, Wanted};
pub use rows::Rows;
pub use state::{State, TableState};
