//! The operating-system user that the servers run as.

use std::ffi::CString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgrouplist};

use crate::error::{Error, Result};

use super::spawn::io_error;

/// Who the servers run as: this process's own user, or an unprivileged one if that is root.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    groups: Vec<Gid>,
    name: String,
    /// Whether a child has to change to it.
    pub(crate) switch: bool,
}

impl Account {
    pub(crate) fn find() -> Result<Self> {
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

    /// Who owns a directory of a server: programs that work on it run as that user.
    ///
    /// # Errors
    ///
    /// If it is not there, belongs to root, or belongs to another user than this process's and this
    /// process may not change to it.
    pub(crate) fn owner_of(path: &Path) -> Result<Self> {
        let found = path
            .metadata()
            .map_err(|e| io_error(format!("cannot look at {}", path.display()), e))?;
        let (uid, own) = (Uid::from_raw(found.uid()), geteuid());
        if uid.is_root() {
            return Err(Error::refused(format!(
                "{} belongs to root, and PostgreSQL refuses to run as root: give it to the servers' \
                 user (chown postgres)",
                path.display()
            )));
        }
        let user = User::from_uid(uid).ok().flatten();
        let name = user
            .as_ref()
            .map_or_else(|| format!("uid {uid}"), |user| user.name.clone());
        if uid != own && !own.is_root() {
            return Err(Error::refused(format!(
                "{} belongs to {name}: run this as that user, or as root",
                path.display()
            )));
        }
        let gid = user.map_or_else(|| Gid::from_raw(found.gid()), |user| user.gid);
        let groups = CString::new(name.as_str())
            .ok()
            .and_then(|name| getgrouplist(&name, gid).ok())
            .unwrap_or_else(|| vec![gid]);
        Ok(Account {
            uid,
            gid,
            groups,
            name,
            switch: uid != own,
        })
    }

    /// Gives a path to this user, for itself alone.
    pub(crate) fn own(&self, path: &Path, mode: u32) -> Result<()> {
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
    pub(crate) fn check_reach(&self, path: &Path) -> Result<()> {
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
    pub(crate) fn can_run(&self, program: &Path) -> bool {
        self.check_reach(program.parent().unwrap_or(Path::new("/")))
            .is_ok()
            && program
                .metadata()
                .is_ok_and(|found| found.is_file() && found.mode() & 0o001 != 0 || !self.switch)
    }
}
