//! The shell around the machine of one shard: probes its nodes, carries out what the machine says,
//! and publishes its view.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::prober::{Adoption, Prober};
use super::shard::Shard;
use super::sources::{NodeChange, Sources};
use super::{explain, gauges};
use crate::config::{Config, NodeConfig, ShardConfig};
use crate::error::Result;
use crate::id::{NodeIndex, ShardId};
use crate::pool::{Connector, NodePool, Report, ReportSender};
use crate::topology::{Action, Event, Machine, Settings, TopologyEvent};

/// Events and reports on their way to a machine. Probers wait for room; pools do not.
const EVENTS: usize = 256;
/// How often pools are looked through for connections to close, and gauges are set.
const REAP: Duration = Duration::from_secs(5);

/// Something that happened to a shard, for whoever wants to know.
#[derive(Clone, Debug)]
pub struct ShardEvent {
    /// The shard.
    pub shard: ShardId,
    /// What happened.
    pub event: TopologyEvent,
    /// The same in words, with the names of the nodes.
    pub text: String,
    /// When this process learned of it.
    pub at: SystemTime,
    /// Whether it is good news.
    pub good: bool,
}

/// The monitor of one shard.
pub(crate) struct Monitor {
    shard: Arc<Shard>,
    machine: Machine,
    start: Instant,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Receiver<Report>,
    probers: Vec<Orders>,
    sources: Sources,
    crew: Crew,
    /// For the nodes that are found, where any can be.
    config: Option<Arc<Config>>,
    report_sender: ReportSender,
    pace: watch::Sender<Duration>,
    listeners: broadcast::Sender<ShardEvent>,
    adopts: bool,
    lost_at: Option<Instant>,
    /// Whether somebody was told of a member that cannot be taken as it is.
    complained: bool,
}

/// The monitor's end of a prober.
struct Orders {
    wake: Arc<Notify>,
    adoptions: mpsc::Sender<Adoption>,
}

/// What all probers of a shard have in common.
struct Crew {
    shard: Arc<Shard>,
    start: Instant,
    deadline: Duration,
    steady: Duration,
    pace: watch::Receiver<Duration>,
    events: mpsc::Sender<Event>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Crew {
    /// Starts to probe a node.
    fn send_out(&self, node: NodeIndex, pool: Arc<NodePool>) -> Orders {
        let wake = Arc::new(Notify::new());
        let (sender, adoptions) = mpsc::channel(1);
        let prober = Prober {
            node,
            pool,
            shard: Arc::clone(&self.shard),
            start: self.start,
            deadline: self.deadline,
            steady: self.steady,
            pace: self.pace.clone(),
            wake: Arc::clone(&wake),
            adoptions,
            events: self.events.clone(),
            held: None,
        };
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { stop.run_until_cancelled(prober.run()).await });
        Orders {
            wake,
            adoptions: sender,
        }
    }
}

