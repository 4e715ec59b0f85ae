//! A synchronous shard under a recorded load: what the tests of faults share.

use std::time::Duration;

use pgshard::id::{NodeId, ReignId};
use pgshard::local::proxy::FaultProxy;
use pgshard::local::{LocalCluster, LocalSpec, NodeState};
use pgshard::{Cluster, Config};
use tokio_postgres::types::PgLsn;

use super::history::{self, History, Load, Mix, Tasks, Verdict};
use super::{install, start_spec, superuser, through_proxy};

/// The servers, and one client of them.
pub(crate) struct Stage {
    pub(crate) local: LocalCluster,
    pub(crate) cluster: Cluster,
    /// In front of the nodes, if the client was led through them.
    pub(crate) proxies: Vec<FaultProxy>,
    tasks: Tasks,
}

/// How long a client may take to find a primary on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Stage {
    /// Shards with two replicas, one of which confirms each COMMIT.
    pub(crate) async fn start(shards: usize) -> Self {
        Self::configured(shards, true, false, |_| ()).await
    }

    /// The same, through a fault proxy in front of each node of the first shard.
    pub(crate) async fn proxied() -> Self {
        Self::configured(1, true, true, |config| {
            // What hangs is given up soon.
            config.timeouts.commit = Duration::from_secs(2);
            config.timeouts.connect = Duration::from_secs(1);
        })
        .await
    }

    /// The same, asynchronous perhaps, with a change of the client's configuration.
    pub(crate) async fn configured(
        shards: usize,
        synchronous: bool,
        proxied: bool,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let local = start_spec(LocalSpec {
            shards,
            replicas: 2,
            synchronous,
            ..LocalSpec::default()
        })
        .await;
        let mut config = install(&local).await;
        history::prepare(&local).await;
        let mut proxies = Vec::new();
        if proxied {
            for node in ["s0a", "s0b", "s0c"] {
                proxies.push(through_proxy(&local, &mut config, node).await);
            }
        }
        impatient(&mut config);
        change(&mut config);
        let tasks = Tasks::count().await;
        let cluster = Cluster::connect(config).expect("a client");
        cluster.ready(PATIENCE).await.expect("primaries");
        Stage {
            local,
            cluster,
            proxies,
            tasks,
        }
    }

    /// The first shard's reign, once it has a primary: at any one moment it may just be suspected.
    pub(crate) async fn reign(&self) -> ReignId {
        reign(&self.cluster).await
    }

    /// A load on the client.
    pub(crate) fn load(&self, mix: Mix) -> Load {
        Load::start(&self.cluster, mix)
    }

    /// The running standby of the first shard that received most: with `ANY 1` it holds all that was
    /// acknowledged.
    pub(crate) async fn best_standby(&self) -> NodeId {
        let mut best = None;
        for node in self.local.shards()[0].nodes() {
            if node.state() != NodeState::Running {
                continue;
            }
            let client = superuser(&self.local, node.id().as_str()).await;
            let received = "SELECT pg_last_wal_receive_lsn() WHERE pg_is_in_recovery()";
            let row = client.query_opt(received, &[]).await.expect("an answer");
            let received: Option<PgLsn> = row.and_then(|row| row.get(0));
            best = best.max(received.map(|received| (u64::from(received), node.id())));
        }
        best.expect("a standby that runs").1
    }

    /// Promotes the best standby and lets the other one follow it, so that nothing is acknowledged
    /// by the old primary any more. Returns the new primary.
    pub(crate) async fn promote_best(&self, load: &Load) -> NodeId {
        let new = self.best_standby().await;
        load.note(format!("promote {new}"));
        self.local.promote(new).await.expect("a promotion");
        for node in self.local.shards()[0].nodes() {
            let standby = node.id() != new && node.data_dir().join("standby.signal").exists();
            if standby && node.state() == NodeState::Running {
                load.note(format!("{} follows {new}", node.id()));
                self.local.rejoin(node.id()).await.expect("a standby");
            }
        }
        new
    }

    /// Closes the client, checks that nothing is left of it, and compares the history with the nodes
    /// that count.
    pub(crate) async fn finish(self, histories: &[History], primaries: &[&str]) -> Verdict {
        let local = self.close().await;
        let verdict = history::verify(&local, histories, primaries).await;
        println!("{verdict}");
        local.shutdown().await.expect("an end");
        verdict
    }

    /// Closes the client and checks that nothing is left of it.
    pub(crate) async fn close(self) -> LocalCluster {
        self.cluster.close().await;
        // The proxies' own tasks came after the count.
        drop(self.proxies);
        self.tasks
            .assert_none_left(&self.local, Duration::from_secs(20))
            .await;
        self.local
    }
}

/// Gives up sooner than a service would: a test has less time.
pub(crate) fn impatient(config: &mut Config) {
    config.failover.down_after = Duration::from_secs(1);
    config.failover.probe_timeout = Duration::from_millis(300);
    config.failover.probe_interval = Duration::from_millis(500);
    config.timeouts.primary = Duration::from_secs(20);
    config.timeouts.statement = Duration::from_secs(10);
    config.timeouts.commit = Duration::from_secs(10);
}

/// The first shard's reign, once it has a primary: at any one moment it may just be suspected.
pub(crate) async fn reign(cluster: &Cluster) -> ReignId {
    let shard = cluster.status()[0].shard;
    let mut found = None;
    let lent = cluster.wait_for(shard, PATIENCE, |view| {
        found = view.primary.map(|(_, epoch)| epoch.reign);
        found.is_some()
    });
    assert!(lent.await.unwrap(), "{:#?}", cluster.status());
    found.expect("a primary")
}
