//! A journal's file: lines that are on the disk before anything else happens, and a lock.

use std::fs::{File as Handle, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, Result};
use crate::host::spawn::io_error;

use super::line::{Head, Line};

const EXTENSION: &str = "jsonl";

/// The file of a procedure that runs, locked for as long.
pub(super) struct File {
    handle: Flock<Handle>,
    path: PathBuf,
}

impl File {
    pub(super) fn create(path: &Path) -> Result<File> {
        let mut options = OpenOptions::new();
        let handle = options
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| io_error(format!("cannot create the journal {}", path.display()), e))?;
        let file = File::locked(handle, path)?;
        // The directory's entry has to be on the disk too.
        path.parent()
            .map_or(Ok(()), |dir| Handle::open(dir)?.sync_all())
            .map_err(|e| io_error(format!("cannot write beside {}", path.display()), e))?;
        Ok(file)
    }

    pub(super) fn open(path: &Path) -> Result<File> {
        let failed = |e| io_error(format!("cannot open the journal {}", path.display()), e);
        let handle = OpenOptions::new().append(true).open(path).map_err(failed)?;
        let file = File::locked(handle, path)?;
        // A line that a crash cut short was never acted upon.
        let whole = std::fs::read(path).map_err(failed)?;
        let end = whole
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        file.handle
            .set_len(u64::try_from(end).unwrap_or(u64::MAX))
            .map_err(failed)?;
        Ok(file)
    }

    fn locked(handle: Handle, path: &Path) -> Result<File> {
        match Flock::lock(handle, FlockArg::LockExclusiveNonblock) {
            Ok(handle) => Ok(File {
                handle,
                path: path.to_owned(),
            }),
            Err((_, _)) => Err(Error::refused(format!(
                "the procedure of {} runs now, in another process",
                path.display()
            ))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line; it is on the disk when this returns.
    pub(super) fn append(&mut self, line: &Line) -> Result<()> {
        let failed = |e| {
            io_error(
                format!("cannot write the journal {}", self.path.display()),
                e,
            )
        };
        let mut text = serde_json::to_vec(line).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        self.handle.write_all(&text).map_err(failed)?;
        self.handle.sync_data().map_err(failed)
    }
}

/// Where a journal is written.
pub(super) fn path(dir: &Path, head: &Head) -> PathBuf {
    dir.join(format!("{}-{}.{EXTENSION}", head.procedure, head.id))
}

/// The journals of a directory, which need not be there.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| io_error(format!("cannot list the journals in {}", dir.display()), e);
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == Io::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == EXTENSION)
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// The lines of a journal, without one that a crash cut short.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| io_error(format!("cannot read the journal {}", path.display()), e))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = Vec::new();
    for (number, line) in whole.lines().enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|e| {
            let at = format!("line {} of {}", number + 1, path.display());
            io_error(format!("cannot understand {at}"), e.into())
        })?;
        if let Line::Head(head) = &line
            && !head.known()
        {
            return Err(Error::refused(format!(
                "{} was written by another version of this program: use that one",
                path.display()
            )));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Keeps others from beginning a procedure, until the guard is dropped.
pub(super) fn lock_directory(dir: &Path) -> Result<Flock<Handle>> {
    let failed = |e| io_error(format!("cannot use {} for journals", dir.display()), e);
    std::fs::create_dir_all(dir).map_err(failed)?;
    let handle = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join("lock"))
        .map_err(failed)?;
    Flock::lock(handle, FlockArg::LockExclusive).map_err(|(_, e)| failed(e.into()))
}
