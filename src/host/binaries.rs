//! PostgreSQL's programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Error, ErrorKind, Result};

use super::account::Account;
use super::spawn;

const NEEDED: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "pg_rewind"];

/// PostgreSQL's server programs of one version.
#[derive(Clone, Debug)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// The programs in a directory that `source` named.
    ///
    /// # Errors
    ///
    /// If the account may not run them there, or they are older than PostgreSQL 14.
    pub(crate) async fn at(account: &Account, dir: PathBuf, source: &str) -> Result<Self> {
        if let Some(program) = missing(account, &dir) {
            return Err(Error::config(format!(
                "{source} names {}, where there is no {program} that the servers' user may run; \
                 name the directory of PostgreSQL's server programs",
                dir.display()
            )));
        }
        let major = version(account, &dir).await?;
        if major < 14 {
            return Err(Error::config(format!(
                "{} holds PostgreSQL {major}; version 14 or later is needed",
                dir.display()
            )));
        }
        Ok(Binaries { dir, major })
    }

    /// The programs that are installed on this machine: in `PATH`, else of the newest
    /// `/usr/lib/postgresql/*/bin`, else where `pg_config` says.
    pub(crate) async fn installed(account: &Account) -> Result<Option<Self>> {
        match installed(account).await {
            Some(dir) => Ok(Some(Binaries::at(account, dir, "the search").await?)),
            None => Ok(None),
        }
    }

    /// The programs' directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The major version: 15, 18, …
    pub fn major(&self) -> u32 {
        self.major
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A program of the system that is no part of PostgreSQL: `patroni`, `etcd`, `pgbouncer`, …
///
/// # Errors
///
/// If it is neither in `PATH` nor where Debian puts it, or the servers' user may not run it; the
/// message names Debian's package.
pub(crate) fn find_program(account: &Account, name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| account.can_run(program))
        .ok_or_else(|| {
            Error::refused(format!(
                "there is no program {name} that the servers' user may run, neither in PATH nor in \
                 /usr/bin and /usr/sbin; install it (on Debian: apt-get install \
                 --no-install-recommends {package})"
            ))
        })
}

fn missing(account: &Account, dir: &Path) -> Option<&'static str> {
    NEEDED
        .into_iter()
        .find(|program| !account.can_run(&dir.join(program)))
}

async fn installed(account: &Account) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .collect();
    candidates.extend(debian());
    if let Some(dir) = candidates
        .into_iter()
        .find(|dir| missing(account, dir).is_none())
    {
        return Some(dir);
    }
    let mut pg_config = std::process::Command::new("pg_config");
    pg_config.arg("--bindir").stdin(std::process::Stdio::null());
    let output = spawn::run(pg_config, Duration::from_secs(10)).await.ok()?;
    let dir = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    missing(account, &dir).is_none().then_some(dir)
}

/// Debian's and Ubuntu's directories, the newest version first.
fn debian() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, dir)| dir).collect()
}

async fn version(account: &Account, dir: &Path) -> Result<u32> {
    let mut command = spawn::command(
        &dir.join("postgres"),
        account,
        Path::new("/"),
        Signal::SIGKILL,
    );
    command.arg("--version");
    let output = spawn::run(command, Duration::from_secs(30)).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| {
        Error::new(
            ErrorKind::Io,
            format!(
                "{}/postgres --version printed {:?}, which names no version",
                dir.display(),
                text.trim()
            ),
        )
    })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15; also `18beta1`.
pub(crate) fn parse_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    let digits = version.find(|c: char| !c.is_ascii_digit());
    version.get(..digits.unwrap_or(version.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_version("postgres (PostgreSQL) 18.6"), Some(18));
        assert_eq!(parse_version("psql"), None);
    }
}
