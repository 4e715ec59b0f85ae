//! The shell around the machine of one shard: probes its nodes, carries out what the machine says,
//! and publishes its view.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::prober::{Adoption, Prober};
use super::shard::Shard;
use super::{explain, gauges};
use crate::config::{Config, ShardConfig};
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
}

/// The monitor of one shard.
pub(crate) struct Monitor {
    shard: Arc<Shard>,
    machine: Machine,
    start: Instant,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Receiver<Report>,
    probers: Vec<Orders>,
    pace: watch::Sender<Duration>,
    listeners: broadcast::Sender<ShardEvent>,
    adopts: bool,
    lost_at: Option<Instant>,
}

/// The monitor's end of a prober.
struct Orders {
    wake: Arc<Notify>,
    adoptions: mpsc::Sender<Adoption>,
}

impl Monitor {
    /// Builds a shard's pools and starts its monitor and probers on the present runtime.
    ///
    /// One that does not adopt only looks: it leaves the reign of a new primary to others.
    pub(crate) fn start(
        config: &Config,
        shard: &ShardConfig,
        adopts: bool,
        listeners: broadcast::Sender<ShardEvent>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Shard>> {
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
            view,
            event_sender.clone(),
            adopts,
            start,
        ));
        let pace = watch::Sender::new(config.failover.probe_interval);
        let mut probers = Vec::with_capacity(nodes.len());
        for (index, pool) in nodes.into_iter().enumerate() {
            let wake = Arc::new(Notify::new());
            let (sender, adoptions) = mpsc::channel(1);
            probers.push(Orders {
                wake: Arc::clone(&wake),
                adoptions: sender,
            });
            let prober = Prober {
                node: NodeIndex(index as u16),
                pool,
                shard: Arc::clone(&shared),
                start,
                deadline: config.failover.probe_timeout,
                steady: config.failover.probe_interval,
                pace: pace.subscribe(),
                wake,
                adoptions,
                events: event_sender.clone(),
                held: None,
            };
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(prober.run()).await });
        }
        let monitor = Monitor {
            shard: Arc::clone(&shared),
            machine,
            start,
            events,
            reports,
            probers,
            pace,
            listeners,
            adopts,
            lost_at: None,
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
                _ = reap.tick() => {
                    self.shard.nodes().iter().for_each(|pool| pool.reap());
                    gauges::set(&self.shard);
                    continue;
                }
                () = tokio::time::sleep(tick) => Event::Tick,
            };
            self.step(event);
        }
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
        let _ = self.listeners.send(ShardEvent { shard, event, text });
    }
}
