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
    followers: BTreeMap<u16, Follower>,
    #[cfg(feature = "etcd")]
    leaders: watch::Sender<Directory>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The end of a task that asks one member.
struct Follower {
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

    /// What changed. It may be given up at any moment.
    pub(in crate::monitor) async fn changed(&mut self) -> Vec<NodeChange> {
        let list = match &mut self.lists {
            Some(lists) => lists.recv().await,
            None => pending().await,
        };
        match list {
            Some(listing) => self.take(&listing),
            None => pending().await,
        }
    }

    /// Nobody is asked any more.
    pub(in crate::monitor) fn end(&mut self) {
        self.lists = None;
        self.followers.clear();
    }

    fn take(&mut self, listing: &Listing) -> Vec<NodeChange> {
        let update = self.roster.update(&listing.members, &listing.unresolved);
        for member in &update.turned_away {
            tracing::warn!(
                shard = %self.shard,
                "member {} of Patroni is not used: a process knows at most {FOUND} members beyond those in \
                 its configuration; restart it to forget those that are gone",
                member.name
            );
        }
        let mut changes = Vec::with_capacity(update.changes.len());
        for (change, member) in update.changes {
            changes.push(match (change, member) {
                (Change::Found(node), Some(member)) => {
                    NodeChange::Found(node, self.config_of(member))
                }
                (Change::Moved(node), Some(member)) => {
                    NodeChange::Moved(node, self.config_of(member))
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
        if let Some(follower) = self.followers.get(&node.0) {
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

    fn config_of(&self, member: &Member) -> NodeConfig {
        NodeConfig {
            id: node_id(&member.name, self.shard, &self.taken),
            host: member.host.clone(),
            port: member.port,
            proxy: None,
        }
    }
}

/// A node's name from a member's, which may be longer and hold other characters.
fn node_id(name: &str, shard: ShardId, taken: &[NodeId]) -> NodeId {
    let tame = |text: &str| {
        let text: String = text
            .chars()
            .map(|c| match c.is_ascii_alphanumeric() || c == '_' {
                true => c,
                false => '-',
            })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(32)
            .collect();
        NodeId::new(&text).ok().filter(|id| !taken.contains(id))
    };
    tame(name)
        .or_else(|| tame(&format!("{shard}-{name}")))
        .or_else(|| NodeId::new(shard.as_str()).ok())
        // A shard's name is as good as a node's.
        .unwrap_or_else(|| unreachable!("{shard} is a name"))
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
        assert_eq!(id(&"x".repeat(99)), "x".repeat(32));
        assert_eq!(id(""), "s0-");
    }
}
