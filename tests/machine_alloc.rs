//! An event that tells the topology machine nothing new allocates nothing.

use std::time::Duration;

use pgshard::id::NodeIndex;
use pgshard::topology::{Event, ShardState};

#[path = "support/counting.rs"]
mod counting;
#[path = "support/steady.rs"]
mod steady;

use counting::allocations;
use steady::Steady;

#[test]
fn a_steady_event_does_not_allocate() {
    let Steady {
        mut machine,
        facts,
        epoch,
    } = Steady::new(3);
    assert!(matches!(machine.view().state, ShardState::Steady { .. }));
    let mut now = Duration::from_secs(10);
    for (node, facts) in facts.iter().enumerate() {
        let node = NodeIndex(node as u16);
        for round in 0..3 {
            now += Duration::from_millis(300);
            // The answer is the shell's, and its history was read anew.
            let event = Event::Answered {
                node,
                asked_at: now,
                facts: facts.clone(),
            };
            let (count, actions) = allocations(|| machine.step(event, now));
            assert_eq!((count, actions.len()), (0, 0), "answer {round} of {node:?}");
        }
    }
    for _ in 0..3 {
        now += Duration::from_millis(100);
        let proved = Event::Proved {
            node: NodeIndex(0),
            asked_at: now,
            epoch,
        };
        for event in [Event::Tick, proved] {
            let (count, actions) = allocations(|| machine.step(event, now));
            assert_eq!((count, actions.len()), (0, 0));
        }
    }
    // With a position that moved there is a new view, and no more than that: the view, its nodes,
    // and the list of actions.
    let mut moved = facts[0].clone();
    moved.lsn.0 += 1;
    now += Duration::from_millis(100);
    let event = Event::Answered {
        node: NodeIndex(0),
        asked_at: now,
        facts: moved,
    };
    let (count, actions) = allocations(|| machine.step(event, now));
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert!(count <= 3, "{count}");
}
