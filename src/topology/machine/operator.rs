//! Adoptions, and the decisions of operators.

use std::time::Duration;

use super::outcome::Outcome;
use super::{ADOPT_RETRY, Chosen, FenceReason, Machine, OperatorAct, ShardState, TopologyEvent};
use crate::id::NodeIndex;
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
            self.chosen = Some(Chosen {
                number: self.newest_act(),
                reign: history.newest().id,
                chain: Some(history.clone()),
            });
            self.choose(history, outcome);
        }
        outcome.probe_all();
    }

    /// An operator chose this history over all others.
    pub(super) fn choose(&mut self, chosen: ReignHistory, outcome: &mut Outcome) {
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
        // Whoever decided that knew what was lost until then.
        self.loss = None;
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
            OperatorAct::Fence
            | OperatorAct::Unfence
            | OperatorAct::ReadOnly
            | OperatorAct::Drain
            | OperatorAct::Open => self.change_mode(act),
            OperatorAct::FenceNode(node) => self.fence_node(node, true),
            OperatorAct::UnfenceNode(node) => self.fence_node(node, false),
            OperatorAct::AcceptWritesLost => self.accept_writes_lost(),
            OperatorAct::NamePrimary(node) => self.name_primary(node),
            OperatorAct::AdoptIdentity { system } => {
                self.confirmed = Some((self.newest_act(), system));
                self.system = Some(system);
                self.reclassify(self.now);
                None
            }
        };
        if let Some(reason) = refused {
            outcome.emit(TopologyEvent::OperatorRefused { act, reason });
        }
    }

    fn change_mode(&mut self, act: OperatorAct) -> Option<&'static str> {
        match act.mode(self.told.mode) {
            Ok(Some(mode)) => {
                self.told.mode = mode;
                None
            }
            Ok(None) => None,
            // It holds for all processes, and is ended for all.
            Err(_) if self.stored.mode != self.told.mode => {
                Some("the mode is stored on the shard's servers: change it there (shardctl shard)")
            }
            Err(reason) => Some(reason),
        }
    }

    fn fence_node(&mut self, at: NodeIndex, fence: bool) -> Option<&'static str> {
        if self.nodes.get(at.index()).is_none() {
            return Some("the shard has no such node");
        }
        if fence == self.told.fences(at) {
            return Some(if fence {
                "this process was told so already"
            } else {
                "this process was told of no fence of the node"
            });
        }
        if fence {
            self.told.fenced.push(at);
        } else {
            self.told.fenced.retain(|node| *node != at);
        }
        None
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
        if self.orders.fences(at) {
            return Some("the node is fenced; unfence it first");
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
