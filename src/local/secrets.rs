//! The cluster's generated passwords and the files that hold them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::ops::Credentials;

use crate::host::spawn::io_error;

/// The superuser.
pub(super) const SUPERUSER: &str = "postgres";
/// The role that replicas stream as.
pub(super) const REPLICATOR: &str = "replicator";
/// The role that owns the database and everything in it.
pub(super) const OWNER: &str = "pgshard_owner";
/// The application's role.
pub(super) const APP: &str = "app";

const ROLES: [&str; 4] = [SUPERUSER, REPLICATOR, OWNER, APP];

/// A password for each role of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Secrets {
    passwords: Vec<(&'static str, SecretString)>,
}

impl Secrets {
    pub(super) fn generate() -> Self {
        Secrets {
            passwords: ROLES.iter().map(|&role| (role, random())).collect(),
        }
    }

    /// The passwords that an earlier run wrote to a password file.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .map_err(|e| io_error(format!("cannot read {}", file.display()), e))?;
        let find = |role: &str| {
            let line = text.lines().find_map(|line| {
                let (who, password) = line.rsplit_once(':')?;
                who.ends_with(&format!(":{role}")).then_some(password)
            });
            line.map(SecretString::from).ok_or_else(|| {
                Error::new(
                    ErrorKind::Io,
                    format!("{} has no line for role {role}", file.display()),
                )
            })
        };
        let passwords = ROLES
            .iter()
            .map(|&role| Ok((role, find(role)?)))
            .collect::<Result<_>>()?;
        Ok(Secrets { passwords })
    }

    pub(super) fn password(&self, role: &str) -> &str {
        self.passwords
            .iter()
            .find(|(name, _)| *name == role)
            .map_or("", |(_, password)| password.expose_secret())
    }

    /// A role with its password.
    pub(super) fn credentials(&self, role: &str) -> Credentials {
        Credentials {
            user: role.to_owned(),
            password: Some(self.password(role).into()),
        }
    }

    /// Writes a password file as libpq reads it, for some of the roles, readable by its owner only.
    pub(super) fn write(&self, file: &Path, roles: &[&str]) -> Result<()> {
        let mut text = String::new();
        for role in roles {
            let _ = writeln!(text, "127.0.0.1:*:*:{role}:{}", self.password(role));
        }
        write_private(file, &text)
    }

    /// Writes all of them.
    pub(super) fn write_all(&self, file: &Path) -> Result<()> {
        self.write(file, &ROLES)
    }
}

/// A new password: 122 random bits from the operating system.
pub(super) fn random() -> SecretString {
    SecretString::from(Uuid::new_v4().simple().to_string())
}

/// Writes a file that only its owner may read, from its first byte on.
pub(super) fn write_private(file: &Path, text: &str) -> Result<()> {
    let failed = |e| io_error(format!("cannot write {}", file.display()), e);
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_passwords_are_read_back_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgpass");
        let secrets = Secrets::generate();
        secrets.write_all(&file).unwrap();
        let read = Secrets::read(&file).unwrap();
        for role in ROLES {
            assert_eq!(read.password(role), secrets.password(role));
            assert_eq!(read.password(role).len(), 32);
            assert!(!format!("{secrets:?}").contains(read.password(role)));
        }
        secrets.write(&file, &[APP]).unwrap();
        assert!(
            Secrets::read(&file)
                .unwrap_err()
                .to_string()
                .contains("postgres")
        );
    }
}
