//! A sharding-aware PostgreSQL client driver and router.

pub mod config;
pub mod error;
pub mod id;
#[cfg(feature = "local")]
pub mod local;
pub mod observe;
pub mod ops;
pub mod pool;
mod random;
pub mod routing;
pub mod sql;
pub mod sqlstate;
pub mod topology;

pub use config::Config;
pub use error::{Error, ErrorKind, Label, Result};
pub use id::CustomerId;
