//! The watch over the shards: probes their nodes, carries out what the topology's machine decides,
//! and publishes its view.
//!
//! - `shell` is around one shard's machine, `prober` asks one node;
//! - `shard` is the published view and the pools, shared with the client;
//! - `gauges` sets what metrics show of a shard;
//! - `stored` reads what a shard's own tables say;
//! - `explain` says what is the matter with a shard, in words.

mod acknowledged;
mod explain;
mod gauges;
mod prober;
mod shard;
mod shell;
pub(crate) mod stored;

pub use shell::ShardEvent;

pub(crate) use shard::Shard;
pub(crate) use shell::Monitor;
