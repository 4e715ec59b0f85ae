//! What all handles of one client share.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hedge::HedgeBudget;
use super::retry::{Retry, RetryBudget, RetryPolicy};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Label, Result};
use crate::id::{ShardId, ShardIndex};
use crate::monitor::{Shard, ShardEvent};

/// What all handles share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(super) shards: Vec<Arc<Shard>>,
    pub(super) budgets: Vec<RetryBudget>,
    pub(super) hedges: Vec<HedgeBudget>,
    pub(super) retry: RetryPolicy,
    pub(super) events: broadcast::Sender<ShardEvent>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// What a higher room keeps with the client.
    #[cfg_attr(not(feature = "sql"), allow(dead_code))]
    pub(crate) kept: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Core {
    /// A shard by its index, which comes from this cluster's own map.
    pub(crate) fn shard(&self, index: ShardIndex) -> &Shard {
        &self.shards[index.index()]
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = (ShardIndex, &Arc<Shard>)> {
        self.shards
            .iter()
            .enumerate()
            .map(|(index, shard)| (ShardIndex(index as u16), shard))
    }

    pub(crate) fn index(&self, shard: ShardId) -> Result<ShardIndex> {
        self.shards()
            .find(|(_, known)| known.id() == shard)
            .map(|(index, _)| index)
            .ok_or_else(|| {
                let known: Vec<_> = self.shards.iter().map(|s| s.id().to_string()).collect();
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "there is no shard {shard}; the shards are {}",
                        known.join(", ")
                    ),
                )
                .with_label(Label::NOT_SENT)
            })
    }

    pub(crate) fn retry(&self, shard: ShardIndex, deadline: Instant) -> Retry<'_> {
        Retry {
            policy: &self.retry,
            budget: &self.budgets[shard.index()],
            shard: self.shard(shard).id(),
            deadline,
            attempts: 0,
        }
    }

    /// Something succeeded on a shard: retries may be paid from it.
    pub(crate) fn earn(&self, shard: ShardIndex) {
        self.budgets[shard.index()].earn();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("cluster", &self.config.cluster)
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
