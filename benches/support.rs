//! What the benches with servers share.
#![allow(dead_code)] // none uses all of it

#[path = "../tests/support/counting.rs"]
mod counting;

pub(crate) mod bank;
pub(crate) mod load;
pub(crate) mod paired;
