//! Streaming replication: who streams from whom, what keeps it from working, and what is to be done.
//!
//! [`verify`] looks, [`Plan`] finds what a shard's servers lack and applies it, [`NewStandby`] makes a new standby,
//! [`follow`] gives one another source.

mod follow;
mod members;
mod new_standby;
mod plan;
mod progress;
mod server;
mod slot;
mod standby;
mod verify;

pub use follow::follow;
pub use new_standby::NewStandby;
pub use plan::{Change, How, Plan, PlanOptions, Synchronous};
pub use server::{Receiver, Sender, Server, Settings, Slot};
pub use slot::{Kept, drop_slot, slots};
pub use verify::{Place, RETAINED, verify};

pub(crate) use members::{Member, ask_members, members};
pub(crate) use progress::watch;
pub(crate) use slot::{ensure_slots, slot_name};
pub(crate) use standby::too_small;
pub(crate) use verify::{judge_members, named_shards};
