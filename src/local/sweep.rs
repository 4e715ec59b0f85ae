//! Removing what processes that died left behind.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::host::process;

use super::{home, shmem};

/// What the names of temporary clusters start with.
pub(super) const PREFIX: &str = "pgshard-";

/// A directory without a lock is one that is being made, unless it is older than this.
const BEING_MADE: Duration = Duration::from_secs(60);

/// Removes the temporary clusters in `parent` whose processes are dead. Only directories of this
/// user, with such a name and an untaken lock, are touched.
pub(super) fn temporary(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let named = entry.file_name().to_str().is_some_and(is_temporary_name);
        let Ok(found) = entry.metadata() else {
            continue;
        };
        if !named || !found.is_dir() || found.uid() != geteuid().as_raw() {
            continue;
        }
        let dir = entry.path();
        if !home::has_lock(&dir) {
            let age = found.modified().ok().and_then(|at| at.elapsed().ok());
            if age.is_none_or(|age| age < BEING_MADE) {
                continue;
            }
        }
        // While we hold the lock, no other process sweeps the same.
        if let Ok(Some(_lock)) = home::lock(&dir) {
            tracing::info!(dir = %dir.display(), "removing a dead process's cluster");
            servers(&dir);
            remove(&dir);
        }
    }
}

fn is_temporary_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Ends every server whose data directory is in the cluster's directory.
pub(super) fn servers(dir: &Path) {
    for data in data_dirs(dir) {
        process::kill_server_blocking(&data);
    }
}

/// Removes a cluster's directory and the shared memory that its killed servers left.
pub(super) fn remove(dir: &Path) {
    remove_nodes(dir);
    remove_dir(dir);
}

/// Removes the nodes of a cluster whose servers have ended.
pub(super) fn remove_nodes(dir: &Path) {
    for data in data_dirs(dir) {
        shmem::remove_left_behind(&data);
    }
    remove_dir(&home::nodes(dir));
}

fn remove_dir(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "cannot remove what a cluster left");
        }
        _ => {}
    }
}

fn data_dirs(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(home::nodes(dir))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|node| node.path().join("data").canonicalize().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_processes_directories_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str, locked: bool| {
            let dir = parent.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            if locked {
                drop(home::lock(&dir).unwrap().unwrap());
            }
            dir
        };
        let dead = make(&format!("{PREFIX}{}", "0".repeat(32)), true);
        let living = make(&format!("{PREFIX}{}", "1".repeat(32)), true);
        let being_made = make(&format!("{PREFIX}{}", "2".repeat(32)), false);
        let other = make("pgshard-notes", true);
        let _lock = home::lock(&living).unwrap().unwrap();
        temporary(parent.path());
        assert!(!dead.exists());
        assert!(living.exists() && being_made.exists() && other.exists());
    }
}
