//! Leases: which node a failover manager's lock belongs to, as far as it is known.
//!
//! The lock in a distributed configuration store (DCS) is the one authority that the servers themselves
//! go by. What is heard of it is always a little old, and a hung or mistaken manager may claim a lock
//! that another one holds. So what counts is not when a claim ends by itself, but which claim began last
//! and stood alone since.

use std::time::Duration;

use super::decide::index;
use super::node::Node;
use super::outcome::Outcome;
use super::{Machine, ShardState};
use crate::id::NodeIndex;
use crate::topology::facts::Relation;

/// A node's claim to hold the lock, confirmed without a break since it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// When it was first heard of.
    began: Duration,
    /// When the newest answer that confirms it had been asked for.
    seen: Duration,
    /// When it ends unless it is confirmed again.
    until: Duration,
    /// Whether an operator decided otherwise since it began.
    overruled: bool,
}

/// What is known of a node's claim.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claims {
    claim: Option<Claim>,
    /// When the newest word on it, for or against, had been asked for.
    asked: Option<Duration>,
}

impl Claims {
    /// The node was said to hold the lock. Whether that is news.
    pub(super) fn hold(&mut self, seen: Duration, until: Duration, now: Duration) -> bool {
        if !self.is_newest(seen) || until <= now {
            return false;
        }
        let standing = self.claim.filter(|claim| claim.until > now);
        self.claim = Some(Claim {
            began: standing.map_or(now, |claim| claim.began),
            seen,
            until,
            overruled: standing.is_some_and(|claim| claim.overruled),
        });
        standing.is_none()
    }

    /// The node was said not to hold it.
    pub(super) fn lose(&mut self, seen: Duration) {
        if self.is_newest(seen) {
            self.claim = None;
        }
    }

    /// An operator named another node.
    pub(super) fn overrule(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.overruled = true;
        }
    }

    /// The node gave it up by its own act.
    pub(super) fn give_up(&mut self) {
        self.claim = None;
    }

    fn is_newest(&mut self, seen: Duration) -> bool {
        let newest = self.asked.is_none_or(|asked| seen >= asked);
        if newest {
            self.asked = Some(seen);
        }
        newest
    }

    fn standing(&self, now: Duration) -> Option<Claim> {
        self.claim
            .filter(|claim| claim.until > now && !claim.overruled)
    }
}

impl Machine {
    pub(super) fn leased(
        &mut self,
        at: NodeIndex,
        seen: Duration,
        until: Duration,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let steady = matches!(self.view.state, ShardState::Steady { primary, .. } if primary == at);
        let Some(node) = self.node_mut(at) else {
            return;
        };
        if node.claims.hold(seen, until, now) && !steady {
            outcome.probe_all();
        } else if !steady {
            outcome.probe(at);
        }
    }

    /// The node that holds the lock, if that is beyond doubt.
    ///
    /// Of several claims the last to begin counts, if no other was confirmed since: a lock passes on,
    /// and the old holder is not always heard to say so. If one was, nothing says who is mistaken. A
    /// node that is unreachable, whose history left the shard's, or which is writable in a reign that
    /// has ended holds a lock that is of no use here.
    pub(super) fn holder(&self, now: Duration) -> Option<usize> {
        let claims = || {
            self.nodes
                .iter()
                .enumerate()
                .filter_map(|(at, node)| Some((at, node, node.claims.standing(now)?)))
        };
        let (at, node, last) = claims().max_by_key(|(_, _, claim)| claim.began)?;
        let alone = claims().all(|(other, _, claim)| other == at || claim.seen < last.began);
        (alone && self.is_eligible(node, now) && !self.orders.fences(index(at))).then_some(at)
    }

    fn is_eligible(&self, node: &Node, now: Duration) -> bool {
        let Some(facts) = node.ours.as_ref() else {
            return false;
        };
        let forked = self
            .history
            .as_ref()
            .is_some_and(|known| known.relation(&facts.history) == Relation::Forked);
        !node.foreign
            && !forked
            && !self.is_rejected(facts)
            && !node.absent(now, &self.settings)
            && (facts.in_recovery || !self.is_ended(facts))
    }
}
