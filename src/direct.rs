//! Plain connections for operators' statements, as any role, without a pool.

mod session;
mod writable;

pub use session::Credentials;

pub(crate) use session::{Session, get, refuses_role};
pub(crate) use writable::{Writable, find};
