//! Where the reads of a shard go, and what they tell of its nodes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Shard;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Epoch, NodeId, NodeIndex};
use crate::pool::{Access, Lane, Lease, NodePool, Stamp};
use crate::topology::{Measures, NoNode, NodeFacts, Read, select};

/// How a read's node is chosen, beside what the read itself asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// Another node is chosen if one qualifies.
    pub(crate) avoid: Option<NodeIndex>,
    /// Told the node as soon as it is chosen, which is before its connection is there.
    pub(crate) chosen: Option<&'a OnceLock<NodeIndex>>,
    pub(crate) lane: Lane,
}

/// What this process has measured of a shard's nodes.
struct Measured<'a> {
    shard: &'a Shard,
    avoid: Option<NodeIndex>,
    now: Duration,
}

impl Measures for Measured<'_> {
    /// The round trip of a probe, times the reads that this process has there. A node that is slow
    /// for any reason gathers reads, whatever they are; to compare how long they took would compare
    /// the statements that happened to go there.
    fn latency(&self, node: NodeIndex) -> Duration {
        let reads = self.shard.node(node).map_or(0, |pool| pool.reads());
        match self.shard.latency(node) {
            Some(latency) => latency.saturating_mul(reads.saturating_add(1)),
            None => Duration::MAX,
        }
    }

    fn staleness(&self, node: NodeIndex) -> Option<Duration> {
        let complete = self.shard.freshness.complete(node)?;
        Some(self.now.saturating_sub(complete))
    }

    fn avoids(&self, node: NodeIndex) -> bool {
        let circuit = self.shard.circuits.get(node.index());
        self.avoid == Some(node) || circuit.is_some_and(|circuit| circuit.is_open(self.now))
    }
}

/// How long a read waits at least before it counts that it was not answered: some round trips of the
/// node's probes, between 100 ms and 1 s; less only where half of `timeouts.statement` is.
fn fair_time(probe: Option<Duration>, statement: Duration) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);
    let trips = probe.unwrap_or_default().saturating_mul(4);
    trips.clamp(SHORTEST, LONGEST).min(statement / 2)
}

impl Shard {
    /// Lends a connection for reading to a node that qualifies, waiting for one to exist.
    pub(crate) async fn lease_read(
        &self,
        read: Read,
        choice: Choice<'_>,
        mut now: Instant,
        deadline: Instant,
    ) -> Result<Lease> {
        self.map_is_current()?;
        if read.max_lag_time.is_some() && !self.wants_freshness.load(Ordering::Relaxed) {
            self.wants_freshness.store(true, Ordering::Relaxed);
        }
        loop {
            let mut changed = self.changed.subscribe();
            self.is_open()?;
            if let Some(refusal) = self.closed_by_operator(&self.view.load(), Access::Read) {
                return Err(refusal);
            }
            let since = now.saturating_duration_since(self.start);
            match self.choose(read, choice.avoid, since) {
                Ok((node, epoch)) => {
                    let Some(pool) = self.node(node) else {
                        continue;
                    };
                    if let Some(circuit) = self.circuits.get(node.index()) {
                        circuit.chosen(since);
                    }
                    if let Some(chosen) = choice.chosen {
                        let _ = chosen.set(node);
                    }
                    let stamp = Stamp::new(epoch, choice.lane);
                    return self.lease(pool, Access::Read, now, deadline, stamp).await;
                }
                Err(reason @ NoNode::TokenLost) => return Err(self.no_node(reason)),
                Err(reason) => {
                    let _place = self.queue()?;
                    if timeout_at(deadline, changed.changed()).await.is_err() {
                        return Err(self.no_node(reason));
                    }
                    now = Instant::now();
                }
            }
        }
    }

    fn choose(
        &self,
        read: Read,
        avoid: Option<NodeIndex>,
        now: Duration,
    ) -> Result<(NodeIndex, Option<Epoch>), NoNode> {
        let view = self.view.load();
        let measured = Measured {
            shard: self,
            avoid,
            now,
        };
        select(&view, read, measured, crate::random::number()).map(|node| {
            let epoch = view.primary.filter(|(primary, _)| *primary == node);
            (node, epoch.map(|(_, epoch)| epoch))
        })
    }

    /// Whether a read that went to one node could go to another.
    pub(crate) fn has_other(&self, read: Read, than: NodeIndex) -> bool {
        self.choose(read, Some(than), self.start.elapsed())
            .is_ok_and(|(node, _)| node != than)
    }

    /// A read was answered by a node, or failed there after so long.
    pub(crate) fn note_read(&self, node: Option<NodeIndex>, failure: Option<(&Error, Duration)>) {
        let Some((index, circuit)) =
            node.and_then(|node| Some((node, self.circuits.get(node.index())?)))
        else {
            return;
        };
        let turned = match failure {
            None => circuit.answered().then_some("closed"),
            Some((error, took)) if error.kind() == ErrorKind::Timeout => {
                // A caller in a hurry says nothing of the node.
                let counts = took >= fair_time(self.latency(index), self.statement);
                (counts && circuit.timed_out(self.start.elapsed())).then_some("opened")
            }
            // Any other answer is one.
            Some((error, _)) if error.kind() == ErrorKind::Database => {
                circuit.answered().then_some("closed")
            }
            Some(_) => None,
        };
        if let Some(turned) = turned {
            let (shard, node) = (self.id.to_string(), self.name(index));
            tracing::warn!(%shard, %node, "the circuit for reads {turned}");
            metrics::counter!(
                crate::observe::CIRCUITS, "shard" => shard, "node" => node, "turned" => turned
            )
            .increment(1);
        }
    }

    /// How long a read took that may be asked of a second node.
    pub(crate) fn note_time(&self, node: NodeIndex, time: Duration) {
        if let Some(times) = self.times.get(node.index()) {
            times.note(time);
        }
    }

    /// The time within which so many of a hundred such reads were answered by a node.
    pub(crate) fn percentile(&self, node: NodeIndex, percent: u8) -> Option<Duration> {
        self.times.get(node.index())?.percentile(percent)
    }

    /// The node of a name.
    pub(crate) fn index_of(&self, node: NodeId) -> Option<NodeIndex> {
        let named = |pool: &&Arc<NodePool>| pool.connector().node() == node;
        self.nodes().find(named).map(|p| p.connector().index())
    }

    /// How old what a replica shows may be; `None` if that is not known.
    pub(crate) fn staleness(&self, node: NodeIndex) -> Option<Duration> {
        let complete = self.freshness.complete(node)?;
        Some(self.start.elapsed().saturating_sub(complete))
    }

    /// A node answered a probe.
    pub(in crate::monitor) fn seen(&self, node: NodeIndex, facts: &NodeFacts, asked: Instant) {
        let primary = self.view.load().primary;
        let primary = primary.is_some_and(|(primary, _)| primary == node);
        let asked = asked.saturating_duration_since(self.start);
        self.freshness.note(node, facts, primary, asked);
        if facts.in_recovery && self.waiting.load(Ordering::Relaxed) > 0 {
            // Somebody may wait for this replica to be recent enough, of which the view says nothing.
            self.changed.send_modify(|version| *version += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_time_is_bounded() {
        let millis = Duration::from_millis;
        let long = Duration::from_secs(30);
        assert_eq!(fair_time(None, long), millis(100));
        assert_eq!(fair_time(Some(millis(1)), long), millis(100));
        assert_eq!(fair_time(Some(millis(80)), long), millis(320));
        assert_eq!(fair_time(Some(Duration::MAX), long), millis(1000));
        assert_eq!(fair_time(Some(millis(80)), millis(50)), millis(25));
    }
}
