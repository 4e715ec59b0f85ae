//! What a step collects.

use std::sync::Arc;

use super::{Acknowledged, Action, Cadence, TopologyEvent, View};
use crate::id::{Lsn, NodeIndex, ReignId};

/// What a step collects before it becomes a list of actions.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) publish: Option<Arc<View>>,
    pub(super) clears: Vec<(NodeIndex, u64, bool)>,
    pub(super) adopt: Option<(NodeIndex, ReignId, Lsn)>,
    pub(super) probes: Vec<NodeIndex>,
    pub(super) probe_all: bool,
    pub(super) cadence: Option<Cadence>,
    pub(super) events: Vec<TopologyEvent>,
    pub(super) lost: Vec<(ReignId, Lsn, Lsn)>,
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
