//! Whether a client leaves anything behind.

use std::time::{Duration, Instant};

use pgshard::local::{LocalCluster, NodeState};
use tokio::runtime::Handle;

use crate::support::superuser;

/// How many tasks there were before a client was made.
pub(crate) struct Tasks(usize);

impl Tasks {
    /// Counts them, in a test that makes no others, once those of sessions that were closed have ended.
    pub(crate) async fn count() -> Self {
        let metrics = Handle::current().metrics();
        let mut count = metrics.num_alive_tasks();
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_millis(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = metrics.num_alive_tasks();
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
        Tasks(count)
    }

    /// After the client was closed: its tasks have ended, and no server that runs has a session of
    /// the application any more. What belongs to a server that was lost may take `within`.
    pub(crate) async fn assert_none_left(&self, local: &LocalCluster, within: Duration) {
        let deadline = Instant::now() + within;
        let mut left = Handle::current().metrics().num_alive_tasks();
        while left > self.0 {
            assert!(
                Instant::now() < deadline,
                "{} tasks are left of a client, {} were there before",
                left - self.0,
                self.0
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            left = Handle::current().metrics().num_alive_tasks();
        }
        for node in local.nodes() {
            if node.state() != NodeState::Running {
                continue;
            }
            let admin = superuser(local, node.id().as_str()).await;
            // One that waits for a standby notices nothing else, and must not be cancelled.
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                            AND wait_event IS DISTINCT FROM 'SyncRep'";
            loop {
                let sessions: i64 = admin.query_one(sessions, &[]).await.unwrap().get(0);
                if sessions == 0 {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{sessions} sessions are left on {}",
                    node.id()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
