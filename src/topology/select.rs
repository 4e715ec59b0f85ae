//! Which node a read goes to.
//!
//! Pure: the view, the wishes, the latencies and a random number come in, a node comes out. Nothing
//! is allocated.

use std::time::Duration;

use super::machine::{NodeView, View};
use crate::id::{Lsn, NodeIndex, ReignId};
use crate::topology::facts::ReignHistory;

/// Where a read may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadPreference {
    /// The primary only.
    #[default]
    Primary,
    /// A replica if one qualifies, else the primary.
    PreferReplica,
    /// A replica only.
    Replica,
    /// Any node that qualifies, the primary included, by latency.
    Nearest,
}

/// The least that a read must see: all up to this position of this reign. It is what a consistency
/// token holds for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Floor {
    /// The reign in which the write was acknowledged.
    pub reign: ReignId,
    /// The position read after its COMMIT.
    pub lsn: Lsn,
}

/// What a read asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Read {
    /// Where it may go.
    pub preference: ReadPreference,
    /// How many bytes a replica may be behind, as of the last probe. A replica whose lag is not
    /// known does not qualify. The primary always does.
    pub max_lag: Option<u64>,
    /// How old what a replica shows may be. One of which that is not known does not qualify. The
    /// primary always does.
    pub max_lag_time: Option<Duration>,
    /// The least that it must see.
    pub floor: Option<Floor>,
}

/// Why no node qualifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NoNode {
    /// The read needs the primary, and there is none now. Wait for the next view.
    #[error("there is no primary now")]
    NoPrimary,
    /// No replica answers, holds the current reign and streams. Wait, or allow the primary.
    #[error("no replica can be read now")]
    NoReplica,
    /// The replicas are too far behind. Wait, or allow the primary.
    #[error("no replica is recent enough")]
    Behind,
    /// The token is of a reign that this process does not know yet. Probe and wait.
    #[error("the token is of a reign that is not known here yet")]
    UnknownReign,
    /// The token's write is not part of the shard's history: a failover lost it. Waiting is of no
    /// use.
    #[error("the write that the token stands for was lost in a failover")]
    TokenLost,
}

/// What a process has measured of the nodes, beside the view.
pub trait Measures {
    /// The estimate of how long a read would take on a node.
    fn latency(&self, node: NodeIndex) -> Duration;

    /// How old what a replica shows may be; `None` if that is not known.
    fn staleness(&self, _node: NodeIndex) -> Option<Duration> {
        None
    }

    /// Whether another node is to be read, if one qualifies.
    fn avoids(&self, _node: NodeIndex) -> bool {
        false
    }
}

impl<F: Fn(NodeIndex) -> Duration> Measures for F {
    fn latency(&self, node: NodeIndex) -> Duration {
        self(node)
    }
}

/// Chooses the node of a read: of two candidates drawn at random, the one with the lower latency. A
/// node that is to be avoided is chosen only if no other qualifies.
///
/// `measures` is what the caller knows of the nodes (a closure stands for their latencies), `random`
/// any random number.
///
/// # Errors
///
/// [`NoNode`] with the reason, if no node qualifies.
pub fn select(
    view: &View,
    read: Read,
    measures: impl Measures,
    random: u64,
) -> Result<NodeIndex, NoNode> {
    if let Some(floor) = read.floor {
        check_floor(view, floor)?;
    }
    let primary = view.primary.map(|(node, _)| node);
    let overtaken = read.floor.is_some_and(|floor| is_overtaken(view, floor));
    let pick = |avoiding: bool| {
        let allowed = |at: NodeIndex| !(avoiding && measures.avoids(at));
        let replica = |at: NodeIndex, node: &NodeView| {
            Some(at) != primary
                && node.readable
                && !overtaken
                && allowed(at)
                && is_recent(node, read)
                && read
                    .max_lag_time
                    .is_none_or(|most| measures.staleness(at).is_some_and(|age| age <= most))
        };
        let primary = primary.filter(|at| allowed(*at));
        let latency = |at| measures.latency(at);
        match read.preference {
            ReadPreference::Primary => primary,
            ReadPreference::Replica => draw(view, replica, latency, random),
            ReadPreference::PreferReplica => draw(view, replica, latency, random).or(primary),
            ReadPreference::Nearest => draw(
                view,
                |at, node| Some(at) == primary || replica(at, node),
                latency,
                random,
            ),
        }
    };
    let chosen = pick(true).or_else(|| pick(false));
    chosen.ok_or_else(|| {
        let readable = nodes(view).any(|(at, node)| Some(at) != primary && node.readable);
        match read.preference {
            ReadPreference::Primary => NoNode::NoPrimary,
            _ if readable => NoNode::Behind,
            ReadPreference::Replica => NoNode::NoReplica,
            ReadPreference::PreferReplica | ReadPreference::Nearest => NoNode::NoPrimary,
        }
    })
}

