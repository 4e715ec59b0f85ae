//! What the servers themselves say, gathered in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgshard::Config;
use pgshard::id::NodeId;
use pgshard::ops::Credentials;
use pgshard::ops::glance::{self, Glance};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The last answer of each server, or why there is none.
pub(super) type Latest = BTreeMap<NodeId, Result<Glance, String>>;

pub(super) struct Facts {
    latest: Arc<Mutex<Latest>>,
    told: Arc<Notify>,
    nodes: usize,
    // Ends with it.
    _asking: JoinSet<()>,
}

impl Facts {
    /// Asks every server every so often.
    pub(super) fn gather(config: &Config, role: &Credentials, every: Duration) -> Facts {
        let latest = Arc::new(Mutex::new(Latest::new()));
        let told = Arc::new(Notify::new());
        let mut asking = JoinSet::new();
        let mut nodes = 0;
        for shard in &config.shards {
            // Behind a proxy is one server or another.
            for node in shard.nodes.iter().filter(|node| node.proxy.is_none()) {
                nodes += 1;
                let (config, role, node) = (config.clone(), role.clone(), node.clone());
                let (shard, latest, told) = (shard.id, Arc::clone(&latest), Arc::clone(&told));
                asking.spawn(async move {
                    let tell = |answer: pgshard::Result<Glance>| {
                        let answer = answer.map_err(|error| error.message().to_owned());
                        let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
                        latest.insert(node.id, answer);
                        told.notify_one();
                    };
                    glance::watch(&config, shard, &node, &role, every, tell).await;
                });
            }
        }
        Facts {
            latest,
            told,
            nodes,
            _asking: asking,
        }
    }

    /// What was said last.
    pub(super) fn latest(&self) -> Latest {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until every server has answered, or failed to.
    pub(super) async fn complete(&self) {
        while self.latest().len() < self.nodes {
            self.told.notified().await;
        }
    }
}
