//! A shard under Patroni: its members are listed, and each is asked about the lock.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeChange;
use crate::config::{Config, HttpUrl, NodeConfig, ShardConfig};
#[cfg(not(feature = "etcd"))]
use crate::error::Error;
use crate::error::Result;
use crate::id::{NodeId, NodeIndex, ShardId};
#[cfg(feature = "etcd")]
use crate::monitor::etcd::Etcd;
use crate::monitor::patroni::{Listing, Member, Patroni};
use crate::monitor::roster::{Change, FOUND, Roster};
use crate::topology::Event;

/// Lists on their way; a newer one makes an older one useless.
const LISTS: usize = 1;

/// The sources of one shard.
pub(in crate::monitor) struct Sources {
    shard: ShardId,
    patroni: Option<Arc<Patroni>>,
    lists: Option<mpsc::Receiver<Listing>>,
    roster: Roster,
    /// Names that nodes of the configuration have.
    taken: Vec<NodeId>,
    /// Names of the nodes that were found, by position.
    found: BTreeMap<u16, NodeId>,
    followers: BTreeMap<u16, Follower>,
    #[cfg(feature = "etcd")]
    leaders: watch::Sender<Directory>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The end of a task that asks one member.
struct Follower {
    name: String,
    url: watch::Sender<HttpUrl>,
    #[cfg(feature = "etcd")]
    wake: Arc<Notify>,
}

/// Which node a member's name means, and whom to wake when it is said to lead.
#[cfg(feature = "etcd")]
pub(in crate::monitor) type Directory = Vec<(String, NodeIndex, Option<Arc<Notify>>)>;

impl Sources {
    /// How many nodes may be found beyond the configured ones.
    pub(in crate::monitor) const ROOM: usize = FOUND;

    pub(in crate::monitor) fn check(config: &Config, shard: &ShardConfig) -> Result<()> {
        #[cfg(not(feature = "etcd"))]
        if config.etcd.is_some() && shard.patroni.is_some() {
            return Err(Error::config(
                "there is an [etcd], but pgshard was built without the feature `etcd`: enable it, or \
                 remove that section",
            ));
        }
        let _ = (config, shard);
        Ok(())
    }

    /// Starts to ask, on the present runtime.
    pub(in crate::monitor) fn start(
        config: &Config,
        shard: &ShardConfig,
        pace: watch::Receiver<Duration>,
        start: Instant,
        events: mpsc::Sender<Event>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let nodes = shard.nodes.iter();
        let nodes = nodes.map(|node| (node.id.to_string(), node.host.clone(), node.port));
        let mut sources = Sources {
            shard: shard.id,
            patroni: None,
            lists: None,
            roster: Roster::new(nodes),
            taken: Vec::new(),
            found: BTreeMap::new(),
            followers: BTreeMap::new(),
            #[cfg(feature = "etcd")]
            leaders: watch::Sender::new(
                (0..)
                    .map(NodeIndex)
                    .zip(&shard.nodes)
                    .map(|(index, node)| (node.id.to_string(), index, None))
                    .collect(),
            ),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let Some(patroni) = &shard.patroni else {
            return Ok(sources);
        };
        sources.taken = config.nodes().map(|(_, _, node)| node.id).collect();
        #[cfg(feature = "etcd")]
        if let Some(etcd) = &config.etcd {
            let leaders = sources.leaders.subscribe();
            let etcd = Etcd::new(
                config,
                etcd,
                shard.id,
                patroni,
                start,
                events.clone(),
                leaders,
            )?;
            sources.spawn(etcd.run());
        }
        let patroni = Arc::new(Patroni::new(config, shard, patroni, pace, start, events)?);
        let (sender, lists) = mpsc::channel(LISTS);
        sources.spawn(Arc::clone(&patroni).list(sender));
        sources.lists = Some(lists);
        sources.patroni = Some(patroni);
        Ok(sources)
    }

    /// What changed. It may be given up at any moment. `left` tells whether nothing is left of a node that
    /// is not listed any more.
    pub(in crate::monitor) async fn changed(
        &mut self,
        left: impl Fn(NodeIndex) -> bool,
    ) -> Vec<NodeChange> {
        let list = match &mut self.lists {
            Some(lists) => lists.recv().await,
            None => pending().await,
        };
        match list {
            Some(listing) => self.take(&listing, left),
            None => pending().await,
        }
    }

    /// The nodes from a position on, all of them just found, were not taken: they are found again with
    /// the next list.
    pub(in crate::monitor) fn not_found(&mut self, from: NodeIndex) {
        self.roster.forget(from);
        self.followers.retain(|node, _| *node < from.0);
        self.found.retain(|node, _| *node < from.0);
        #[cfg(feature = "etcd")]
        self.leaders
            .send_modify(|leaders| leaders.retain(|(_, node, _)| *node < from));
    }

    /// A node was not taken to where it is now: it has moved with the next list, too.
    pub(in crate::monitor) fn not_moved(&mut self, node: NodeIndex) {
        self.roster.misplace(node);
    }

    fn take(&mut self, listing: &Listing, left: impl Fn(NodeIndex) -> bool) -> Vec<NodeChange> {
        let update = self
            .roster
            .update(&listing.members, &listing.unresolved, left);
        for member in &update.turned_away {
            tracing::warn!(
                shard = %self.shard,
                "member {} of Patroni is not used: there may be {FOUND} members beyond those in the \
                 configuration, and of those that are gone the servers still answer",
                member.name
            );
        }
        let mut changes = Vec::with_capacity(update.changes.len());
        for (change, member) in update.changes {
            changes.push(match (change, member) {
                (Change::Found(node), Some(member)) => {
                    NodeChange::Found(node, self.config_of(node, member))
                }
                (Change::Replaced(node), Some(member)) => {
                    self.found.remove(&node.0);
                    NodeChange::Replaced(node, self.config_of(node, member))
                }
                (Change::Moved(node), Some(member)) => {
                    NodeChange::Moved(node, self.config_of(node, member))
                }
                (Change::Listed(node), Some(member)) => {
                    self.follow(node, member);
                    NodeChange::Listed(node, member.tags)
                }
                (Change::Gone(node), _) => {
                    self.followers.remove(&node.0);
                    NodeChange::Gone(node)
                }
                (_, None) => continue,
            });
        }
        #[cfg(feature = "etcd")]
        self.leaders.send_modify(|leaders| {
            for (name, node) in self.roster.members() {
                let wake = self.followers.get(&node.0).map(|f| Arc::clone(&f.wake));
                leaders.retain(|(_, known, _)| *known != node);
                leaders.push((name.to_owned(), node, wake));
            }
        });
        changes
    }

    /// Asks a member about the lock from now on.
    fn follow(&mut self, node: NodeIndex, member: &Member) {
        let (Some(patroni), Some(url)) = (&self.patroni, &member.api) else {
            return;
        };
        // Another member may have taken the place: the one before is not asked any more.
        let follower = self.followers.get(&node.0);
        if let Some(follower) = follower.filter(|follower| follower.name == member.name) {
            follower
                .url
                .send_if_modified(|known| std::mem::replace(known, url.clone()) != *url);
            return;
        }
        let (sender, receiver) = watch::channel(url.clone());
        let wake = Arc::new(Notify::new());
        let task =
            Arc::clone(patroni).follow(node, member.name.clone(), receiver, Arc::clone(&wake));
        self.spawn(task);
        self.followers.insert(
            node.0,
            Follower {
                name: member.name.clone(),
                url: sender,
                #[cfg(feature = "etcd")]
                wake,
            },
        );
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { stop.run_until_cancelled(task).await });
    }

