//! The topology machine under random orders of events: what may never happen, and that it always
//! gets somewhere.

use std::time::Duration;

use pgshard::id::{ClusterId, Lsn, MapVersion, NodeIndex, ReignId, ShardId, SystemId, Timeline};
use pgshard::topology::{
    Action, Event, FailureKind, Hint, Identity, Machine, NodeFacts, NodeState, OperatorAct,
    ProbeFailure, Reign, ReignHistory, Relation, Settings, ShardState,
};
use proptest::prelude::*;
use uuid::Uuid;

const NODES: u16 = 3;

/// A small tree of reigns: (number, parent, timeline). 2 and 3 fork from 1; 4 follows 2, 5 follows 3.
const TREE: [(u128, Option<u128>, u32); 5] = [
    (1, None, 1),
    (2, Some(1), 2),
    (3, Some(1), 2),
    (4, Some(2), 3),
    (5, Some(3), 3),
];

fn id(number: u128) -> ReignId {
    ReignId(Uuid::from_u128(number))
}

fn history(newest: u128) -> ReignHistory {
    let mut rows = Vec::new();
    let mut next = Some(newest);
    while let Some(number) = next {
        let (_, parent, timeline) = TREE[number as usize - 1];
        rows.push(Reign {
            id: id(number),
            parent: parent.map(id),
            timeline: Timeline(timeline),
            start: Lsn(0x1000 * number as u64),
        });
        next = parent;
    }
    ReignHistory::new(rows).unwrap()
}

fn facts(
    writable: bool,
    history: ReignHistory,
    promoted: bool,
    system: u64,
    lsn: u64,
) -> NodeFacts {
    NodeFacts {
        system: SystemId(system),
        identity: Identity {
            cluster: ClusterId::new("bank").unwrap(),
            shard: ShardId::new("s0").unwrap(),
            map_version: MapVersion(1),
        },
        in_recovery: !writable,
        timeline: Timeline(history.newest().timeline.0 + u32::from(promoted)),
        lsn: Lsn(lsn),
        recovered_to: None,
        received: None,
        streaming: None,
        history,
        orders: None,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Answer {
        node: u16,
        writable: bool,
        newest: u128,
        promoted: bool,
        foreign: bool,
        lsn: u64,
    },
    Fail(u16, FailureKind),
    Hint(u16, Hint, bool),
    /// A failover manager says whether the node holds its lock.
    Lease(u16, bool),
    /// The shell answers the last adoption that was asked for.
    Adopt(bool),
    Acknowledge(u128, u64),
    Operator(OperatorAct),
    Tick,
}

fn kinds() -> impl Strategy<Value = FailureKind> {
    prop::sample::select(vec![
        FailureKind::Timeout,
        FailureKind::Refused,
        FailureKind::Refused,
        FailureKind::Starting,
        FailureKind::Auth,
        FailureKind::TooManyConnections,
        FailureKind::NotInstalled,
        FailureKind::WrongDatabase,
        FailureKind::Other,
    ])
}

fn hints() -> impl Strategy<Value = Hint> {
    prop::sample::select(vec![
        Hint::ReadOnly,
        Hint::Terminated,
        Hint::ConnectionLost,
        Hint::Refused,
        Hint::TimedOut,
        Hint::RoleChanged {
            in_hot_standby: true,
        },
        Hint::WrongReign,
        Hint::WrongIdentity,
    ])
}

fn steps() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        6 => (node.clone(), any::<bool>(), 1..=5u128, prop::bool::weighted(0.3),
              prop::bool::weighted(0.15), 0x1000..0x9000u64)
            .prop_map(|(node, writable, newest, promoted, foreign, lsn)| Step::Answer {
                // A server of another identity comes up at one address only.
                node, writable, newest, promoted, foreign: foreign && node == 2, lsn
            }),
        4 => (node.clone(), kinds()).prop_map(|(node, kind)| Step::Fail(node, kind)),
        2 => (node.clone(), hints(), any::<bool>()).prop_map(|(node, hint, old)| Step::Hint(node, hint, old)),
        2 => (node, any::<bool>()).prop_map(|(node, held)| Step::Lease(node, held)),
        2 => any::<bool>().prop_map(Step::Adopt),
        1 => (1..=5u128, 0x1000..0x9000u64).prop_map(|(reign, lsn)| Step::Acknowledge(reign, lsn)),
        1 => Just(Step::Tick),
    ]
}

/// Between two events; now and then the clock jumps, as after a machine was suspended.
fn pauses() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 0..900u64, 1 => 60_000..100_000_000u64]
}

fn acts() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..NODES).prop_map(|node| OperatorAct::NamePrimary(NodeIndex(node))),
        Just(OperatorAct::AcceptWritesLost),
        Just(OperatorAct::Fence),
        Just(OperatorAct::Unfence),
        (1..=2u64).prop_map(|system| OperatorAct::AdoptIdentity {
            system: SystemId(system)
        }),
    ]
    .prop_map(Step::Operator)
}

