//! Files of the log on their way into the archive and back: what `archive_command` and
//! `restore_command` run.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::host::spawn::io_error;

/// An attempt that is older was interrupted.
const STALE: Duration = Duration::from_secs(3600);

/// Copies a file of the log into an archive, where it is durable when this returns.
///
/// A file of that name that is there already is never replaced: with the same contents it is a success, since
/// a server archives a file again after a crash; with others it is refused.
///
/// # Errors
///
/// `Refused` for another file of the same name, as when two servers archive into one directory; `Io`.
/// The server then keeps the file, and tries again.
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("wal-{}", uuid::Uuid::new_v4()));
/// # std::fs::create_dir_all(dir.join("archive")).unwrap();
/// use pgshard::ops::backup::wal;
/// let file = dir.join("000000010000000000000001");
/// std::fs::write(&file, "log")?;
/// wal::push(&file, &dir.join("archive"))?;
/// wal::push(&file, &dir.join("archive"))?; // again, after a crash
/// std::fs::write(&file, "another log")?;
/// assert!(wal::push(&file, &dir.join("archive")).is_err());
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn push(file: &Path, archive: &Path) -> Result<()> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name
        .filter(|name| is_log(name))
        .ok_or_else(|| Error::refused(format!("{} is not a file of the log", file.display())))?;
    let to = archive.join(name);
    if same(file, &to)? {
        return Ok(());
    }
    // A name of its own: two servers may push a file at once, as an old primary and a new one do.
    let part = parts(archive)?.join(format!("{name}.{}", Uuid::new_v4().simple()));
    let failed = |e| io_error(format!("cannot write {}", part.display()), e);
    let mut from = open(file)?;
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&part)
        .map_err(failed)?;
    std::io::copy(&mut from, &mut out).map_err(failed)?;
    out.sync_all().map_err(failed)?;
    // Unlike a rename, a link replaces nothing.
    let linked = std::fs::hard_link(&part, &to);
    std::fs::remove_file(&part).map_err(failed)?;
    match linked {
        Err(e) if e.kind() == Io::AlreadyExists => {
            same(file, &to)?;
        }
        other => other.map_err(|e| io_error(format!("cannot create {}", to.display()), e))?,
    }
    let archive = File::open(archive).and_then(|archive| archive.sync_all());
    archive.map_err(|e| io_error(format!("cannot write beside {}", to.display()), e))
}

/// The directory of attempts, in the archive's own file system, without those that were interrupted long ago.
fn parts(archive: &Path) -> Result<PathBuf> {
    let dir = archive.join(".part");
    let failed = |e| io_error(format!("cannot use {}", dir.display()), e);
    // Not the archive itself: one that is not there is not mounted.
    match std::fs::create_dir(&dir) {
        Err(e) if e.kind() != Io::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if age().is_some_and(|age| age > STALE) {
            // Another one may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(dir)
}

/// Copies a file from an archive to where a recovering server wants it. False if the archive has none of that
/// name: to the server, that is the end of the log.
///
/// # Errors
///
/// Whenever it is not certain that the archive has no such file: the recovery has to stop then, and must not
/// end early.
pub fn fetch(name: &str, archive: &Path, to: &Path) -> Result<bool> {
    if !is_log(name) {
        return Err(Error::refused(format!("{name:?} is not a file of the log")));
    }
    let from = archive.join(name);
    let failed = |e| io_error(format!("cannot read {}", from.display()), e);
    if !archive.is_dir() {
        let gone = std::io::Error::from(Io::NotFound);
        return Err(io_error(
            format!("no archive at {}", archive.display()),
            gone,
        ));
    }
    match std::fs::copy(&from, to) {
        Ok(_) => Ok(true),
        // The archive is there, so it is the file that is not.
        Err(e) if e.kind() == Io::NotFound && !from.exists() => Ok(false),
        Err(e) => Err(failed(e)),
    }
}

/// Whether a file is in the archive already.
fn same(file: &Path, archived: &Path) -> Result<bool> {
    if !archived.exists() {
        return Ok(false);
    }
    let (mut a, mut b) = (open(file)?, open(archived)?);
    let failed = |e| io_error(format!("cannot read {}", file.display()), e);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut left).map_err(failed)?;
        let m = read_up_to(&mut b, &mut right[..n.max(1)]).map_err(failed)?;
        if n != m || left[..n] != right[..m] {
            return Err(Error::refused(format!(
                "the archive has another file of that name, {}: do two servers archive into one \
                 directory? It is not replaced",
                archived.display()
            )));
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| io_error(format!("cannot read {}", path.display()), e))
}

/// `000000010000000000000001`, `….partial`, `….00000028.backup`, `00000002.history`.
fn is_log(name: &str) -> bool {
    let hex = |text: &str, length| {
        text.len() == length
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    };
    match name.split('.').collect::<Vec<_>>()[..] {
        [file] => hex(file, 24),
        [file, "partial"] => hex(file, 24),
        [file, offset, "backup"] => hex(file, 24) && hex(offset, 8),
        [timeline, "history"] => hex(timeline, 8),
        _ => false,
    }
}

/// Whether a name is that of a whole file of the log.
pub(super) fn is_segment(name: &str) -> bool {
    name.len() == 24 && is_log(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const NAME: &str = "000000010000000000000001";

    #[test]
    fn what_an_interrupted_push_left_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let (file, archive) = (dir.path().join(NAME), dir.path().join("a"));
        std::fs::create_dir(&archive).unwrap();
        std::fs::write(&file, vec![7; 100_000]).unwrap();
        let parts = archive.join(".part");
        std::fs::create_dir(&parts).unwrap();
        let half = parts.join(format!("{NAME}.x"));
        std::fs::write(&half, "half").unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * STALE;
        let half = OpenOptions::new().write(true).open(&half).unwrap();
        half.set_modified(long_ago).unwrap();
        push(&file, &archive).unwrap();
        assert_eq!(std::fs::read(archive.join(NAME)).unwrap(), vec![7; 100_000]);
        assert_eq!(std::fs::read_dir(&parts).unwrap().count(), 0);

        // A prefix, and a longer one, are other files.
        for length in [99_999, 100_001] {
            std::fs::write(&file, vec![7; length]).unwrap();
            let error = push(&file, &archive).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
        }
        assert_eq!(std::fs::read(archive.join(NAME)).unwrap().len(), 100_000);
    }

    #[test]
    fn only_a_missing_file_is_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        assert!(!fetch(NAME, dir.path(), &to).unwrap());
        assert!(fetch(NAME, &dir.path().join("unmounted"), &to).is_err());
        std::fs::create_dir(dir.path().join(NAME)).unwrap();
        assert!(fetch(NAME, dir.path(), &to).is_err());
        assert!(fetch("../x", dir.path(), &to).is_err());
    }

    #[test]
    fn names() {
        assert!(is_log(NAME) && is_log("00000002.history"));
        assert!(is_log("000000010000000000000001.00000028.backup"));
        assert!(is_log("000000010000000000000001.partial"));
        for wrong in [
            "",
            "a",
            "00000002.histor",
            "00000001000000000000000g",
            "x/00000002.history",
        ] {
            assert!(!is_log(wrong), "{wrong}");
        }
    }
}
