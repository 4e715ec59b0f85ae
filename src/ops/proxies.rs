//! PgBouncer and Pgpool-II, operated: what they lend and where they lead, and that they follow a change of primaries.
//!
//! [`pools`] reads PgBouncers' consoles. [`Follow`] points a PgBouncer at the primaries of now, with its clients paused
//! meanwhile. [`Pgpool`] compares what a Pgpool-II believes of its servers with what they are, and tells it.

mod address;
mod follow;
mod ini;
mod known;
mod pcp;
mod pgbouncer;
mod pgpool;

pub use address::Address;
pub use follow::{Follow, Repointed};
pub use known::{Known, known};
pub use pcp::{Control, Order};
pub use pgbouncer::{Pool, pause, pools, resume};
pub use pgpool::{Backend, Pgpool};
