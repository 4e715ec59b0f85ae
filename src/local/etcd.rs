//! etcd: where Patroni keeps who leads.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::{Error, ErrorKind, Result};

use super::daemon::{Daemon, log_tail};
use super::home::Home;
use super::port::ReservedPort;
use super::rest;
use super::wait;
use crate::host::NodeState;
use crate::host::account::Account;
use crate::host::binaries::find_program;
use crate::host::spawn::{self, io_error};

/// How long it may take to start or stop on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One member that is a cluster of its own: enough to try out its loss.
#[derive(Debug)]
pub(super) struct Etcd {
    program: PathBuf,
    dir: PathBuf,
    account: Account,
    client: ReservedPort,
    peer: ReservedPort,
    daemon: Daemon,
}

impl Etcd {
    /// `ports` are those of an earlier run: for clients, and for peers.
    pub(super) fn new(home: &Home, account: &Account, ports: Option<[u16; 2]>) -> Result<Self> {
        let port = |index: usize| ReservedPort::preferring(ports.map(|ports| ports[index]));
        Ok(Etcd {
            program: find_program(account, "etcd", "etcd-server")?,
            dir: home.nodes().join("etcd"),
            account: account.clone(),
            client: port(0)?,
            peer: port(1)?,
            daemon: Daemon::new("etcd"),
        })
    }

    pub(super) fn ports(&self) -> [u16; 2] {
        [self.client.number(), self.peer.number()]
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client.number())
    }

    pub(super) fn state(&self) -> NodeState {
        self.daemon.state()
    }

    /// Starts it and waits until it answers.
    pub(super) async fn start(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)
            .map_err(|e| io_error(format!("cannot create {}", self.dir.display()), e))?;
        self.account.own(&self.dir, 0o700)?;
        let client = format!("http://{}", self.address());
        let peer = format!("http://127.0.0.1:{}", self.peer.number());
        let mut command = spawn::command(&self.program, &self.account, &self.dir, Signal::SIGKILL);
        command
            .args(["--name", "etcd", "--data-dir"])
            // Not "data": that is what a PostgreSQL server's directory is called.
            .arg(self.dir.join("kv"))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("etcd={peer}")])
            .args(["--log-level", "warn", "--unsafe-no-fsync"]);
        let log = self.dir.join("log");
        self.daemon.start(command, &log).await?;
        let runs = || self.state() != NodeState::Down;
        let ready = || self.is_healthy();
        let waited = wait::until(PATIENCE, Duration::from_millis(50), runs, ready).await;
        waited.map_err(|_| {
            let why = format!("etcd does not start: {}", log_tail(&log));
            Error::new(ErrorKind::Io, why)
        })
    }

    async fn is_healthy(&self) -> bool {
        let second = Duration::from_secs(1);
        let asked = rest::request(self.client.number(), "GET", "/health", None, None, second);
        asked
            .await
            .is_ok_and(|answer| answer.status == 200 && answer.body.contains("true"))
    }

    pub(super) async fn stop(&self) -> Result<()> {
        self.daemon.end(Signal::SIGTERM, PATIENCE).await
    }

    pub(super) async fn kill(&self) -> Result<()> {
        self.daemon.kill().await
    }

    pub(super) fn pause(&self) -> Result<()> {
        self.daemon.pause()
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.daemon.resume()
    }

    /// Kills it, for use in a destructor.
    pub(super) fn signal_end(&self) {
        self.daemon.signal(Signal::SIGKILL);
    }

    /// Waits for the end without a runtime.
    pub(super) fn wait_end(&self, deadline: Instant) {
        self.daemon.wait_end(deadline);
    }
}
