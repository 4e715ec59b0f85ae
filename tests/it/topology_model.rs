//! Several clients, each with the machine as it is, beside a shard of three nodes that are killed,
//! frozen and promoted at any time: all orders of their probes and adoptions up to a bound, by a model
//! checker (stateright).
//!
//! What is promised, and checked in every state that can be reached:
//!
//! - one client never sees two primaries: while it lends a node, no other node counts as primary;
//! - what it lends is the newest reign that it has heard of from any node, and once it has lent a
//!   reign, it never lends an ancestor of that again;
//! - whatever is lent was let in: a reign that some node holds, on the timeline that it was written
//!   for; and two clients that lend one node on one timeline lend one reign, since a reign's parent is
//!   unique;
//! - two clients may disagree only while one of them has not heard of the other's reign: if both
//!   lend different nodes, one of the two has never had an answer of the node that the other lends in
//!   its present reign;
//! - while a client has heard which node holds the failover manager's lock, it lends no other, unless that
//!   one is of no use;
//! - a client that has heard of a reign that an operator chose lends no reign that has parted from it, and
//!   never a node of which it knows that an operator fenced it;
//! - each change of the view is published, so that no waiter sleeps through it;
//! - from everywhere, if from now on every node is left alone and one is fit to be primary, every
//!   client that is let run lends it within a few probes.

mod world;

use std::collections::BTreeMap;

use pgshard::topology::{NodeState, ShardState};
use stateright::{Checker, HasDiscoveries, Model, Property};

use world::{CLIENTS, Client, Life, NODES, Server, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A client asks a node and hears the answer, or the want of one.
    Probe(usize, usize),
    /// A client writes the reign that its machine asked for.
    Adopt(usize),
    /// The same, and the answer is lost.
    AdoptUnheard(usize),
    Kill(usize),
    Freeze(usize),
    Thaw(usize),
    Promote(usize),
    /// The failover manager's lock passes to a node.
    Lock(usize),
    /// A client asks a node's failover manager about the lock.
    Ask(usize, usize),
    /// Operators' acts, stored on the servers that take writes.
    Name(usize),
    Fence(usize),
    /// A standby receives what the node that it may follow holds.
    Replicate(usize),
    /// Time passes.
    Wait,
}

struct Shard {
    horizon: u64,
    failures: u8,
    promotions: u8,
    /// How often the lock is taken; never, where there is no failover manager.
    passes: u8,
    /// How many acts of operators there are.
    acts: u8,
}