/// Whether the shard's history holds what the token stands for. This goes for the primary too.
fn check_floor(view: &View, floor: Floor) -> Result<(), NoNode> {
    match &view.history {
        Some(history) if history.contains(floor.reign) => {
            if is_kept(history, floor) {
                Ok(())
            } else {
                Err(NoNode::TokenLost)
            }
        }
        _ => Err(NoNode::UnknownReign),
    }
}

/// Whether the shard's history, as far as it is known, holds what a token stands for. Which nodes
/// have replayed it is another question.
pub(crate) fn holds(view: &View, floor: Floor) -> bool {
    check_floor(view, floor).is_ok() && !is_overtaken(view, floor)
}

/// Whether a node was promoted in the token's reign, and nobody has written the next one yet. Its log and that of
/// those that follow it may be past the token's position without what the token stands for.
fn is_overtaken(view: &View, floor: Floor) -> bool {
    let promoted = |node: &NodeView| {
        let reign = node
            .history
            .as_ref()
            .map(|history| history.newest().timeline);
        let writable = matches!(node.state, super::NodeState::Primary { .. });
        writable && node.timeline.is_some() && node.timeline != reign
    };
    !ended(view, floor.reign) && view.nodes.iter().any(promoted)
}

/// Whether a reign is known to have been followed by another.
pub(crate) fn ended(view: &View, reign: ReignId) -> bool {
    let history = view.history.as_ref();
    history.is_some_and(|history| history.after(reign).is_some())
}

/// Whether a history holds the token's reign up to the token's position: the next reign must not
/// have begun before it.
fn is_kept(history: &ReignHistory, floor: Floor) -> bool {
    history.contains(floor.reign)
        && history
            .after(floor.reign)
            .is_none_or(|next| next.start >= floor.lsn)
}

fn is_recent(node: &NodeView, read: Read) -> bool {
    let near = read
        .max_lag
        .is_none_or(|max| node.lag.is_some_and(|lag| lag <= max));
    let reached = read.floor.is_none_or(|floor| {
        node.lsn.is_some_and(|lsn| lsn >= floor.lsn)
            && node
                .history
                .as_ref()
                .is_some_and(|history| is_kept(history, floor))
    });
    near && reached
}

fn nodes(view: &View) -> impl Iterator<Item = (NodeIndex, &NodeView)> {
    (0..=u16::MAX).map(NodeIndex).zip(&view.nodes)
}

