//! The client of one cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::Batch;
use super::read::Read;
use super::retry::{Retry, RetryBudget, RetryPolicy};
use super::session::Session;
use super::status::ShardStatus;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Label, Result};
use crate::id::{ShardId, ShardIndex};
use crate::routing::{Key, Location};
use crate::topology::{Monitor, OperatorAct, Shard, ShardEvent, View};

/// Topology events kept for a slow listener.
const EVENTS: usize = 256;

/// The client of one cluster: its shard map, its pools, and the monitors that follow its primaries.
///
/// Clones share everything. Make one per process, and [`close`](Self::close) it at the end.
///
/// ```no_run
/// # async fn example() -> pgshard::Result<()> {
/// use pgshard::{Cluster, Config, CustomerId};
///
/// let cluster = Cluster::connect(Config::load("shards.toml")?)?;
/// let customer: CustomerId = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
/// let (name,): (String,) = cluster
///     .session(&customer)?
///     .read()
///     .query_one("SELECT full_name FROM customers WHERE customer_id = $1", &[&customer])
///     .await?;
/// # drop(name);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    shards: Vec<Arc<Shard>>,
    budgets: Vec<RetryBudget>,
    retry: RetryPolicy,
    events: broadcast::Sender<ShardEvent>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts a client: builds the pools and starts watching the shards, without waiting for them.
    ///
    /// Wait for the primaries with [`ready`](Self::ready), or just begin: callers wait for their
    /// shard's primary by themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if TLS cannot be set up as configured, or outside a Tokio runtime.
    pub fn connect(config: Config) -> Result<Self> {
        Self::with_retry(config, RetryPolicy::default())
    }

    /// As [`connect`](Self::connect), with another retry policy.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn with_retry(config: Config, retry: RetryPolicy) -> Result<Self> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config(
                "Cluster::connect must be called within a Tokio runtime",
            ));
        }
        let (events, _) = broadcast::channel(EVENTS);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let shards = config
            .shards
            .iter()
            .map(|shard| Monitor::start(&config, shard, events.clone(), &tasks, &stop))
            .collect::<Result<Vec<_>>>();
        let shards = match shards {
            Ok(shards) => shards,
            Err(error) => {
                stop.cancel();
                return Err(error);
            }
        };
        Ok(Cluster {
            inner: Arc::new(Inner {
                budgets: shards.iter().map(|_| RetryBudget::new()).collect(),
                shards,
                config,
                retry,
                events,
                tasks,
                stop,
            }),
        })
    }

    /// Waits until every shard has a primary.
    ///
    /// # Errors
    ///
    /// The first shard's reason for having none when the time is up.
    pub async fn ready(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        join_all(
            self.inner
                .shards
                .iter()
                .map(|shard| shard.primary(deadline)),
        )
        .await
        .into_iter()
        .try_for_each(|primary| primary.map(drop))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Where a key lives. No I/O, no allocation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unroutable`] if the key is not of the map's type, or the hash refuses it.
    #[inline]
    pub fn locate<K: Key + ?Sized>(&self, key: &K) -> Result<Location> {
        self.inner.config.map.locate(key)
    }

    /// A key's door to its shard. No I/O, no allocation.
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate).
    #[inline]
    pub fn session<K: Key + ?Sized>(&self, key: &K) -> Result<Session<'_>> {
        Ok(Session {
            location: self.locate(key)?,
            cluster: &self.inner,
        })
    }

    /// Many keys at once: see [`Batch::query`].
    pub fn batch<'a, K>(&'a self, keys: &'a [K]) -> Batch<'a, K> {
        Batch {
            cluster: &self.inner,
            keys,
            configure: |read| read,
        }
    }

    /// A handle for reading from one shard, whatever its keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is no such shard.
    pub fn read_shard(&self, shard: ShardId) -> Result<Read<'_>> {
        let index = self.inner.index(shard)?;
        Ok(Read::new(&self.inner, index))
    }

    /// Tells of changes of the topology. A listener that falls behind by more than 256 events
    /// misses the oldest, and is told so.
    pub fn events(&self) -> broadcast::Receiver<ShardEvent> {
        self.inner.events.subscribe()
    }

    /// What is known of every shard and its nodes now.
    pub fn status(&self) -> Vec<ShardStatus> {
        self.inner
            .shards
            .iter()
            .map(|shard| ShardStatus::of(shard))
            .collect()
    }

    /// Waits until a shard's view satisfies a condition; `false` if it does not in time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is no such shard.
    pub async fn wait_for(
        &self,
        shard: ShardId,
        within: Duration,
        condition: impl FnMut(&View) -> bool,
    ) -> Result<bool> {
        let index = self.inner.index(shard)?;
        Ok(self
            .inner
            .shard(index)
            .wait_for(Instant::now() + within, condition)
            .await)
    }

    /// Hands an operator's decision about a shard to this process's monitor. What becomes of it is
    /// told by [`events`](Self::events).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is no such shard; [`ErrorKind::Unavailable`] after
    /// [`close`](Self::close).
    pub async fn decide(&self, shard: ShardId, act: OperatorAct) -> Result<()> {
        let index = self.inner.index(shard)?;
        self.inner.shard(index).decide(act).await
    }

    /// Stops the monitors, closes idle connections and interrupts those in use.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        for node in self.inner.shards.iter().flat_map(|shard| shard.nodes()) {
            node.close();
        }
        self.inner.tasks.wait().await;
    }

    #[expect(dead_code, reason = "the fan-out's door")]
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl Inner {
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

    pub(super) fn retry(&self, shard: ShardIndex, deadline: Instant) -> Retry<'_> {
        Retry {
            policy: &self.retry,
            budget: &self.budgets[shard.index()],
            shard: self.shard(shard).id(),
            deadline,
            attempts: 0,
        }
    }

    /// Something succeeded on a shard: retries may be paid from it.
    pub(super) fn earn(&self, shard: ShardIndex) {
        self.budgets[shard.index()].earn();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("cluster", &self.config.cluster)
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