/// What the test itself knows of a node.
#[derive(Clone)]
struct Known {
    /// The last complete answer of a server of system 1.
    last: Option<NodeFacts>,
    heard: Duration,
    misses: u32,
}

struct World {
    machine: Machine,
    now: Duration,
    known: Vec<Known>,
    /// The last adoption asked for.
    adopt: Option<(NodeIndex, ReignId, Lsn)>,
    adopted: u128,
    actions: Vec<Action>,
    /// Whether every node was heard of once.
    settled: bool,
}

impl World {
    fn new(strict: bool) -> Self {
        let settings = Settings {
            strict,
            ..Settings::default()
        };
        World {
            machine: Machine::new(
                settings,
                ClusterId::new("bank").unwrap(),
                ShardId::new("s0").unwrap(),
                usize::from(NODES),
                Duration::ZERO,
            ),
            now: Duration::ZERO,
            known: vec![
                Known {
                    last: None,
                    heard: Duration::ZERO,
                    misses: 0
                };
                usize::from(NODES)
            ],
            adopt: None,
            adopted: 100,
            actions: Vec::new(),
            settled: false,
        }
    }

    fn event(&mut self, event: Event) {
        self.actions = self.machine.step(event, self.now);
        self.settled |= self.machine.view().history.is_some();
        for action in &self.actions {
            if let Action::Adopt {
                node,
                parent,
                start,
            } = action
            {
                self.adopt = Some((*node, *parent, *start));
            }
        }
    }

    fn answer(&mut self, node: u16, facts: NodeFacts) {
        let known = &mut self.known[usize::from(node)];
        if facts.system == SystemId(1) {
            *known = Known {
                last: Some(facts.clone()),
                heard: self.now,
                misses: 0,
            };
        } else {
            known.misses += 1;
        }
        self.event(Event::Answered {
            node: NodeIndex(node),
            asked_at: self.now,
            facts,
        });
    }

    fn play(&mut self, step: &Step) {
        self.actions.clear();
        match step {
            // Before every node was heard of, which identity is the right one is not decided.
            Step::Answer { foreign: true, .. } if !self.settled => {}
            Step::Answer {
                node,
                writable,
                newest,
                promoted,
                foreign,
                lsn,
            } => {
                let facts = facts(
                    *writable,
                    history(*newest),
                    *promoted,
                    1 + u64::from(*foreign),
                    *lsn,
                );
                self.answer(*node, facts);
            }
            Step::Fail(node, kind) => {
                let known = &mut self.known[usize::from(*node)];
                if kind.lives() {
                    known.heard = self.now;
                    known.misses = 0;
                } else {
                    known.misses += 1;
                }
                self.event(Event::Failed {
                    node: NodeIndex(*node),
                    asked_at: self.now,
                    failure: ProbeFailure::new(*kind, ""),
                });
            }
            Step::Hint(node, hint, old) => {
                let generation = self.machine.view().nodes[usize::from(*node)].generation;
                self.event(Event::Hint {
                    node: NodeIndex(*node),
                    generation: generation - u64::from(*old),
                    hint: *hint,
                });
            }
            Step::Lease(node, held) => {
                let (node, seen) = (NodeIndex(*node), self.now);
                self.event(match held {
                    true => Event::Leased {
                        node,
                        seen,
                        until: seen + Duration::from_secs(5),
                    },
                    false => Event::Unleased { node, seen },
                });
            }
            Step::Adopt(works) => self.finish_adoption(*works),
            Step::Acknowledge(reign, lsn) => {
                self.machine.acknowledged(id(*reign), Lsn(*lsn), self.now);
                self.event(Event::Tick);
            }
            Step::Operator(act) => self.event(Event::Operator(*act)),
            Step::Tick => self.event(Event::Tick),
        }
    }

    fn finish_adoption(&mut self, works: bool) {
        let Some((node, parent, start)) = self.adopt.take() else {
            return;
        };
        let Some(last) = &mut self.known[node.index()].last else {
            return;
        };
        if !works || last.in_recovery || last.history.newest().id != parent {
            let failure = ProbeFailure::new(FailureKind::Timeout, "");
            return self.event(Event::AdoptionFailed { node, failure });
        }
        self.adopted += 1;
        let mut rows = last.history.reigns().to_vec();
        rows.push(Reign {
            id: id(self.adopted),
            parent: Some(parent),
            timeline: last.timeline,
            start,
        });
        last.history = ReignHistory::new(rows).unwrap();
        let history = last.history.clone();
        self.event(Event::Adopted { node, history });
    }

    fn absent(&self, node: usize) -> bool {
        let known = &self.known[node];
        known.misses >= 3 && self.now - known.heard >= Duration::from_secs(2)
    }

