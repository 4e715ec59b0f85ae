//! What the monitor, the pools and the client share of one shard.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::acknowledged::Acknowledged;
use super::circuit::Circuit;
use super::explain::{explain, is_elsewhere, mode_in_words};
use super::freshness::Freshness;
use super::line::Line;
use super::times::AnswerTimes;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{Epoch, Lsn, MapVersion, NodeIndex, ShardId};
use crate::pool::{Access, Lane, Lease, NodePool, Stamp, stale_map};
use crate::topology::{Event, FenceReason, Mode, NoNode, NodeState, OperatorAct, ShardState, View};

mod reads;

pub(crate) use reads::Choice;

/// A shorter contest is waited out.
const CONTEST: Duration = Duration::from_millis(500);

/// No version: this process's map is the shard's.
const CURRENT: i64 = -1;

/// One shard: its pools, and the view of it that its monitor publishes.
///
/// Readers take the view without a lock; waiting for another view is bounded in time and number.
pub(crate) struct Shard {
    id: ShardId,
    /// The nodes by position; those that may still be found have no pools yet.
    nodes: Box<[OnceLock<Arc<NodePool>>]>,
    view: ArcSwap<View>,
    /// Counts the views.
    published: AtomicU64,
    changed: watch::Sender<u64>,
    waiting: AtomicUsize,
    /// Those of them who wait for the primary.
    line: Line,
    closed: AtomicBool,
    max_waiting: usize,
    map_version: MapVersion,
    /// The map version that the primary was told, if it is not this process's; see `stale`.
    stale: AtomicI64,
    checkout: Duration,
    statement: Duration,
    /// Round trip of a probe in microseconds, smoothed; 0 while there was none.
    latencies: Vec<AtomicU64>,
    circuits: Vec<Circuit>,
    /// Of reads that may be asked of a second node.
    times: Vec<AnswerTimes>,
    freshness: Freshness,
    /// Whether anybody asked for a lag in time.
    wants_freshness: AtomicBool,
    pub(super) acknowledged: Acknowledged,
    /// Whether this process writes the reign of a new primary.
    adopts: bool,
    start: Instant,
    /// When the last contest began, in milliseconds after `start`.
    contested: AtomicU64,
    /// When a transaction last proved the primary's role, in milliseconds after `start`.
    proved: AtomicU64,
    /// Traffic proves the role at most this often; more would only be noise.
    prove_every: Duration,
    events: mpsc::Sender<Event>,
}

impl Shard {
    /// `room`: how many nodes may come later.
    #[expect(clippy::too_many_arguments)]
    pub(super) fn new(
        config: &Config,
        id: ShardId,
        nodes: Vec<Arc<NodePool>>,
        room: usize,
        view: Arc<View>,
        events: mpsc::Sender<Event>,
        adopts: bool,
        start: Instant,
    ) -> Self {
        Shard {
            id,
            latencies: (0..nodes.len() + room).map(|_| AtomicU64::new(0)).collect(),
            circuits: (0..nodes.len() + room)
                .map(|_| Circuit::default())
                .collect(),
            times: (0..nodes.len() + room)
                .map(|_| AnswerTimes::default())
                .collect(),
            freshness: Freshness::default(),
            wants_freshness: AtomicBool::new(false),
            nodes: nodes
                .into_iter()
                .map(OnceLock::from)
                .chain(std::iter::repeat_with(OnceLock::new).take(room))
                .collect(),
            view: ArcSwap::new(view),
            published: AtomicU64::new(0),
            changed: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            line: Line::new(),
            closed: AtomicBool::new(false),
            max_waiting: config.failover.max_waiting,
            map_version: config.map.version(),
            stale: AtomicI64::new(CURRENT),
            checkout: config.timeouts.checkout,
            statement: config.timeouts.statement,
            acknowledged: Acknowledged::default(),
            adopts,
            start,
            contested: AtomicU64::new(0),
            proved: AtomicU64::new(0),
            prove_every: config.failover.probe_interval / 2,
            events,
        }
    }

    pub(crate) fn id(&self) -> ShardId {
        self.id
    }

