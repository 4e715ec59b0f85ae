//! From the rules' verdict to actions: epochs, pools to clear, probes, the view.

use std::sync::Arc;
use std::time::Duration;

use super::decide::{Verdict, index};
use super::node::Node;
use super::{
    ADOPT_AGAIN, Acknowledged, Action, Adopting, Cadence, FenceReason, Loss, Machine, NodeState,
    NodeView, Reigning, Settings, ShardState, TopologyEvent, View, Waiting,
};
use crate::id::{Epoch, Lsn, NodeIndex, ReignId};
use crate::topology::facts::{FailureKind, Relation};

/// What a step collects before it becomes a list of actions.
#[derive(Default)]
pub(super) struct Outcome {
    publish: Option<Arc<View>>,
    clears: Vec<(NodeIndex, u64, bool)>,
    adopt: Option<(NodeIndex, ReignId, Lsn)>,
    probes: Vec<NodeIndex>,
    probe_all: bool,
    cadence: Option<Cadence>,
    events: Vec<TopologyEvent>,
    lost: Vec<(ReignId, Lsn, Lsn)>,
}

impl Outcome {
    pub(super) fn probe(&mut self, node: NodeIndex) {
        self.probes.push(node);
    }

    pub(super) fn probe_all(&mut self) {
        self.probe_all = true;
    }

    pub(super) fn emit(&mut self, event: TopologyEvent) {
        self.events.push(event);
    }

    /// Acknowledged writes are on a branch that an operator gave up.
    pub(super) fn lost_for_good(&mut self, known: &Acknowledged, from: Lsn) {
        self.lost.push((known.reign, from, known.lsn));
    }

    pub(super) fn into_actions(self) -> Vec<Action> {
        let mut actions = Vec::new();
        actions.extend(self.publish.map(Action::Publish));
        for (node, generation, interrupt) in self.clears {
            actions.push(Action::Clear {
                node,
                generation,
                interrupt,
            });
        }
        if let Some((node, parent, start)) = self.adopt {
            actions.push(Action::Adopt {
                node,
                parent,
                start,
            });
        }
        if !self.probes.is_empty() {
            actions.push(Action::ProbeNow(self.probes));
        }
        actions.extend(self.cadence.map(Action::Cadence));
        actions.extend(self.events.into_iter().map(Action::Emit));
        actions
    }
}

impl Machine {
    /// Applies the rules to what is known now.
    pub(super) fn conclude(&mut self, now: Duration, outcome: &mut Outcome) {
        self.settle(now);
        self.learn_history(now);
        let verdict = self.decide(now);
        let state = self.enter(verdict, now, outcome);
        let before = self.view.state.clone();
        self.tell(&before, &state, outcome);
        self.update_nodes(now, outcome);
        self.pace(&before, &state, now, outcome);
        self.request_probes(now, outcome);
        self.publish(state, outcome);
    }

    /// Whether every node was heard of once, and which servers are the shard's.
    fn settle(&mut self, now: Duration) {
        for node in &mut self.nodes {
            node.known |= node.absent(now, &self.settings);
        }
        let system = if self.settled && self.system.is_some() {
            self.system
        } else {
            self.agreed_system()
        };
        self.settled |= self.nodes.iter().all(|node| node.known);
        if self.system != system {
            self.system = system;
            self.reclassify(now);
        }
    }

    fn decide(&mut self, now: Duration) -> Verdict {
        let Some(named) = self.named else {
            return self.verdict(now);
        };
        match self.nodes.get(named.index()) {
            Some(node) if node.writer(now, &self.settings).is_some() => Verdict::Adopt(named),
            _ => {
                // It is gone, or no primary any more: the decision is void.
                self.named = None;
                self.verdict(now)
            }
        }
    }

    fn enter(&mut self, verdict: Verdict, now: Duration, outcome: &mut Outcome) -> ShardState {
        if self.fenced {
            return ShardState::Fenced {
                reason: FenceReason::Operator,
            };
        }
        match verdict {
            Verdict::Primary(node) => self.reign(node, outcome),
            Verdict::Adopt(node) => {
                self.adopt(node, now, outcome);
                ShardState::Searching {
                    waiting: Waiting::Adoption(node),
                }
            }
            Verdict::Suspect(primary) => ShardState::Suspect { primary },
            Verdict::Unsettled(node) => ShardState::Searching {
                waiting: Waiting::Answer(node),
            },
            Verdict::Nobody => ShardState::Searching {
                waiting: Waiting::Primary,
            },
            Verdict::Contested(nodes) => ShardState::Contested { nodes },
            Verdict::Lost(node, reign) => ShardState::Fenced {
                reason: FenceReason::ReignLost { node, reign },
            },
            Verdict::SystemsDiffer => ShardState::Fenced {
                reason: FenceReason::SystemsDiffer,
            },
        }
    }

