//! The client of one cluster.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::Batch;
use super::core::Core;
use super::deadline;
use super::guard::Scope;
use super::hedge::HedgeBudget;
use super::read::Read;
use super::retry::{RetryBudget, RetryPolicy};
use super::session::Session;
use super::status::ShardStatus;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::ShardId;
use crate::monitor::{Monitor, ShardEvent};
use crate::routing::{Key, Location};
use crate::topology::{OperatorAct, View};

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
    core: Arc<Core>,
}

impl Cluster {
    /// Starts a client: builds the pools and starts watching the shards, without waiting for them.
    ///
    /// Wait for the primaries with [`ready`](Self::ready), or just begin: callers wait for their
    /// shard's primary by themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if TLS cannot be set up as configured, or outside a Tokio runtime.
    pub fn connect(config: Config) -> Result<Self> {
        Self::with_retry(config, RetryPolicy::default())
    }

    /// As [`connect`](Self::connect), with another retry policy.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn with_retry(config: Config, retry: RetryPolicy) -> Result<Self> {
        Self::start(config, retry, true)
    }

    /// As [`connect`](Self::connect), for looking only: nothing is written by itself. A promoted
    /// server is not adopted, and so is no primary here before another client has adopted it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn observe(config: Config) -> Result<Self> {
        Self::start(config, RetryPolicy::default(), false)
    }

    fn start(config: Config, retry: RetryPolicy, adopts: bool) -> Result<Self> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config(
                "Cluster::connect must be called within a Tokio runtime",
            ));
        }
        let (events, _) = broadcast::channel(EVENTS);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        // Nodes that are found at run time are made from it.
        let managed = config.shards.iter().any(|shard| shard.patroni.is_some());
        let found = managed.then(|| Arc::new(config.clone()));
        let shards = config
            .shards
            .iter()
            .map(|shard| {
                let found = found.clone();
                Monitor::start(&config, found, shard, adopts, events.clone(), &tasks, &stop)
            })
            .collect::<Result<Vec<_>>>();
        let shards = match shards {
            Ok(shards) => shards,
            Err(error) => {
                stop.cancel();
                return Err(error);
            }
        };
        Ok(Cluster {
            core: Arc::new(Core {
                budgets: shards.iter().map(|_| RetryBudget::new()).collect(),
                hedges: shards.iter().map(|_| HedgeBudget::new()).collect(),
                shards,
                config,
                retry,
                events,
                tasks,
                stop,
                kept: OnceLock::new(),
            }),
        })
    }

    /// Waits until every shard has a primary.
    ///
    /// # Errors
    ///
    /// The first shard's reason for having none when the time is up.
    pub async fn ready(&self, within: Duration) -> Result<()> {
        let deadline = deadline::after(Instant::now(), within);
        join_all(
            self.core
                .shards
                .iter()
                .map(|shard| shard.primary(None, deadline)),
        )
        .await
        .into_iter()
        .try_for_each(|primary| primary.map(drop))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Where a key lives. No I/O, no allocation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unroutable`](crate::ErrorKind::Unroutable) if the key is not of the map's type, or the hash refuses it.
    #[inline]
    pub fn locate<K: Key + ?Sized>(&self, key: &K) -> Result<Location> {
        self.core.config.map.locate(key)
    }

    /// A key's door to its shard. No I/O, no allocation.
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate).
    #[inline]
    pub fn session<K: Key + ?Sized>(&self, key: &K) -> Result<Session<'_>> {
        let value = key.key();
        Ok(Session {
            location: self.locate(key)?,
            digest: value.digest(),
            scope: Scope::of(self.core.config.guard, value),
            cluster: &self.core,
        })
    }

    /// Many keys at once: see [`Batch::query`].
    pub fn batch<'a, K>(&'a self, keys: &'a [K]) -> Batch<'a, K> {
        Batch::new(&self.core, keys)
    }

    /// A handle for reading from one shard, whatever its keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such shard.
    pub fn read_shard(&self, shard: ShardId) -> Result<Read<'_>> {
        let index = self.core.index(shard)?;
        Ok(Read::new(&self.core, index))
    }

    /// Tells of changes of the topology. A listener that falls behind by more than 256 events
    /// misses the oldest, and is told so.
    pub fn events(&self) -> broadcast::Receiver<ShardEvent> {
        self.core.events.subscribe()
    }

    /// What is known of every shard and its nodes now.
    pub fn status(&self) -> Vec<ShardStatus> {
        self.core
            .shards
            .iter()
            .map(|shard| ShardStatus::of(shard))
            .collect()
    }

    /// Waits until a shard's view satisfies a condition; `false` if it does not in time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such shard.
    pub async fn wait_for(
        &self,
        shard: ShardId,
        within: Duration,
        condition: impl FnMut(&View) -> bool,
    ) -> Result<bool> {
        let index = self.core.index(shard)?;
        Ok(self
            .core
            .shard(index)
            .wait_for(deadline::after(Instant::now(), within), condition)
            .await)
    }

    /// Hands an operator's decision about a shard to this process's monitor. What becomes of it is
    /// told by [`events`](Self::events).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such shard; [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) after
    /// [`close`](Self::close).
    pub async fn decide(&self, shard: ShardId, act: OperatorAct) -> Result<()> {
        let index = self.core.index(shard)?;
        self.core.shard(index).decide(act).await
    }

    /// Stops the monitors, closes idle connections and interrupts those in use, whose statements are
    /// cancelled on the servers; all within `timeouts.connect`. Whoever waits gets an error now. A
    /// COMMIT that is under way is not cancelled; its caller is told that its outcome is unknown.
    pub async fn close(&self) {
        self.core.stop.cancel();
        self.core.tasks.close();
        join_all(self.core.shards.iter().map(|shard| shard.close())).await;
        self.core.tasks.wait().await;
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
