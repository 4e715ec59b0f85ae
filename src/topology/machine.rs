//! The state machine of one shard.
//!
//! [`Machine::step`] takes an [`Event`] and the time since an arbitrary start, and returns
//! [`Action`]s. What was heard of each node is kept by `node`; after every event `decide` looks at
//! all of it and says what the shard is, and `conclude` turns that into actions.
//!
//! # What counts as gone
//!
//! Another node is adopted only when no other server may be taking this shard's writes, as far as a
//! client can tell. A node is *absent* when for `down_after`, and to at least three probes, there was
//! no sign of it: timeouts, refused and reset connections, 57P03, or an answer of a server that does
//! not belong to the shard. A server that turns the probe away (credentials, privileges,
//! `max_connections`, an unknown error) lives, and may be writable for others: it is never absent,
//! and while it was last seen writable, or was not seen at all since the start, nothing else is
//! adopted. An operator can [name the primary](OperatorAct::NamePrimary).
//!
//! 57P03 counts towards absence although the server lives: it takes no new connection, so none of
//! this library's clients can begin a write there. If it comes back writable after another node was
//! adopted, it lacks the new reign and is superseded; sessions that outlive a smart shutdown can
//! write until then.
//!
//! # What a client cannot exclude
//!
//! An absent primary may live behind a cut network, and clients on its side may go on writing there.
//! Only the servers' configuration excludes that (synchronous replication that does not fall back,
//! a watchdog). Writes between a promotion and its adoption by other programs are not seen either.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{ClusterId, Epoch, Lsn, NodeIndex, ReignId, ShardId, SystemId};
use crate::topology::facts::{NodeFacts, Orders, ReignHistory};

mod action;
mod conclude;
mod decide;
mod event;
mod lease;
mod member;
mod node;
mod operator;
mod orders;
mod outcome;
mod standing;
mod view;

pub use action::{Action, Cadence, TopologyEvent};
pub use event::{Event, Hint, OperatorAct};
pub use view::{FenceReason, Loss, NodeState, NodeView, ShardState, Tags, View, Waiting};

use node::Node;
use outcome::Outcome;

/// The settings of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A node without a complete answer for this long, and to three probes, is unreachable.
    pub down_after: Duration,
    /// Between two probes of a steady shard's nodes.
    pub probe_interval: Duration,
    /// Whether the shard is fenced when a failover lost acknowledged writes.
    pub strict: bool,
}

impl Settings {
    /// Between two probes when something is wrong. A promotion is noticed after half of it, as a rule.
    pub const URGENT: Duration = Duration::from_millis(50);
    /// For how long probing is urgent before it backs off: longer than an orchestrator with its
    /// defaults takes to promote a node.
    pub const URGENT_FOR: Duration = Duration::from_secs(60);
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            down_after: Duration::from_secs(2),
            probe_interval: Duration::from_secs(1),
            strict: false,
        }
    }
}

