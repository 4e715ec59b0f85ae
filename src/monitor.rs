//! The watch over the shards: probes their nodes, carries out what the topology's machine decides,
//! and publishes its view.
//!
//! - `shell` is around one shard's machine, `prober` asks one node;
//! - `shard` is the published view and the pools, shared with the client;
//! - `gauges` sets what metrics show of a shard;
//! - `stored` reads what a shard's own tables say;
//! - `sources` are others who know of the nodes: `patroni`, `etcd`, both over `http`; `roster` says which
//!   of their members is which node;
//! - `line` keeps those who wait for a primary in order; `circuit` keeps reads off a node that takes them
//!   and does not answer; `freshness` knows how old what a replica shows may be, `times` how long its
//!   reads took;
//! - `explain` says what is the matter with a shard, in words.

mod acknowledged;
mod circuit;
#[cfg(feature = "etcd")]
pub(crate) mod etcd;
mod explain;
mod freshness;
mod gauges;
#[cfg(feature = "patroni")]
pub(crate) mod http;
mod line;
#[cfg(feature = "patroni")]
pub(crate) mod patroni;
mod prober;
#[cfg(feature = "patroni")]
mod roster;
mod shard;
mod shell;
mod sources;
pub(crate) mod stored;
mod times;

pub use shell::ShardEvent;

pub(crate) use shard::{Choice, Shard};
pub(crate) use shell::Monitor;
