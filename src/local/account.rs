//! The operating-system user that the servers run as.

use std::ffi::CString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgrouplist};

use crate::error::{Error, Result};

use super::spawn::io_error;

/// Who the servers run as: this process's own user, or an unprivileged one if that is root.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    groups: Vec<Gid>,
    name: String,
    /// Whether a child has to change to it.
    pub(super) switch: bool,
}

impl Account {
    pub(super) fn find() -> Result<Self> {
        let uid = geteuid();
        if !uid.is_root() {
            return Ok(Account {
                uid,
                gid: getegid(),
                groups: Vec::new(),
                name: format!("uid {uid}"),
                switch: false,
            });
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name)
                && !user.uid.is_root()
            {
                let groups = CString::new(name)
                    .ok()
                    .and_then(|name| getgrouplist(&name, user.gid).ok())
                    .unwrap_or_else(|| vec![user.gid]);
                return Ok(Account {
                    uid: user.uid,
                    gid: user.gid,
                    groups,
                    name: user.name,
                    switch: true,
                });
            }
        }
        Err(Error::refused(
            "PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor \
             'nobody' to run it as; create one (useradd --system postgres) or run this as an \
             ordinary user",
        ))
    }

    /// Gives a path to this user, for itself alone.
    pub(super) fn own(&self, path: &Path, mode: u32) -> Result<()> {
        let failed = |e| {
            io_error(
                format!("cannot give {} to {}", path.display(), self.name),
                e,
            )
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        if self.switch {
            chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).map_err(failed)?;
        }
        Ok(())
    }

    /// Refuses a path that this user could not reach, naming the directory that is in the way.
    pub(super) fn check_reach(&self, path: &Path) -> Result<()> {
        if !self.switch {
            return Ok(());
        }
        for dir in path.ancestors() {
            let Ok(found) = dir.metadata() else { continue };
            let execute = if found.uid() == self.uid.as_raw() {
                0o100
            } else if self.groups.iter().any(|gid| gid.as_raw() == found.gid()) {
                0o010
            } else {
                0o001
            };
            if found.is_dir() && found.mode() & execute == 0 {
                return Err(Error::refused(format!(
                    "the servers run as user '{}', who may not enter {}; choose a directory \
                     elsewhere, such as under /tmp or /var/tmp, or allow it (chmod a+x {})",
                    self.name,
                    dir.display(),
                    dir.display()
                )));
            }
        }
        Ok(())
    }

    /// Whether this user could read and run a program.
    pub(super) fn can_run(&self, program: &Path) -> bool {
        self.check_reach(program.parent().unwrap_or(Path::new("/")))
            .is_ok()
            && program
                .metadata()
                .is_ok_and(|found| found.is_file() && found.mode() & 0o001 != 0 || !self.switch)
    }
}
