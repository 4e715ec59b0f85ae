//! Foreign servers that follow the shards: `--refresh-fdw`.

use std::time::SystemTime;

use pgshard::Cluster;
use pgshard::fdw::{self as library, Difference, ObservedShard, Reporting};

use super::Line;
use crate::fdw::Server;

/// A reporting server, and what its servers were last pointed at.
pub(super) struct Reports {
    reporting: Reporting,
    done: Option<Vec<ObservedShard>>,
    /// What was told last, so that a failure that lasts is told once.
    told: Vec<(&'static str, String)>,
}

impl Reports {
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let (_, reporting) = server.reporting()?;
        Ok(Reports {
            reporting,
            done: None,
            told: Vec::new(),
        })
    }

    /// Points the servers at the nodes, if those are others than at the last time; what there is to
    /// tell of it.
    pub(super) async fn follow(&mut self, cluster: &Cluster) -> Vec<Line> {
        let seen = library::observe(&cluster.status());
        if self.done.as_ref() == Some(&seen) {
            return Vec::new();
        }
        let refreshed = library::refresh(cluster.config(), &self.reporting, &seen).await;
        let events: Vec<(&'static str, String)> = match refreshed {
            Ok(differences) => {
                self.done = Some(seen);
                differences.iter().map(event).collect()
            }
            // Tried again at the next look.
            Err(error) => vec![("reports-failed", error.to_string())],
        };
        let new = events.iter().filter(|event| !self.told.contains(event));
        let lines = new.map(|(name, text)| Line {
            at: SystemTime::now(),
            shard: None,
            event: name,
            good: *name == "reports-repointed",
            text: text.clone(),
        });
        let lines = lines.collect();
        self.told = events;
        lines
    }
}

fn event(difference: &Difference) -> (&'static str, String) {
    let name = if difference.is_change() {
        "reports-repointed"
    } else {
        "reports-kept"
    };
    let text = format!("{}: {}", difference.object, difference.detail.join(", "));
    (name, text)
}
