//! Each node's state as it is published, and what follows for its pool.

use std::time::Duration;

use super::decide::index;
use super::node::Node;
use super::outcome::Outcome;
use super::{Machine, NodeState, NodeView, ShardState, TopologyEvent};
use crate::id::NodeIndex;
use crate::topology::facts::{FailureKind, Relation};

impl Machine {
    /// Brings the nodes' states up to date, clears pools and tells people.
    pub(super) fn update_nodes(
        &mut self,
        state: &ShardState,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let lent = match state {
            ShardState::Steady { primary, .. } => Some(primary.index()),
            _ => None,
        };
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at) else {
                continue;
            };
            let beside = lent.is_some_and(|lent| lent != at);
            let (old, new) = (node.state, self.node_state(node, beside, now));
            let fenced = self.orders.fences(index(at));
            let newly_fenced = fenced && !node.was_fenced;
            if fenced != node.was_fenced {
                let node = index(at);
                outcome.emit(if fenced {
                    TopologyEvent::NodeFenced { node }
                } else {
                    TopologyEvent::NodeUnfenced { node }
                });
            }
            let (was_absent, absent) = (node.was_absent, node.absent(now, &self.settings));
            self.tell_node(index(at), old, new, outcome);
            let demoted = matches!(old, NodeState::Primary { .. })
                && matches!(new, NodeState::Standby { .. });
            if newly_fenced
                || demoted
                || !is_refused(&old) && is_refused(&new) && old != NodeState::Unknown
            {
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
            node.was_fenced = fenced;
            let silent = matches!(
                new,
                NodeState::Down { .. }
                    | NodeState::Unknown
                    | NodeState::Starting
                    | NodeState::Retired
            );
            // One that was starting may be gone as well: only an answer tells that it is up.
            if silent {
                node.told_up = false;
            } else if !node.told_up && node.failure.is_none() {
                node.told_up = true;
                outcome.emit(TopologyEvent::NodeUp { node: index(at) });
            }
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
        let promoted = matches!(
            (old, new),
            (NodeState::Standby { .. }, NodeState::Primary { .. })
        );
        if promoted {
            outcome.emit(TopologyEvent::Promoted { node: at });
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

    /// `beside`: whether another node is primary.
    fn node_state(&self, node: &Node, beside: bool, now: Duration) -> NodeState {
        if node.retired {
            return NodeState::Retired;
        }
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
        // What an operator decided against is an old primary still, if no more is known of it.
        let rejected = self.is_rejected(facts) && (facts.in_recovery || !self.is_ended(facts));
        if forked || rejected {
            NodeState::Forked { reign }
        } else if facts.in_recovery {
            NodeState::Standby {
                reign,
                replay: facts.lsn,
            }
        } else if beside || self.is_ended(facts) {
            NodeState::Superseded { reign }
        } else {
            NodeState::Primary {
                reign,
                insert: facts.lsn,
            }
        }
    }

    pub(super) fn node_view(&self, at: NodeIndex, node: &Node, state: &ShardState) -> NodeView {
        let facts = node.facts.as_ref();
        let newest = self.history.as_ref().map(|history| history.newest().id);
        let current = facts.is_some_and(|facts| Some(facts.history.newest().id) == newest);
        let (steady, is_primary) = match state {
            ShardState::Steady { primary, .. } => (true, *primary == at),
            _ => (false, false),
        };
        let standby = matches!(node.state, NodeState::Standby { .. });
        let streams = facts.is_none_or(|facts| facts.streaming != Some(false));
        let fenced = self.orders.fences(at);
        let usable = is_primary
            || standby
                && current
                && !node.tags.noloadbalance
                && !node.is_suspect()
                && node.good >= node.needed
                && (streams || !steady);
        NodeView {
            state: node.state,
            generation: node.generation,
            readable: usable && !fenced,
            leased: false,
            fenced,
            tags: node.tags,
            lag: facts
                .filter(|_| standby && current)
                .and_then(|facts| Some(self.head?.0.saturating_sub(facts.lsn.0))),
            lsn: facts.map(|facts| facts.lsn),
            history: facts.map(|facts| facts.history.clone()),
            timeline: facts.map(|facts| facts.timeline),
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