    /// How many callers wait for a primary.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<NodePool>> {
        self.nodes.iter().map_while(OnceLock::get)
    }

    /// Gives the node at a position its pools, once.
    pub(super) fn add(&self, index: NodeIndex, pool: Arc<NodePool>) -> bool {
        let place = self.nodes.get(index.index());
        place.is_some_and(|place| place.set(pool).is_ok())
    }

    pub(crate) fn node(&self, index: NodeIndex) -> Option<&Arc<NodePool>> {
        self.nodes.get(index.index())?.get()
    }

    /// The smoothed round trip of a node's probes.
    pub(crate) fn latency(&self, node: NodeIndex) -> Option<Duration> {
        let micros = self.latencies.get(node.index())?.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    pub(super) fn measured(&self, node: NodeIndex, round_trip: Duration) {
        if let Some(latency) = self.latencies.get(node.index()) {
            let sample = (round_trip.as_micros() as u64).max(1);
            let old = latency.load(Ordering::Relaxed);
            let smoothed = if old == 0 {
                sample
            } else {
                (old * 7 + sample) / 8
            };
            latency.store(smoothed.max(1), Ordering::Relaxed);
        }
    }

    pub(super) fn publish(&self, view: Arc<View>) {
        if let Some((_, epoch)) = view.primary {
            for node in self.nodes() {
                node.expect_system(epoch.system);
            }
        }
        let primary = view
            .primary
            .and_then(|(node, _)| view.nodes.get(node.index()));
        if let Some(version) = primary.and_then(|node| node.map_version) {
            let stale = if version == self.map_version {
                CURRENT
            } else {
                version.0
            };
            self.stale.store(stale, Ordering::Release);
        }
        let contested = matches!(view.state, ShardState::Contested { .. });
        let was = matches!(self.view.load().state, ShardState::Contested { .. });
        if contested && !was {
            let now = self.start.elapsed().as_millis() as u64;
            self.contested.store(now, Ordering::Release);
        }
        self.view.store(view);
        self.published.fetch_add(1, Ordering::Release);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Refuses what a process with another shard map would answer wrongly. A write is checked by the
    /// shard itself; a read of a bucket that has moved away would find nothing and say so.
    fn map_is_current(&self) -> Result<()> {
        match self.stale.load(Ordering::Acquire) {
            CURRENT => Ok(()),
            version => Err(self.map_is_stale(MapVersion(version))),
        }
    }

    #[cold]
    fn map_is_stale(&self, version: MapVersion) -> Error {
        self.in_checkout(stale_map(self.map_version, version))
    }

    /// Lends a connection to the primary, waiting for one to exist and for its pool. `now` is at or
    /// before the moment.
    pub(crate) async fn lease_primary(
        &self,
        access: Access,
        lane: Lane,
        mut now: Instant,
        deadline: Instant,
    ) -> Result<Lease> {
        self.map_is_current()?;
        loop {
            let published = self.published.load(Ordering::Acquire);
            let (node, epoch) = match self.primary_now(access) {
                Some(primary) if self.line.is_empty() => primary,
                _ => return Box::pin(self.lease_in_line(access, lane, deadline)).await,
            };
            let Some(pool) = self.node(node) else {
                continue;
            };
            let stamp = Stamp::new(Some(epoch), lane);
            let lease = self.lease(pool, access, now, deadline, stamp).await;
            // The epoch may have ended while waiting for the pool.
            let current = published == self.published.load(Ordering::Acquire)
                || self.view.load().primary == Some((node, epoch));
            match lease {
                Ok(lease) if current => return Ok(lease),
                Err(error) if current => return Err(error),
                _ => now = Instant::now(),
            }
        }
    }

    /// As [`lease_primary`](Self::lease_primary), behind those who wait already.
    async fn lease_in_line(&self, access: Access, lane: Lane, deadline: Instant) -> Result<Lease> {
        loop {
            let bound = self.queue()?;
            let place = self.line.join();
            let Some(head) = place.head(deadline).await else {
                return Err(self.out_of_time());
            };
            let (node, epoch) = self.primary(Some(access), deadline).await?;
            let Some(pool) = self.node(node) else {
                continue;
            };
            let stamp = Stamp::new(Some(epoch), lane);
            let mut lease = pin!(self.lease(pool, access, Instant::now(), deadline, stamp));
            let lease = match futures::poll!(lease.as_mut()) {
                std::task::Poll::Ready(lease) => lease,
                // It waits in the pool's own line, which is fair, too; so the next may follow. If that
                // one is full, all wait here rather than be turned away there.
                std::task::Poll::Pending if !pool.is_crowded() => {
                    drop((head, bound));
                    drop(place);
                    lease.await
                }
                std::task::Poll::Pending => lease.await,
            };
            if self.view.load().primary == Some((node, epoch)) {
                return lease;
            }
        }
    }

    async fn lease(
        &self,
        pool: &NodePool,
        access: Access,
        now: Instant,
        deadline: Instant,
        stamp: Stamp,
    ) -> Result<Lease> {
        let deadline = deadline.min(now + self.checkout);
        if pool.is_proxied() {
            return Box::pin(self.lease_behind_proxy(pool, access, now, deadline, stamp)).await;
        }
        pool.lease(access, now, deadline, stamp).await
    }

    async fn lease_behind_proxy(
        &self,
        pool: &NodePool,
        access: Access,
        now: Instant,
        deadline: Instant,
        stamp: Stamp,
    ) -> Result<Lease> {
        let newest = {
            let view = self.view.load();
            view.history.as_ref().map(|history| history.newest().id)
        };
        let mut lease = pool.lease(access, now, deadline, stamp).await?;
        lease.behind_proxy(newest);
        Ok(lease)
    }

    fn primary_now(&self, access: Access) -> Option<(NodeIndex, Epoch)> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let view = self.view.load();
        view.primary.filter(|_| !is_closed(&view, access))
    }

    /// The primary, waiting until the deadline for there to be one. For some access: unless an operator
    /// closed the shard for that.
    pub(crate) async fn primary(
        &self,
        access: Option<Access>,
        deadline: Instant,
    ) -> Result<(NodeIndex, Epoch)> {
        let mut changed = self.changed.subscribe();
        loop {
            self.is_open()?;
            {
                let view = self.view.load();
                if let Some(refusal) =
                    access.and_then(|access| self.closed_by_operator(&view, access))
                {
                    return Err(refusal);
                }
                if let Some(primary) = view.primary {
                    return Ok(primary);
                }
                if let Some(refusal) = self.hopeless(&view)
                    && Instant::now() >= self.contest_settles()
                {
                    return Err(refusal);
                }
            }
            let settles = self.contest_settles();
            let until = if settles > Instant::now() {
                deadline.min(settles)
            } else {
                deadline
            };
            if timeout_at(until, changed.changed()).await.is_err() && Instant::now() >= deadline {
                return Err(self.out_of_time());
            }
        }
    }

    /// The time for a primary to be there is up.
    fn out_of_time(&self) -> Error {
        let view = self.view.load();
        if view.primary.is_some() {
            return self.in_checkout(
                Error::new(
                    ErrorKind::Overloaded,
                    "those who waited for the primary before took all connections since it is back \
                     (timeouts.primary): the pool is too small for the load",
                )
                .with_label(Label::OVERLOAD)
                .with_label(Label::RETRYABLE),
            );
        }
        self.hopeless(&view)
            .unwrap_or_else(|| self.no_primary(&view))
    }

    /// Why there is no primary, in words; `None` if there is one.
    pub(crate) fn explain(&self, view: &View) -> Option<String> {
        explain(view, |node| self.name(node), self.adopts)
    }

    /// Lends nothing more, and tells everyone who waits or works on a connection.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.send_modify(|version| *version += 1);
        join_all(self.nodes().map(|node| node.close())).await;
    }

    fn is_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.in_checkout(Error::new(
                ErrorKind::Unavailable,
                "the client was shut down",
            )));
        }
        Ok(())
    }

    /// When a contest that has begun is taken for one that lasts. An old primary that wakes while its
    /// successor's reign is being written makes one of a few milliseconds.
    fn contest_settles(&self) -> Instant {
        self.start + Duration::from_millis(self.contested.load(Ordering::Acquire)) + CONTEST
    }

    /// States that only an operator ends: waiting would help nobody.
    fn hopeless(&self, view: &View) -> Option<Error> {
        let kind = match &view.state {
            _ if is_elsewhere(view) => ErrorKind::WrongNode,
            ShardState::Contested { .. } => ErrorKind::Contested,
            ShardState::Fenced { .. } => ErrorKind::Fenced,
            _ => return None,
        };
        let mut error = Error::new(kind, self.explain(view)?);
        if matches!(
            view.state,
            ShardState::Fenced {
                reason: FenceReason::Operator
            }
        ) {
            error = error.with_label(Label::OPERATOR);
        }
        Some(self.in_checkout(error))
    }

    /// The refusal of a shard that an operator made read-only or drained.
    #[inline]
    fn closed_by_operator(&self, view: &View, access: Access) -> Option<Error> {
        if is_closed(view, access) && view.orders.mode != Mode::Fenced {
            return Some(self.in_maintenance(view));
        }
        None
    }

    #[cold]
    fn in_maintenance(&self, view: &View) -> Error {
        let text = mode_in_words(&view.orders);
        self.in_checkout(Error::new(ErrorKind::Maintenance, text).with_label(Label::OPERATOR))
    }

    fn no_primary(&self, view: &View) -> Error {
        let waits_for = self
            .explain(view)
            .unwrap_or_else(|| "it has just come back".to_owned());
        let causes: Vec<_> = view
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let failure = node.failure.as_ref()?;
                Some(format!("{}: {failure}", self.name(NodeIndex(index as u16))))
            })
            .collect();
        let causes = if causes.is_empty() {
            String::new()
        } else {
            format!(" ({})", causes.join("; "))
        };
        self.in_checkout(
            Error::new(
                ErrorKind::Unavailable,
                format!("no primary within timeouts.primary: {waits_for}{causes}"),
            )
            .with_label(Label::FAILOVER)
            .with_label(Label::RETRYABLE),
        )
    }

    pub(crate) fn no_node(&self, reason: NoNode) -> Error {
        self.in_checkout(match reason {
            NoNode::TokenLost => Error::refused(format!(
                "{reason}: find out what became of it, then read without the token"
            )),
            _ => Error::new(
                ErrorKind::Unavailable,
                format!("no node qualifies for this read: {reason}"),
            )
            .with_label(Label::RETRYABLE),
        })
    }

    fn in_checkout(&self, error: Error) -> Error {
        error
            .on_shard(self.id)
            .in_phase(Phase::Checkout)
            .with_label(Label::NOT_SENT)
    }

    /// A node's name.
    pub(super) fn name(&self, node: NodeIndex) -> String {
        self.node(node)
            .map_or_else(|| "?".into(), |pool| pool.connector().node().to_string())
    }

    /// The node of a name.
    pub(super) fn find(&self, name: &str) -> Option<NodeIndex> {
        (0..)
            .map(NodeIndex)
            .zip(self.nodes())
            .find(|(_, pool)| pool.connector().node().as_str() == name)
            .map(|(index, _)| index)
    }

    /// A place in the bounded queue of those who wait for another view.
    fn queue(&self) -> Result<Place<'_>> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.max_waiting {
            return Err(self.in_checkout(
                Error::new(
                    ErrorKind::Overloaded,
                    format!(
                        "{} callers wait for this shard already (failover.max_waiting)",
                        self.max_waiting
                    ),
                )
                .with_label(Label::OVERLOAD)
                .with_label(Label::RETRYABLE),
            ));
        }
        Ok(place)
    }

    /// A position was read after a COMMIT in an epoch.
    pub(crate) fn acknowledged(&self, epoch: Epoch, lsn: Lsn) {
        self.acknowledged.note(epoch.reign, lsn);
    }

    /// A node let a write transaction in under an epoch: as good as a probe.
    pub(crate) fn proved(&self, lease: &Lease, epoch: Epoch, asked: Instant) {
        let asked_at = asked.saturating_duration_since(self.start);
        let millis = asked_at.as_millis() as u64;
        let before = self.proved.load(Ordering::Relaxed);
        if millis.saturating_sub(before) < self.prove_every.as_millis() as u64 {
            return;
        }
        let order = Ordering::Relaxed;
        if self
            .proved
            .compare_exchange(before, millis, order, order)
            .is_ok()
        {
            let _ = self.events.try_send(Event::Proved {
                node: lease.index(),
                asked_at,
                epoch,
            });
        }
    }

    /// Whether a node is the primary and traffic proved it lately, so that a probe can wait.
    pub(super) fn is_proved(&self, node: NodeIndex) -> bool {
        let proved = Duration::from_millis(self.proved.load(Ordering::Relaxed));
        if self.wants_freshness.load(Ordering::Relaxed) {
            return false;
        }
        let lately = !proved.is_zero() && self.start.elapsed() < proved + 2 * self.prove_every;
        lately
            && self
                .view
                .load()
                .primary
                .is_some_and(|(primary, _)| primary == node)
    }

    /// Whether a node has left the shard.
    pub(super) fn is_retired(&self, node: NodeIndex) -> bool {
        let view = self.view.load();
        let node = view.nodes.get(node.index());
        node.is_some_and(|node| node.state == NodeState::Retired)
    }

    /// Whether a node has left, and nothing is kept of it: its place may be another's.
    pub(super) fn is_vacant(&self, node: NodeIndex) -> bool {
        let view = self.view.load();
        let unfenced = view
            .nodes
            .get(node.index())
            .is_some_and(|node| !node.fenced);
        unfenced && self.is_retired(node)
    }

    /// Hands an operator's decision to the monitor.
    pub(crate) async fn decide(&self, act: OperatorAct) -> Result<()> {
        self.events.send(Event::Operator(act)).await.map_err(|_| {
            Error::new(ErrorKind::Unavailable, "the client was shut down").on_shard(self.id)
        })
    }

    /// Waits for a view that satisfies a condition.
    pub(crate) async fn wait_for(
        &self,
        deadline: Instant,
        mut condition: impl FnMut(&View) -> bool,
    ) -> bool {
        let mut changed = self.changed.subscribe();
        loop {
            if condition(&self.view.load()) {
                return true;
            }
            if timeout_at(deadline, changed.changed()).await.is_err() {
                return false;
            }
        }
    }
}

/// Whether an operator closed a shard for some access.
#[inline]
fn is_closed(view: &View, access: Access) -> bool {
    let mode = view.orders.mode;
    match access {
        Access::Read => mode.refuses_reads(),
        Access::Write => mode.refuses_writes(),
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
