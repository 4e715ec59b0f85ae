//! Connections to nodes: how they are made, pooled, lent and given back.
//!
//! - `connector` makes one connection within one deadline (`socket`, `tls`, `password`) and starts its task;
//! - `cancel` is how to end what a connection is doing, where it was dialled;
//! - `link` is what the connection's task and its holders share: notices, role, end, work in flight;
//! - `manager` makes and checks the items of a deadpool pool;
//! - `identity` asks each new connection whether it leads to the right server;
//! - `full` keeps from dialling a server that has no room for more connections;
//! - `node` is the pair of pools of one node, for reading and for writing, with its generation;
//! - `lease` is a connection lent to one caller, safe to drop at any moment; `traces` tells after
//!   which statements its session has to be reset;
//! - `proxied` runs statements through PgBouncer or Pgpool-II (`pins`, `session_state`, `named`);
//! - `span` makes a tracing span of each call;
//! - `rows` reads a statement's rows as they come;
//! - `fault` turns the driver's errors into this crate's.
//!
//! The pools know nothing of the machine that decides about the topology: they report hints, and are
//! told to clear themselves.

mod cancel;
mod connector;
mod fault;
mod full;
mod identity;
mod lease;
mod lingering;
mod link;
mod manager;
mod named;
mod node;
mod password;
mod pins;
mod proxied;
mod report;
mod rows;
mod session_state;
mod socket;
mod span;
mod statements;
mod tls;
mod traces;
mod until;
mod watched;
#[cfg(feature = "tls")]
mod wrapping;

pub use lease::Lease;
pub use node::PoolStatus;

pub(crate) use connector::{Connector, Dialer};
pub(crate) use fault::Fault;
pub(crate) use identity::stale_map;
pub(crate) use lease::{FirstRow, Stamp};
pub(crate) use link::Connection;
pub(crate) use node::NodePool;
pub(crate) use proxied::for_proxy;
pub(crate) use report::{Report, ReportSender};
pub(crate) use rows::OpenRows;
#[cfg(feature = "patroni")]
pub(crate) use socket::Socket;
#[cfg(all(feature = "patroni", feature = "tls"))]
pub(crate) use tls::TlsFiles;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// Its sessions start read-only, on a primary too.
    Read,
    /// For write transactions.
    Write,
}

/// What a connection is lent for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Work on one key.
    #[default]
    Routed,
    /// A part of a query over many shards: these may hold a share of a node's connections only, so
    /// that some are left for short reads.
    FanOut,
}
