//! How old what a replica shows may be.
//!
//! Not by `pg_last_xact_replay_timestamp`: it stands still while the primary is idle, is missing after
//! a restart, and compares the clocks of two servers. Here one clock counts, this process's. The
//! primary's position is noted with the moment before it was asked for: whatever was committed before
//! that moment lies at or below it. A replica that has replayed up to a noted position shows all that
//! was committed before its moment, be the primary idle, the replay paused or the receiver cut off.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::id::{Lsn, NodeIndex, ReignId};
use crate::topology::NodeFacts;

/// Positions that are kept: the younger, the closer to each other.
const KEPT: usize = 128;

/// What is known of one shard. Times are counted from any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Freshness(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    heads: Vec<Head>,
    /// By node: the moment up to which it shows everything.
    complete: Vec<Option<Duration>>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    reign: ReignId,
    lsn: Lsn,
    /// All that was committed before it is at or below the position.
    at: Duration,
}

impl Freshness {
    /// Takes in what a node answered that was asked at a time. `primary` says whether it is the one
    /// that is written to.
    pub(super) fn note(&self, node: NodeIndex, facts: &NodeFacts, primary: bool, asked: Duration) {
        let reign = facts.history.newest().id;
        let mut known = self.lock();
        if primary && !facts.in_recovery {
            known.head(Head {
                reign,
                lsn: facts.lsn,
                at: asked,
            });
        }
        let complete = match facts.in_recovery {
            true => known.complete_at(reign, facts.lsn),
            false => None,
        };
        let places = known.complete.len().max(node.index() + 1);
        known.complete.resize(places, None);
        if let Some(place) = known.complete.get_mut(node.index()) {
            *place = complete;
        }
    }

    /// The moment up to which a replica shows everything; `None` if that is not known.
    pub(super) fn complete(&self, node: NodeIndex) -> Option<Duration> {
        self.lock().complete.get(node.index()).copied().flatten()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn head(&mut self, head: Head) {
        match self.heads.last_mut() {
            Some(last) if last.reign != head.reign => self.heads.clear(),
            // An answer that was overtaken.
            Some(last) if last.at > head.at => return,
            // Nothing was written since, which is worth more than the older moment.
            Some(last) if last.lsn == head.lsn => {
                last.at = head.at;
                return;
            }
            // The log went back: nothing that was noted holds any more.
            Some(last) if last.lsn > head.lsn => self.heads.clear(),
            _ => {}
        }
        if self.heads.len() >= KEPT {
            self.thin_out(head.at);
        }
        self.heads.push(head);
    }

    /// Drops the position that says the least beside its neighbours, for its age.
    fn thin_out(&mut self, now: Duration) {
        let weight = |(_, around): &(usize, &[Head])| match around {
            [before, it, after] => {
                let gap = after.at.saturating_sub(before.at).as_secs_f64();
                gap / now.saturating_sub(it.at).as_secs_f64().max(0.001)
            }
            _ => f64::INFINITY,
        };
        let least = self
            .heads
            .windows(3)
            .enumerate()
            .min_by(|a, b| weight(a).total_cmp(&weight(b)));
        if let Some((before, _)) = least {
            self.heads.remove(before + 1);
        }
    }

    fn complete_at(&self, reign: ReignId, replayed: Lsn) -> Option<Duration> {
        let reached = |head: &&Head| head.reign == reign && head.lsn <= replayed;
        self.heads.iter().rev().find(reached).map(|head| head.at)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{ClusterId, MapVersion, ShardId, SystemId, Timeline};
    use crate::topology::{Identity, Reign, ReignHistory};

    fn facts(reign: u128, lsn: u64, in_recovery: bool) -> NodeFacts {
        let reign = Reign {
            id: ReignId(Uuid::from_u128(reign)),
            parent: None,
            timeline: Timeline(1),
            start: Lsn(1),
        };
        NodeFacts {
            system: SystemId(1),
            identity: Identity {
                cluster: ClusterId::new("bank").unwrap(),
                shard: ShardId::new("s0").unwrap(),
                map_version: MapVersion(1),
            },
            in_recovery,
            timeline: Timeline(1),
            lsn: Lsn(lsn),
            recovered_to: None,
            received: None,
            streaming: None,
            history: ReignHistory::new(vec![reign]).unwrap(),
            orders: Default::default(),
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const REPLICA: NodeIndex = NodeIndex(1);

    fn primary(known: &Freshness, reign: u128, lsn: u64, at: u64) {
        known.note(NodeIndex(0), &facts(reign, lsn, false), true, secs(at));
    }

    fn replica(known: &Freshness, reign: u128, lsn: u64, at: u64) -> Option<Duration> {
        known.note(REPLICA, &facts(reign, lsn, true), false, secs(at));
        known.complete(REPLICA)
    }

    #[test]
    fn nothing_is_known_at_first() {
        let known = Freshness::default();
        assert_eq!(known.complete(REPLICA), None);
        assert_eq!(replica(&known, 1, 100, 1), None);
        primary(&known, 1, 200, 2);
        assert_eq!(replica(&known, 1, 100, 3), None, "behind all that is known");
    }

    #[test]
    fn an_idle_primary_is_no_lag_and_a_replay_that_stands_still_is() {
        let known = Freshness::default();
        for second in 1..60 {
            primary(&known, 1, 100, second);
        }
        assert_eq!(replica(&known, 1, 100, 60), Some(secs(59)));
        // One write, and the replica does not move: paused, cut off or slow.
        primary(&known, 1, 101, 61);
        for second in 62..70 {
            primary(&known, 1, 101, second);
            assert_eq!(replica(&known, 1, 100, second), Some(secs(59)));
        }
        assert_eq!(replica(&known, 1, 101, 70), Some(secs(69)));
        // Back to an older position, as after a restore.
        assert_eq!(replica(&known, 1, 99, 71), None);
    }

    #[test]
    fn positions_of_another_reign_say_nothing() {
        let known = Freshness::default();
        primary(&known, 1, 100, 1);
        primary(&known, 2, 90, 2);
        assert_eq!(replica(&known, 1, 500, 3), None);
        assert_eq!(replica(&known, 2, 500, 3), Some(secs(2)));
        primary(&known, 2, 80, 4);
        assert_eq!(replica(&known, 2, 85, 5), Some(secs(4)));
    }

    #[test]
    fn a_long_lag_is_known_more_coarsely() {
        let known = Freshness::default();
        for second in 1..10_000 {
            primary(&known, 1, second, second);
        }
        assert!(known.lock().heads.len() <= KEPT);
        assert_eq!(replica(&known, 1, 9_990, 10_000), Some(secs(9_990)));
        let coarse = replica(&known, 1, 5_000, 10_000).unwrap();
        assert!(coarse <= secs(5_000), "never better than it is: {coarse:?}");
        assert!(coarse >= secs(4_000), "{coarse:?}");
    }
}
