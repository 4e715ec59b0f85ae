//! What the machine remembers of one node.

use std::time::Duration;

use super::lease::Claims;
use super::{NodeState, NodeView, Settings, Tags};
use crate::id::{Lsn, SystemId};
use crate::topology::facts::{FailureKind, NodeFacts, ProbeFailure, ReignHistory};

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The generation of its pool.
    pub(super) generation: u64,
    /// The last complete answer, whoever gave it.
    pub(super) facts: Option<NodeFacts>,
    /// The last complete answer of a server of this shard. It stays while another server answers at
    /// the address, until the node counts as absent: its owner may live elsewhere.
    pub(super) ours: Option<NodeFacts>,
    /// Where the log ended when the node was first seen writable on its present timeline.
    pub(super) began: Option<Lsn>,
    /// When a server of this shard, or one that may be, was last heard; at first the start.
    heard: Duration,
    /// Probes without an answer of a server of this shard since then.
    misses: u32,
    /// Why the last probe failed.
    pub(super) failure: Option<ProbeFailure>,
    /// Whether the last complete answer is of another server.
    pub(super) foreign: bool,
    /// When a hint last made it suspect: only a probe sent after that can clear it.
    suspect_since: Option<Duration>,
    /// When the first hint of this suspicion came.
    suspect_first: Duration,
    /// When the newest probe that was heard of had been sent.
    last_asked: Option<Duration>,
    /// When the probe that `ours` answers had been sent.
    pub(super) ours_asked: Duration,
    /// When a probe was last requested and not yet answered.
    requested: Option<Duration>,
    /// Whether it ever answered as a server of this shard or another, or was absent.
    pub(super) known: bool,
    /// What its failover manager says of it.
    pub(super) tags: Tags,
    /// Whether its failover manager does not know it any more.
    pub(super) leaving: bool,
    /// Whether it has left: nothing is asked of it, and nothing that was is heeded.
    pub(super) retired: bool,
    /// What is known of its claim to a failover manager's lock.
    pub(super) claims: Claims,
    /// Good answers in a row, up to what is needed.
    pub(super) good: u8,
    /// Good answers needed before reads go there: more after it failed.
    pub(super) needed: u8,
    /// The state that was last published.
    pub(super) state: NodeState,
    /// Whether it was absent then.
    pub(super) was_absent: bool,
    /// Whether an operator had fenced it then.
    pub(super) was_fenced: bool,
    /// Whether it answers, as people were told.
    pub(super) told_up: bool,
}

/// Probes that must fail before a node counts as absent.
const MISSES: u32 = 3;
/// A requested probe that was not heard of for so long may be requested again.
const REQUEST_AGAIN: Duration = Duration::from_millis(100);
/// For how long further hints prolong a suspicion.
const PROLONG: Duration = Duration::from_millis(500);

impl Node {
    pub(super) fn new(now: Duration) -> Self {
        Node {
            generation: 1,
            facts: None,
            ours: None,
            began: None,
            heard: now,
            misses: 0,
            failure: None,
            foreign: false,
            suspect_since: None,
            suspect_first: now,
            last_asked: None,
            ours_asked: now,
            requested: None,
            known: false,
            claims: Claims::default(),
            tags: Tags::default(),
            leaving: false,
            retired: false,
            good: 0,
            needed: 1,
            state: NodeState::Unknown,
            was_absent: false,
            was_fenced: false,
            told_up: false,
        }
    }

    /// A node that comes while others are known already.
    pub(super) fn joining(now: Duration) -> Self {
        Node {
            needed: 2,
            ..Node::new(now)
        }
    }

    /// It left the shard: what was known of it means nothing for its return.
    pub(super) fn retire(&mut self, now: Duration) {
        *self = Node {
            generation: self.generation,
            last_asked: self.last_asked,
            state: self.state,
            tags: self.tags,
            retired: true,
            known: true,
            ..Node::joining(now)
        };
    }

    /// It is back, or another one has its place: what was asked before goes for neither.
    pub(super) fn come_back(&mut self, now: Duration) {
        *self = Node {
            generation: self.generation,
            last_asked: Some(now),
            state: self.state,
            ..Node::joining(now)
        };
    }

    /// What is published of a node that nothing was heard of.
    pub(super) fn unknown(&self) -> NodeView {
        NodeView {
            state: self.state,
            generation: self.generation,
            readable: false,
            leased: false,
            fenced: false,
            tags: Tags::default(),
            lag: None,
            lsn: None,
            history: None,
            timeline: None,
            map_version: None,
            failure: None,
        }
    }

    /// Whether something newer was heard than a probe sent then could tell.
    pub(super) fn is_stale(&self, asked_at: Duration) -> bool {
        self.last_asked.is_some_and(|last| asked_at < last)
    }

    fn heard_of(&mut self, asked_at: Duration) {
        self.last_asked = Some(asked_at);
        if self.requested.is_some_and(|at| asked_at >= at) {
            self.requested = None;
        }
    }

