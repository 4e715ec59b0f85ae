//! Adoptions, and the decisions of operators.

use std::time::Duration;

use super::outcome::Outcome;
use super::{ADOPT_RETRY, FenceReason, Machine, OperatorAct, REJECTED, ShardState, TopologyEvent};
use crate::id::{NodeIndex, ReignId};
use crate::topology::facts::ReignHistory;

impl Machine {
    /// The history as read after the insertion of a reign.
    pub(super) fn adopted(
        &mut self,
        at: NodeIndex,
        history: ReignHistory,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let asked = self.adopting.filter(|adopting| adopting.node == at);
        if let Some(asked) = asked {
            self.adopting = None;
            if history.newest().id == asked.parent {
                // Neither written nor found: as good as failed.
                self.adopt_after = now + ADOPT_RETRY;
                outcome.probe(at);
                return;
            }
        }
        if let Some(node) = self.node_mut(at) {
            node.adopted(now, history.clone());
        }
        if self.named == Some(at) {
            self.named = None;
            self.choose(history, outcome);
        }
        outcome.probe_all();
    }

    /// An operator chose this history over all others.
    fn choose(&mut self, chosen: ReignHistory, outcome: &mut Outcome) {
        let others = self
            .nodes
            .iter()
            .filter_map(|node| node.ours.as_ref().map(|facts| &facts.history))
            .chain(self.history.as_ref());
        // The first reign of each branch: the later ones' histories contain it.
        let mut rejected: Vec<ReignId> = Vec::new();
        for history in others {
            let branch = history
                .reigns()
                .iter()
                .find(|reign| !chosen.contains(reign.id));
            if let Some(branch) = branch
                && !rejected.contains(&branch.id)
            {
                rejected.push(branch.id);
            }
        }
        if let (Some(old), Some(from)) = (
            &self.history,
            self.history.as_ref().and_then(|old| chosen.leaves(old)),
        ) {
            for known in &self.acknowledged {
                if old.contains(known.reign) && !chosen.contains(known.reign) {
                    outcome.lost_for_good(known, from);
                }
            }
        }
        self.acknowledged
            .retain(|known| chosen.contains(known.reign));
        for earlier in self.rejected.drain(..) {
            if !rejected.contains(&earlier) && !chosen.contains(earlier) {
                rejected.push(earlier);
            }
        }
        rejected.truncate(REJECTED);
        self.rejected = rejected;
        self.history = Some(chosen);
        self.head = None;
    }

    /// What failover managers say of other nodes counts no more, until they say it anew.
    fn overrule(&mut self, at: NodeIndex) {
        for (other, node) in self.nodes.iter_mut().enumerate() {
            if other != at.index() {
                node.claims.overrule();
            }
        }
    }

    pub(super) fn operator(&mut self, act: OperatorAct, outcome: &mut Outcome) {
        let refused = match act {
            OperatorAct::Fence => {
                self.fenced = true;
                None
            }
            OperatorAct::Unfence => {
                self.fenced = false;
                None
            }
            OperatorAct::AcceptWritesLost => self.accept_writes_lost(),
            OperatorAct::NamePrimary(node) => self.name_primary(node),
            OperatorAct::AdoptIdentity { system } => {
                self.system = Some(system);
                self.reclassify(self.now);
                None
            }
        };
        if let Some(reason) = refused {
            outcome.emit(TopologyEvent::OperatorRefused { act, reason });
        }
    }

    fn accept_writes_lost(&mut self) -> Option<&'static str> {
        if self.loss.take().is_some() {
            return None;
        }
        if let ShardState::Fenced {
            reason: FenceReason::ReignLost { node, .. },
        } = self.view.state
        {
            return self.name_primary(node);
        }
        Some("no loss of writes waits to be accepted")
    }

    fn name_primary(&mut self, at: NodeIndex) -> Option<&'static str> {
        if self.system.is_none() {
            return Some("the nodes have different system identifiers; adopt the right one first");
        }
        let Some(node) = self.nodes.get(at.index()) else {
            return Some("the shard has no such node");
        };
        if !node.is_fresh() || node.writer(self.now, &self.settings).is_none() {
            return Some("the node does not answer as writable now; promote or start it first");
        }
        if matches!(self.view.state, ShardState::Steady { primary, .. } if primary == at) {
            return None;
        }
        self.settled = true;
        self.named = Some(at);
        self.overrule(at);
        self.loss = None;
        None
    }

    /// Decides anew which servers are the shard's.
    pub(super) fn reclassify(&mut self, now: Duration) {
        // While the nodes disagree, what is known of each stays as it is.
        let (cluster, shard, Some(system)) = (self.cluster, self.shard, self.system) else {
            return;
        };
        for node in &mut self.nodes {
            node.reclassify(now, |facts| {
                facts.identity.cluster == cluster
                    && facts.identity.shard == shard
                    && facts.system == system
            });
        }
    }
}
