//! The pools of one node: one for reading, one for writing, with a common generation.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use deadpool::managed::{Object, PoolConfig, PoolError, QueueMode, TimeoutType};
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::cancel::Cancel;
use super::full::{self, Full};
use super::identity::Identity;
use super::lease::{Lease, Stamp};
use super::link::{Connection, Link};
use super::manager::Manager;
use super::until::{KeptTimers, until};
use super::{Access, Connector, Lane};
use crate::config::{Config, PoolSettings};
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{NodeId, SystemId};

/// Connections of one node that may be in the making at once.
const CONNECTING: usize = 2;

/// How often those who may not make a connection look for one that came back.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Requests to cancel that are made at once when a node's pools are closed.
const CANCELLING: usize = 8;

type Pool = deadpool::managed::Pool<Manager>;

/// What a node's pools and their connections share.
pub(super) struct NodeShared {
    pub(super) connector: Connector,
    pub(super) connecting: Semaphore,
    pub(super) identity: Identity,
    pub(super) full: Full,
    generation: AtomicU64,
    links: Mutex<Vec<Weak<Link>>>,
    /// Connections that were made for callers who are gone, [`CONNECTING`] at most.
    spares: Mutex<Vec<Connection>>,
}

/// The pools of one node.
pub(crate) struct NodePool {
    shared: Arc<NodeShared>,
    read: Pool,
    write: Pool,
    /// The connections for reading that fan-outs may hold.
    fan_outs: Arc<Semaphore>,
    waiters: Waiters,
    proxied: bool,
    settings: PoolSettings,
}

/// What those who wait write, apart from what everybody reads: another processor would have to fetch
/// that again each time.
#[derive(Default)]
#[repr(align(64))]
struct Waiters {
    count: AtomicUsize,
    timers: KeptTimers,
}

/// How full a node's pools are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolStatus {
    /// Connections open for reading.
    pub read: usize,
    /// Connections open for writing.
    pub write: usize,
    /// Connections lent, of both kinds.
    pub lent: usize,
    /// Callers waiting for one.
    pub waiting: usize,
}

impl NodeShared {
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Remembers a connection for the day when all have to be interrupted.
    pub(super) fn register(&self, link: &Arc<Link>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    /// Keeps a connection for the next caller who would make one.
    pub(super) fn keep(&self, connection: Connection) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.truncate(CONNECTING - 1);
        spares.push(connection);
    }

    /// Takes out the spare connections of a kind.
    pub(super) fn take_spares(&self, access: Access) -> impl Iterator<Item = Connection> + use<> {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |spare: &mut Connection| spare.link.access == access;
        let taken: Vec<_> = spares.extract_if(.., of_kind).collect();
        taken.into_iter()
    }

    /// Closes the spare connections.
    fn drop_spares(&self) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.clear();
    }

    /// Keeps connections from being lent again that were last lent so long ago.
    pub(super) fn taint_idle(&self, time: Duration) {
        let now = Instant::now();
        for link in self.links() {
            if link.idle(link.age(now)) >= time {
                link.taint();
            }
        }
    }

    /// All connections that there are. Those of an earlier generation are among them: what was only
    /// to be discarded when it is given back may have to be interrupted later.
    fn links(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter_map(Weak::upgrade).collect()
    }
}

impl NodePool {
    pub(crate) fn new(config: &Config, connector: Connector) -> Result<Self> {
        let shared = Arc::new(NodeShared {
            connector,
            connecting: Semaphore::new(CONNECTING),
            identity: Identity::new(config),
            full: Full::default(),
            generation: AtomicU64::new(1),
            links: Mutex::new(Vec::new()),
            spares: Mutex::new(Vec::new()),
        });
        let pool = |access| {
            let manager = Manager {
                node: Arc::clone(&shared),
                access,
                check_after_idle: config.pool.check_after_idle,
            };
            Pool::builder(manager)
                .config(PoolConfig {
                    max_size: config.pool.max_size,
                    queue_mode: QueueMode::Lifo,
                    ..PoolConfig::default()
                })
                .runtime(deadpool::Runtime::Tokio1)
                .build()
                .map_err(|error| Error::config("cannot build a pool").with_source(error))
        };
        Ok(NodePool {
            read: pool(Access::Read)?,
            write: pool(Access::Write)?,
            fan_outs: Arc::new(Semaphore::new(config.pool.fan_out_size())),
            waiters: Waiters::default(),
            proxied: shared.connector.proxy().is_some(),
            settings: config.pool.clone(),
            shared,
        })
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.shared.connector
    }

