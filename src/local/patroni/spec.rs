//! What a local cluster under Patroni shall be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::local::spec::LocalSpec;
use crate::local::state::{STATE, State};

/// What a local cluster under Patroni shall be. The default is one asynchronous shard of two nodes
/// that fails over within seconds, in a temporary directory.
///
/// The timings are Patroni's settings of the same names, in whole seconds.
#[derive(Clone, Debug)]
pub struct PatroniSpec {
    /// The number of shards, `1..=64`; named `s0`, `s1`, …, which are also Patroni's scopes.
    pub shards: usize,
    /// The nodes of each shard, `1..=5`: `s0a` (the first leader), `s0b`, …
    pub nodes: usize,
    /// Strict synchronous mode: a COMMIT waits for a standby, and if there is none, for ever.
    pub synchronous: bool,
    /// How long the leader's key lives without being renewed.
    pub ttl: Duration,
    /// The pause between two rounds of a Patroni.
    pub loop_wait: Duration,
    /// How long a Patroni tries to reach etcd or its server before it demotes the server.
    pub retry_timeout: Duration,
    /// How long a crashed primary may take to start again before another takes over; zero: no time.
    pub primary_start_timeout: Duration,
    /// Where to keep the cluster. `None`: a temporary directory, removed at the end.
    pub dir: Option<PathBuf>,
    /// Where PostgreSQL's programs are, as in [`LocalSpec::bindir`].
    pub bindir: Option<PathBuf>,
    /// Server settings, which override the launcher's own.
    pub settings: Vec<(String, String)>,
}

impl Default for PatroniSpec {
    fn default() -> Self {
        PatroniSpec {
            shards: 1,
            nodes: 2,
            synchronous: false,
            ttl: Duration::from_secs(5),
            loop_wait: Duration::from_secs(1),
            retry_timeout: Duration::from_secs(2),
            primary_start_timeout: Duration::ZERO,
            dir: None,
            bindir: None,
            settings: Vec::new(),
        }
    }
}

impl PatroniSpec {
    /// What an earlier run made in a directory, to start it again; `None` if nothing is there, or
    /// a cluster without Patroni.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read, or its description is damaged.
    pub fn saved(dir: &Path) -> Result<Option<Self>> {
        let state = State::read(&dir.join(STATE))?;
        Ok(state.and_then(|state| {
            let nodes = state.replicas() + 1;
            state.patroni.map(|saved| PatroniSpec {
                shards: state.shards.len(),
                nodes,
                synchronous: state.synchronous,
                ttl: saved.ttl,
                loop_wait: saved.loop_wait,
                retry_timeout: saved.retry_timeout,
                primary_start_timeout: saved.primary_start_timeout,
                dir: Some(dir.to_owned()),
                ..PatroniSpec::default()
            })
        }))
    }

    /// Refuses what cannot be built, before anything is touched.
    ///
    /// # Errors
    ///
    /// `Config` or `Refused`, saying what to ask for instead.
    pub fn check(&self) -> Result<()> {
        if self.nodes == 0 {
            return Err(Error::config("0 nodes asked for; choose 1 to 5"));
        }
        self.as_local().check()?;
        let whole = |time: Duration| time.subsec_nanos() == 0;
        let timings = [
            self.ttl,
            self.loop_wait,
            self.retry_timeout,
            self.primary_start_timeout,
        ];
        // Patroni's own rule: https://patroni.readthedocs.io, "Dynamic Configuration Settings".
        let least = self.loop_wait + 2 * self.retry_timeout;
        if !timings.into_iter().all(whole)
            || self.loop_wait.is_zero()
            || self.retry_timeout < Duration::from_secs(2)
            || self.ttl < least
        {
            return Err(Error::config(format!(
                "ttl {} s, loop_wait {} s and retry_timeout {} s do not fit: choose whole seconds, \
                 loop_wait at least 1, retry_timeout at least 2, and ttl at least loop_wait + 2 * \
                 retry_timeout",
                self.ttl.as_secs_f32(),
                self.loop_wait.as_secs_f32(),
                self.retry_timeout.as_secs_f32(),
            )));
        }
        Ok(())
    }

    /// What both kinds of clusters have.
    pub(super) fn as_local(&self) -> LocalSpec {
        LocalSpec {
            shards: self.shards,
            replicas: self.nodes.saturating_sub(1),
            synchronous: self.synchronous,
            dir: self.dir.clone(),
            bindir: self.bindir.clone(),
            settings: self.settings.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_clusters_are_refused() {
        let refused = |spec: PatroniSpec| spec.check().unwrap_err().to_string();
        PatroniSpec::default().check().unwrap();
        let hasty = PatroniSpec {
            ttl: Duration::from_secs(3),
            ..PatroniSpec::default()
        };
        assert!(refused(hasty).contains("ttl at least"));
        let lonely = PatroniSpec {
            nodes: 1,
            synchronous: true,
            ..PatroniSpec::default()
        };
        assert!(refused(lonely).contains("waits for ever"));
        let nobody = PatroniSpec {
            nodes: 0,
            ..PatroniSpec::default()
        };
        assert!(refused(nobody).contains("1 to 5"));
    }
}
