//! What a local cluster shall be.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use super::home;
use super::state::{STATE, State};
use crate::host::account::Account;

/// What a local cluster shall be. The default is one shard with one asynchronous replica, in a
/// temporary directory.
#[derive(Clone, Debug)]
pub struct LocalSpec {
    /// The number of shards, `1..=64`; named `s0`, `s1`, …
    pub shards: usize,
    /// The replicas of each shard, `0..=4`. Nodes are named `s0a` (the first primary), `s0b`, …
    pub replicas: usize,
    /// Whether a COMMIT waits for one of the shard's replicas.
    pub synchronous: bool,
    /// Where to keep the cluster. `None`: a temporary directory, removed at the end.
    pub dir: Option<PathBuf>,
    /// Where PostgreSQL's programs are, or the word `embedded`. `None`: found as
    /// [`Binaries::find`](super::Binaries::find) says.
    pub bindir: Option<PathBuf>,
    /// Server settings, which override the launcher's own.
    pub settings: Vec<(String, String)>,
}

impl Default for LocalSpec {
    fn default() -> Self {
        LocalSpec {
            shards: 1,
            replicas: 1,
            synchronous: false,
            dir: None,
            bindir: None,
            settings: Vec::new(),
        }
    }
}

impl LocalSpec {
    /// What an earlier run made in a directory, to start it again; `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read, or its description is damaged.
    pub fn saved(dir: &Path) -> Result<Option<Self>> {
        let state = State::read(&dir.join(STATE))?;
        Ok(state.map(|state| LocalSpec {
            shards: state.shards.len(),
            replicas: state.replicas(),
            synchronous: state.synchronous,
            dir: Some(dir.to_owned()),
            ..LocalSpec::default()
        }))
    }

    /// Refuses what cannot be built, before anything is touched.
    ///
    /// # Errors
    ///
    /// `Config` or `Refused`, saying what to ask for instead.
    pub fn check(&self) -> Result<()> {
        if !cfg!(target_os = "linux") {
            return Err(Error::refused(
                "local clusters need Linux: they rely on its parent-death signal and on /proc; \
                 run this in a Linux container or virtual machine",
            ));
        }
        if !(1..=64).contains(&self.shards) {
            return Err(Error::config(format!(
                "{} shards asked for; choose 1 to 64",
                self.shards
            )));
        }
        if self.replicas > 4 {
            return Err(Error::config(format!(
                "{} replicas asked for; choose 0 to 4",
                self.replicas
            )));
        }
        if self.synchronous && self.replicas == 0 {
            return Err(Error::config(
                "a synchronous cluster needs at least one replica a shard, else its first write \
                 waits for ever; ask for replicas = 1 or more",
            ));
        }
        if let Some(dir) = &self.dir {
            let dir = std::path::absolute(dir)
                .map_err(|e| Error::config(format!("{} is not a directory: {e}", dir.display())))?;
            home::check_kept(&dir, &Account::find()?)?;
        }
        for (name, value) in &self.settings {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            if name.is_empty() || !name.chars().all(plain) || value.contains(['\n', '\0']) {
                return Err(Error::config(format!(
                    "{name:?} = {value:?} is not a server setting"
                )));
            }
        }
        Ok(())
    }
}

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopMode {
    /// Sessions are ended, then a checkpoint is written. A clean shutdown.
    #[default]
    Fast,
    /// Everything ends at once, without a checkpoint; the next start recovers from the log.
    Immediate,
    /// New sessions are refused, and the server waits for the open ones to end by themselves.
    Smart,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_clusters_are_refused() {
        let refused = |spec: LocalSpec| spec.check().unwrap_err().to_string();
        let base = LocalSpec::default;
        assert!(base().check().is_ok());
        assert!(
            refused(LocalSpec {
                shards: 0,
                ..base()
            })
            .contains("1 to 64")
        );
        assert!(
            refused(LocalSpec {
                replicas: 5,
                ..base()
            })
            .contains("0 to 4")
        );
        let lonely = LocalSpec {
            synchronous: true,
            replicas: 0,
            ..base()
        };
        assert!(refused(lonely).contains("waits for ever"));
        let injected = LocalSpec {
            settings: vec![("work_mem".into(), "1MB\nport = 1".into())],
            ..base()
        };
        assert!(refused(injected).contains("not a server setting"));
    }
}
