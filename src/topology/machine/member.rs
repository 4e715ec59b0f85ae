//! Nodes that come and go.

use std::time::Duration;

use super::decide::index;
use super::node::Node;
use super::outcome::Outcome;
use super::{Machine, Tags, TopologyEvent};
use crate::id::NodeIndex;

impl Machine {
    pub(super) fn member(
        &mut self,
        at: NodeIndex,
        tags: Tags,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let count = self.nodes.len();
        let news = if at.index() == count && count < usize::from(u16::MAX) {
            self.nodes.push(Node::joining(now));
            true
        } else {
            let retired = self.nodes.get_mut(at.index()).filter(|node| node.retired);
            retired.map(|node| node.come_back(now)).is_some()
        };
        if let Some(node) = self.node_mut(at) {
            node.leaving = false;
            node.tags = tags;
        }
        if news {
            outcome.emit(TopologyEvent::NodeJoined { node: at });
            outcome.probe(at);
        }
    }

    pub(super) fn gone(&mut self, at: NodeIndex) {
        if let Some(node) = self.node_mut(at) {
            node.leaving = true;
        }
    }

    /// The server at a new address may be any server, until it answers.
    pub(super) fn moved(&mut self, at: NodeIndex, now: Duration, outcome: &mut Outcome) {
        let Some(node) = self.node_mut(at) else {
            return;
        };
        node.suspect(now);
        self.clear(at, false, outcome);
        outcome.probe(at);
    }

    /// Gives up the nodes that leave. One that may be taking writes is watched on: a manager that
    /// hangs is not known to its store, and its PostgreSQL goes on.
    pub(super) fn retire(&mut self, now: Duration, outcome: &mut Outcome) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(at) else {
                continue;
            };
            if node.leaving && node.writer(now, &self.settings).is_none() {
                node.retire(now);
                self.clear(index(at), false, outcome);
                outcome.emit(TopologyEvent::NodeLeft { node: index(at) });
            }
        }
    }
}