    /// Asks for the adoption of a node, unless that is on its way.
    fn adopt(&mut self, node: NodeIndex, now: Duration, outcome: &mut Outcome) {
        let waits = self
            .adopting
            .is_some_and(|last| last.node == node && now.saturating_sub(last.since) < ADOPT_AGAIN);
        if waits || now < self.adopt_after {
            return;
        }
        let Some((facts, began)) = self
            .nodes
            .get(node.index())
            .and_then(|node| Some((node.ours.as_ref()?, node.began)))
        else {
            return;
        };
        let parent = facts.history.newest().id;
        // A reign that begins without a promotion begins now.
        let start = if facts.needs_reign() {
            began.unwrap_or(facts.lsn)
        } else {
            facts.lsn
        };
        self.adopting = Some(Adopting {
            node,
            parent,
            since: now,
        });
        outcome.adopt = Some((node, parent, start));
    }

    /// A node is primary: begins a new epoch if it was not, and looks for lost writes.
    fn reign(&mut self, at: NodeIndex, outcome: &mut Outcome) -> ShardState {
        let (Some(node), Some(system)) = (self.nodes.get(at.index()), self.system) else {
            return self.view.state.clone();
        };
        let Some(facts) = node.ours.as_ref() else {
            return self.view.state.clone();
        };
        let newest = *facts.history.newest();
        let (lsn, asked_at) = (facts.lsn, node.last_asked());
        if self.history.as_ref().map(|known| known.newest().id) != Some(newest.id) {
            self.history = Some(facts.history.clone());
        }
        let before = self.primary;
        let same = |last: &Reigning| {
            last.node == at && last.epoch.reign == newest.id && last.epoch.system == system
        };
        let epoch = match before.filter(same) {
            Some(last) => last.epoch,
            None => {
                self.counter += 1;
                let epoch = Epoch {
                    system,
                    reign: newest.id,
                    counter: self.counter,
                };
                self.primary = Some(Reigning { node: at, epoch });
                if let Some(last) = before.filter(|last| last.node != at) {
                    self.clear(last.node, true, outcome);
                }
                outcome.emit(TopologyEvent::PrimaryAdopted {
                    node: at,
                    epoch,
                    start: newest.start,
                });
                outcome.probe_all();
                epoch
            }
        };
        self.look_for_losses(at, newest.id, lsn, asked_at, outcome);
        match self.loss {
            Some(loss) => ShardState::Fenced {
                reason: FenceReason::WritesLost(loss),
            },
            None => ShardState::Steady { primary: at, epoch },
        }
    }

    fn look_for_losses(
        &mut self,
        at: NodeIndex,
        newest: ReignId,
        lsn: Lsn,
        asked_at: Duration,
        outcome: &mut Outcome,
    ) {
        for (reign, from, to) in std::mem::take(&mut outcome.lost) {
            let loss = Loss {
                node: at,
                reign,
                from,
                to,
            };
            outcome.emit(TopologyEvent::WritesLost(loss));
        }
        let Some(history) = &self.history else {
            return;
        };
        let mut head = lsn;
        let mut losses = Vec::new();
        self.acknowledged.retain(|known| {
            if known.reign == newest {
                let back = lsn < known.lsn && asked_at > known.at;
                if back {
                    outcome.emit(TopologyEvent::LogWentBack {
                        node: at,
                        acknowledged: known.lsn,
                        lsn,
                    });
                } else {
                    head = head.max(known.lsn);
                }
                return !back;
            }
            // An acknowledgement of an ended reign can come late, so the entry stays if it is
            // not lost; the list is bounded.
            match history.after(known.reign) {
                Some(next) if next.start < known.lsn => {
                    losses.push(Loss {
                        node: at,
                        reign: known.reign,
                        from: next.start,
                        to: known.lsn,
                    });
                    false
                }
                _ => true,
            }
        });
        self.head = Some(head);
        for loss in losses {
            outcome.emit(TopologyEvent::WritesLost(loss));
            if self.settings.strict {
                self.loss = Some(loss);
            }
        }
    }

