//! The world of the model: servers as they are, clients with their machines, and what can happen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pgshard::id::{ClusterId, Lsn, MapVersion, NodeIndex, ReignId, ShardId, SystemId, Timeline};
use pgshard::topology::{
    Action, Event, FailureKind, Identity, Machine, NodeFacts, Orders, ProbeFailure, Reign,
    ReignHistory, Settings, ShardState,
};
use uuid::Uuid;

pub(super) const NODES: usize = 3;
pub(super) const CLIENTS: usize = 2;

/// A server, as the world has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) life: Life,
    pub(super) writable: bool,
    pub(super) timeline: u32,
    /// The reigns that it holds, oldest first: (number, timeline).
    pub(super) reigns: Vec<(u128, u32)>,
    /// The last act that it holds.
    pub(super) act: Option<Act>,
}

/// What operators' acts amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Act {
    number: u64,
    /// The reign that was begun, and chosen over all others.
    pub(super) chosen: Option<u128>,
    pub(super) fenced: Option<usize>,
}

/// For how long a word on the lock counts.
const LEASE: u64 = 2;

/// A claim to the lock that a client has heard of: when it began, was last confirmed, and ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) began: u64,
    pub(super) seen: u64,
    pub(super) until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Up,
    Frozen,
    Dead,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) machine: Machine,
    /// An adoption that was asked for.
    pub(super) order: Option<(usize, u128)>,
    /// The newest reign that was ever lent.
    pub(super) lent: Option<u128>,
    /// By node, the reigns of which it has had an answer.
    pub(super) heard: [Vec<u128>; NODES],
    /// By node, its claim to the lock.
    pub(super) claims: [Option<Claim>; NODES],
    /// By node, the last act that it has had an answer with.
    pub(super) acts: [Option<Act>; NODES],
    /// A change of the view that was not published.
    pub(super) missed: bool,
    /// It lent an ancestor of what it had lent before.
    pub(super) went_back: bool,
    /// Of all of the above; zero before it is known.
    print: u64,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) servers: [Server; NODES],
    pub(super) clients: [Client; CLIENTS],
    /// Every reign's parent and timeline.
    pub(super) parents: BTreeMap<u128, (Option<u128>, u32)>,
    pub(super) now: u64,
    pub(super) failures: u8,
    pub(super) promotions: u8,
    /// Who holds the failover manager's lock, and how often it was taken.
    pub(super) holder: Option<usize>,
    pub(super) passes: u8,
    pub(super) acts: u8,
    /// Of all of the above.
    pub(super) print: u64,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

fn id(number: u128) -> ReignId {
    ReignId(Uuid::from_u128(number))
}

fn facts(server: &Server) -> NodeFacts {
    let mut parent = None;
    let rows = server.reigns.iter().map(|(number, timeline)| Reign {
        id: id(*number),
        parent: parent.replace(id(*number)),
        timeline: Timeline(*timeline),
        start: Lsn(0x1000),
    });
    NodeFacts {
        system: SystemId(1),
        identity: Identity {
            cluster: ClusterId::new("bank").unwrap(),
            shard: ShardId::new("s0").unwrap(),
            map_version: MapVersion(1),
        },
        in_recovery: !server.writable,
        timeline: Timeline(server.timeline),
        lsn: Lsn(0x1000),
        recovered_to: server.writable.then_some(Lsn(0x1000)),
        received: None,
        streaming: None,
        history: ReignHistory::new(rows.collect()).unwrap(),
        orders: server.act.map(|act| {
            Arc::new(Orders {
                number: act.number,
                fenced: act
                    .fenced
                    .iter()
                    .map(|node| NodeIndex(*node as u16))
                    .collect(),
                chosen: act.chosen.map(id),
                ..Orders::default()
            })
        }),
    }
}

impl Client {
    pub(super) fn new() -> Self {
        let settings = Settings {
            // A wait is one second, and three probes are needed besides.
            down_after: Duration::from_secs(1),
            ..Settings::default()
        };
        let (cluster, shard) = (ClusterId::new("bank").unwrap(), ShardId::new("s0").unwrap());
        Client {
            machine: Machine::new(settings, cluster, shard, NODES, Duration::ZERO),
            order: None,
            lent: None,
            heard: Default::default(),
            claims: Default::default(),
            acts: Default::default(),
            missed: false,
            went_back: false,
            print: 0,
        }
    }

    /// Hashes all that it is, without a text in between: this is what takes the time.
    fn seal(&mut self) {
        if self.print == 0 {
            let mut print = Print(std::hash::DefaultHasher::new());
            let _ = write!(print, "{self:?}");
            self.print = print.0.finish().max(1);
        }
    }

