//! PostgreSQL's programs on this machine, and as whom they run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Error, ErrorKind, Result};
use crate::host::Binaries;
use crate::host::account::Account;
use crate::host::control_data::ControlData;
use crate::host::spawn;

/// Programs of one version, and the user that servers run as.
pub(super) struct Tools {
    pub(super) account: Account,
    pub(super) binaries: Binaries,
}

impl Tools {
    /// Those in `bindir`, else those that are installed.
    pub(super) async fn find(bindir: Option<&Path>) -> Result<Tools> {
        let account = Account::find()?;
        let found = match bindir {
            Some(dir) => Some(Binaries::at(&account, dir.to_owned(), "--pg-bindir").await?),
            None => Binaries::installed(&account).await?,
        };
        let binaries = found.ok_or_else(|| {
            Error::config("PostgreSQL's programs are not found: name their directory (--pg-bindir)")
        })?;
        Ok(Tools { account, binaries })
    }

    /// A program that runs as the servers' user.
    pub(super) fn command(&self, program: &str) -> Command {
        let program: PathBuf = self.binaries.program(program);
        spawn::command(&program, &self.account, Path::new("/"), Signal::SIGTERM)
    }

    pub(super) async fn control_data(&self, data: &Path) -> Result<ControlData> {
        let mut command = self.command("pg_controldata");
        command.arg("-D").arg(data);
        let output = spawn::run(command, Duration::from_secs(30)).await?;
        ControlData::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!("pg_controldata printed no state of {}", data.display()),
            )
        })
    }

    /// Refuses what these programs cannot work with.
    pub(super) fn fit(&self, major: u32, what: &str) -> Result<()> {
        if self.binaries.major() == major {
            return Ok(());
        }
        Err(Error::refused(format!(
            "{what} is of PostgreSQL {major}, and the programs in {} are of {}: name those of {major} \
             (--pg-bindir)",
            self.binaries.dir().display(),
            self.binaries.major()
        )))
    }
}

/// Refuses a place inside of a server's data directory, which holds nothing but the server's own.
pub(super) fn outside_of_data(path: &Path) -> Result<()> {
    let inside = path
        .ancestors()
        .skip(1)
        .find(|dir| dir.join("global/pg_control").exists());
    match inside {
        None => Ok(()),
        Some(data) => Err(Error::refused(format!(
            "{} is inside of the data directory {}: choose another place",
            path.display(),
            data.display()
        ))),
    }
}

/// The room of a directory's file system, or of the nearest one above it, in bytes.
pub(super) fn room(path: &Path) -> Result<u64> {
    let there = path
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("/"));
    let stat = nix::sys::statvfs::statvfs(there).map_err(|e| {
        spawn::io_error(
            format!("cannot tell the room at {}", there.display()),
            e.into(),
        )
    })?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}
