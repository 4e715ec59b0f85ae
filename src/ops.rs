//! What operators do to a cluster, each only when asked.
//!
//! [`install`] creates and upgrades the schema `pgshard` on every shard. Nothing else in the library
//! issues DDL, and nothing calls it but the operator's own code or `shardctl`. [`ledger`] deletes old
//! idempotency keys. [`acts`] stores operators' decisions on the
//! shards' servers, and reads their log. [`check`] verifies the
//! servers' settings. `journal` (feature `operate`) is what procedures of many steps write down, to
//! be resumed.

pub mod acts;
#[cfg(feature = "operate")]
pub mod backup;
pub mod check;
#[cfg(feature = "operate")]
pub mod exporter;
#[cfg(feature = "operate")]
pub mod glance;
#[cfg(feature = "operate")]
pub mod hosts;
pub mod install;
#[cfg(feature = "operate")]
pub mod journal;
pub mod ledger;
#[cfg(feature = "operate")]
pub mod logical;
#[cfg(feature = "operate")]
pub mod migrate;
#[cfg(feature = "operate")]
pub mod patroni;
#[cfg(feature = "operate")]
pub mod primary;
#[cfg(feature = "operate")]
pub mod proxies;
#[cfg(feature = "operate")]
pub mod replication;
#[cfg(feature = "operate")]
pub mod stack;

pub use crate::direct::Credentials;
