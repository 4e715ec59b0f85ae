//! The configuration: `shards.toml`, checked before anything connects.

mod model;

pub use model::{
    Config, FailoverSettings, NodeConfig, PoolSettings, ShardConfig, ShardedTable, TableName,
    Timeouts, TlsConfig, TlsMode,
};