    /// The nodes beside this one that may be taking writes in a reign that has not ended for it. The
    /// lock decides among nodes of one reign.
    fn rivals(&self, node: NodeIndex) -> Vec<usize> {
        let Some(lent) = &self.known[node.index()].last else {
            return vec![];
        };
        let leased = self.machine.view().nodes[node.index()].leased;
        (0..usize::from(NODES))
            .filter(|other| *other != node.index() && !self.absent(*other))
            .filter(|other| {
                self.known[*other].last.as_ref().is_some_and(|facts| {
                    let relation = facts.history.relation(&lent.history);
                    let settled = leased && relation == Relation::Equal;
                    !(facts.in_recovery || settled) && relation != Relation::Ancestor
                })
            })
            .collect()
    }
}

fn check_always(world: &World, generations: &mut [u64]) -> Result<(), TestCaseError> {
    let view = world.machine.view();
    prop_assert_eq!(
        view.primary.is_some(),
        matches!(view.state, ShardState::Steady { .. })
    );
    for (at, node) in view.nodes.iter().enumerate() {
        prop_assert!(node.generation >= generations[at], "a generation went back");
        let cleared = world
            .actions
            .iter()
            .any(|action| matches!(action, Action::Clear { node, .. } if node.index() == at));
        prop_assert_eq!(node.generation - generations[at], u64::from(cleared));
        generations[at] = node.generation;
        if node.leased
            && let Some((lent, _)) = view.primary
        {
            prop_assert_eq!(lent.index(), at, "another node holds the lock");
        }
        if node.readable {
            let usable = matches!(
                node.state,
                NodeState::Primary { .. } | NodeState::Standby { .. }
            );
            prop_assert!(usable, "readable: {}", node.state);
            let newest = view.history.as_ref().map(|history| history.newest().id);
            prop_assert_eq!(node.history.as_ref().map(|h| h.newest().id), newest);
        }
    }
    prop_assert!(world.actions.len() < 32);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_global_rejects: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Without an operator, what is lent and what is adopted has no rival.
    #[test]
    fn no_rival_of_what_is_lent(
        strict in any::<bool>(),
        steps in prop::collection::vec((steps(), pauses()), 1..80),
    ) {
        let mut world = World::new(strict);
        let mut generations = vec![1; usize::from(NODES)];
        for (step, pause) in &steps {
            world.now += Duration::from_millis(*pause);
            world.play(step);
            check_always(&world, &mut generations)?;
            let view = world.machine.view().clone();
            if let Some((node, epoch)) = view.primary {
                if epoch.system != SystemId(1) {
                    // The others were gone from the start, so it is the shard.
                    return Ok(());
                }
                let last = world.known[node.index()].last.as_ref();
                prop_assert!(last.is_some_and(|facts| !facts.in_recovery
                    && facts.system == epoch.system
                    && facts.history.newest().id == epoch.reign
                    && facts.history.newest().timeline == facts.timeline));
                prop_assert!(
                    matches!(view.nodes[node.index()].state, NodeState::Primary { .. }),
                    "lent: {}", view.nodes[node.index()].state
                );
                prop_assert!(!world.absent(node.index()));
                prop_assert_eq!(world.rivals(node), Vec::<usize>::new(), "after {:?}", step);
            }
            for action in &world.actions {
                if let Action::Adopt { node, .. } = action {
                    prop_assert_eq!(world.rivals(*node), Vec::<usize>::new(), "adopting");
                }
            }
        }
    }

    /// With an operator who decides anything at any time, the bookkeeping still holds, and a
    /// foreign or diverged node is never lent.
    #[test]
    fn operators_cannot_make_it_lend_nonsense(
        steps in prop::collection::vec((prop_oneof![6 => steps(), 1 => acts()], pauses()), 1..80),
    ) {
        let mut world = World::new(true);
        let mut generations = vec![1; usize::from(NODES)];
        for (step, pause) in &steps {
            world.now += Duration::from_millis(*pause);
            world.play(step);
            check_always(&world, &mut generations)?;
            let view = world.machine.view().clone();
            if let Some((node, _)) = view.primary {
                prop_assert!(
                    matches!(view.nodes[node.index()].state, NodeState::Primary { .. }),
                    "lent: {}", view.nodes[node.index()].state
                );
            }
        }
    }

    /// A hint of an old generation changes nothing that time alone would not change.
    #[test]
    fn old_hints_are_ignored(
        steps in prop::collection::vec((steps(), pauses()), 1..40),
        node in 0..NODES,
        hint in hints(),
    ) {
        let mut world = World::new(false);
        for (step, pause) in &steps {
            world.now += Duration::from_millis(*pause);
            world.play(step);
        }
        let generation = world.machine.view().nodes[usize::from(node)].generation - 1;
        let mut other = world.machine.clone();
        let with = world.machine.step(
            Event::Hint { node: NodeIndex(node), generation, hint },
            world.now,
        );
        prop_assert_eq!(with, other.step(Event::Tick, world.now));
        prop_assert_eq!(world.machine.view(), other.view());
    }

    /// An answer that was overtaken changes nothing that time alone would not change: delayed,
    /// reordered or told twice.
    #[test]
    fn overtaken_answers_are_ignored(
        steps in prop::collection::vec((steps(), pauses()), 1..40),
        node in 0..NODES,
        late in prop_oneof![
            (any::<bool>(), 1..=5u128, any::<bool>(), 0x1000..0x9000u64)
                .prop_map(|(writable, newest, promoted, lsn)| Ok((writable, newest, promoted, lsn))),
            kinds().prop_map(Err),
        ],
        behind in 1..100_000_000u64,
    ) {
        let mut world = World::new(false);
        for (step, pause) in &steps {
            world.now += Duration::from_millis(*pause);
            world.play(step);
        }
        // Something newer was heard of the node.
        world.now += Duration::from_millis(1);
        world.play(&Step::Fail(node, FailureKind::Timeout));
        let asked_at = world.now.saturating_sub(Duration::from_nanos(behind));
        let node = NodeIndex(node);
        let late = match late {
            Ok((writable, newest, promoted, lsn)) => Event::Answered {
                node,
                asked_at,
                facts: facts(writable, history(newest), promoted, 1, lsn),
            },
            Err(kind) => Event::Failed { node, asked_at, failure: ProbeFailure::new(kind, "") },
        };
        let mut other = world.machine.clone();
        let with = world.machine.step(late, world.now);
        prop_assert_eq!(with, other.step(Event::Tick, world.now));
        prop_assert_eq!(world.machine.view(), other.view());
    }

    /// A clock that goes back stands still.
    #[test]
    fn a_clock_that_goes_back_stands_still(
        steps in prop::collection::vec((steps(), pauses()), 1..40),
        back in 1..100_000_000u64,
        node in 0..NODES,
    ) {
        let mut world = World::new(false);
        for (step, pause) in &steps {
            world.now += Duration::from_millis(*pause);
            world.play(step);
        }
        world.play(&Step::Tick);
        let event = Event::Answered {
            node: NodeIndex(node),
            asked_at: world.now,
            facts: facts(true, history(1), false, 1, 0x9000),
        };
        let mut other = world.machine.clone();
        let earlier = world.now.saturating_sub(Duration::from_millis(back));
        let with = world.machine.step(event.clone(), earlier);
        prop_assert_eq!(with, other.step(event, world.now));
        prop_assert_eq!(world.machine.view(), other.view());
    }

    /// Whatever happened: once one eligible node answers as writable and all others as standbys,
    /// the shard is steady within a few steps.
    #[test]
    fn it_gets_somewhere(
        steps in prop::collection::vec((steps(), pauses()), 0..60),
        primary in 0..NODES,
        promoted in any::<bool>(),
    ) {
        let mut world = World::new(false);
        for (step, pause) in &steps {
            world.now += Duration::from_millis(*pause);
            // That other branches and identities are not followed is shown elsewhere.
            match step {
                Step::Answer { foreign: true, .. } | Step::Answer { newest: 3 | 5, .. } => {}
                step => world.play(step),
            }
        }
        world.adopt = None;
        // A pending adoption is repeated after five seconds at the latest.
        world.now += Duration::from_secs(6);
        // What was ever seen stays known, so the nodes have to agree on the newest of it.
        let seen: Vec<ReignHistory> = world.known.iter()
            .filter_map(|known| known.last.as_ref())
            .map(|facts| facts.history.clone())
            .chain(world.machine.view().history.clone())
            .collect();
        let common = seen.iter().max_by_key(|history| history.reigns().len())
            .cloned().unwrap_or_else(|| history(1));
        prop_assume!(seen.iter().all(|other| common.relation(other) != Relation::Forked));
        for _ in 0..3 {
            world.now += Duration::from_millis(100);
            for node in 0..NODES {
                let own = world.known[usize::from(node)].last.as_ref()
                    .filter(|facts| node == primary && facts.history.contains(common.newest().id))
                    .map_or(common.clone(), |facts| facts.history.clone());
                // Once adopted, the promoted node is on the timeline of its reign.
                let promoted = promoted && own == common;
                let facts = facts(node == primary, own, promoted, 1, 0x9000);
                world.answer(node, facts);
                if world.adopt.is_some_and(|(node, ..)| node.0 == primary) {
                    world.finish_adoption(true);
                }
            }
        }
        let state = &world.machine.view().state;
        prop_assert!(
            matches!(state, ShardState::Steady { primary: node, .. } if node.0 == primary),
            "{state:?}"
        );
    }
}
