//! What a run remembers for the next one on the same directory.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use super::secrets::write_private;
use super::spec::LocalSpec;
use crate::host::binaries::Binaries;
use crate::host::spawn::io_error;

/// The file in a cluster's directory.
pub(super) const STATE: &str = "cluster.json";

/// The contents of [`STATE`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The major version of the servers that made the data directories.
    pub(super) major: u32,
    pub(super) synchronous: bool,
    pub(super) shards: Vec<SavedShard>,
    /// What a cluster under Patroni has besides.
    #[serde(default)]
    pub(super) patroni: Option<SavedPatroni>,
}

/// Ports and timings of a cluster under Patroni.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedPatroni {
    /// For clients, for peers.
    pub(super) etcd: [u16; 2],
    /// Of the REST interfaces, by shard.
    pub(super) rest: Vec<Vec<u16>>,
    pub(super) ttl: Duration,
    pub(super) loop_wait: Duration,
    pub(super) retry_timeout: Duration,
    pub(super) primary_start_timeout: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedShard {
    /// The index of the node that is primary.
    pub(super) primary: usize,
    pub(super) ports: Vec<u16>,
}

impl State {
    /// `None` if no cluster was made completely.
    pub(super) fn read(file: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error(format!("cannot read {}", file.display()), e)),
        };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Error::config(format!(
                "{} is damaged ({e}); remove the directory and make the cluster anew",
                file.display()
            ))
        })
    }

    /// Replaces the file in one step: a crash leaves the old contents or the new.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::config(format!("cannot write {}: {e}", file.display())))?;
        let new = file.with_extension("new");
        write_private(&new, &text)?;
        std::fs::rename(&new, file)
            .map_err(|e| io_error(format!("cannot write {}", file.display()), e))
    }

    pub(super) fn replicas(&self) -> usize {
        let nodes = self.shards.first().map_or(1, |shard| shard.ports.len());
        nodes.saturating_sub(1)
    }

    /// Refuses to start another cluster than the one that is there.
    pub(super) fn check(&self, spec: &LocalSpec, binaries: &Binaries, patroni: bool) -> Result<()> {
        if self.patroni.is_some() != patroni {
            let how = |patroni| if patroni { "with" } else { "without" };
            return Err(Error::refused(format!(
                "the directory holds a cluster {} Patroni, and one {} it was asked for; ask for \
                 the same, or name another directory",
                how(!patroni),
                how(patroni)
            )));
        }
        let replicas = self.replicas();
        let same = self.shards.len() == spec.shards
            && replicas == spec.replicas
            && self.synchronous == spec.synchronous;
        if !same {
            let kind = |synchronous| if synchronous { " synchronous" } else { "" };
            return Err(Error::refused(format!(
                "the directory holds a cluster of {} shards with {replicas}{} replicas each, and \
                 {} with {}{} were asked for; ask for the same, or name another directory",
                self.shards.len(),
                kind(self.synchronous),
                spec.shards,
                spec.replicas,
                kind(spec.synchronous),
            )));
        }
        if self.major != binaries.major() {
            return Err(Error::refused(format!(
                "the directory was made by PostgreSQL {}, and {} holds version {}; name the \
                 programs of version {} (--pg-bindir), or another directory",
                self.major,
                binaries.dir().display(),
                binaries.major(),
                self.major
            )));
        }
        Ok(())
    }
}
