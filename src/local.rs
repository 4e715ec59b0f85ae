//! Local clusters: real PostgreSQL primaries and streaming replicas on loopback.
//!
//! [`LocalCluster::start`] makes one, from `initdb` and `pg_basebackup`; its methods then break it
//! as a machine room would: kill, pause, promote, rejoin. Tests, benches, the demo and
//! `shardctl dev` all use this launcher.
//!
//! The process that starts a cluster is the direct parent of its servers. When that process ends,
//! however it ends, the kernel tells the servers to stop; what is left on disk is removed by the
//! next process that starts a cluster. Started by root, the servers run as the user `postgres`,
//! else `nobody`, because PostgreSQL refuses to run as root. Linux only.
//!
//! The settings favour speed over safety: `fsync` is off. Keep nothing here that matters.

pub mod bank;
mod bank_cluster;
mod binaries;
mod cluster;
pub mod control;
mod daemon;
mod etcd;
mod home;
mod node;
mod parent;
mod patroni;
mod pgbouncer;
mod pgpool;
mod port;
mod provision;
pub mod proxy;
mod replication;
mod rest;
mod secrets;
mod server;
mod settings;
mod shard;
mod shmem;
mod spec;
mod state;
mod status;
mod sweep;
mod wait;
mod wheel;

pub use crate::host::{Binaries, NodeState};
pub use cluster::LocalCluster;
pub use node::LocalNode;
pub use patroni::{LocalPatroni, PatroniNode, PatroniSpec};
pub use pgbouncer::{PgBouncer, PgBouncerSpec};
pub use pgpool::{Pgpool, PgpoolSpec};
pub use port::ReservedPort;
pub use shard::LocalShard;
pub use spec::{LocalSpec, StopMode};
pub use status::{NodeRole, NodeStatus};
