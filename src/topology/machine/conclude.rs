//! From the rules' verdict to actions: epochs, pools to clear, probes, the view.

use std::sync::Arc;
use std::time::Duration;

use super::decide::{Verdict, index};
use super::node::Node;
use super::outcome::Outcome;
use super::{
    ADOPT_AGAIN, Adopting, Cadence, FenceReason, Loss, Machine, NodeView, Reigning, Settings,
    ShardState, TopologyEvent, View, Waiting,
};
use crate::id::{Epoch, Lsn, NodeIndex, ReignId};
use crate::topology::facts::Mode;

impl Machine {
    /// Applies the rules to what is known now.
    pub(super) fn conclude(&mut self, now: Duration, outcome: &mut Outcome) {
        self.retire(now, outcome);
        self.settle(now);
        self.learn_choice(outcome);
        self.learn_history(now);
        self.learn_orders(now, outcome);
        let verdict = self.decide(now);
        let state = self.enter(verdict, now, outcome);
        let before = self.view.state.clone();
        self.tell(&before, &state, outcome);
        self.update_nodes(&state, now, outcome);
        self.pace(&before, &state, now, outcome);
        self.request_probes(now, outcome);
        self.publish(state, now, outcome);
    }

    /// Whether every node was heard of once, and which servers are the shard's.
    fn settle(&mut self, now: Duration) {
        for node in &mut self.nodes {
            node.known |= node.absent(now, &self.settings);
        }
        self.learn_system();
        let system = if let Some((_, confirmed)) = self.confirmed {
            Some(confirmed)
        } else if self.settled && self.system.is_some() {
            self.system
        } else {
            self.agreed_system(now)
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
        if self.orders.mode == Mode::Fenced {
            if let Some(primary) = self.primary
                && !matches!(self.view.state, ShardState::Fenced { .. })
            {
                self.clear(primary.node, true, outcome);
            }
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
            Verdict::Promotion(node) => ShardState::Searching {
                waiting: Waiting::Promotion(node),
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
        let (lsn, asked_at) = (facts.lsn, node.ours_asked);
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
                if let Some(last) = before {
                    // On the same node, what was begun before runs to its end.
                    self.clear(last.node, last.node != at, outcome);
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
            let Some(next) = history.after(known.reign) else {
                return true;
            };
            if next.start < known.lsn {
                losses.push(Loss {
                    node: at,
                    reign: known.reign,
                    from: next.start,
                    to: known.lsn,
                });
            }
            false
        });
        self.head = Some(head);
        for loss in losses {
            outcome.emit(TopologyEvent::WritesLost(loss));
            if self.settings.strict && !self.is_accepted(loss.reign) {
                self.loss = Some(loss);
            }
        }
    }

    pub(super) fn clear(&mut self, at: NodeIndex, interrupt: bool, outcome: &mut Outcome) {
        if let Some(earlier) = outcome.clears.iter_mut().find(|clear| clear.0 == at) {
            earlier.2 |= interrupt;
        } else if let Some(node) = self.nodes.get_mut(at.index()) {
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

    fn publish(&mut self, state: ShardState, now: Duration, outcome: &mut Outcome) {
        let holder = self.holder(now);
        let primary = match &state {
            ShardState::Steady { primary, epoch } => Some((*primary, *epoch)),
            _ => None,
        };
        // Compared part by part: mostly nothing has changed, and nothing need be built.
        let node_view = |at: usize, node: &Node| NodeView {
            leased: Some(at) == holder,
            ..self.node_view(index(at), node, &state)
        };
        let view = &*self.view;
        let nodes = self.nodes.iter().zip(&view.nodes).enumerate();
        let same = view.state == state
            && view.primary == primary
            && view.head == self.head
            && view.history == self.history
            && view.orders == self.orders
            && view.nodes.len() == self.nodes.len()
            && { nodes }.all(|(at, (node, seen))| node_view(at, node) == *seen);
        if !same {
            let nodes = self.nodes.iter().enumerate();
            let nodes = nodes.map(|(at, node)| node_view(at, node)).collect();
            self.view = Arc::new(View {
                nodes,
                state,
                primary,
                history: self.history.clone(),
                head: self.head,
                orders: self.orders.clone(),
            });
            outcome.publish = Some(self.view.clone());
        }
    }
}