    fn lives(&mut self, asked_at: Duration, now: Duration) {
        self.heard = now;
        self.misses = 0;
        if self.suspect_since.is_some_and(|since| asked_at >= since) {
            self.suspect_since = None;
        }
    }

    /// A complete answer. Whether it is of a server of this shard, the caller knows.
    pub(super) fn answered(
        &mut self,
        asked_at: Duration,
        now: Duration,
        facts: NodeFacts,
        ours: bool,
    ) {
        self.heard_of(asked_at);
        self.failure = None;
        self.known = true;
        self.foreign = !ours;
        if ours {
            self.lives(asked_at, now);
            self.good = self.good.saturating_add(1).min(2);
            let demoted = self.ours.as_ref().is_some_and(|old| !old.in_recovery);
            self.began = if facts.in_recovery {
                if demoted {
                    self.claims.give_up();
                }
                None
            } else {
                let same = self
                    .ours
                    .as_ref()
                    .is_some_and(|old| !old.in_recovery && old.timeline == facts.timeline);
                let before = self.began.filter(|_| same);
                Some(before.map_or(facts.began(), |before| before.min(facts.began())))
            };
            self.ours = Some(facts.clone());
            self.ours_asked = asked_at;
        } else {
            self.misses = self.misses.saturating_add(1);
            self.good = 0;
        }
        self.facts = Some(facts);
    }

    pub(super) fn failed(&mut self, asked_at: Duration, now: Duration, failure: ProbeFailure) {
        self.heard_of(asked_at);
        if failure.kind.lives() {
            self.lives(asked_at, now);
        } else {
            self.misses = self.misses.saturating_add(1);
        }
        self.failure = Some(failure);
    }

    /// Traffic confirmed the last answer.
    pub(super) fn proved(&mut self, asked_at: Duration, now: Duration) {
        self.heard_of(asked_at);
        self.failure = None;
        self.lives(asked_at, now);
    }

    /// The history as read after writing a reign. Answers to older probes are ignored from now on.
    pub(super) fn adopted(&mut self, now: Duration, history: ReignHistory) {
        self.last_asked = Some(now);
        for facts in [&mut self.ours, &mut self.facts].into_iter().flatten() {
            facts.history = history.clone();
        }
    }

    /// A hint made it suspect. Hints prolong a suspicion only for a while: under load they may
    /// never end, and answers count then.
    pub(super) fn suspect(&mut self, now: Duration) {
        if self.suspect_since.is_none() {
            self.suspect_first = now;
        }
        if now.saturating_sub(self.suspect_first) < PROLONG {
            self.suspect_since = Some(now);
        }
    }

    /// Asks for a probe, unless one is on its way.
    pub(super) fn request(&mut self, now: Duration) -> bool {
        let wanted = !self.retired
            && self
                .requested
                .is_none_or(|at| now.saturating_sub(at) >= REQUEST_AGAIN);
        if wanted {
            self.requested = Some(now);
        }
        wanted
    }

    /// Decides anew which answer is of this shard, after the shard's identity changed.
    pub(super) fn reclassify(&mut self, now: Duration, is_ours: impl Fn(&NodeFacts) -> bool) {
        if let Some(facts) = &self.facts {
            let was_foreign = self.foreign;
            self.foreign = !is_ours(facts);
            if !self.foreign {
                self.ours = Some(facts.clone());
                if was_foreign && self.failure.is_none() {
                    self.heard = now;
                    self.misses = 0;
                }
            }
        }
        if self.ours.as_ref().is_some_and(|facts| !is_ours(facts)) {
            self.ours = None;
        }
    }

    /// Whether it is unreachable: no complete answer to any probe for `down_after`, and to three.
    pub(super) fn absent(&self, now: Duration, settings: &Settings) -> bool {
        self.misses >= MISSES && now.saturating_sub(self.heard) >= settings.down_after
    }

    /// Whether it may have failed. One timeout is not enough.
    pub(super) fn is_suspect(&self) -> bool {
        self.foreign
            || self.suspect_since.is_some()
            || match &self.failure {
                Some(failure) if failure.kind.lives() => false,
                Some(failure) if failure.kind == FailureKind::Timeout => self.misses >= 2,
                _ => self.misses >= 1,
            }
    }

    /// Whether it misses probes, suspect or not yet.
    pub(super) fn misses(&self) -> bool {
        self.misses > 0
    }

    /// Whether its last probe was answered completely, by a server of this shard, and nothing was
    /// seen since that casts doubt on it.
    pub(super) fn is_fresh(&self) -> bool {
        self.ours.is_some()
            && !self.foreign
            && self.failure.is_none()
            && self.suspect_since.is_none()
    }

    /// The last answer, if the node may be writable: it said so, and is not known to be gone.
    pub(super) fn writer(&self, now: Duration, settings: &Settings) -> Option<&NodeFacts> {
        self.ours
            .as_ref()
            .filter(|facts| !facts.in_recovery && !self.absent(now, settings))
    }

    pub(super) fn system(&self) -> Option<SystemId> {
        self.facts.as_ref().map(|facts| facts.system)
    }
}
