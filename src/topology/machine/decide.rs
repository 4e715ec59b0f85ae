//! The rules: from what is remembered of the nodes to the shard's state. Level-triggered: the order
//! in which things became known does not matter, only what is known.

use std::time::Duration;

use super::node::Node;
use super::{Machine, Settings, ShardState};
use crate::id::{NodeIndex, ReignId, SystemId};
use crate::topology::facts::{NodeFacts, ReignHistory, Relation};

/// What the rules say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This node is the primary of its newest reign.
    Primary(NodeIndex),
    /// This node is the primary, once a reign is written there.
    Adopt(NodeIndex),
    /// This node was, and may be again in a moment.
    Suspect(NodeIndex),
    /// Nothing yet from this node.
    Unsettled(NodeIndex),
    /// This node holds the lock and is not writable yet.
    Promotion(NodeIndex),
    /// The system identifiers differ, without a majority.
    SystemsDiffer,
    /// More than one.
    Contested(Vec<NodeIndex>),
    /// Only this one, and it lacks the newest reign.
    Lost(NodeIndex, ReignId),
    /// None.
    Nobody,
}

pub(super) fn index(at: usize) -> NodeIndex {
    // A shard has at most u16::MAX nodes: `Machine::new` sees to it.
    NodeIndex(u16::try_from(at).unwrap_or(u16::MAX))
}

fn newest(facts: &NodeFacts) -> ReignId {
    facts.history.newest().id
}

/// The histories that no other one continues, one for each newest reign.
fn maximal<'a>(histories: impl Iterator<Item = &'a NodeFacts> + Clone) -> Vec<&'a NodeFacts> {
    let mut tops: Vec<&NodeFacts> = Vec::new();
    for facts in histories.clone() {
        let continued = histories
            .clone()
            .any(|other| other.history.relation(&facts.history) == Relation::Descendant);
        if !continued && !tops.iter().any(|top| newest(top) == newest(facts)) {
            tops.push(facts);
        }
    }
    tops
}

