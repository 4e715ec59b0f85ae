//! Plain connections for operators' statements, as any role, without a pool.

#[cfg(feature = "operate")]
mod console;
#[cfg(feature = "operate")]
mod copy;
mod session;
mod writable;

pub use session::Credentials;

#[cfg(feature = "operate")]
pub(crate) use console::{Console, column};
pub(crate) use session::{Session, get, refuses_role};
pub(crate) use writable::{Writable, find};