/// What is known of one shard. How it decides, the chapter on topology says.
///
/// ```
/// use std::time::Duration;
/// use pgshard::id::{ClusterId, ShardId};
/// use pgshard::topology::{Action, Event, Machine, Settings, ShardState};
///
/// let (cluster, shard) = (ClusterId::new("bank")?, ShardId::new("s0")?);
/// let mut machine = Machine::new(Settings::default(), cluster, shard, 2, Duration::ZERO);
/// assert!(matches!(machine.view().state, ShardState::Searching { .. }));
///
/// // The first step asks for probes of all nodes.
/// let actions = machine.step(Event::Tick, Duration::ZERO);
/// assert!(actions.iter().any(|action| matches!(action, Action::ProbeNow(nodes) if nodes.len() == 2)));
/// # Ok::<(), pgshard::id::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Settings,
    cluster: ClusterId,
    shard: ShardId,
    nodes: Vec<Node>,
    /// The latest time given.
    now: Duration,
    /// Whether every node has answered or was absent since the start.
    settled: bool,
    /// The shard's system identifier.
    system: Option<SystemId>,
    /// The shard's reigns.
    history: Option<ReignHistory>,
    /// The highest position known in the newest reign.
    head: Option<Lsn>,
    /// The last primary that was lent.
    primary: Option<Reigning>,
    /// Counts adoptions.
    counter: u64,
    /// The highest positions acknowledged, by reign; at most [`ACKNOWLEDGED`].
    acknowledged: Vec<Acknowledged>,
    /// A loss that an operator has to accept.
    loss: Option<Loss>,
    /// What operators decided, in this process or on the shard's servers.
    orders: Arc<Orders>,
    /// The part of it that this process was told.
    told: Orders,
    /// The part of it that the servers keep, as last seen.
    stored: Orders,
    /// The node that an operator named.
    named: Option<NodeIndex>,
    /// The reign that an operator chose over all others.
    chosen: Option<Chosen>,
    /// The system identifier that an operator confirmed, and the number of that act.
    confirmed: Option<(u64, SystemId)>,
    /// An adoption on its way.
    adopting: Option<Adopting>,
    /// No adoption before this time, after one failed.
    adopt_after: Duration,
    trouble_since: Option<Duration>,
    cadence: Option<Cadence>,
    view: Arc<View>,
}

#[derive(Clone, Copy, Debug)]
struct Reigning {
    node: NodeIndex,
    epoch: Epoch,
}

#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    reign: ReignId,
    lsn: Lsn,
    at: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Adopting {
    node: NodeIndex,
    parent: ReignId,
    since: Duration,
}

/// A decision between histories.
#[derive(Clone, Debug)]
struct Chosen {
    /// The number of the act.
    number: u64,
    /// The reign that the operator began.
    reign: ReignId,
    /// A history that holds it, once one was seen.
    chain: Option<ReignHistory>,
}

const ACKNOWLEDGED: usize = 8;
/// After a failed adoption, the next try waits for so long.
const ADOPT_RETRY: Duration = Duration::from_millis(250);
/// An adoption that was not heard of for so long is tried again.
const ADOPT_AGAIN: Duration = Duration::from_secs(5);

