//! A shard under observation, for the tests of failovers.

use std::time::Duration;

use pgshard::id::{NodeId, NodeIndex, ShardId};
use pgshard::local::{LocalCluster, LocalSpec};
use pgshard::topology::{NodeView, ShardState, View};
use pgshard::{Cluster, Config, CustomerId, Result};
use uuid::Uuid;

use super::{install, start_spec, superuser};

/// One shard of real servers and a client of it.
pub(crate) struct Watched {
    pub(crate) local: LocalCluster,
    pub(crate) cluster: Cluster,
}

/// Long enough for any change on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Watched {
    /// A shard of a primary `s0a` and its replicas, all seen by the client.
    pub(crate) async fn start(replicas: usize) -> Self {
        Self::configured(replicas, vec![], |_, _| ()).await
    }

    /// The same, with settings of the servers and a change of the client's configuration.
    pub(crate) async fn configured(
        replicas: usize,
        settings: Vec<(String, String)>,
        change: impl FnOnce(&mut Config, &LocalCluster),
    ) -> Self {
        let local = start_spec(LocalSpec {
            shards: 1,
            replicas,
            settings,
            ..LocalSpec::default()
        })
        .await;
        let mut config = install(&local).await;
        config.timeouts.primary = Duration::from_secs(3);
        config.timeouts.statement = Duration::from_secs(2);
        change(&mut config, &local);
        let cluster = Cluster::connect(config).unwrap();
        cluster.ready(PATIENCE).await.unwrap();
        let watched = Watched { local, cluster };
        for node in 1..=replicas {
            watched
                .until("a replica", |view| view.nodes[node].readable)
                .await;
        }
        watched
    }

    /// The view now.
    pub(crate) async fn view(&self) -> View {
        self.until("any", |_| true).await
    }

    /// Waits for a view and returns it.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&View) -> bool) -> View {
        let mut seen = None;
        let found = self
            .cluster
            .wait_for(shard(), PATIENCE, |view| {
                seen = Some(view.clone());
                condition(view)
            })
            .await
            .unwrap();
        let seen = seen.unwrap();
        assert!(found, "no view with {what} within {PATIENCE:?}: {seen:#?}");
        seen
    }

    /// Waits for a node to be the primary that is lent.
    pub(crate) async fn until_primary(&self, node: u16) -> View {
        self.until("that primary", |view| {
            view.primary
                .is_some_and(|(primary, _)| primary == NodeIndex(node))
        })
        .await
    }

    /// Waits for a node's state.
    pub(crate) async fn until_node(&self, node: usize, state: &str) -> View {
        self.until(state, |view| view.nodes[node].state.as_str() == state)
            .await
    }

    /// Writes a customer through the client.
    pub(crate) async fn write(&self) -> Result<Uuid> {
        let id = CustomerId(Uuid::new_v4());
        self.cluster
            .session(&id)?
            .transaction(|tx| async move {
                tx.execute(
                    "INSERT INTO customers (customer_id, full_name, email, country) \
                     VALUES ($1, 'Ada', 'ada@example.com', 'GB')",
                    &[&id],
                )
                .await
            })
            .await?;
        Ok(id.0)
    }

    /// Waits for a customer to be on a replica.
    pub(crate) async fn until_replicated(&self, customer: Uuid, node: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.customers(node).await.contains(&customer) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{node} does not replicate"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The customers that a node holds.
    pub(crate) async fn customers(&self, node: &str) -> Vec<Uuid> {
        customers(&self.local, node).await
    }

    pub(crate) async fn finish(self) {
        self.cluster.close().await;
        self.local.shutdown().await.unwrap();
    }
}

/// The customers that a node of a cluster holds.
pub(crate) async fn customers(local: &LocalCluster, node: &str) -> Vec<Uuid> {
    superuser(local, node)
        .await
        .query("SELECT customer_id FROM customers", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// The shard.
pub(crate) fn shard() -> ShardId {
    ShardId::new("s0").unwrap()
}

/// Points a node of a configuration at another port.
pub(crate) fn redirect(config: &mut Config, node: &str, port: u16) {
    let id = NodeId::new(node).unwrap();
    for node in config.shards.iter_mut().flat_map(|shard| &mut shard.nodes) {
        if node.id == id {
            node.port = port;
        }
    }
}

/// The nodes that are writable side by side, if the shard is contested.
pub(crate) fn contested(view: &View) -> Option<Vec<u16>> {
    match &view.state {
        ShardState::Contested { nodes } => Some(nodes.iter().map(|node| node.0).collect()),
        _ => None,
    }
}

/// Whether the view shows a readable standby.
pub(crate) fn is_readable_standby(node: &NodeView) -> bool {
    node.readable && node.state.as_str() == "standby"
}
