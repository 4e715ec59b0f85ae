//! Local clusters under Patroni: real Patroni and real etcd, which decide who leads.
//!
//! [`LocalPatroni::start`] makes one. Its methods break the parts apart from each other: Patroni
//! without its PostgreSQL, PostgreSQL without its Patroni, etcd; what follows is Patroni's doing.
//!
//! Patroni starts the servers, and they are nobody's children. So beside the rules of
//! [`local`](super) a small shell process waits for this one to end, and kills them then.

mod cluster;
mod config;
mod node;
mod operate;
mod pgbouncer;
mod sentry;
mod spec;

pub use cluster::LocalPatroni;
pub use node::PatroniNode;
pub use spec::PatroniSpec;
