//! Where temporary clusters are: in memory if there is plenty, else on disk.
//!
//! A server is a thousand small files. A disk under load takes longer to make and remove them than
//! the servers take to start.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

const MEMORY: &str = "/dev/shm";

/// What must be left of the file system in memory, and of the memory itself, in bytes. A demo takes
/// about one gigabyte.
const PLENTY: u64 = 8 << 30;

/// The parent of a new temporary cluster: TMPDIR if that is set.
pub(super) fn of_temporary() -> PathBuf {
    let memory = Path::new(MEMORY);
    if std::env::var_os("TMPDIR").is_none() && has_plenty(memory) {
        return memory.to_owned();
    }
    std::env::temp_dir()
}

/// All places where an earlier process may have made one.
pub(super) fn all() -> Vec<PathBuf> {
    let memory = Path::new(MEMORY).canonicalize();
    let mut all: Vec<PathBuf> = std::env::temp_dir().canonicalize().into_iter().collect();
    all.extend(memory.ok().filter(|memory| !all.contains(memory)));
    all
}

fn has_plenty(dir: &Path) -> bool {
    let room = statvfs(dir).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    let memory = std::fs::read_to_string("/proc/meminfo").ok();
    room >= PLENTY && memory.and_then(|text| available(&text)).unwrap_or(0) >= PLENTY
}

/// The available memory in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_available_memory() {
        let text = "MemTotal:       24683824 kB\nMemAvailable:   21708816 kB\n";
        assert_eq!(super::available(text), Some(21_708_816 * 1024));
        assert_eq!(super::available("MemTotal: 1 kB"), None);
    }
}