impl Model for Shard {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let server = |writable| Server {
            life: Life::Up,
            writable,
            timeline: 1,
            reigns: vec![(1, 1)],
            act: None,
        };
        let mut world = World {
            servers: [server(true), server(false), server(false)],
            clients: std::array::from_fn(|_| Client::new()),
            parents: BTreeMap::from([(1, (None, 1))]),
            now: 0,
            failures: 0,
            promotions: 0,
            holder: None,
            passes: 0,
            acts: 0,
            print: 0,
        };
        // The second client starts with the shard as it is then.
        for node in 0..NODES {
            world.probe(0, node);
        }
        let mut starts = vec![world.clone().sealed()];
        for node in 0..NODES {
            world.probe(1, node);
        }
        starts.push(world.clone().sealed());
        // The primary is silent already, and both know, or one of them.
        for (life, clients) in [(Life::Dead, 2), (Life::Frozen, 2), (Life::Frozen, 1)] {
            let mut world = world.clone();
            world.servers[0].life = life;
            world.failures = 1;
            (0..clients).for_each(|client| world.probe(client, 0));
            world.wait();
            starts.push(world.clone().sealed());
            // One of them has adopted another node.
            world.servers[1].writable = true;
            world.servers[1].timeline += 1;
            world.promotions = 1;
            world.probe(0, 1);
            world.adopt(0, true);
            world.probe(0, 1);
            starts.push(world.sealed());
        }
        starts
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for client in 0..CLIENTS {
            steps.extend((0..NODES).map(|node| Step::Probe(client, node)));
            if world.clients[client].order.is_some() {
                steps.extend([Step::Adopt(client), Step::AdoptUnheard(client)]);
            }
        }
        for (at, server) in world.servers.iter().enumerate() {
            let may_fail = world.failures < self.failures && server.life == Life::Up;
            if may_fail && server.writable {
                steps.extend([Step::Kill(at), Step::Freeze(at)]);
            }
            if server.life == Life::Frozen {
                steps.push(Step::Thaw(at));
            }
            if world.promotions < self.promotions && server.life == Life::Up && !server.writable {
                steps.push(Step::Promote(at));
            }
            if world.passes < self.passes && world.holder != Some(at) && server.life == Life::Up {
                steps.push(Step::Lock(at));
            }
            if world.passes > 0 {
                steps.extend((0..CLIENTS).map(|client| Step::Ask(client, at)));
            }
            if world.acts < self.acts && server.life == Life::Up && server.writable {
                steps.extend([Step::Name(at), Step::Fence(at)]);
            }
            if (0..NODES).any(|source| world.follows(at, source)) {
                steps.push(Step::Replicate(at));
            }
        }
        if world.now < self.horizon {
            steps.push(Step::Wait);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Probe(client, node) => next.probe(client, node),
            Step::Adopt(client) => next.adopt(client, true),
            Step::AdoptUnheard(client) => next.adopt(client, false),
            Step::Kill(node) => {
                next.servers[node].life = Life::Dead;
                next.failures += 1;
            }
            Step::Freeze(node) => {
                next.servers[node].life = Life::Frozen;
                next.failures += 1;
            }
            Step::Thaw(node) => next.servers[node].life = Life::Up,
            Step::Promote(node) => {
                next.servers[node].writable = true;
                next.servers[node].timeline += 1;
                next.promotions += 1;
            }
            Step::Lock(node) => {
                next.holder = Some(node);
                next.passes += 1;
            }
            Step::Ask(client, node) => next.ask_lock(client, node),
            Step::Name(node) => next.name_primary(node),
            Step::Fence(node) => next.fence_node(node),
            Step::Replicate(node) => next.replicate(node),
            Step::Wait => next.wait(),
        }
        let next = next.sealed();
        (next.print != world.print).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("one primary a client", |_, world| {
                world.clients.iter().all(|client| {
                    let view = client.machine.view();
                    view.primary.is_none_or(|(lent, _)| {
                        view.nodes.iter().enumerate().all(|(at, node)| {
                            at == lent.index() || !matches!(node.state, NodeState::Primary { .. })
                        })
                    })
                })
            }),
            Property::<Self>::always("the newest reign that was heard of", |_, world| {
                world.clients.iter().all(|client| {
                    let Some((_, epoch)) = client.machine.view().primary else {
                        return true;
                    };
                    let lent = epoch.reign.0.as_u128();
                    let mut heard = client.heard.iter().flatten();
                    heard.all(|reign| world.parents[reign].0 != Some(lent))
                })
            }),
            Property::<Self>::always("no way back", |_, world| {
                world.clients.iter().all(|client| !client.went_back)
            }),
            Property::<Self>::always("what is lent was let in", |_, world| {
                (0..CLIENTS).all(|client| {
                    world.lent(client).is_none_or(|(node, reign)| {
                        let server = &world.servers[node];
                        server.reigns.iter().any(|(held, _)| *held == reign)
                    })
                })
            }),
            Property::<Self>::always("one node, one timeline, one reign", |_, world| {
                let (Some(one), Some(other)) = (world.lent(0), world.lent(1)) else {
                    return true;
                };
                let timeline = |reign| world.parents[&reign].1;
                // An operator begins a reign on the timeline that is, after the one before.
                let begun = world.comes_from(one.1, other.1) || world.comes_from(other.1, one.1);
                one.0 != other.0
                    || timeline(one.1) != timeline(other.1)
                    || one.1 == other.1
                    || world.acts > 0 && begun
            }),
            Property::<Self>::always("who disagrees has not heard", |_, world| {
                let (Some(one), Some(other)) = (world.lent(0), world.lent(1)) else {
                    return true;
                };
                one.0 == other.0
                    || !world.clients[0].heard[other.0].contains(&other.1)
                    || !world.clients[1].heard[one.0].contains(&one.1)
            }),
            Property::<Self>::always("who holds the lock is lent", |_, world| {
                (0..CLIENTS).all(|client| {
                    let (Some((lent, _)), Some(holder)) =
                        (world.lent(client), world.told_holder(client))
                    else {
                        return true;
                    };
                    let known = &world.clients[client].machine.view().nodes[holder];
                    let of_use = matches!(
                        known.state,
                        NodeState::Primary { .. } | NodeState::Standby { .. }
                    );
                    lent == holder || !of_use || known.failure.is_some() || world.acts > 0
                })
            }),
            Property::<Self>::always("what an operator chose is kept to", |_, world| {
                (0..CLIENTS).all(|client| {
                    let Some((_, lent)) = world.lent(client) else {
                        return true;
                    };
                    let known = &world.clients[client];
                    let last = known
                        .acts
                        .iter()
                        .flatten()
                        .filter_map(|act| act.chosen)
                        .max();
                    last.is_none_or(|chosen| {
                        let heard = known.heard.iter().any(|reigns| reigns.contains(&chosen));
                        !heard || world.comes_from(lent, chosen)
                    })
                })
            }),
            Property::<Self>::always("a fenced node is not lent", |_, world| {
                (0..CLIENTS).all(|client| {
                    world.lent(client).is_none_or(|(lent, _)| {
                        let view = world.clients[client].machine.view();
                        let told = view.nodes[lent].fenced;
                        // A server whose reign has ended is not believed.
                        let heard = world.clients[client].acts[lent];
                        !told && heard.and_then(|act| act.fenced) != Some(lent)
                    })
                })
            }),
            Property::<Self>::always("every change is published", |_, world| {
                world.clients.iter().all(|client| !client.missed)
            }),
            // It takes long to find out, and neighbours are alike.
            Property::<Self>::always("it gets there", |_, world| {
                !world.print.is_multiple_of(8) || world.gets_there()
            }),
            // That the bound lets things happen.
            Property::<Self>::sometimes("a failover", |_, world| {
                (0..CLIENTS).all(|client| world.lent(client).is_some_and(|lent| lent.0 != 0))
            }),
            Property::<Self>::sometimes(
                "two clients disagree",
                |_, world| matches!((world.lent(0), world.lent(1)), (Some(a), Some(b)) if a != b),
            ),
            Property::<Self>::sometimes("contested", |_, world| {
                world.clients.iter().any(|client| {
                    matches!(client.machine.view().state, ShardState::Contested { .. })
                })
            }),
            // It lends a node beside another that takes writes too.
            Property::<Self>::sometimes("the lock decides", |_, world| {
                let writable = |server: &&Server| server.life == Life::Up && server.writable;
                world.servers.iter().filter(writable).count() > 1
                    && (0..CLIENTS).any(|client| {
                        let lent = world.lent(client).map(|(node, _)| node);
                        lent.is_some() && lent != Some(0) && lent == world.told_holder(client)
                    })
            }),
            Property::<Self>::sometimes("an operator decides", |_, world| {
                (0..CLIENTS).any(|client| {
                    world.lent(client).is_some_and(|(_, reign)| {
                        let acts = world.servers.iter().filter_map(|server| server.act);
                        acts.filter_map(|act| act.chosen)
                            .any(|chosen| chosen == reign)
                    })
                })
            }),
            Property::<Self>::sometimes("superseded", |_, world| {
                world.clients.iter().any(|client| {
                    let mut nodes = client.machine.view().nodes.iter();
                    nodes.any(|node| matches!(node.state, NodeState::Superseded { .. }))
                })
            }),
        ]
    }
}

