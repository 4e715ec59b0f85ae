//! The configuration: `shards.toml`, checked before anything connects.
//!
//! [`Config::load`] reads the file, lays the environment over it and refuses what is wrong, all of
//! it at once and with its line. Whoever holds a [`Config`] need not check it again.
//!
//! ```
//! let text = r#"
//!     cluster = "bank"
//!     database = "bankdb"
//!     user = "app"
//!     [routing]
//!     hash = "md5"
//!     buckets = 1000
//!     [[shard]]
//!     id = "s0"
//! "#;
//! let error = pgshard::Config::parse(text, "shards.toml").unwrap_err().to_string();
//! assert!(error.contains("shards.toml:6:12: `hash` is not a hash function"));
//! assert!(error.contains("shards.toml:7:15: buckets is 1000: it must be a power of two"));
//! assert!(error.contains("the shard s0 has no nodes: add a [[shard.node]]"));
//! ```

mod access;
mod advice;
mod digest;
mod duration;
mod environment;
mod layout;
mod limits;
mod load;
mod model;
mod nodes;
mod password;
mod pgpass;
mod pins;
mod problem;
mod scalar;
mod secret;
mod settings;
mod sources;
mod tables;
mod text;
mod url;

pub use duration::parse_duration;
pub use environment::Environment;
pub use load::{Checked, Loader};
pub use model::{
    ChannelBinding, Config, EtcdSettings, FailoverSettings, GuardMode, HedgeAfter, HttpLogin,
    NodeConfig, PatroniSettings, PatroniShard, PoolSettings, Proxy, ReadSettings, ShardConfig,
    ShardedTable, TableName, Timeouts, TlsConfig, TlsMode,
};
pub use password::{Login, PasswordError, PasswordProvider, PasswordSource};
#[cfg(feature = "fuzzing")]
pub(crate) use pgpass::Pgpass;
pub use problem::{Place, Problem, Severity};
pub use secret::password_file;
pub use settings::{Origin, Setting};
pub use url::HttpUrl;

#[cfg(feature = "patroni")]
pub(crate) use url::check_host;

#[cfg(test)]
mod tests;
