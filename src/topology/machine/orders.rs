//! What operators decided, as the shard's servers tell it.
//!
//! Acts are stored on each server that takes writes, and replicate. So the servers that may take this
//! shard's writes now say what holds; where there are several, the strictest of them. A replica in the
//! present reign may know of a later act before the primary is asked again. While there is no primary,
//! the newest that was seen holds.
//!
//! Two decisions are remembered once seen, whoever tells them: which history is the shard's, and which
//! system identifier. They are what tells a server that was given up from a good one, and the server
//! that was given up may be the only one that answers.

use std::sync::Arc;
use std::time::Duration;

use super::outcome::Outcome;
use super::{Chosen, Machine, TopologyEvent};
use crate::id::ReignId;
use crate::topology::facts::{Mode, NodeFacts, Orders};

impl Machine {
    /// The number of the newest act that was seen.
    pub(super) fn newest_act(&self) -> u64 {
        let seen = self.nodes.iter().filter_map(|node| node.facts.as_ref());
        let numbers = seen.filter_map(|facts| Some(facts.orders.as_ref()?.number));
        numbers.max().unwrap_or(0).max(self.stored.number)
    }

    /// The identity that an operator confirmed, from any server that claims to be this shard's.
    pub(super) fn learn_system(&mut self) {
        let told = self
            .nodes
            .iter()
            .filter_map(|node| node.facts.as_ref())
            .filter(|facts| self.has_identity(facts))
            .filter_map(|facts| {
                let orders = facts.orders.as_ref()?;
                Some((orders.number, orders.system?))
            });
        let Some(newest) = told.clone().max_by_key(|(number, _)| *number) else {
            return;
        };
        let contradicted = told
            .clone()
            .any(|other| other.0 == newest.0 && other.1 != newest.1);
        let known = self.confirmed.map(|(number, _)| number);
        if !contradicted && known.is_none_or(|known| newest.0 > known) {
            self.confirmed = Some(newest);
        }
    }

    /// The history that an operator chose.
    pub(super) fn learn_choice(&mut self, outcome: &mut Outcome) {
        let told = self
            .nodes
            .iter()
            .filter_map(|node| node.ours.as_ref()?.orders.as_ref())
            .filter_map(|orders| Some((orders.number, orders.chosen?)));
        if let Some(newest) = told.clone().max_by_key(|(number, _)| *number)
            && !told
                .clone()
                .any(|other| other.0 == newest.0 && other.1 != newest.1)
            && self
                .chosen
                .as_ref()
                .is_none_or(|known| newest.0 > known.number)
        {
            match &mut self.chosen {
                Some(known) if known.reign == newest.1 => known.number = newest.0,
                _ => {
                    self.chosen = Some(Chosen {
                        number: newest.0,
                        reign: newest.1,
                        chain: None,
                    });
                    outcome.emit(TopologyEvent::Decided { reign: newest.1 });
                    outcome.probe_all();
                }
            }
        }
        let Some(reign) = self
            .chosen
            .as_ref()
            .filter(|chosen| chosen.chain.is_none())
            .map(|chosen| chosen.reign)
        else {
            return;
        };
        let holder = self
            .nodes
            .iter()
            .filter_map(|node| node.ours.as_ref())
            .find(|facts| facts.history.contains(reign))
            .map(|facts| facts.history.clone());
        let Some(chain) = holder else {
            return;
        };
        if let Some(chosen) = &mut self.chosen {
            chosen.chain = Some(chain.clone());
        }
        // What failover managers say of other nodes counts no more, until they say it anew.
        for node in &mut self.nodes {
            let holds = |facts: &NodeFacts| facts.history.contains(reign);
            if !node.ours.as_ref().is_some_and(holds) {
                node.claims.overrule();
            }
        }
        if self
            .history
            .as_ref()
            .is_some_and(|known| !known.contains(reign))
        {
            self.choose(chain, outcome);
        }
        if self.loss.is_some_and(|loss| self.is_accepted(loss.reign)) {
            self.loss = None;
        }
    }

    /// Whether what was lost when this reign ended was accepted by an operator: the one that began the
    /// chosen reign knew of it.
    pub(super) fn is_accepted(&self, ended: ReignId) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| {
            chosen.reign != ended
                && chosen.chain.as_ref().is_some_and(|chain| {
                    let place = |id| chain.reigns().iter().position(|reign| reign.id == id);
                    match (place(ended), place(chosen.reign)) {
                        (Some(ended), Some(chosen)) => ended < chosen,
                        _ => false,
                    }
                })
        })
    }

    /// Whether a server is on a branch that an operator decided against.
    pub(super) fn is_rejected(&self, facts: &NodeFacts) -> bool {
        let Some(chosen) = &self.chosen else {
            return false;
        };
        if facts.history.contains(chosen.reign) {
            return false;
        }
        match &chosen.chain {
            Some(chain) => !chain.contains(facts.history.newest().id),
            // It was told itself, and lacks the reign.
            None => {
                let told = facts.orders.as_ref().and_then(|orders| orders.chosen);
                told == Some(chosen.reign)
            }
        }
    }

    /// The mode and the fences of nodes.
    pub(super) fn learn_orders(&mut self, now: Duration, outcome: &mut Outcome) {
        if let Some(stored) = self.stored_now(now) {
            self.stored = stored;
        }
        let mut orders = self.stored.clone();
        orders.join(&self.told);
        if orders == *self.orders {
            return;
        }
        let (old, new) = (self.orders.mode, orders.mode);
        let ends_fence = old == Mode::Fenced && new == Mode::Open;
        if old != new && new != Mode::Fenced && !ends_fence {
            outcome.emit(TopologyEvent::ModeChanged {
                mode: new,
                note: orders.note.clone(),
            });
        }
        self.orders = Arc::new(orders);
    }

    /// What the servers say now; `None` if that is nothing new.
    fn stored_now(&self, now: Duration) -> Option<Orders> {
        let none = Orders::default();
        let mut held: Option<Orders> = None;
        for (_, facts) in self.all_writers(now, &self.settings) {
            if self.is_ended(facts) {
                continue;
            }
            let orders = facts.orders.as_deref().unwrap_or(&none);
            match &mut held {
                None => held = Some(orders.clone()),
                Some(held) => held.join(orders),
            }
        }
        let newest = self.history.as_ref().map(|history| history.newest().id);
        let later = self
            .nodes
            .iter()
            .filter_map(|node| node.ours.as_ref())
            .filter(|facts| facts.in_recovery && !self.is_rejected(facts))
            .filter(|facts| held.is_none() || Some(facts.history.newest().id) == newest)
            .filter_map(|facts| facts.orders.as_ref())
            .max_by_key(|orders| orders.number);
        let known = held.as_ref().unwrap_or(&self.stored).number;
        if let Some(later) = later
            && later.number > known
        {
            return Some((**later).clone());
        }
        held.filter(|held| *held != self.stored)
    }
}