/// Power of two choices.
fn draw(
    view: &View,
    qualifies: impl Fn(NodeIndex, &NodeView) -> bool,
    latency: impl Fn(NodeIndex) -> Duration,
    random: u64,
) -> Option<NodeIndex> {
    let candidates = || {
        nodes(view)
            .filter(|(at, node)| qualifies(*at, node))
            .map(|(at, _)| at)
    };
    let count = candidates().count() as u64;
    if count <= 1 {
        return candidates().next();
    }
    // Two different ones, each from its own half of the random bits.
    let first = (random & 0xffff_ffff) % count;
    let second = (first + 1 + (random >> 32) % (count - 1)) % count;
    let nth = |n: u64| candidates().nth(usize::try_from(n).unwrap_or_default());
    let (first, second) = (nth(first)?, nth(second)?);
    Some(if latency(second) < latency(first) {
        second
    } else {
        first
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{Epoch, SystemId, Timeline};
    use crate::topology::{NodeState, Reign, ShardState};

    const FIRST: ReignId = ReignId(Uuid::from_u128(1));
    const SECOND: ReignId = ReignId(Uuid::from_u128(2));

    /// The first reign ended at 2000.
    fn history(second: bool) -> ReignHistory {
        let first = Reign {
            id: FIRST,
            parent: None,
            timeline: Timeline(1),
            start: Lsn(1000),
        };
        let next = Reign {
            id: SECOND,
            parent: Some(FIRST),
            timeline: Timeline(2),
            start: Lsn(2000),
        };
        ReignHistory::new(if second {
            vec![first, next]
        } else {
            vec![first]
        })
        .unwrap()
    }

    fn replica(replay: u64, readable: bool) -> NodeView {
        NodeView {
            state: NodeState::Standby {
                reign: SECOND,
                replay: Lsn(replay),
            },
            generation: 1,
            readable,
            leased: false,
            fenced: false,
            tags: Default::default(),
            lag: Some(3000 - replay),
            lsn: Some(Lsn(replay)),
            history: Some(history(true)),
            timeline: None,
            map_version: None,
            failure: None,
        }
    }

    /// Node 0 is the primary of the second reign, at 3000; the others are replicas.
    fn view(replicas: Vec<NodeView>) -> View {
        let epoch = Epoch {
            system: SystemId(1),
            reign: SECOND,
            counter: 1,
        };
        let primary = NodeView {
            state: NodeState::Primary {
                reign: SECOND,
                insert: Lsn(3000),
            },
            lag: None,
            lsn: Some(Lsn(3000)),
            ..replica(0, true)
        };
        View {
            state: ShardState::Steady {
                primary: NodeIndex(0),
                epoch,
            },
            primary: Some((NodeIndex(0), epoch)),
            history: Some(history(true)),
            head: Some(Lsn(3000)),
            orders: Default::default(),
            nodes: std::iter::once(primary).chain(replicas).collect(),
        }
    }

    fn without_primary(mut view: View) -> View {
        view.state = ShardState::Suspect {
            primary: NodeIndex(0),
        };
        view.primary = None;
        view.nodes[0].readable = false;
        view
    }

    fn read(preference: ReadPreference) -> Read {
        Read {
            preference,
            ..Read::default()
        }
    }

    fn floor(reign: ReignId, lsn: u64) -> Option<Floor> {
        Some(Floor {
            reign,
            lsn: Lsn(lsn),
        })
    }

    /// What is chosen whatever the random number, all nodes being equally fast.
    fn chosen(view: &View, read: Read) -> Result<Vec<u16>, NoNode> {
        let mut all = Vec::new();
        for random in 0..64u64 {
            let random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let node = select(view, read, |_| Duration::ZERO, random)?;
            all.push(node.0);
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    #[test]
    fn what_follows_a_promoted_node_proves_no_token_of_the_reign_before() {
        let read = Read {
            floor: floor(SECOND, 2500),
            ..read(ReadPreference::Replica)
        };
        let mut view = without_primary(view(vec![replica(2900, true), replica(2900, true)]));
        assert_eq!(chosen(&view, read), Ok(vec![1, 2]));
        assert!(holds(&view, read.floor.unwrap()));
        view.nodes[1].state = NodeState::Primary {
            reign: SECOND,
            insert: Lsn(2950),
        };
        view.nodes[1].readable = false;
        view.nodes[1].timeline = Some(Timeline(3));
        assert_eq!(chosen(&view, read), Err(NoNode::Behind));
        assert!(!holds(&view, read.floor.unwrap()));
        // What the reign before had is in all of them.
        let before = Read {
            floor: floor(FIRST, 1500),
            ..read
        };
        assert_eq!(chosen(&view, before), Ok(vec![2]));
    }

    #[test]
    fn preferences() {
        use ReadPreference::{Nearest, PreferReplica, Primary, Replica};
        let two = view(vec![replica(2900, true), replica(2800, true)]);
        assert_eq!(chosen(&two, read(Primary)), Ok(vec![0]));
        assert_eq!(chosen(&two, read(Replica)), Ok(vec![1, 2]));
        assert_eq!(chosen(&two, read(PreferReplica)), Ok(vec![1, 2]));
        assert_eq!(chosen(&two, read(Nearest)), Ok(vec![0, 1, 2]));

        let none = view(vec![replica(2900, false)]);
        assert_eq!(chosen(&none, read(Replica)), Err(NoNode::NoReplica));
        assert_eq!(chosen(&none, read(PreferReplica)), Ok(vec![0]));
        assert_eq!(chosen(&none, read(Nearest)), Ok(vec![0]));

        let headless = without_primary(two);
        assert_eq!(chosen(&headless, read(Primary)), Err(NoNode::NoPrimary));
        assert_eq!(chosen(&headless, read(Nearest)), Ok(vec![1, 2]));
        let nobody = without_primary(none);
        assert_eq!(chosen(&nobody, read(PreferReplica)), Err(NoNode::NoPrimary));
        assert_eq!(chosen(&nobody, read(Nearest)), Err(NoNode::NoPrimary));
    }

    #[test]
    fn lag() {
        let mut unknown = replica(2950, true);
        unknown.lag = None;
        let view = view(vec![replica(2900, true), replica(2800, true), unknown]);
        let at_most = |lag, preference| {
            let read = Read {
                max_lag: Some(lag),
                ..read(preference)
            };
            chosen(&view, read)
        };
        assert_eq!(at_most(200, ReadPreference::Replica), Ok(vec![1, 2]));
        assert_eq!(at_most(199, ReadPreference::Replica), Ok(vec![1]));
        assert_eq!(
            at_most(99, ReadPreference::Replica),
            Err(NoNode::Behind),
            "an unknown lag is not a small one"
        );
        assert_eq!(at_most(99, ReadPreference::PreferReplica), Ok(vec![0]));
        assert_eq!(at_most(0, ReadPreference::Nearest), Ok(vec![0]));
    }

    #[test]
    fn floors() {
        let view = view(vec![replica(2900, true), replica(2100, true)]);
        let at = |floor, preference| {
            let read = Read {
                floor,
                ..read(preference)
            };
            chosen(&view, read)
        };
        use ReadPreference::{Primary, Replica};
        assert_eq!(at(floor(SECOND, 2500), Replica), Ok(vec![1]));
        assert_eq!(at(floor(SECOND, 2950), Replica), Err(NoNode::Behind));
        assert_eq!(at(floor(SECOND, 2950), Primary), Ok(vec![0]));
        // A write of the first reign is there if that reign reached it before the second began.
        assert_eq!(at(floor(FIRST, 2000), Replica), Ok(vec![1, 2]));
        assert_eq!(at(floor(FIRST, 2001), Replica), Err(NoNode::TokenLost));
        assert_eq!(at(floor(FIRST, 2001), Primary), Err(NoNode::TokenLost));
        let elsewhere = ReignId(Uuid::from_u128(9));
        assert_eq!(at(floor(elsewhere, 1), Primary), Err(NoNode::UnknownReign));
    }

    /// Two replicas promoted separately are on the same timeline: a token of one means nothing on
    /// the other.
    #[test]
    fn a_node_without_the_reign_does_not_satisfy_a_floor() {
        let mut behind = replica(2990, true);
        behind.history = Some(history(false));
        let view = view(vec![behind]);
        let read = Read {
            floor: floor(SECOND, 2500),
            ..read(ReadPreference::Replica)
        };
        assert_eq!(chosen(&view, read), Err(NoNode::Behind));
    }

    #[test]
    fn the_faster_of_two() {
        let view = view(vec![replica(2900, true), replica(2900, true)]);
        for random in [0, 1, u64::MAX, 1 << 32, 0xdead_beef_0bad_cafe] {
            let latency = |node: NodeIndex| Duration::from_micros(10 - u64::from(node.0));
            let read = read(ReadPreference::Replica);
            assert_eq!(select(&view, read, latency, random), Ok(NodeIndex(2)));
        }
    }

    #[test]
    fn of_many_two_different_ones_are_compared() {
        let view = view((0..9).map(|_| replica(2900, true)).collect());
        // The slowest is never chosen: there is always another one to compare it with.
        let latency = |node: NodeIndex| Duration::from_micros(u64::from(node.0));
        for random in 0..10_000u64 {
            let random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let read = read(ReadPreference::Replica);
            assert_ne!(select(&view, read, latency, random), Ok(NodeIndex(9)));
        }
    }

    /// One second behind for each of its index; `None` for node 9.
    struct Aged(Vec<u16>);

    impl Measures for &Aged {
        fn latency(&self, _: NodeIndex) -> Duration {
            Duration::ZERO
        }

        fn staleness(&self, node: NodeIndex) -> Option<Duration> {
            (node.0 != 9).then(|| Duration::from_secs(node.0.into()))
        }

        fn avoids(&self, node: NodeIndex) -> bool {
            self.0.contains(&node.0)
        }
    }

    fn chosen_of(view: &View, read: Read, aged: &Aged) -> Result<Vec<u16>, NoNode> {
        let draws = (0..64u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut all = draws
            .map(|random| select(view, read, aged, random).map(|node| node.0))
            .collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    #[test]
    fn lag_in_time() {
        let view = view((0..9).map(|_| replica(2900, true)).collect());
        let at_most = |secs, preference| {
            let read = Read {
                max_lag_time: Some(Duration::from_secs(secs)),
                ..read(preference)
            };
            chosen_of(&view, read, &Aged(vec![]))
        };
        assert_eq!(at_most(2, ReadPreference::Replica), Ok(vec![1, 2]));
        assert_eq!(at_most(0, ReadPreference::Replica), Err(NoNode::Behind));
        assert_eq!(at_most(0, ReadPreference::PreferReplica), Ok(vec![0]));
        assert_eq!(
            at_most(100, ReadPreference::Replica),
            Ok((1..9).collect()),
            "an age that is not known is not a small one"
        );
    }

    #[test]
    fn avoided_nodes_are_the_last_resort() {
        use ReadPreference::{Nearest, PreferReplica, Primary, Replica};
        let view = view(vec![replica(2900, true), replica(2900, true)]);
        let of = |preference, avoided: &[u16]| {
            chosen_of(&view, read(preference), &Aged(avoided.to_vec())).unwrap()
        };
        assert_eq!(of(Replica, &[1]), [2]);
        assert_eq!(of(PreferReplica, &[1]), [2]);
        assert_eq!(of(PreferReplica, &[1, 2]), [0], "the primary comes first");
        assert_eq!(of(PreferReplica, &[0, 1, 2]), [1, 2]);
        assert_eq!(of(Replica, &[1, 2]), [1, 2], "there is nothing else");
        assert_eq!(of(Nearest, &[0, 1]), [2]);
        assert_eq!(of(Primary, &[0]), [0]);
    }
}
