//! The System V shared memory segment that a killed server leaves behind.
//!
//! PostgreSQL keeps its memory in anonymous mappings, which end with it, and one tiny segment that
//! proves a data directory to be in use. A server that stops removes the segment, and one that
//! starts again takes it over; where a directory is deleted after a kill, nobody would.

use std::path::Path;

/// Removes the segment that the lock file of a stopped server names, if nobody is attached to it.
pub(super) fn remove_left_behind(data: &Path) {
    let Some(segment) = segment(data) else { return };
    // SAFETY: shmctl reads and writes only the structure that it is given, which is valid for
    // writes and large enough; IPC_RMID takes no structure. An id that is not ours any more is
    // recognised by its key.
    #[allow(unsafe_code)]
    unsafe {
        let mut info: libc::shmid_ds = std::mem::zeroed();
        if libc::shmctl(segment.id, libc::IPC_STAT, &mut info) == 0
            && info.shm_nattch == 0
            && key(&info) == segment.key
        {
            libc::shmctl(segment.id, libc::IPC_RMID, std::ptr::null_mut());
        }
    }
}

#[cfg(target_os = "linux")]
fn key(info: &libc::shmid_ds) -> i64 {
    i64::from(info.shm_perm.__key)
}

#[cfg(not(target_os = "linux"))]
fn key(_: &libc::shmid_ds) -> i64 {
    -1
}

struct Segment {
    key: i64,
    id: i32,
}

/// The seventh line of `postmaster.pid`: the segment's key and id.
fn segment(data: &Path) -> Option<Segment> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let mut words = text.lines().nth(6)?.split_whitespace();
    Some(Segment {
        key: words.next()?.parse().ok()?,
        id: words.next()?.parse().ok()?,
    })
}
