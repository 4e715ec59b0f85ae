//! A node: a Patroni and the PostgreSQL server that it runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::error::{Error, ErrorKind, Result};
use crate::host::NodeState;
use crate::host::account::Account;
use crate::host::binaries::Binaries;
use crate::host::process;
use crate::host::spawn::{self, io_error};
use crate::id::{NodeId, ShardId};
use crate::local::daemon::{Daemon, log_tail};
use crate::local::port::ReservedPort;
use crate::local::rest;
use crate::local::secrets::write_private;
use crate::local::server::Server;
use crate::local::wait::{self, NotReady};

/// How long an answer of Patroni's may take.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a clean stop may take on a loaded machine.
const STOP: Duration = Duration::from_secs(60);

/// A node of a local cluster under Patroni.
pub struct PatroniNode {
    id: NodeId,
    shard: ShardId,
    port: ReservedPort,
    rest: ReservedPort,
    dir: PathBuf,
    account: Account,
    binaries: Binaries,
    program: PathBuf,
    patroni: Daemon,
}

/// What a new node is made of.
pub(super) struct Parts<'a> {
    pub(super) id: NodeId,
    pub(super) shard: ShardId,
    /// Ports of an earlier run: the server's, and the REST interface's.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) dir: PathBuf,
    pub(super) account: &'a Account,
    pub(super) binaries: &'a Binaries,
    pub(super) program: &'a Path,
}