/// The one of several writable nodes that holds the lock. It decides among nodes of one reign only: on
/// parted branches there are writes that an operator has to give up.
fn chosen<'a>(
    several: &[(usize, &'a NodeFacts)],
    holder: Option<usize>,
    ended: &[(usize, &NodeFacts)],
) -> Option<(usize, &'a NodeFacts)> {
    let (at, facts) = *several.iter().find(|(at, _)| Some(*at) == holder)?;
    let one_line = several
        .iter()
        .chain(ended)
        .all(|(_, other)| other.history.relation(&facts.history) != Relation::Forked);
    one_line.then_some((at, facts))
}

impl Machine {
    /// The last answers of this shard's servers, but for those on a branch that an operator decided
    /// against.
    fn answers(&self) -> impl Iterator<Item = &NodeFacts> + Clone {
        self.nodes
            .iter()
            .filter_map(|node| node.ours.as_ref())
            .filter(|facts| !self.is_rejected(facts))
    }

    /// The system identifier of the shard as the answers suggest it: that of all, else that of more
    /// than half of the configured nodes. None before every node was heard of; one that turns
    /// probes away holds up writers, but not readers.
    pub(super) fn agreed_system(&self, now: Duration) -> Option<SystemId> {
        let heard_of = |node: &Node| {
            node.known
                || node
                    .failure
                    .as_ref()
                    .is_some_and(|failure| failure.kind.lives())
        };
        if !self.nodes.iter().all(heard_of) {
            return None;
        }
        // A server that claimed the shard at an address counts until it is known to be gone, whatever
        // answers there now: it may still be taking writes.
        let answer = |node: &'_ Node| match &node.ours {
            Some(ours) if !node.absent(now, &self.settings) => Some(ours.system),
            _ => {
                let facts = node.facts.as_ref()?;
                self.has_identity(facts).then_some(facts.system)
            }
        };
        let systems = || self.nodes.iter().filter_map(answer);
        let first = systems().next()?;
        if systems().all(|system| system == first) {
            return Some(first);
        }
        let members = self.nodes.iter().filter(|node| !node.retired).count();
        systems()
            .find(|candidate| systems().filter(|system| system == candidate).count() * 2 > members)
    }

    /// Brings the shard's history up to date with what the nodes hold: knowledge of a newer reign
    /// spreads through any node that holds its row, a standby too.
    pub(super) fn learn_history(&mut self, now: Duration) {
        if self.system.is_none() {
            self.history = None;
            return;
        }
        let known = self.history.clone().filter(|_| self.settled);
        let answers = self.answers().filter(|facts| {
            known
                .as_ref()
                .is_none_or(|known| facts.history.relation(known) == Relation::Descendant)
        });
        let tops = maximal(answers);
        let chosen = match tops.as_slice() {
            [] => return,
            [one] => Some(one.history.clone()),
            // Several branches: one of them, if all that may be writable belong to it, fenced ones
            // too: a fence chooses no branch.
            many => many
                .iter()
                .find(|top| {
                    let mut held = false;
                    self.all_writers(now, &self.settings).all(|(_, facts)| {
                        held |= newest(facts) == newest(top);
                        top.history.contains(newest(facts))
                    }) && held
                })
                .map(|top| top.history.clone())
                .or(known),
        };
        if self.history != chosen {
            self.history = chosen;
            self.head = None;
        }
    }

    /// The rules of adoption.
    pub(super) fn verdict(&self, now: Duration) -> Verdict {
        let settings = &self.settings;
        if !self.settled
            && let Some(at) = self.nodes.iter().position(|node| !node.known)
        {
            return Verdict::Unsettled(index(at));
        }
        let claims = |facts: &NodeFacts| self.has_identity(facts);
        if self.system.is_none()
            && self
                .nodes
                .iter()
                .any(|node| node.facts.as_ref().is_some_and(claims))
        {
            return Verdict::SystemsDiffer;
        }
        let holder = self.holder(now);
        // Nearly always there is one, and nobody else claims to be it.
        let mut writers = self.writers(now, settings);
        if let (Some((at, facts)), None) = (writers.next(), writers.next())
            && !self.is_ended(facts)
            && holder.is_none_or(|holder| holder == at)
        {
            return self.with_candidate(at, facts, now);
        }
        let mut tops: Vec<(usize, &NodeFacts)> = Vec::new();
        let mut ended: Vec<(usize, &NodeFacts)> = Vec::new();
        for (at, facts) in self.writers(now, settings) {
            if self.is_ended(facts) {
                ended.push((at, facts));
            } else {
                tops.push((at, facts));
            }
        }
        match tops.as_slice() {
            [] => match (self.without_candidate(&ended), holder) {
                (Verdict::Nobody, Some(holder)) => Verdict::Promotion(index(holder)),
                (verdict, _) => verdict,
            },
            [(at, facts)] => {
                // A writable node whose reign has ended may be on another branch.
                let parted = |(_, other): &&(usize, &NodeFacts)| {
                    other.history.relation(&facts.history) == Relation::Forked
                };
                let rivals: Vec<_> = ended.iter().filter(parted).chain(&tops).collect();
                if rivals.len() > 1 {
                    return Verdict::Contested(rivals.iter().map(|(at, _)| index(*at)).collect());
                }
                match holder {
                    Some(holder) if holder != *at => Verdict::Promotion(index(holder)),
                    _ => self.with_candidate(*at, facts, now),
                }
            }
            several => {
                if let Some(candidate) = chosen(several, holder, &ended) {
                    return self.with_candidate(candidate.0, candidate.1, now);
                }
                let primary = self.primary.as_ref().map(|primary| primary.node.index());
                match several.iter().find(|(at, _)| Some(*at) == primary) {
                    // The old primary is not known to be gone yet.
                    Some((at, _)) if self.is_suspect(*at) => Verdict::Suspect(index(*at)),
                    _ => Verdict::Contested(several.iter().map(|(at, _)| index(*at)).collect()),
                }
            }
        }
    }

    /// The nodes that may be writable, but for those that an operator decided against.
    pub(super) fn writers<'a>(
        &'a self,
        now: Duration,
        settings: &'a Settings,
    ) -> impl Iterator<Item = (usize, &'a NodeFacts)> {
        self.all_writers(now, settings)
            .filter(|(at, _)| !self.orders.fences(index(*at)))
    }

    /// The same, with those that an operator fenced.
    pub(super) fn all_writers<'a>(
        &'a self,
        now: Duration,
        settings: &'a Settings,
    ) -> impl Iterator<Item = (usize, &'a NodeFacts)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(move |(at, node)| Some((at, node.writer(now, settings)?)))
            .filter(|(_, facts)| !self.is_rejected(facts))
    }

    /// Whether the newest reign of a node has ended: the shard, or any node, knows a later one.
    pub(super) fn is_ended(&self, facts: &NodeFacts) -> bool {
        let continues =
            |other: &ReignHistory| other.relation(&facts.history) == Relation::Descendant;
        self.history.as_ref().is_some_and(continues)
            || self.answers().any(|other| continues(&other.history))
    }

    fn is_suspect(&self, at: usize) -> bool {
        self.nodes.get(at).is_some_and(Node::is_suspect)
    }

    /// Exactly one node may be writable in a reign that has not ended.
    fn with_candidate(&self, at: usize, facts: &NodeFacts, now: Duration) -> Verdict {
        let node = index(at);
        // A fence keeps a node from being used. That its branch is given up is another decision.
        let parted = self
            .all_writers(now, &self.settings)
            .filter(|(other, _)| self.orders.fences(index(*other)))
            .find(|(_, other)| other.history.relation(&facts.history) == Relation::Forked);
        if let Some((other, _)) = parted {
            return Verdict::Contested(vec![index(at.min(other)), index(at.max(other))]);
        }
        let was_primary = self
            .primary
            .as_ref()
            .is_some_and(|primary| primary.node == node);
        // An operator began a reign that this one is not known to hold: it is to be asked again, or that
        // reign is the primary's elsewhere.
        let before_choice = self
            .chosen
            .as_ref()
            .is_some_and(|chosen| chosen.chain.is_none() && !facts.history.contains(chosen.reign));
        if self.is_suspect(at) || before_choice {
            return if was_primary {
                Verdict::Suspect(node)
            } else {
                Verdict::Unsettled(node)
            };
        }
        if let Some(history) = &self.history
            && facts.history.relation(history) == Relation::Forked
        {
            return if self.is_held(history.newest().id) {
                Verdict::Nobody
            } else {
                Verdict::Lost(node, history.newest().id)
            };
        }
        if facts.needs_reign() {
            return if self.is_fresh(at) {
                Verdict::Adopt(node)
            } else {
                Verdict::Unsettled(node)
            };
        }
        // A primary that misses a probe, or turns one away, stays; any other has to answer.
        if self.is_fresh(at) || was_primary && self.is_lent_or_suspect() {
            Verdict::Primary(node)
        } else {
            Verdict::Unsettled(node)
        }
    }

    fn is_fresh(&self, at: usize) -> bool {
        self.nodes.get(at).is_some_and(Node::is_fresh)
    }

    fn is_lent_or_suspect(&self) -> bool {
        matches!(
            self.view.state,
            ShardState::Steady { .. } | ShardState::Suspect { .. }
        )
    }

    /// Whether a node that answers holds this reign.
    fn is_held(&self, reign: ReignId) -> bool {
        self.nodes.iter().any(|node| {
            node.is_fresh()
                && node
                    .ours
                    .as_ref()
                    .is_some_and(|facts| facts.history.contains(reign))
        })
    }

    /// No node is writable in a reign that has not ended.
    fn without_candidate(&self, ended: &[(usize, &NodeFacts)]) -> Verdict {
        let Some(reign) = self.history.as_ref().map(|history| history.newest().id) else {
            return Verdict::Nobody;
        };
        // Who holds the newest reign is the better one to promote.
        if self.is_held(reign) {
            return Verdict::Nobody;
        }
        let tops: Vec<&(usize, &NodeFacts)> = ended
            .iter()
            .filter(|(_, facts)| {
                !ended.iter().any(|(_, other)| {
                    other.history.relation(&facts.history) == Relation::Descendant
                })
            })
            .collect();
        match tops.as_slice() {
            [(at, _)] if self.is_fresh(*at) => Verdict::Lost(index(*at), reign),
            [] | [_] => Verdict::Nobody,
            several => Verdict::Contested(several.iter().map(|(at, _)| index(*at)).collect()),
        }
    }
}