    /// Whether a proxy is between the client and the server.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxied
    }

    pub(crate) fn node(&self) -> NodeId {
        self.shared.connector.node()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// From now on only servers with this identifier are talked to.
    pub(crate) fn expect_system(&self, system: SystemId) {
        self.shared.identity.expect_system(system);
    }

    /// Lends a connection, waiting until the deadline at most. `now` is at or before the moment.
    pub(crate) async fn lease(
        &self,
        access: Access,
        now: Instant,
        deadline: Instant,
        stamp: Stamp,
    ) -> Result<Lease> {
        let pool = match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        };
        if stamp.lane == Lane::FanOut {
            return Box::pin(self.lease_share(pool, now, deadline, stamp)).await;
        }
        let checkout = pin!(self.checkout(pool, now));
        match until(&self.waiters.timers, deadline, checkout).await {
            Some(Ok(object)) => Ok(Lease::new(object, stamp, None)),
            Some(Err(error)) => Err(error),
            None => Err(self.timed_out()),
        }
    }

    /// As [`lease`](Self::lease), within the share of fan-outs: they wait for each other rather than
    /// have short reads wait for them.
    async fn lease_share(
        &self,
        pool: &Pool,
        now: Instant,
        deadline: Instant,
        stamp: Stamp,
    ) -> Result<Lease> {
        let checkout = async {
            let share = match Arc::clone(&self.fan_outs).try_acquire_owned() {
                Ok(share) => Some(share),
                Err(_) => {
                    let _place = self.queue()?;
                    // The semaphore is never closed.
                    Arc::clone(&self.fan_outs).acquire_owned().await.ok()
                }
            };
            let object = self.checkout(pool, now).await?;
            Ok(Lease::new(object, stamp, share))
        };
        match tokio::time::timeout_at(deadline, checkout).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out()),
        }
    }

    #[cold]
    fn timed_out(&self) -> Error {
        if self.shared.full.is_full() {
            return self.shared.connector.locate(self.shared.full.error());
        }
        self.shared.connector.locate(
            Error::new(
                ErrorKind::Timeout,
                "no connection became free in time (timeouts.checkout): the pool is too \
                 small for the load, or the node does not answer",
            )
            .with_label(Label::NOT_SENT)
            .with_label(Label::RETRYABLE)
            .with_label(Label::OVERLOAD)
            .in_phase(Phase::Checkout),
        )
    }

    async fn checkout(&self, pool: &Pool, now: Instant) -> Result<Object<Manager>> {
        loop {
            let object = self.take(pool).await?;
            let manager = pool.manager();
            if manager.is_fit(&object, now) || Box::pin(manager.may_be_lent(&object)).await {
                return Ok(object);
            }
            drop(Object::take(object));
        }
    }

    async fn take(&self, pool: &Pool) -> Result<Object<Manager>> {
        use deadpool::managed::Timeouts;
        const AT_ONCE: Timeouts = Timeouts {
            wait: Some(Duration::ZERO),
            create: None,
            recycle: None,
        };
        const PATIENT: Timeouts = Timeouts {
            wait: None,
            create: None,
            recycle: None,
        };
        let outcome = match pool.timeout_get(&AT_ONCE).await {
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                let _place = self.queue()?;
                pool.timeout_get(&PATIENT).await
            }
            outcome => outcome,
        };
        match outcome {
            Err(PoolError::Backend(error)) if full::is_full(&error) => {
                Box::pin(self.take_open(pool)).await
            }
            outcome => outcome.map_err(|error| self.failed(error)),
        }
    }

    /// The server has no room for another connection: waits for one that comes back, or for room. The
    /// caller's deadline ends it.
    #[cold]
    async fn take_open(&self, pool: &Pool) -> Result<Object<Manager>> {
        let _place = self.queue()?;
        let patience = deadpool::managed::Timeouts {
            wait: Some(LOOK_AGAIN),
            create: None,
            recycle: None,
        };
        loop {
            tokio::time::sleep(LOOK_AGAIN.mul_f64(0.5 + crate::random::unit())).await;
            match pool.timeout_get(&patience).await {
                Err(PoolError::Backend(error)) if full::is_full(&error) => {}
                Err(PoolError::Timeout(_)) => {}
                outcome => return outcome.map_err(|error| self.failed(error)),
            }
        }
    }

    /// The reads that this process has on the node, those that wait for a connection included.
    pub(crate) fn reads(&self) -> u32 {
        let status = self.read.status();
        let reads = status.size.saturating_sub(status.available) + status.waiting;
        u32::try_from(reads).unwrap_or(u32::MAX)
    }

    /// Whether the next who had to wait would be turned away.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiters.count.load(Ordering::Acquire) + 1 >= self.settings.max_waiting
    }

    #[cold]
    fn failed(&self, error: PoolError<Error>) -> Error {
        match error {
            PoolError::Backend(error) => error,
            other => self.shared.connector.locate(
                Error::new(
                    ErrorKind::Unavailable,
                    "the pool is closed: the client was shut down",
                )
                .with_label(Label::NOT_SENT)
                .in_phase(Phase::Checkout)
                .with_source(other),
            ),
        }
    }

    /// A place in the bounded queue, given back on drop.
    fn queue(&self) -> Result<Place<'_>> {
        let place = Place(&self.waiters.count);
        if self.waiters.count.fetch_add(1, Ordering::AcqRel) >= self.settings.max_waiting {
            return Err(self.crowded());
        }
        Ok(place)
    }

    #[cold]
    fn crowded(&self) -> Error {
        self.shared.connector.locate(
            Error::new(
                ErrorKind::Overloaded,
                format!(
                    "{} callers wait for a connection already (pool.max_waiting)",
                    self.settings.max_waiting
                ),
            )
            .with_label(Label::NOT_SENT)
            .with_label(Label::OVERLOAD)
            .with_label(Label::RETRYABLE)
            .in_phase(Phase::Checkout),
        )
    }

    /// Starts a new generation: idle connections are closed, and lent ones are interrupted, or
    /// discarded when they come back.
    pub(crate) fn clear(&self, generation: u64, interrupt: bool) {
        self.shared
            .generation
            .fetch_max(generation, Ordering::AcqRel);
        for pool in [&self.read, &self.write] {
            pool.retain(|_, _| false);
        }
        self.shared.drop_spares();
        for link in self.shared.links() {
            if interrupt {
                link.interrupt()
            } else {
                link.taint()
            }
        }
    }

    /// Closes idle connections that are too old or were idle for too long.
    pub(crate) fn reap(&self) {
        let now = Instant::now();
        for pool in [&self.read, &self.write] {
            pool.retain(|connection, _| {
                let age = connection.link.age(now);
                !connection.link.is_old(age)
                    && connection.link.idle(age) < self.settings.idle_timeout
                    && !connection.client.is_closed()
            });
        }
    }

    /// Lends nothing more, closes idle connections, interrupts those in use and has the server end
    /// what they were doing: it would not notice by itself. A COMMIT is left to end as it may.
    pub(crate) async fn close(&self) {
        for pool in [&self.read, &self.write] {
            pool.close();
        }
        let running = self.running();
        self.clear(self.generation() + 1, true);
        self.cancel(running).await;
    }

    /// What the server is asked to cancel once the connections were interrupted: it would not notice by
    /// itself. COMMITs are not among it.
    pub(crate) fn running(&self) -> Vec<Arc<Cancel>> {
        let links = self.shared.links();
        links.iter().filter_map(|link| link.running()).collect()
    }

    /// Asks the server to cancel what was running.
    pub(crate) async fn cancel(&self, running: Vec<Arc<Cancel>>) {
        let connector = &self.shared.connector;
        let cancels = stream::iter(running).for_each_concurrent(CANCELLING, |cancel| async move {
            drop(cancel.send().await)
        });
        // Whether it worked, nobody can do anything about any more.
        let _ = timeout(connector.timeout(), cancels).await;
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let (read, write) = (self.read.status(), self.write.status());
        PoolStatus {
            read: read.size,
            write: write.size,
            lent: (read.size + write.size).saturating_sub(read.available + write.available),
            waiting: self.waiters.count.load(Ordering::Acquire),
        }
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