    fn step(&mut self, event: Event, now: u64, parents: &BTreeMap<u128, (Option<u128>, u32)>) {
        let before = Arc::clone(self.machine.view());
        let actions = self.machine.step(event, Duration::from_secs(now));
        let mut published = false;
        for action in actions {
            match action {
                Action::Publish(view) => {
                    published = true;
                    self.missed |= !Arc::ptr_eq(&view, self.machine.view());
                }
                Action::Adopt { node, parent, .. } => {
                    self.order = Some((node.index(), parent.0.as_u128()));
                }
                _ => {}
            }
        }
        self.missed |= *before != **self.machine.view() && !published;
        if let Some((_, epoch)) = self.machine.view().primary {
            let reign = epoch.reign.0.as_u128();
            let mut ancestor = self.lent;
            while let Some(number) = ancestor {
                ancestor = parents.get(&number).and_then(|(parent, _)| *parent);
                self.went_back |= ancestor == Some(reign);
            }
            self.lent = Some(reign);
        }
        self.print = 0;
    }
}

/// Hashes a text as it is written.
struct Print(std::hash::DefaultHasher);

impl std::fmt::Write for Print {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl World {
    pub(super) fn sealed(mut self) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        self.servers.hash(&mut hasher);
        (self.now, self.failures, self.promotions).hash(&mut hasher);
        (self.holder, self.passes, self.acts).hash(&mut hasher);
        for client in &mut self.clients {
            client.seal();
            client.print.hash(&mut hasher);
        }
        self.print = hasher.finish();
        self
    }

    pub(super) fn probe(&mut self, client: usize, node: usize) {
        let server = &self.servers[node];
        let asked_at = Duration::from_secs(self.now);
        let index = NodeIndex(node as u16);
        let failed = |kind| Event::Failed {
            node: index,
            asked_at,
            failure: ProbeFailure::new(kind, ""),
        };
        // Whoever does not answer is asked thrice: so often it takes for a node to count as gone.
        let (event, times) = match server.life {
            Life::Up => {
                let facts = facts(server);
                let answered = Event::Answered {
                    node: index,
                    asked_at,
                    facts,
                };
                (answered, 1)
            }
            Life::Frozen => (failed(FailureKind::Timeout), 3),
            Life::Dead => (failed(FailureKind::Refused), 3),
        };
        if server.life == Life::Up {
            self.clients[client].acts[node] = server.act;
            for (reign, _) in &server.reigns {
                let heard = &mut self.clients[client].heard[node];
                if !heard.contains(reign) {
                    heard.push(*reign);
                }
            }
        }
        for _ in 0..times {
            self.clients[client].step(event.clone(), self.now, &self.parents);
        }
    }

    /// The insertion of a reign, whose parent is unique.
    pub(super) fn adopt(&mut self, client: usize, heard: bool) {
        let Some((node, parent)) = self.clients[client].order.take() else {
            return;
        };
        let index = NodeIndex(node as u16);
        let server = &mut self.servers[node];
        let failed = Event::AdoptionFailed {
            node: index,
            failure: ProbeFailure::new(FailureKind::Timeout, ""),
        };
        let mut event = failed.clone();
        if server.life == Life::Up && server.writable {
            if server
                .reigns
                .last()
                .is_some_and(|(newest, _)| *newest == parent)
            {
                let number = 10 * parent + 1 + client as u128 + 2 * node as u128;
                server.reigns.push((number, server.timeline));
                self.parents.insert(number, (Some(parent), server.timeline));
            }
            if heard {
                let history = facts(server).history;
                for (reign, _) in &server.reigns {
                    let known = &mut self.clients[client].heard[node];
                    if !known.contains(reign) {
                        known.push(*reign);
                    }
                }
                event = Event::Adopted {
                    node: index,
                    history,
                };
            }
        }
        self.clients[client].step(event, self.now, &self.parents);
    }

    /// A client asks a node's failover manager whether it holds the lock.
    pub(super) fn ask_lock(&mut self, client: usize, node: usize) {
        if self.servers[node].life != Life::Up {
            return;
        }
        let (index, now) = (NodeIndex(node as u16), self.now);
        let seen = Duration::from_secs(now);
        let known = &mut self.clients[client].claims[node];
        let event = if self.holder == Some(node) {
            let until = now + LEASE;
            let standing = known.filter(|claim| claim.until > now);
            *known = Some(Claim {
                began: standing.map_or(now, |claim| claim.began),
                seen: now,
                until,
            });
            Event::Leased {
                node: index,
                seen,
                until: Duration::from_secs(until),
            }
        } else {
            *known = None;
            Event::Unleased { node: index, seen }
        };
        self.clients[client].step(event, now, &self.parents);
    }

    /// Who holds the lock as far as a client can tell.
    pub(super) fn told_holder(&self, client: usize) -> Option<usize> {
        let claims = || {
            let claims = self.clients[client].claims.iter().enumerate();
            claims
                .filter_map(|(node, claim)| Some((node, (*claim)?)))
                .filter(|(_, claim)| claim.until > self.now)
        };
        let (node, last) = claims().max_by_key(|(_, claim)| claim.began)?;
        claims()
            .all(|(other, claim)| other == node || claim.seen < last.began)
            .then_some(node)
    }

