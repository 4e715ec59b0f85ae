//! A small file system, for the hazards of a full disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, of so many bytes; gone when this is dropped.
pub(crate) struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Moves a stopped server's directory to a small disk and leaves a link. `None` if only root may
    /// mount here; in CI that is a failure.
    pub(crate) fn under(moved: &Path, bytes: u64) -> Option<Self> {
        let owner = std::fs::metadata(moved).expect("a directory");
        let dir = moved.with_file_name(format!(
            "{}-disk",
            moved.file_name().expect("a name").to_string_lossy()
        ));
        std::fs::create_dir(&dir).expect("a mount point");
        let (uid, gid) = (owner.uid(), owner.gid());
        let options = format!("size={bytes},mode=0700,uid={uid},gid={gid}");
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "pgshard-test"],
            &[&dir],
        );
        if !mounted {
            let _ = std::fs::remove_dir(&dir);
            let ci = std::env::var_os("CI").is_some();
            assert!(
                !ci && !nix::unistd::geteuid().is_root(),
                "tmpfs cannot be mounted"
            );
            println!("only root can mount a small file system: not tested");
            return None;
        }
        let disk = SmallDisk { dir };
        let content = disk.dir.join("content");
        assert!(run("cp", &["-a"], &[moved, &content]), "a copy");
        std::fs::remove_dir_all(moved).expect("the old directory");
        std::os::unix::fs::symlink(&content, moved).expect("a link");
        Some(disk)
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.dir.join("ballast")).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write(&vec![0; size]).is_ok_and(|written| written > 0) {}
        }
    }

    /// Gives the room back.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.dir.join("ballast")).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Detached at once, whoever still uses it.
        run("umount", &["-l"], &[&self.dir]);
        let _ = std::fs::remove_dir(&self.dir);
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).args(paths);
    command.output().is_ok_and(|output| output.status.success())
}
