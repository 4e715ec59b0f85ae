//! Starting programs so that they end when this process does.
//!
//! Linux delivers the parent-death signal when the *thread* that forked ends, so all children are
//! forked from one thread that lives as long as the process.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

use super::account::Account;

type Job = Box<dyn FnOnce() + Send>;

/// Runs a closure on the thread that forks, and hands back its result.
pub(crate) async fn on_spawner<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        // A thread that cannot start drops its end, and the send below reports it.
        let _ = std::thread::Builder::new()
            .name("pgshard-spawner".into())
            .spawn(move || jobs.into_iter().for_each(|job| job()));
        sender
    });
    let (done, result) = oneshot::channel();
    let gone = || {
        Error::new(
            ErrorKind::Io,
            "the thread that starts programs is not running",
        )
    };
    spawner
        .send(Box::new(move || {
            let _ = done.send(work());
        }))
        .map_err(|_| gone())?;
    result.await.map_err(|_| gone())
}

/// A command that runs as the account, in a directory, with nothing inherited but what it needs,
/// and that gets `on_death` when this process ends.
pub(crate) fn command(program: &Path, account: &Account, cwd: &Path, on_death: Signal) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("HOME", cwd)
        .current_dir(cwd)
        .stdin(Stdio::null());
    for name in ["PATH", "TMPDIR", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if account.switch {
        command.gid(account.gid.as_raw()).uid(account.uid.as_raw());
    }
    die_with_parent(&mut command, on_death);
    command
}

/// Has the kernel signal the child when the forking thread ends.
fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = std::process::id();
    let hook = move || {
        #[cfg(target_os = "linux")]
        nix::sys::prctl::set_pdeathsig(signal)?;
        #[cfg(not(target_os = "linux"))]
        let _ = signal;
        // The parent may have died before the line above.
        if nix::unistd::getppid().as_raw().unsigned_abs() != parent {
            return Err(io::Error::from(nix::errno::Errno::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe functions may run: the hook makes two
    // system calls, prctl and getppid, and allocates nothing. It runs after the change of user,
    // which would clear the signal.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(hook);
    }
}

/// Runs a program to its end.
///
/// # Errors
///
/// If it cannot start, takes longer than `deadline` (it is then killed), or fails; the message
/// holds the end of what it printed.
pub(crate) async fn run(mut command: Command, deadline: Duration) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let runtime = tokio::runtime::Handle::current();
    let child = on_spawner(move || {
        let _guard = runtime.enter();
        command.spawn()
    })
    .await?
    .map_err(|e| io_error(format!("cannot start {what}"), e))?;
    let output = tokio::time::timeout(deadline, child.wait_with_output())
        .await
        .map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                format!("{what} did not end within {} s", deadline.as_secs()),
            )
        })?
        .map_err(|e| io_error(format!("cannot wait for {what}"), e))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::new(
        ErrorKind::Io,
        format!(
            "{what} failed ({}): {}",
            output.status,
            tail(&String::from_utf8_lossy(&output.stderr))
        ),
    ))
}

/// The last lines of a program's output, for a message.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(6);
    lines.get(from..).unwrap_or_default().join("; ")
}

/// An I/O error with what was being done.
pub(crate) fn io_error(what: impl Into<String>, error: io::Error) -> Error {
    let what = what.into();
    Error::new(ErrorKind::Io, format!("{what}: {error}")).with_source(error)
}
