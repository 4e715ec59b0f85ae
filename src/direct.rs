//! Plain connections for operators' statements, as any role, without a pool.

mod session;
mod writable;

pub use session::Credentials;

pub(crate) use session::{Session, get};
pub(crate) use writable::{Writable, find};
