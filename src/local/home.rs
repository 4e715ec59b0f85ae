//! A cluster's directory: who owns it, and what is in it.
//!
//! ```text
//! pgshard.lock      held (flock) by the process that runs the servers, and only while it lives
//! cluster.json      what was built: counts, ports, who is primary
//! pgpass            the passwords of all roles, in libpq's format, mode 0600
//! secrets/app       one password a file, for a configuration's password_file
//! shards.toml       the configuration, if it was written
//! control.sock      the supervisor's socket, if there is one
//! supervisor.log    what the supervisor printed
//! nodes/s0a/data    the data directory
//! nodes/s0a/log     what the server printed
//! ```

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::id::NodeId;

use super::bank_cluster::secret_file;
use super::parent;
use super::secrets::{APP, OWNER, SUPERUSER, Secrets, write_private};
use super::state::STATE;
use super::sweep;
use crate::host::account::Account;
use crate::host::spawn::io_error;

const LOCK: &str = "pgshard.lock";

/// What a supervisor prints. Whoever starts one creates it before anything else.
pub(super) const SUPERVISOR_LOG: &str = "supervisor.log";

/// The directory of a cluster that this process runs. Dropping it gives up the ownership, and
/// removes a temporary one.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    temporary: bool,
    _lock: File,
}

impl Home {
    /// A new temporary directory, in memory where there is enough. What dead processes left of theirs is removed first.
    pub(super) fn temporary(account: &Account) -> Result<Self> {
        let parent = canonical(&parent::of_temporary())?;
        account.check_reach(&parent)?;
        for parent in parent::all() {
            sweep::temporary(&parent);
        }
        let name = Uuid::new_v4().simple().to_string();
        let dir = parent.join(format!("{}{name}", sweep::PREFIX));
        make_dir(&dir, account)?;
        let lock = match lock(&dir) {
            Ok(Some(lock)) => lock,
            _ => {
                let _ = std::fs::remove_dir_all(&dir);
                return Err(Error::refused(format!("{} is in use", dir.display())));
            }
        };
        Ok(Home {
            dir,
            temporary: true,
            _lock: lock,
        })
    }

    /// A directory to keep: a new one, an empty one, or one that an earlier run made. Servers of a
    /// run that died are ended first.
    pub(super) fn kept(dir: &Path, account: &Account) -> Result<Self> {
        if !dir.exists() {
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent)
                    .map_err(|e| io_error(format!("cannot create {}", parent.display()), e))?;
            }
            make_dir(dir, account)?;
        }
        let dir = canonical(dir)?;
        check_kept(&dir, account)?;
        let Some(lock) =
            lock(&dir).map_err(|e| io_error(format!("cannot lock {}", dir.display()), e))?
        else {
            return Err(Error::refused(format!(
                "another process runs the cluster in {}; stop that one first (shardctl dev down)",
                dir.display()
            )));
        };
        sweep::servers(&dir);
        Ok(Home {
            dir,
            temporary: false,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(super) fn passwords(&self) -> PathBuf {
        self.dir.join("pgpass")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.join(STATE)
    }

    /// Forgets the nodes of a run that did not finish making them, and makes room for new ones.
    pub(super) fn clear(&self, account: &Account) -> Result<()> {
        sweep::remove_nodes(&self.dir);
        make_dir(&self.nodes(), account)
    }

    /// Writes the passwords: all of them for libpq, and those of a configuration alone.
    pub(super) fn make_secrets(&self, secrets: &Secrets) -> Result<()> {
        let dir = self.dir.join("secrets");
        let _ = std::fs::remove_dir_all(&dir);
        DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|e| io_error(format!("cannot create {}", dir.display()), e))?;
        for role in [APP, OWNER, SUPERUSER] {
            let line = format!("{}\n", secrets.password(role));
            write_private(&secret_file(&self.dir, role), &line)?;
        }
        secrets.write_all(&self.passwords())
    }

    pub(super) fn nodes(&self) -> PathBuf {
        nodes(&self.dir)
    }

    pub(super) fn node(&self, id: NodeId) -> PathBuf {
        self.nodes().join(id.as_str())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        sweep::servers(&self.dir);
        if self.temporary {
            sweep::remove(&self.dir);
        }
    }
}

/// Refuses a directory to keep that the servers could not reach, or that has another use. Its path
/// is absolute; it need not exist.
pub(super) fn check_kept(dir: &Path, account: &Account) -> Result<()> {
    account.check_reach(dir)?;
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries.flatten(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io_error(format!("cannot read {}", dir.display()), e)),
    };
    if entries.any(|entry| entry.file_name() != SUPERVISOR_LOG) && !has_lock(dir) {
        return Err(Error::refused(format!(
            "{} holds other files and no local cluster; name a new or empty directory",
            dir.display()
        )));
    }
    Ok(())
}

/// Where the nodes of the cluster in `dir` are.
pub(super) fn nodes(dir: &Path) -> PathBuf {
    dir.join("nodes")
}

/// A directory that the servers' user can pass through.
fn make_dir(dir: &Path, account: &Account) -> Result<()> {
    let mode = if account.switch { 0o711 } else { 0o700 };
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        // Once more, without the umask.
        .and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(mode)))
        .map_err(|e| io_error(format!("cannot create {}", dir.display()), e))
}

/// Takes the lock of a cluster's directory; `None` if a living process holds it.
///
/// The kernel gives it up when its holder ends, so a lock that can be taken means that the holder
/// is dead, whatever its process id is used for now.
pub(super) fn lock(dir: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether the directory has ever had a lock.
pub(super) fn has_lock(dir: &Path) -> bool {
    dir.join(LOCK).is_file()
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .map_err(|e| io_error(format!("cannot reach {}", path.display()), e))
}
