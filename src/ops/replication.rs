//! Streaming replication: who streams from whom, what keeps it from working, and what is to be done.

mod members;
mod server;
mod slot;
mod standby;

pub use server::{Receiver, Sender, Server, Settings, Slot};

pub(crate) use members::{Member, members};
pub(crate) use slot::{ensure_slots, slot_name};
pub(crate) use standby::too_small;