    /// An operator's act, stored on every server that takes writes now. Its number is a later one than
    /// that of any act before, of those that are lost too.
    fn store(&mut self, chosen: Option<u128>, fenced: Option<usize>) {
        self.acts += 1;
        let held = |server: &&Server| server.life == Life::Up && server.writable;
        let last = self.servers.iter().filter(held).filter_map(|s| s.act);
        let last = last.max_by_key(|act| act.number);
        let act = Act {
            number: u64::from(self.acts),
            chosen: chosen.or(last.and_then(|last| last.chosen)),
            fenced: fenced.or(last.and_then(|last| last.fenced)),
        };
        let writers = self.servers.iter_mut();
        for server in writers.filter(|s| s.life == Life::Up && s.writable) {
            server.act = Some(act);
        }
    }

    /// An operator names a writable node the primary, which begins a reign there.
    pub(super) fn name_primary(&mut self, node: usize) {
        let server = &mut self.servers[node];
        let parent = server.reigns.last().map(|(reign, _)| *reign);
        let number = 1_000_000 * u128::from(self.acts + 1) + node as u128;
        server.reigns.push((number, server.timeline));
        self.parents.insert(number, (parent, server.timeline));
        self.store(Some(number), None);
    }

    pub(super) fn fence_node(&mut self, node: usize) {
        self.store(None, Some(node));
    }

    /// Whether a reign is another, or comes after it.
    pub(super) fn comes_from(&self, reign: u128, other: u128) -> bool {
        let mut at = Some(reign);
        while let Some(number) = at {
            if number == other {
                return true;
            }
            at = self.parents[&number].0;
        }
        false
    }

    /// Whether a standby may receive the log of this node: all that it has is part of it.
    pub(super) fn follows(&self, standby: usize, source: usize) -> bool {
        let (own, other) = (&self.servers[standby], &self.servers[source]);
        standby != source
            && own.life == Life::Up
            && other.life == Life::Up
            && !own.writable
            && other.writable
            && other.timeline >= own.timeline
            && other.reigns.starts_with(&own.reigns)
            && (other.timeline, &other.reigns, other.act) != (own.timeline, &own.reigns, own.act)
    }

    pub(super) fn replicate(&mut self, standby: usize) {
        let source = (0..NODES).find(|source| self.follows(standby, *source));
        if let Some(source) = source {
            let (timeline, reigns, act) = {
                let other = &self.servers[source];
                (other.timeline, other.reigns.clone(), other.act)
            };
            self.servers[standby].act = act;
            self.servers[standby].timeline = timeline;
            self.servers[standby].reigns = reigns;
        }
    }

    pub(super) fn wait(&mut self) {
        self.now += 1;
        for client in &mut self.clients {
            client.step(Event::Tick, self.now, &self.parents);
        }
    }

    /// The only node that can be primary if all is left as it is: the one that is up and writable,
    /// while no other one that is up was promoted from another branch, and no reign is lost.
    fn fit(&self) -> Option<usize> {
        let mut writable = (0..NODES)
            .filter(|node| self.servers[*node].life == Life::Up && self.servers[*node].writable);
        let only = writable.next()?;
        let fenced = |act: Option<Act>| act.and_then(|act| act.fenced).is_some();
        let heard = |client: &Client| client.acts.iter().any(|act| fenced(*act));
        if writable.next().is_some()
            || self.holder.is_some_and(|holder| holder != only)
            || self.servers.iter().any(|server| fenced(server.act))
            || self.clients.iter().any(heard)
        {
            return None;
        }
        // Whatever is known anywhere is part of its history.
        let reigns = &self.servers[only].reigns;
        let knows = |number: &u128| reigns.iter().any(|(reign, _)| reign == number);
        let seen = self
            .clients
            .iter()
            .flat_map(|client| client.heard.iter().flatten());
        let held = self
            .servers
            .iter()
            .flat_map(|server| server.reigns.iter().map(|(n, _)| n));
        seen.chain(held).all(knows).then_some(only)
    }

    /// Whether every client comes to lend that node when it is let run.
    pub(super) fn gets_there(&self) -> bool {
        let Some(fit) = self.fit() else {
            return true;
        };
        let mut world = self.clone();
        for _ in 0..4 {
            // An adoption that was not heard of is asked for again after five seconds.
            world.now += 2;
            for standby in 0..NODES {
                world.replicate(standby);
            }
            for client in 0..CLIENTS {
                for node in 0..NODES {
                    world.probe(client, node);
                }
                world.adopt(client, true);
                world.probe(client, fit);
            }
        }
        world.clients.iter().all(|client| {
            matches!(client.machine.view().state,
                ShardState::Steady { primary, .. } if primary.index() == fit)
        })
    }

    pub(super) fn lent(&self, client: usize) -> Option<(usize, u128)> {
        let (node, epoch) = self.clients[client].machine.view().primary?;
        Some((node.index(), epoch.reign.0.as_u128()))
    }
}