impl Monitor {
    /// Builds a shard's pools and starts its monitor and probers on the present runtime.
    ///
    /// One that does not adopt only looks: it leaves the reign of a new primary to others. `found` is the
    /// same configuration, to be kept for the nodes that are found at run time.
    pub(crate) fn start(
        config: &Config,
        found: Option<Arc<Config>>,
        shard: &ShardConfig,
        adopts: bool,
        listeners: broadcast::Sender<ShardEvent>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Shard>> {
        Sources::check(config, shard)?;
        let room = shard.patroni.as_ref().map_or(0, |_| Sources::ROOM);
        let start = Instant::now();
        let settings = Settings {
            down_after: config.failover.down_after,
            probe_interval: config.failover.probe_interval,
            strict: config.failover.strict,
        };
        let (report_sender, reports) = ReportSender::channel(EVENTS);
        let nodes = shard
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let index = NodeIndex(index as u16);
                let connector =
                    Connector::new(config, shard.id, index, node, report_sender.clone())?;
                NodePool::new(config, connector).map(Arc::new)
            })
            .collect::<Result<Vec<_>>>()?;
        let machine = Machine::new(
            settings,
            config.cluster,
            shard.id,
            nodes.len(),
            Duration::ZERO,
        );
        let (event_sender, events) = mpsc::channel(EVENTS);
        let view = Arc::clone(machine.view());
        let shared = Arc::new(Shard::new(
            config,
            shard.id,
            nodes.clone(),
            room,
            view,
            event_sender.clone(),
            adopts,
            start,
        ));
        let pace = watch::Sender::new(config.failover.probe_interval);
        let sources = Sources::start(
            config,
            shard,
            pace.subscribe(),
            start,
            event_sender.clone(),
            tasks,
            stop,
        )?;
        let crew = Crew {
            shard: Arc::clone(&shared),
            start,
            deadline: config.failover.probe_timeout,
            steady: config.failover.probe_interval,
            pace: pace.subscribe(),
            events: event_sender,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let probers = nodes
            .into_iter()
            .enumerate()
            .map(|(index, pool)| crew.send_out(NodeIndex(index as u16), pool))
            .collect();
        let monitor = Monitor {
            shard: Arc::clone(&shared),
            machine,
            start,
            events,
            reports,
            probers,
            sources,
            crew,
            config: found,
            report_sender,
            pace,
            listeners,
            adopts,
            lost_at: None,
            complained: false,
        };
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(monitor.run()).await });
        Ok(shared)
    }

    async fn run(mut self) {
        let mut reap = tokio::time::interval(REAP);
        reap.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.step(Event::Tick);
        loop {
            let tick = *self.pace.borrow();
            let event = tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                report = self.reports.recv() => match report {
                    Some(Report { node, generation, hint }) => {
                        Event::Hint { node, generation, hint }
                    }
                    None => return,
                },
                changes = self.sources.changed(|node| self.shard.is_vacant(node)) => {
                    self.take(changes);
                    continue;
                }
                _ = reap.tick() => {
                    self.shard.nodes().for_each(|pool| pool.reap());
                    gauges::set(&self.shard);
                    continue;
                }
                () = tokio::time::sleep(tick) => Event::Tick,
            };
            self.step(event);
        }
    }

    /// What a member needs may be missing for a moment, such as a certificate that is being replaced: it
    /// is left out, and comes again with the next list.
    fn take(&mut self, changes: Vec<NodeChange>) {
        let mut failed = None;
        // Positions are given out in order, so those after one that failed have to wait with it.
        let mut barred: Option<NodeIndex> = None;
        let mut not_replaced = Vec::new();
        for change in changes {
            let node = change.node();
            if barred.is_some_and(|from| node >= from) || not_replaced.contains(&node) {
                continue;
            }
            match change {
                NodeChange::Found(node, config) => {
                    if let Err(error) = self.found(node, &config) {
                        barred = Some(node);
                        failed = Some((config.id, error));
                    }
                }
                NodeChange::Replaced(node, config) => {
                    if let Err(error) = self.moved(node, &config) {
                        self.sources.not_moved(node);
                        not_replaced.push(node);
                        failed = Some((config.id, error));
                    }
                }
                NodeChange::Moved(node, config) => {
                    if let Err(error) = self.moved(node, &config) {
                        self.sources.not_moved(node);
                        failed = Some((config.id, error));
                    }
                }
                NodeChange::Listed(node, tags) => self.step(Event::Member { node, tags }),
                NodeChange::Gone(node) => self.step(Event::Gone { node }),
            }
        }
        if let Some(from) = barred {
            self.sources.not_found(from);
        }
        let complained = std::mem::replace(&mut self.complained, failed.is_some());
        if let Some((id, error)) = failed
            && !complained
        {
            tracing::warn!(
                shard = %self.shard.id(),
                "member {id} of Patroni cannot be connected to where it is now; it is tried again with \
                 every list of members: {error}"
            );
        }
    }

    fn found(&mut self, node: NodeIndex, found: &NodeConfig) -> Result<()> {
        let Some(config) = &self.config else {
            return Ok(());
        };
        let reports = self.report_sender.clone();
        let connector = Connector::new(config, self.shard.id(), node, found, reports)?;
        let pool = Arc::new(NodePool::new(config, connector)?);
        if self.shard.add(node, Arc::clone(&pool)) {
            self.probers.push(self.crew.send_out(node, pool));
        }
        Ok(())
    }

    fn moved(&mut self, node: NodeIndex, to: &NodeConfig) -> Result<()> {
        if let (Some(config), Some(pool)) = (&self.config, self.shard.node(node)) {
            pool.connector().move_to(config, to)?;
            self.step(Event::Moved { node });
        }
        Ok(())
    }

    fn step(&mut self, event: Event) {
        let now = self.start.elapsed();
        self.shard
            .acknowledged
            .take(|reign, lsn| self.machine.acknowledged(reign, lsn, now));
        for action in self.machine.step(event, now) {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Publish(view) => self.shard.publish(view),
            Action::Clear {
                node,
                generation,
                interrupt,
            } => {
                if let Some(pool) = self.shard.node(node) {
                    let running = if interrupt {
                        pool.running()
                    } else {
                        Vec::new()
                    };
                    pool.clear(generation, interrupt);
                    if !running.is_empty() {
                        let pool = Arc::clone(pool);
                        // Bounded in time and by the pool's size.
                        tokio::spawn(async move { pool.cancel(running).await });
                    }
                }
            }
            Action::Adopt { .. } if !self.adopts => {}
            Action::Adopt {
                node,
                parent,
                start,
            } => {
                // One that waits already is as good.
                if let Some(prober) = self.probers.get(node.index()) {
                    let _ = prober.adoptions.try_send(Adoption { parent, start });
                }
            }
            Action::ProbeNow(nodes) => {
                for node in nodes {
                    if let Some(prober) = self.probers.get(node.index()) {
                        prober.wake.notify_one();
                    }
                }
            }
            Action::Cadence(cadence) => {
                let interval = cadence.interval(self.machine.settings());
                self.pace
                    .send_if_modified(|pace| std::mem::replace(pace, interval) != interval);
            }
            Action::Emit(event) => self.emit(event),
        }
    }

    fn emit(&mut self, event: TopologyEvent) {
        let shard = self.shard.id();
        let (text, good) = explain::event(&event, |node| self.shard.name(node));
        if good {
            tracing::info!(%shard, "{text}");
        } else {
            tracing::warn!(%shard, "{text}");
        }
        if matches!(event, TopologyEvent::PrimaryAdopted { .. }) {
            metrics::counter!(crate::observe::ADOPTIONS, "shard" => shard.to_string()).increment(1);
        }
        match &event {
            TopologyEvent::PrimarySuspected { .. } | TopologyEvent::PrimaryLost { .. } => {
                self.lost_at.get_or_insert_with(Instant::now);
            }
            TopologyEvent::PrimaryAdopted { .. } | TopologyEvent::PrimaryReturned { .. } => {
                if let Some(lost_at) = self.lost_at.take() {
                    metrics::histogram!(
                        crate::observe::RECOVERY_SECONDS,
                        "shard" => shard.to_string()
                    )
                    .record(lost_at.elapsed().as_secs_f64());
                }
            }
            _ => {}
        }
        // Nobody has to listen.
        let _ = self.listeners.send(ShardEvent {
            shard,
            event,
            text,
            at: SystemTime::now(),
            good,
        });
    }
}
