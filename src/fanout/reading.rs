//! Where the shards of a fan-out are read, and how long they may take.

use std::time::Duration;

use crate::client::{Core, Read, Token};
use crate::id::ShardIndex;
use crate::topology::ReadPreference;

/// Shards that work at once, unless said otherwise.
const CONCURRENCY: usize = 16;

/// Where the shards are read, and how long they may take.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) preference: ReadPreference,
    pub(crate) max_lag: Option<u64>,
    pub(crate) max_lag_time: Option<Duration>,
    pub(crate) token: Option<Token>,
    pub(crate) within: Duration,
    pub(crate) concurrency: usize,
}

impl Reading {
    pub(crate) fn new(core: &Core) -> Self {
        Reading {
            preference: ReadPreference::Primary,
            max_lag: None,
            max_lag_time: None,
            token: None,
            within: core.config.timeouts.statement,
            concurrency: CONCURRENCY,
        }
    }

    /// The handle for one shard.
    pub(crate) fn read<'a>(&self, core: &'a Core, shard: ShardIndex) -> Read<'a> {
        let mut read = Read::new(core, shard)
            .preference(self.preference)
            .within(self.within);
        if let Some(bytes) = self.max_lag {
            read = read.max_lag(bytes);
        }
        if let Some(age) = self.max_lag_time {
            read = read.max_lag_time(age);
        }
        if let Some(token) = &self.token {
            read = read.at_least(token);
        }
        read
    }
}
