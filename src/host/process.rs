//! The processes of a server, found by what cannot be mistaken: they run `postgres`, and their
//! working directory is the server's data directory.
//!
//! A process id alone proves nothing: it may have been reused since it was written down.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, ErrorKind, Result};

use serde::{Deserialize, Serialize};

/// What a node's server is doing, as far as its processes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Its processes run.
    Running,
    /// Its processes are stopped by SIGSTOP.
    Paused,
    /// It has no processes.
    Down,
}

/// How long signals may take to have their effect on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// All processes of the server on `data`: postmaster, workers, sessions. `data` is canonical.
pub(crate) fn of_server(data: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| serves(pid, data))
        .map(Pid::from_raw)
        .collect()
}

fn serves(pid: i32, data: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    std::fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd == data)
        && std::fs::read_link(proc.join("exe"))
            .is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "postgres"))
}

/// The postmaster of the server on `data`, if it lives.
pub(crate) fn postmaster(data: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    serves(pid, data).then(|| Pid::from_raw(pid))
}

/// What the server on `data` is doing, whoever started it.
pub(crate) fn server_state(data: &Path) -> NodeState {
    match postmaster(data).map(state) {
        None => NodeState::Down,
        Some(Some('T')) => NodeState::Paused,
        Some(_) => NodeState::Running,
    }
}

/// The state letter of a process as in `ps`: `R`, `S`, `T` (stopped), `Z` (ended, not waited for).
fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so read from the last one.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Kills every process of the server, the postmaster first so that it starts no others, and waits
/// until they are gone.
pub(crate) async fn kill_server(data: &Path, postmaster: Option<Pid>) -> Result<()> {
    if let Some(pid) = postmaster {
        let _ = kill(pid, Signal::SIGKILL);
    }
    until("end", || {
        let left = of_server(data);
        for &pid in &left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        left.is_empty()
    })
    .await
}

/// Asks the server to end by a signal, and waits until it has.
pub(crate) async fn end_server(
    data: &Path,
    postmaster: Pid,
    signal: Signal,
    patience: Duration,
) -> Result<()> {
    let _ = kill(postmaster, signal);
    let deadline = Instant::now() + patience;
    while !of_server(data).is_empty() {
        if Instant::now() > deadline {
            return Err(Error::new(ErrorKind::Timeout, "the server has not stopped"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// As [`kill_server`], where nothing can be awaited: while a value is dropped.
pub(crate) fn kill_server_blocking(data: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = of_server(data);
        for &pid in &left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Stops every process of the server in its tracks, the postmaster first.
pub(crate) async fn freeze(data: &Path, postmaster: Pid) -> Result<()> {
    let _ = kill(postmaster, Signal::SIGSTOP);
    until("freeze", || {
        let moving: Vec<Pid> = of_server(data)
            .into_iter()
            .filter(|&pid| state(pid).is_some_and(|state| state != 'T' && state != 'Z'))
            .collect();
        for &pid in &moving {
            let _ = kill(pid, Signal::SIGSTOP);
        }
        moving.is_empty()
    })
    .await
}

/// Lets every process of the server go on, the postmaster last.
pub(crate) async fn thaw(data: &Path, postmaster: Pid) -> Result<()> {
    until("go on", || {
        let frozen: Vec<Pid> = of_server(data)
            .into_iter()
            .filter(|&pid| state(pid) == Some('T'))
            .collect();
        for &pid in frozen.iter().filter(|&&pid| pid != postmaster) {
            let _ = kill(pid, Signal::SIGCONT);
        }
        let _ = kill(postmaster, Signal::SIGCONT);
        frozen.is_empty()
    })
    .await
}

async fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "the server's processes did not {what} within {} s",
                    PATIENCE.as_secs()
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