    fn config_of(&mut self, node: NodeIndex, member: &Member) -> NodeConfig {
        let id = self.found.get(&node.0).copied().unwrap_or_else(|| {
            let found = self.found.values().copied();
            let taken: Vec<NodeId> = self.taken.iter().copied().chain(found).collect();
            node_id(&member.name, self.shard, &taken)
        });
        self.found.insert(node.0, id);
        NodeConfig {
            id,
            host: member.host.clone(),
            port: member.port,
            proxy: None,
        }
    }
}

/// The longest name of a node.
const LONGEST: usize = 32;

/// A node's name from a member's, which may be longer and hold other characters. One that is cut, or
/// that would be another's, ends in a hash of the whole.
fn node_id(name: &str, shard: ShardId, taken: &[NodeId]) -> NodeId {
    let free = |text: &str| NodeId::new(text).ok().filter(|id| !taken.contains(id));
    let prefixed = format!("{shard}-{name}");
    let hashed = |salt: usize| {
        let hash = fnv(name, salt);
        let mut text = tame(name);
        if text.is_empty() {
            text = tame(&prefixed);
        }
        text.truncate(LONGEST - 9);
        free(&format!("{text}-{hash:08x}"))
    };
    // One that is too long is no name.
    free(&tame(name))
        .or_else(|| {
            let short = name.len() <= LONGEST;
            short.then(|| free(&tame(&prefixed))).flatten()
        })
        .or_else(|| (0..=taken.len()).find_map(hashed))
        .or_else(|| NodeId::new(shard.as_str()).ok())
        // A shard's name is as good as a node's.
        .unwrap_or_else(|| unreachable!("{shard} is a name"))
}

/// In characters that a node's name may have: ASCII only.
fn tame(text: &str) -> String {
    text.chars()
        .map(|c| match c.is_ascii_alphanumeric() || c == '_' {
            true => c,
            false => '-',
        })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .collect()
}

/// FNV-1a: the same in every process and version.
fn fnv(text: &str, salt: usize) -> u32 {
    let salt = salt.to_string();
    let salt = if salt == "0" { "" } else { &salt };
    let bytes = text.bytes().chain(salt.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_names_become_nodes_names() {
        let shard = ShardId::new("s0").unwrap();
        let taken = [NodeId::new("s1a").unwrap()];
        let id = |name: &str| node_id(name, shard, &taken).to_string();
        assert_eq!(id("s0c"), "s0c");
        assert_eq!(id("pg-0.db.example"), "pg-0-db-example");
        assert_eq!(id("_x"), "x");
        assert_eq!(id("s1a"), "s0-s1a", "another shard has that one");
        assert_eq!(id("\u{e4}\u{f6}"), "s0---");
        assert_eq!(id(&"x".repeat(32)), "x".repeat(32));
        assert_eq!(id(""), "s0-");
    }

    #[test]
    fn no_two_members_have_one_name() {
        let shard = ShardId::new("s0").unwrap();
        let long = "postgres-production-cluster-eu-central-";
        let names = [
            format!("{long}0"),
            format!("{long}1"),
            "pg-0".to_owned(),
            "pg.0".to_owned(),
            "pg:0".to_owned(),
            "pg/0".to_owned(),
        ];
        let mut taken = Vec::new();
        for name in &names {
            let id = node_id(name, shard, &taken);
            assert!(!taken.contains(&id), "{name} is {id} again");
            taken.push(id);
        }
        let ids: Vec<String> = taken.iter().map(NodeId::to_string).collect();
        assert!(ids[0].starts_with("postgres-production-clu-") && ids[0].len() == 32);
        assert_eq!(ids[2..4], ["pg-0", "s0-pg-0"]);
        // A name that is cut does not depend on who came before.
        let alone = node_id(&names[1], shard, &[]);
        assert_eq!(alone, taken[1]);
    }
}
