//! A sharding-aware PostgreSQL client driver and router.

pub mod client;
pub mod config;
mod direct;
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

pub use client::{
    Cluster, CommitOutcome, Committed, FromRow, IdempotencyKey, InvalidToken, Isolation,
    PendingCommit, RetryPolicy, Session, Token, Tx, column,
};
pub use config::Config;
pub use error::{Error, ErrorKind, Label, Result};
pub use id::CustomerId;
pub use topology::ReadPreference;

/// The driver's own types, for what this crate does not wrap.
pub mod raw {
    pub use tokio_postgres::types::{FromSql, ToSql, Type};
    pub use tokio_postgres::{Client, Row};
}
