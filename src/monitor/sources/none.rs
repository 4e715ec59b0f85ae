//! Without the feature `patroni` there is nobody to ask.

use std::future::pending;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeChange;
use crate::config::{Config, ShardConfig};
use crate::error::{Error, Result};
use crate::id::NodeIndex;
use crate::topology::Event;

/// No sources.
pub(in crate::monitor) struct Sources;

impl Sources {
    pub(in crate::monitor) const ROOM: usize = 0;

    pub(in crate::monitor) fn check(_: &Config, shard: &ShardConfig) -> Result<()> {
        match shard.patroni {
            None => Ok(()),
            Some(_) => Err(Error::config(
                "a shard has a [shard.patroni], but pgshard was built without the feature `patroni`: \
                 enable it, or remove that section",
            )
            .on_shard(shard.id)),
        }
    }

    pub(in crate::monitor) fn start(
        _: &Config,
        _: &ShardConfig,
        _: watch::Receiver<Duration>,
        _: Instant,
        _: mpsc::Sender<Event>,
        _: &TaskTracker,
        _: &CancellationToken,
    ) -> Result<Self> {
        Ok(Sources)
    }

    pub(in crate::monitor) async fn changed(
        &mut self,
        _: impl Fn(NodeIndex) -> bool,
    ) -> Vec<NodeChange> {
        pending().await
    }

    pub(in crate::monitor) fn not_found(&mut self, _: NodeIndex) {}

    pub(in crate::monitor) fn not_moved(&mut self, _: NodeIndex) {}
}