    fn clear(&mut self, at: NodeIndex, interrupt: bool, outcome: &mut Outcome) {
        if let Some(earlier) = outcome.clears.iter_mut().find(|clear| clear.0 == at) {
            earlier.2 |= interrupt;
        } else if let Some(node) = self.node_mut(at) {
            node.generation += 1;
            outcome.clears.push((at, node.generation, interrupt));
        }
    }

    /// Tells people what changed.
    fn tell(&self, before: &ShardState, state: &ShardState, outcome: &mut Outcome) {
        use ShardState::{Contested, Fenced, Searching, Steady, Suspect};
        if before == state {
            return;
        }
        match (before, state) {
            (
                Suspect { primary } | Steady { primary, .. },
                Searching { .. } | Contested { .. } | Fenced { .. },
            ) => {
                outcome.emit(TopologyEvent::PrimaryLost { node: *primary });
            }
            (Steady { .. }, Suspect { primary }) => {
                outcome.emit(TopologyEvent::PrimarySuspected { node: *primary });
            }
            (
                Suspect { .. } | Searching { .. } | Contested { .. } | Fenced { .. },
                Steady { primary, epoch },
            ) => {
                let adopted = outcome.events.iter().any(
                    |event| matches!(event, TopologyEvent::PrimaryAdopted { epoch: new, .. } if new == epoch),
                );
                if !adopted {
                    outcome.emit(TopologyEvent::PrimaryReturned { node: *primary });
                }
            }
            _ => {}
        }
        match (before, state) {
            (_, Fenced { reason }) => outcome.emit(TopologyEvent::Fenced { reason: *reason }),
            (Fenced { .. }, _) => outcome.emit(TopologyEvent::Unfenced),
            _ => {}
        }
        if let Contested { nodes } = state {
            outcome.emit(TopologyEvent::Contested {
                nodes: nodes.clone(),
            });
        }
    }