impl Machine {
    /// The machine of a shard with so many nodes (at most 65,535 are looked at).
    pub fn new(
        settings: Settings,
        cluster: ClusterId,
        shard: ShardId,
        nodes: usize,
        now: Duration,
    ) -> Self {
        let nodes: Vec<Node> = (0..nodes.min(usize::from(u16::MAX)))
            .map(|_| Node::new(now))
            .collect();
        let view = View {
            state: ShardState::Searching {
                waiting: Waiting::Answer(NodeIndex(0)),
            },
            primary: None,
            history: None,
            head: None,
            orders: Arc::default(),
            nodes: nodes.iter().map(Node::unknown).collect(),
        };
        Machine {
            settings,
            cluster,
            shard,
            nodes,
            now,
            settled: false,
            system: None,
            history: None,
            head: None,
            primary: None,
            counter: 0,
            acknowledged: Vec::new(),
            loss: None,
            orders: Arc::default(),
            told: Orders::default(),
            stored: Orders::default(),
            named: None,
            chosen: None,
            confirmed: None,
            adopting: None,
            adopt_after: Duration::ZERO,
            trouble_since: Some(now),
            cadence: None,
            view: Arc::new(view),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The view after the last step.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Takes note of a position acknowledged to this process: `lsn` was read after a COMMIT in
    /// `reign`, and `now` is at or after that. It is looked at in the next step. The shell need not
    /// report every write, only the highest position since the last step.
    pub fn acknowledged(&mut self, reign: ReignId, lsn: Lsn, now: Duration) {
        if let Some(known) = self.acknowledged.iter_mut().find(|k| k.reign == reign) {
            if lsn > known.lsn {
                known.lsn = lsn;
                known.at = now;
            }
            return;
        }
        if self.acknowledged.len() >= ACKNOWLEDGED {
            self.acknowledged.remove(0);
        }
        self.acknowledged.push(Acknowledged {
            reign,
            lsn,
            at: now,
        });
    }

    /// Takes an event and says what to do. `now` is the time since an arbitrary start; a time
    /// before that of an earlier step counts as that.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let now = now.max(self.now);
        self.now = now;
        let mut outcome = Outcome::default();
        self.take(event, now, &mut outcome);
        self.conclude(now, &mut outcome);
        outcome.into_actions()
    }

    fn take(&mut self, event: Event, now: Duration, outcome: &mut Outcome) {
        match event {
            Event::Answered {
                node,
                asked_at,
                facts,
            } => {
                let ours = self.is_ours(node, &facts);
                if let Some(node) = self.node_mut(node)
                    && !node.is_stale(asked_at)
                {
                    node.answered(asked_at, now, facts, ours);
                }
            }
            Event::Failed {
                node,
                asked_at,
                failure,
            } => {
                if let Some(node) = self.node_mut(node)
                    && !node.is_stale(asked_at)
                {
                    node.failed(asked_at, now, failure);
                }
            }
            Event::Proved {
                node,
                asked_at,
                epoch,
            } => {
                let current = self
                    .primary
                    .is_some_and(|primary| primary.node == node && primary.epoch == epoch);
                if let Some(node) = self.node_mut(node)
                    && current
                    && !node.foreign
                    && !node.is_stale(asked_at)
                {
                    node.proved(asked_at, now);
                }
            }
            Event::Hint {
                node,
                generation,
                hint,
            } => self.hint(node, generation, hint, now, outcome),
            Event::Adopted { node, history } => self.adopted(node, history, now, outcome),
            Event::AdoptionFailed { node, failure: _ } => {
                if self.adopting.is_some_and(|adopting| adopting.node == node) {
                    self.adopting = None;
                    self.adopt_after = now + ADOPT_RETRY;
                    outcome.probe(node);
                }
            }
            Event::Leased { node, seen, until } => self.leased(node, seen, until, now, outcome),
            Event::Unleased { node, seen } => {
                if let Some(node) = self.node_mut(node) {
                    node.claims.lose(seen);
                }
            }
            Event::Member { node, tags } => self.member(node, tags, now, outcome),
            Event::Gone { node } => self.gone(node),
            Event::Moved { node } => self.moved(node, now, outcome),
            Event::Tick => {}
            Event::Operator(act) => self.operator(act, outcome),
        }
    }

    fn hint(
        &mut self,
        at: NodeIndex,
        generation: u64,
        hint: Hint,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let is_primary = self.primary.is_some_and(|primary| primary.node == at);
        let Some(node) = self.node_mut(at) else {
            return;
        };
        if node.generation != generation {
            return;
        }
        match hint {
            Hint::ReadOnly | Hint::Terminated | Hint::TimedOut => outcome.probe(at),
            Hint::RoleChanged { .. } => outcome.probe_all(),
            Hint::ConnectionLost | Hint::Refused | Hint::WrongReign | Hint::WrongIdentity => {
                if is_primary {
                    node.suspect(now);
                    outcome.probe_all();
                } else {
                    outcome.probe(at);
                }
            }
        }
    }

    /// A node of the shard; none that has left it.
    fn node_mut(&mut self, node: NodeIndex) -> Option<&mut Node> {
        let node = self.nodes.get_mut(node.index())?;
        (!node.retired).then_some(node)
    }

    /// Whether an answer names this cluster and shard.
    fn has_identity(&self, facts: &NodeFacts) -> bool {
        facts.identity.cluster == self.cluster && facts.identity.shard == self.shard
    }

    /// Whether an answer is of a server of this shard. While that is not decided, the first server
    /// that claims it at an address counts.
    fn is_ours(&self, at: NodeIndex, facts: &NodeFacts) -> bool {
        let first = || {
            let ours = self.nodes.get(at.index())?.ours.as_ref()?;
            Some(ours.system)
        };
        self.has_identity(facts)
            && self
                .system
                .or_else(first)
                .is_none_or(|system| system == facts.system)
    }
}