/// Looks at so many states, and says which of the properties that must be reachable were not.
fn check(model: Shard, states: usize) -> Vec<&'static str> {
    let began = std::time::Instant::now();
    let near = model
        .checker()
        .threads(2)
        .target_state_count(states)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{} states ({} generated), {} steps deep, {:?}",
        near.unique_state_count(),
        near.state_count(),
        near.max_depth(),
        began.elapsed()
    );
    let found = near.discoveries();
    let mut unreached = Vec::new();
    for property in near.model().properties() {
        let sometimes = matches!(property.expectation, stateright::Expectation::Sometimes);
        match found.get(property.name) {
            Some(path) if !sometimes => {
                panic!("{}: {:#?}", property.name, path.clone().into_actions())
            }
            None if sometimes => unreached.push(property.name),
            _ => {}
        }
    }
    unreached
}

#[test]
fn several_clients_and_nodes() {
    let model = Shard {
        horizon: 4,
        failures: 1,
        promotions: 2,
        passes: 0,
        acts: 0,
    };
    let unreached = check(model, 20_000);
    assert_eq!(unreached, ["the lock decides", "an operator decides"]);
}

#[test]
fn with_a_lock() {
    let model = Shard {
        horizon: 3,
        failures: 1,
        promotions: 2,
        passes: 2,
        acts: 0,
    };
    let unreached = check(model, 6_000);
    assert!(!unreached.contains(&"the lock decides"), "{unreached:?}");
}

#[test]
fn with_operators() {
    let model = Shard {
        horizon: 3,
        failures: 1,
        promotions: 2,
        passes: 0,
        acts: 2,
    };
    let unreached = check(model, 6_000);
    assert!(!unreached.contains(&"an operator decides"), "{unreached:?}");
}
