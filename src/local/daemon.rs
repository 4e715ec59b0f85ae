//! A program that runs in the background as this process's direct child.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

use crate::host::NodeState;
use crate::host::spawn::{self, io_error, on_spawner};

/// How long a signal that cannot be refused may take to have its effect on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program in the background, started and ended any number of times.
#[derive(Debug)]
pub(super) struct Daemon {
    name: String,
    process: Mutex<Option<Process>>,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) id: Pid,
    pub(super) ended: watch::Receiver<bool>,
    pub(super) paused: bool,
}

impl Daemon {
    /// `name` is what it is called in messages.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Daemon {
            name: name.into(),
            process: Mutex::new(None),
        }
    }

    /// Starts the program; what it prints is appended to `log`.
    pub(super) async fn start(&self, mut command: Command, log: &Path) -> Result<Pid> {
        if self.running().is_some() {
            return Err(Error::refused(format!(
                "{} is running already (resume it if it is paused)",
                self.name
            )));
        }
        // A group of its own: Ctrl-C in a terminal does not reach the servers before their
        // launcher had its turn, and if the launcher dies while they are paused, the kernel wakes
        // the orphaned group so that it can obey the signal to stop.
        command.process_group(0);
        let log_error = |e| io_error(format!("cannot write {}", log.display()), e);
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(log_error)?;
        let copy = file.as_fd().try_clone_to_owned().map_err(log_error)?;
        command.stdout(copy).stderr(file);
        let name = &self.name;
        let mut child = on_spawner(move || command.spawn())
            .await?
            .map_err(|e| io_error(format!("cannot start {name}"), e))?;
        let id = Pid::from_raw(child.id().cast_signed());
        let (sender, ended) = watch::channel(false);
        // Waits for its end, so that no zombie seems to live (and keeps a data directory's lock
        // file valid).
        std::thread::Builder::new()
            .name("pgshard-wait".into())
            .spawn(move || {
                let _ = child.wait();
                let _ = sender.send(true);
            })
            .map_err(|e| io_error("cannot start a thread", e))?;
        *self.process() = Some(Process {
            id,
            ended,
            paused: false,
        });
        Ok(id)
    }

    /// The process, unless it has ended.
    pub(super) fn running(&self) -> Option<Process> {
        let process = self.process();
        process
            .as_ref()
            .filter(|process| !*process.ended.borrow())
            .cloned()
    }

    pub(super) fn state(&self) -> NodeState {
        match self.running() {
            None => NodeState::Down,
            Some(process) if process.paused => NodeState::Paused,
            Some(_) => NodeState::Running,
        }
    }

    /// Notes whether its processes are stopped.
    pub(super) fn set_paused(&self, paused: bool) {
        if let Some(process) = self.process().as_mut() {
            process.paused = paused;
        }
    }

    /// Signals the one process, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(process) = self.running() {
            let _ = kill(process.id, signal);
        }
    }

    /// Stops it in its tracks. Pausing twice is no error.
    pub(super) fn pause(&self) -> Result<()> {
        self.running().ok_or_else(|| self.not_running())?;
        self.set_paused(true);
        self.signal(Signal::SIGSTOP);
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn resume(&self) -> Result<()> {
        self.running().ok_or_else(|| self.not_running())?;
        self.signal(Signal::SIGCONT);
        self.set_paused(false);
        Ok(())
    }

    /// Kills it and waits for its end. Killing one that is down is no error.
    pub(super) async fn kill(&self) -> Result<()> {
        self.end(Signal::SIGKILL, PATIENCE).await
    }

    /// Sends a signal that ends it, and waits for that.
    pub(super) async fn end(&self, signal: Signal, patience: Duration) -> Result<()> {
        let Some(mut process) = self.running() else {
            return Ok(());
        };
        let _ = kill(process.id, signal);
        let gone = process.ended.wait_for(|ended| *ended);
        if tokio::time::timeout(patience, gone).await.is_err() {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "{} has not ended {} s after {signal}",
                    self.name,
                    patience.as_secs()
                ),
            ));
        }
        Ok(())
    }

    /// Waits for the end without a runtime.
    pub(super) fn wait_end(&self, deadline: Instant) {
        while self.running().is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn not_running(&self) -> Error {
        Error::refused(format!("{} is not running", self.name))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a log file, for messages.
pub(super) fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    spawn::tail(&String::from_utf8_lossy(&text))
}