    /// Brings the nodes' states up to date, clears pools and tells people.
    fn update_nodes(&mut self, now: Duration, outcome: &mut Outcome) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at) else {
                continue;
            };
            let (old, new) = (node.state, self.node_state(node, now));
            let (was_absent, absent) = (node.was_absent, node.absent(now, &self.settings));
            self.tell_node(index(at), old, new, outcome);
            let demoted = matches!(old, NodeState::Primary { .. })
                && matches!(new, NodeState::Standby { .. });
            if demoted || !is_refused(&old) && is_refused(&new) && old != NodeState::Unknown {
                self.clear(index(at), true, outcome);
            } else if absent && !was_absent && self.nodes.get(at).is_some_and(|n| n.facts.is_some())
            {
                self.clear(index(at), false, outcome);
            }
            let Some(node) = self.nodes.get_mut(at) else {
                continue;
            };
            node.state = new;
            node.was_absent = absent;
            if absent || node.is_suspect() || is_refused(&new) {
                node.good = 0;
                node.needed = 2;
            }
        }
    }

    fn tell_node(&self, at: NodeIndex, old: NodeState, new: NodeState, outcome: &mut Outcome) {
        use std::mem::discriminant;
        if discriminant(&old) == discriminant(&new) {
            return;
        }
        if matches!(old, NodeState::Down { .. } | NodeState::Unknown)
            && !matches!(new, NodeState::Down { .. } | NodeState::Unknown)
        {
            outcome.emit(TopologyEvent::NodeUp { node: at });
        }
        let node = self.nodes.get(at.index());
        match new {
            NodeState::Superseded { .. } => outcome.emit(TopologyEvent::Superseded { node: at }),
            NodeState::Forked { .. } => outcome.emit(TopologyEvent::Forked { node: at }),
            NodeState::Foreign { system } => {
                if let Some(facts) = node.and_then(|node| node.facts.as_ref()) {
                    outcome.emit(TopologyEvent::Foreign {
                        node: at,
                        system,
                        cluster: facts.identity.cluster,
                        shard: facts.identity.shard,
                    });
                }
            }
            NodeState::Down { .. } => {
                if let Some(failure) = node.and_then(|node| node.failure.clone()) {
                    outcome.emit(TopologyEvent::NodeDown { node: at, failure });
                }
            }
            _ => {}
        }
    }

    fn node_state(&self, node: &Node, now: Duration) -> NodeState {
        let absent = node.absent(now, &self.settings);
        let failed = node.failure.as_ref().map(|failure| failure.kind);
        match failed {
            Some(FailureKind::Starting) => return NodeState::Starting,
            Some(cause) if absent => return NodeState::Down { cause },
            _ => {}
        }
        if node.foreign {
            return node
                .system()
                .map_or(NodeState::Unknown, |system| NodeState::Foreign { system });
        }
        let Some(facts) = &node.ours else {
            return NodeState::Unknown;
        };
        let reign = facts.history.newest().id;
        let forked = self
            .history
            .as_ref()
            .is_some_and(|known| known.relation(&facts.history) == Relation::Forked);
        if forked || self.is_rejected(&facts.history) {
            NodeState::Forked { reign }
        } else if facts.in_recovery {
            NodeState::Standby {
                reign,
                replay: facts.lsn,
            }
        } else if self.is_ended(facts) {
            NodeState::Superseded { reign }
        } else {
            NodeState::Primary {
                reign,
                insert: facts.lsn,
            }
        }
    }

    /// How often to probe.
    fn pace(
        &mut self,
        before: &ShardState,
        state: &ShardState,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let calm = match state {
            ShardState::Steady { primary, .. } => {
                !self.nodes.get(primary.index()).is_some_and(Node::misses)
            }
            ShardState::Fenced {
                reason: FenceReason::Operator | FenceReason::WritesLost(_),
            } => true,
            _ => false,
        };
        let cadence = if calm {
            self.trouble_since = None;
            Cadence::Steady
        } else {
            let since = *self.trouble_since.get_or_insert(now);
            let late = now.saturating_sub(since).as_secs() / Settings::URGENT_FOR.as_secs();
            match u8::try_from(late).unwrap_or(u8::MAX) {
                0 => Cadence::Urgent,
                step => Cadence::Backoff { step },
            }
        };
        if self.cadence.is_none()
            || !matches!(state, ShardState::Steady { .. })
                && std::mem::discriminant(before) != std::mem::discriminant(state)
        {
            outcome.probe_all();
        }
        if self.cadence != Some(cadence) {
            self.cadence = Some(cadence);
            outcome.cadence = Some(cadence);
        }
    }

    /// Asks for the probes wanted, but for those that are on their way.
    fn request_probes(&mut self, now: Duration, outcome: &mut Outcome) {
        let wanted = std::mem::take(&mut outcome.probes);
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let node_index = index(at);
            if (outcome.probe_all || wanted.contains(&node_index)) && node.request(now) {
                outcome.probes.push(node_index);
            }
        }
    }

    fn publish(&mut self, state: ShardState, outcome: &mut Outcome) {
        let primary = match &state {
            ShardState::Steady { primary, epoch } => Some((*primary, *epoch)),
            _ => None,
        };
        let view = View {
            nodes: self
                .nodes
                .iter()
                .enumerate()
                .map(|(at, node)| self.node_view(index(at), node, &state))
                .collect(),
            state,
            primary,
            history: self.history.clone(),
            head: self.head,
        };
        if *self.view != view {
            self.view = Arc::new(view);
            outcome.publish = Some(self.view.clone());
        }
    }

    fn node_view(&self, at: NodeIndex, node: &Node, state: &ShardState) -> NodeView {
        let facts = node.facts.as_ref();
        let newest = self.history.as_ref().map(|history| history.newest().id);
        let current = facts.is_some_and(|facts| Some(facts.history.newest().id) == newest);
        let (steady, is_primary) = match state {
            ShardState::Steady { primary, .. } => (true, *primary == at),
            _ => (false, false),
        };
        let standby = matches!(node.state, NodeState::Standby { .. });
        let streams = facts.is_none_or(|facts| facts.streaming != Some(false));
        let readable = is_primary
            || standby
                && current
                && !node.is_suspect()
                && node.good >= node.needed
                && (streams || !steady);
        NodeView {
            state: node.state,
            generation: node.generation,
            readable,
            lag: facts
                .filter(|_| standby && current)
                .and_then(|facts| Some(self.head?.0.saturating_sub(facts.lsn.0))),
            lsn: facts.map(|facts| facts.lsn),
            history: facts.map(|facts| facts.history.clone()),
            map_version: facts.map(|facts| facts.identity.map_version),
            failure: node.failure.clone(),
        }
    }
}

/// Whether a node in this state is never used.
fn is_refused(state: &NodeState) -> bool {
    matches!(
        state,
        NodeState::Superseded { .. } | NodeState::Forked { .. } | NodeState::Foreign { .. }
    )
}
