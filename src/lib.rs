//! A sharding-aware PostgreSQL client driver and router.
//!
//! Customers' data is spread over N PostgreSQL shards by a key, mostly the customer's UUID; each
//! shard is a primary with streaming replicas. This library maps a key to its shard without I/O,
//! keeps pools per node, knows who is primary now and rides through failovers, runs typed reads and
//! transactions on the right node, and asks all shards one question. There is no proxy in between
//! and no extension on the servers.
//!
//! ```no_run
//! use std::time::Duration;
//! use pgshard::{Cluster, Config, CustomerId};
//!
//! # async fn example() -> pgshard::Result<()> {
//! let cluster = Cluster::connect(Config::load("shards.toml")?)?;
//! cluster.ready(Duration::from_secs(10)).await?;
//!
//! let customer: CustomerId = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
//! let session = cluster.session(&customer)?;
//! let renamed = session
//!     .transaction(|tx| async move {
//!         tx.execute(
//!             "UPDATE customers SET full_name = 'Ada' WHERE customer_id = $1",
//!             &[&customer],
//!         )
//!         .await
//!     })
//!     .await?;
//! let mut read = session.read().prefer_replica();
//! if let Some(token) = &renamed.token {
//!     read = read.at_least(token);
//! }
//! let (name,): (String,) = read
//!     .query_one("SELECT full_name FROM customers WHERE customer_id = $1", &[&customer])
//!     .await?;
//! assert_eq!(name, "Ada");
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! - [`config`]: `shards.toml`, checked before anything connects; [`routing`]: keys, buckets, the
//!   shard map, and the same functions as SQL;
//! - [`client`]: sessions, reads, transactions; [`fanout`]: one question to all shards;
//!   [`topology`]: who is primary, and how that is decided; [`pool`]: connections;
//! - [`error`]: the one error type, with labels that say what a caller may do; [`observe`]: the
//!   names of the metrics;
//! - `query` (feature `sql`): a SELECT over all shards as if they were one database;
//! - [`fdw`]: reports over all shards through `postgres_fdw`;
//! - [`ops`]: what operators run, `shardctl install` first of all. The library itself never changes a
//!   schema.
//!
//! Features: `sql` for SQL over all shards; `tls` (default) for encrypted connections, with `ring` (default) as the cryptography
//! where the process has not installed another rustls provider; `patroni` to ask the shards' Patronis who
//! holds their lock and who belongs to them, and `etcd` to watch the lock itself; `operate` for what operators do on the servers' machines; `local` for clusters of
//! real servers on loopback, for tests; `cli` for the binary `shardctl`.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod client;
pub mod config;
mod direct;
pub mod error;
pub mod fanout;
pub mod fdw;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "operate")]
mod host;
pub mod id;
#[cfg(feature = "local")]
pub mod local;
mod monitor;
pub mod observe;
pub mod ops;
pub mod pool;
#[cfg(feature = "sql")]
pub mod query;
mod random;
pub mod routing;
pub mod sql;
pub mod sqlstate;
pub mod topology;

pub use client::{
    Cluster, CommitOutcome, Committed, FromRow, IdempotencyKey, InvalidToken, Isolation,
    PendingCommit, RetryPolicy, Row, Session, Token, Tx,
};
pub use config::Config;
pub use error::{Error, ErrorKind, Label, Result};
pub use id::CustomerId;
pub use monitor::ShardEvent;
pub use topology::ReadPreference;

/// The driver's own types, for what this crate does not wrap.
pub mod raw {
    pub use tokio_postgres::types::{FromSql, ToSql, Type};
    pub use tokio_postgres::{Client, Row};
}

/// The chapters of the documentation, whose examples are compiled as tests.
#[cfg(doctest)]
mod chapters {
    macro_rules! chapters {
        ($($name:ident $path:literal)*) => {
            $(#[doc = include_str!($path)] struct $name;)*
        };
    }
    chapters! {
        Checks "../docs/check.md"
        Configuration "../docs/configuration.md"
        Failover "../docs/failover.md"
        FanOut "../docs/fan-out.md"
        Guard "../docs/guard.md"
        Load "../docs/load.md"
        Readme "../README.md"
        Observability "../docs/observability.md"
        Operators "../docs/operators.md"
        OperationsBackup "../docs/operations/backup.md"
        OperationsFailover "../docs/operations/failover.md"
        OperationsLogical "../docs/operations/logical.md"
        OperationsMigrate "../docs/operations/migrate.md"
        OperationsMonitoring "../docs/operations/monitoring.md"
        OperationsProxies "../docs/operations/proxies.md"
        OperationsRehearsal "../docs/operations/rehearsal.md"
        OperationsReplication "../docs/operations/replication.md"
        OperationsStack "../docs/operations/stack.md"
        OperationsWalk "../docs/operations/walk.md"
        Performance "../docs/performance.md"
        Proof "../docs/proof.md"
        Proxies "../docs/proxies.md"
        Quickstart "../docs/quickstart.md"
        Reads "../docs/reads.md"
        Reporting "../docs/reporting.md"
        Routing "../docs/routing.md"
        Shardctl "../docs/shardctl.md"
        Sql "../docs/sql.md"
        Topology "../docs/topology.md"
        Transactions "../docs/transactions.md"
        Types "../docs/types.md"
    }
}
