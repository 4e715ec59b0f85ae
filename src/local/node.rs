//! One server: its files, its process, and how to start and end it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::host::NodeState;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};

use super::daemon::{self, Daemon};
use super::port::ReservedPort;
use super::server::Server;
use super::shmem;
use super::spec::StopMode;
use super::wait::{self, NotReady};
use crate::host::account::Account;
use crate::host::binaries::Binaries;
use crate::host::process;
use crate::host::spawn::{self, io_error};

/// How long a server may take to start or to stop on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of a local cluster.
pub struct LocalNode {
    id: NodeId,
    shard: ShardId,
    port: ReservedPort,
    dir: PathBuf,
    account: Account,
    binaries: Binaries,
    daemon: Daemon,
}

impl LocalNode {
    pub(super) fn new(
        id: NodeId,
        shard: ShardId,
        port: ReservedPort,
        dir: PathBuf,
        account: Account,
        binaries: Binaries,
    ) -> Self {
        LocalNode {
            id,
            shard,
            port,
            dir,
            account,
            binaries,
            daemon: Daemon::new(format!("the server of {id}")),
        }
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name of the node's shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The port on 127.0.0.1, which stays the node's own while its server is down.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// What the server is doing.
    pub fn state(&self) -> NodeState {
        match (self.daemon.state(), self.canonical_data()) {
            // Somebody else may have started it: `shardctl switchover`, say.
            (NodeState::Down, Ok(data)) => process::server_state(&data),
            (state, _) => state,
        }
    }

    /// The postmaster's process id, if it runs.
    pub fn process_id(&self) -> Option<u32> {
        let own = self.daemon.running().map(|process| process.id);
        let pid = own.or_else(|| self.stranger())?;
        Some(pid.as_raw().unsigned_abs())
    }

    /// The postmaster of a server that somebody else started.
    fn stranger(&self) -> Option<Pid> {
        match self.daemon.running() {
            Some(_) => None,
            None => process::postmaster(&self.canonical_data().ok()?),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// The password file of the server itself, which its user may read.
    pub(super) fn passfile(&self) -> PathBuf {
        self.dir.join("passfile")
    }

    pub(super) fn major(&self) -> u32 {
        self.binaries.major()
    }

    /// A command of the server's user that ends with this process.
    pub(super) fn command(&self, program: &str) -> std::process::Command {
        let program = self.binaries.program(program);
        spawn::command(&program, &self.account, &self.dir, Signal::SIGKILL)
    }

    /// Starts the server and waits until it accepts sessions.
    pub(super) async fn start(&self) -> Result<()> {
        if self.daemon.running().is_some() || self.stranger().is_some() {
            return Err(self.refused("is running already (resume it if it is paused)"));
        }
        let data = self.canonical_data()?;
        // Sessions of a killed postmaster may still be ending.
        process::kill_server(&data, None).await?;
        let program = self.binaries.program("postgres");
        let mut command = spawn::command(&program, &self.account, &self.dir, Signal::SIGQUIT);
        command
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("port={}", self.port())])
            .args(["-c", &format!("cluster_name={}", self.id)]);
        let postmaster = self.daemon.start(command, &self.log_file()).await?;
        self.wait_ready(&data, postmaster).await
    }

    async fn wait_ready(&self, data: &Path, postmaster: Pid) -> Result<()> {
        let runs = || self.daemon.running().is_some();
        let ready = || async { is_ready(data, postmaster) };
        let waited = wait::until(PATIENCE, Duration::from_millis(5), runs, ready).await;
        waited.map_err(|why| {
            let why = match why {
                NotReady::Ended => "the server ended while it started".to_owned(),
                NotReady::TooLate => format!(
                    "the server does not accept sessions after {} s",
                    PATIENCE.as_secs()
                ),
            };
            self.failed(format!("{why}: {}", self.log_tail()))
        })
    }

    /// The machine's description for `hosts.toml`.
    pub(super) fn host_toml(&self) -> String {
        format!(
            "\n[[host]]\nnode = \"{}\"\ndata = \"{}\"\nbin = \"{}\"\npassfile = \"{}\"\n\
             options = \"-c port={} -c cluster_name={}\"\n",
            self.id,
            self.data_dir().display(),
            self.binaries.dir().display(),
            self.passfile().display(),
            self.port(),
            self.id,
        )
    }

    /// Stops the server and waits until its processes are gone.
    pub(super) async fn stop(&self, mode: StopMode, patience: Duration) -> Result<()> {
        match self.state() {
            NodeState::Down => return Ok(()),
            NodeState::Paused => {
                return Err(self.refused("is paused and cannot stop; resume or kill it"));
            }
            NodeState::Running => {}
        }
        let ended = match self.stranger() {
            None => self.daemon.end(signal(mode), patience).await,
            Some(postmaster) => {
                let data = self.canonical_data()?;
                process::end_server(&data, postmaster, signal(mode), patience).await
            }
        };
        if ended.is_err() {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "the server has not stopped after {} s; end its sessions, or stop it with \
                     mode immediate",
                    patience.as_secs()
                ),
            )
            .on_shard(self.shard)
            .on_node(self.id));
        }
        process::kill_server(&self.canonical_data()?, None).await
    }

    /// Kills every process of the server with SIGKILL and waits until they are gone.
    pub(super) async fn kill(&self) -> Result<()> {
        let data = self.canonical_data()?;
        let postmaster = self.postmaster().ok();
        process::kill_server(&data, postmaster).await?;
        self.daemon.kill().await
    }

    /// Stops every process of the server with SIGSTOP. Pausing twice is no error.
    pub(super) async fn pause(&self) -> Result<()> {
        let postmaster = self.postmaster()?;
        self.daemon.set_paused(true);
        process::freeze(&self.canonical_data()?, postmaster).await
    }

    /// Lets a paused server go on.
    pub(super) async fn resume(&self) -> Result<()> {
        let postmaster = self.postmaster()?;
        process::thaw(&self.canonical_data()?, postmaster).await?;
        self.daemon.set_paused(false);
        Ok(())
    }

    /// Asks the server to end at once, for use in a destructor.
    pub(super) fn signal_end(&self) {
        self.daemon.signal(Signal::SIGQUIT);
        if self.state() == NodeState::Paused
            && let Ok(data) = self.canonical_data()
        {
            for pid in process::of_server(&data) {
                let _ = kill(pid, Signal::SIGCONT);
            }
        }
    }

    /// Waits for the end without a runtime.
    pub(super) fn wait_end(&self, deadline: Instant) {
        self.daemon.wait_end(deadline);
    }

    /// Removes the data directory of a stopped server.
    pub(super) fn clear(&self) -> Result<()> {
        let data = self.data_dir();
        shmem::remove_left_behind(&data);
        match std::fs::remove_dir_all(&data) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error(format!("cannot remove {}", data.display()), e))
            }
            _ => Ok(()),
        }
    }

    /// The end of the server's log, for messages.
    pub(super) fn log_tail(&self) -> String {
        daemon::log_tail(&self.log_file())
    }

    pub(super) fn refused(&self, why: &str) -> Error {
        Error::refused(format!("the node {why}"))
            .on_shard(self.shard)
            .on_node(self.id)
    }

    pub(super) fn failed(&self, why: impl Into<String>) -> Error {
        Error::new(ErrorKind::Io, why)
            .on_shard(self.shard)
            .on_node(self.id)
    }

    fn canonical_data(&self) -> Result<PathBuf> {
        let data = self.data_dir();
        data.canonicalize()
            .map_err(|e| io_error(format!("cannot reach {}", data.display()), e))
    }

    fn postmaster(&self) -> Result<Pid> {
        let own = self.daemon.running().map(|process| process.id);
        own.or_else(|| self.stranger())
            .ok_or_else(|| self.refused("is not running"))
    }
}

impl Server for LocalNode {
    fn id(&self) -> NodeId {
        self.id
    }

    fn shard(&self) -> ShardId {
        self.shard
    }

    fn port(&self) -> u16 {
        self.port.number()
    }

    fn state(&self) -> NodeState {
        LocalNode::state(self)
    }
}

impl fmt::Debug for LocalNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalNode")
            .field("id", &self.id)
            .field("shard", &self.shard)
            .field("port", &self.port())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

fn signal(mode: StopMode) -> Signal {
    match mode {
        StopMode::Fast => Signal::SIGINT,
        StopMode::Immediate => Signal::SIGQUIT,
        StopMode::Smart => Signal::SIGTERM,
    }
}

/// Whether the lock file, if it is this postmaster's and not an older one's, says that sessions are
/// accepted. Its first line is the process id, its eighth the status.
fn is_ready(data: &Path, postmaster: Pid) -> bool {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    lines.next().and_then(|line| line.trim().parse().ok()) == Some(postmaster.as_raw())
        && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}
