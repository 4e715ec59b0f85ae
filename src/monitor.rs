//! The watch over the shards: probes their nodes, carries out what the topology's machine decides,
//! and publishes its view.
//!
//! - `shell` is around one shard's machine, `prober` asks one node;
//! - `shard` is the published view and the pools, shared with the client;
//! - `gauges` sets what metrics show of a shard;
//! - `stored` reads what a shard's own tables say;
//! - `sources` are others who know of the nodes: `patroni`, `etcd`, both over `http`; `roster` says which
//!   of their members is which node;
//! - `explain` says what is the matter with a shard, in words.

mod acknowledged;
#[cfg(feature = "etcd")]
mod etcd;
mod explain;
mod gauges;
#[cfg(feature = "patroni")]
mod http;
#[cfg(feature = "patroni")]
mod patroni;
mod prober;
#[cfg(feature = "patroni")]
mod roster;
mod shard;
mod shell;
mod sources;
pub(crate) mod stored;

pub use shell::ShardEvent;

pub(crate) use shard::Shard;
pub(crate) use shell::Monitor;