impl PatroniNode {
    pub(super) fn new(parts: Parts<'_>) -> Result<Self> {
        let id = parts.id;
        Ok(PatroniNode {
            id,
            shard: parts.shard,
            port: ReservedPort::preferring(parts.ports.map(|ports| ports.0))?,
            rest: ReservedPort::preferring(parts.ports.map(|ports| ports.1))?,
            dir: parts.dir,
            account: parts.account.clone(),
            binaries: parts.binaries.clone(),
            program: parts.program.to_owned(),
            patroni: Daemon::new(format!("the Patroni of {id}")),
        })
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name of the node's shard, which is Patroni's scope.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port of Patroni's REST interface on 127.0.0.1.
    pub fn rest_port(&self) -> u16 {
        self.rest.number()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What Patroni and the server print.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// What Patroni is doing.
    pub fn patroni_state(&self) -> NodeState {
        self.patroni.state()
    }

    /// What the server is doing.
    pub fn postgres_state(&self) -> NodeState {
        self.canonical_data()
            .map_or(NodeState::Down, |data| process::server_state(&data))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn bindir(&self) -> &Path {
        self.binaries.dir()
    }

    pub(super) fn major(&self) -> u32 {
        self.binaries.major()
    }

    /// The machine's description for `hosts.toml`.
    pub(super) fn host_toml(&self) -> String {
        format!(
            "\n[[host]]\nnode = \"{}\"\ndata = \"{}\"\nbin = \"{}\"\n",
            self.id(),
            self.data_dir().display(),
            self.bindir().display(),
        )
    }

    fn config_file(&self) -> PathBuf {
        self.dir.join("patroni.yml")
    }

    /// Makes the directory with Patroni's configuration in it, which holds passwords.
    pub(super) fn write(&self, config: &serde_json::Value) -> Result<()> {
        std::fs::create_dir_all(&self.dir)
            .map_err(|e| io_error(format!("cannot create {}", self.dir.display()), e))?;
        self.account.own(&self.dir, 0o700)?;
        let file = self.config_file();
        write_private(&file, &format!("{config:#}\n"))?;
        self.account.own(&file, 0o600)
    }

    /// Starts Patroni, which starts the server.
    pub(super) async fn start(&self) -> Result<()> {
        // Killed: it must not hand over or shut down in peace while its launcher is gone.
        let mut command = spawn::command(&self.program, &self.account, &self.dir, Signal::SIGKILL);
        command.arg(self.config_file());
        self.patroni
            .start(command, &self.log_file())
            .await
            .map(|_| ())
            .map_err(|e| e.on_shard(self.shard).on_node(self.id))
    }

    /// Stops Patroni, which stops the server and hands its leadership over.
    pub(super) async fn stop(&self) -> Result<()> {
        let stopped = self.patroni.end(Signal::SIGTERM, STOP).await;
        stopped.map_err(|e| e.on_shard(self.shard).on_node(self.id))
    }

    pub(super) async fn kill_patroni(&self) -> Result<()> {
        self.patroni.kill().await
    }

    pub(super) fn pause_patroni(&self) -> Result<()> {
        self.patroni.pause()
    }

    pub(super) fn resume_patroni(&self) -> Result<()> {
        self.patroni.resume()
    }

    pub(super) async fn kill_postgres(&self) -> Result<()> {
        match self.canonical_data() {
            Some(data) => process::kill_server(&data, process::postmaster(&data)).await,
            None => Ok(()),
        }
    }

    pub(super) async fn pause_postgres(&self) -> Result<()> {
        let (data, postmaster) = self.server()?;
        process::freeze(&data, postmaster).await
    }

    pub(super) async fn resume_postgres(&self) -> Result<()> {
        let (data, postmaster) = self.server()?;
        process::thaw(&data, postmaster).await
    }

    /// Asks Patroni's REST interface.
    pub(super) async fn ask(&self, path: &str) -> Result<rest::Answer> {
        rest::request(self.rest_port(), "GET", path, None, None, ANSWER).await
    }

    /// Whether Patroni answers a check with 200: `/primary` on the leader with the lock, `/replica`
    /// on a running standby, …
    pub(super) async fn is(&self, check: &str) -> bool {
        self.ask(check)
            .await
            .is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until `done`, and fails if Patroni ends or it takes too long.
    pub(super) async fn until<F>(
        &self,
        what: &str,
        patience: Duration,
        done: impl Fn() -> F,
    ) -> Result<()>
    where
        F: Future<Output = bool>,
    {
        let runs = || self.patroni.state() != NodeState::Down;
        let waited = wait::until(patience, Duration::from_millis(50), runs, done).await;
        waited.map_err(|why| {
            let why = match why {
                NotReady::Ended => "its Patroni has ended".to_owned(),
                NotReady::TooLate => format!("not after {} s", patience.as_secs()),
            };
            let tail = log_tail(&self.log_file());
            self.failed(format!("the node is no {what}: {why}: {tail}"))
        })
    }

    /// Kills Patroni and the server, for use in a destructor.
    pub(super) fn signal_end(&self) {
        self.patroni.signal(Signal::SIGKILL);
        for pid in self
            .canonical_data()
            .iter()
            .flat_map(|data| process::of_server(data))
        {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// Waits for the end of Patroni without a runtime.
    pub(super) fn wait_end(&self, deadline: Instant) {
        self.patroni.wait_end(deadline);
    }

    pub(super) fn failed(&self, why: impl Into<String>) -> Error {
        Error::new(ErrorKind::Io, why)
            .on_shard(self.shard)
            .on_node(self.id)
    }

    fn server(&self) -> Result<(PathBuf, nix::unistd::Pid)> {
        self.canonical_data()
            .and_then(|data| process::postmaster(&data).map(|postmaster| (data, postmaster)))
            .ok_or_else(|| {
                Error::refused("the node's server is not running")
                    .on_shard(self.shard)
                    .on_node(self.id)
            })
    }

    fn canonical_data(&self) -> Option<PathBuf> {
        self.data_dir().canonicalize().ok()
    }
}

impl Server for PatroniNode {
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
        self.postgres_state()
    }

    fn manager(&self) -> Option<NodeState> {
        Some(self.patroni_state())
    }
}

impl fmt::Debug for PatroniNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatroniNode")
            .field("id", &self.id)
            .field("shard", &self.shard)
            .field("port", &self.port())
            .field("rest_port", &self.rest_port())
            .field("patroni", &self.patroni_state())
            .field("postgres", &self.postgres_state())
            .finish_non_exhaustive()
    }
}
