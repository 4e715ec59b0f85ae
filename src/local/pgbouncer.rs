//! A real PgBouncer in front of a server of a local cluster.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::NoTls;

use crate::error::{Error, ErrorKind, Result};

use super::cluster::{DATABASE, LocalCluster};
use super::daemon::{Daemon, log_tail};
use super::port::ReservedPort;
use super::secrets::{APP, random, write_private};
use super::wait;
use crate::host::account::Account;
use crate::host::binaries::find_program;
use crate::host::spawn::{self, io_error};

/// How long it may take to start or to stop on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an order of the admin console may take: PAUSE waits for transactions to end.
const ORDER: Duration = Duration::from_secs(30);

/// Who may use the admin console.
const ADMIN: &str = "pgbouncer";

/// What a PgBouncer shall be like.
#[derive(Clone, Debug)]
pub struct PgBouncerSpec {
    /// Servers that it lends, of each user.
    pub pool_size: usize,
    /// More settings of the section `[pgbouncer]`.
    pub settings: Vec<(String, String)>,
}

impl Default for PgBouncerSpec {
    fn default() -> Self {
        PgBouncerSpec {
            pool_size: 10,
            settings: Vec::new(),
        }
    }
}

/// A PgBouncer in transaction mode on loopback, with SCRAM on both sides. Dropping it ends it; it
/// must be dropped before its cluster.
#[derive(Debug)]
pub struct PgBouncer {
    program: PathBuf,
    account: Account,
    dir: PathBuf,
    port: ReservedPort,
    password: SecretString,
    spec: PgBouncerSpec,
    daemon: Daemon,
}

impl LocalCluster {
    /// Starts a PgBouncer that leads to a node.
    ///
    /// # Errors
    ///
    /// If there is no such node, or it does not run; if PgBouncer is not installed (the message
    /// names the package) or does not start.
    pub async fn pgbouncer(
        &self,
        target: impl AsRef<str>,
        spec: PgBouncerSpec,
    ) -> Result<PgBouncer> {
        let target = self.node(target)?.port();
        PgBouncer::before(target, self.dir(), self.secrets().password(APP), spec).await
    }
}

impl PgBouncer {
    /// Starts one that leads to a port, with a directory of its own in the cluster's.
    pub(super) async fn before(
        target: u16,
        dir: &Path,
        app: &str,
        spec: PgBouncerSpec,
    ) -> Result<PgBouncer> {
        let account = Account::find()?;
        let port = ReservedPort::new(None)?;
        let bouncer = PgBouncer {
            program: find_program(&account, "pgbouncer", "pgbouncer")?,
            dir: dir.join(format!("pgbouncer-{}", port.number())),
            daemon: Daemon::new("PgBouncer"),
            account,
            port,
            password: random(),
            spec,
        };
        std::fs::create_dir_all(&bouncer.dir)
            .map_err(|e| io_error(format!("cannot create {}", bouncer.dir.display()), e))?;
        bouncer.account.own(&bouncer.dir, 0o700)?;
        bouncer.write_users(app)?;
        bouncer.write_config(target)?;
        bouncer.start().await?;
        Ok(bouncer)
    }

    /// Its port on 127.0.0.1, which stays its own while it is down.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its file, with the section `[databases]`.
    pub fn ini(&self) -> PathBuf {
        self.dir.join("pgbouncer.ini")
    }

    /// Who may use its console: the role, and its password.
    pub fn admin(&self) -> (&'static str, &SecretString) {
        (ADMIN, &self.password)
    }

    /// Leads to another node, by its port on 127.0.0.1, from the next [`reload`](Self::reload) or start on.
    ///
    /// # Errors
    ///
    /// If its configuration cannot be written.
    pub fn point_at(&self, target: u16) -> Result<()> {
        self.write_config(target)
    }

    /// Starts it, and returns when it takes connections.
    ///
    /// # Errors
    ///
    /// If it runs already or does not start.
    pub async fn start(&self) -> Result<()> {
        let mut command = spawn::command(&self.program, &self.account, &self.dir, Signal::SIGKILL);
        command.arg(self.dir.join("pgbouncer.ini"));
        self.daemon.start(command, &self.dir.join("log")).await?;
        let runs = || self.daemon.running().is_some();
        let ready = || async { self.order("SHOW VERSION").await.is_ok() };
        let waited = wait::until(PATIENCE, Duration::from_millis(20), runs, ready).await;
        waited.map_err(|_| {
            let tail = log_tail(&self.dir.join("log"));
            Error::new(ErrorKind::Io, format!("PgBouncer does not start: {tail}"))
        })
    }

    /// Kills it: its clients and its servers lose their connections.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub async fn kill(&self) -> Result<()> {
        self.daemon.kill().await
    }

    /// Stops its process with SIGSTOP: it accepts connections and never answers.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.daemon.pause()
    }

    /// Lets its process go on.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.daemon.resume()
    }

    /// `PAUSE`: waits until no transaction is open, and lends no server from then on. Clients wait.
    ///
    /// # Errors
    ///
    /// If it does not run, or a transaction stays open for half a minute.
    pub async fn pause(&self) -> Result<()> {
        self.order("PAUSE").await
    }

    /// `RESUME`.
    ///
    /// # Errors
    ///
    /// If it does not run, or is not paused.
    pub async fn resume(&self) -> Result<()> {
        self.order("RESUME").await
    }

    /// `RELOAD`: reads its configuration again.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub async fn reload(&self) -> Result<()> {
        self.order("RELOAD").await
    }

    /// Sends an order to the admin console, which takes simple queries only.
    async fn order(&self, order: &str) -> Result<()> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port())
            .user(ADMIN)
            .password(self.password.expose_secret())
            .dbname("pgbouncer");
        let carried_out = async {
            let (client, connection) = config.connect(NoTls).await?;
            let connection = tokio::spawn(connection);
            let answer = client.simple_query(order).await.map(drop);
            connection.abort();
            answer
        };
        tokio::time::timeout(ORDER, carried_out)
            .await
            .map_err(|_| {
                Error::new(
                    ErrorKind::Timeout,
                    format!("PgBouncer has not done {order} after {} s", ORDER.as_secs()),
                )
            })?
            .map_err(|error| {
                Error::new(ErrorKind::Io, format!("PgBouncer refused {order}: {error}"))
                    .with_source(error)
            })
    }

    /// Passwords and not verifiers: those of a role differ from shard to shard, by their salt, and
    /// PgBouncer could log in only where its own came from.
    fn write_users(&self, app: &str) -> Result<()> {
        let own = self.password.expose_secret();
        let text = format!("\"{APP}\" \"{app}\"\n\"{ADMIN}\" \"{own}\"\n");
        self.write("users.txt", &text)
    }

    fn write_config(&self, target: u16) -> Result<()> {
        let dir = self.dir.display();
        let mut text = format!(
            "[databases]\n\
             {DATABASE} = host=127.0.0.1 port={target} dbname={DATABASE}\n\
             \n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = {dir}/users.txt\n\
             admin_users = {ADMIN}\n\
             pool_mode = transaction\n\
             default_pool_size = {}\n\
             max_client_conn = 500\n\
             query_wait_timeout = 10\n\
             server_connect_timeout = 3\n\
             server_login_retry = 1\n",
            self.port(),
            self.spec.pool_size,
        );
        for (name, value) in &self.spec.settings {
            let _ = writeln!(text, "{name} = {value}");
        }
        self.write("pgbouncer.ini", &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.dir.join(name);
        write_private(&file, text)?;
        self.account.own(&file, 0o600)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.daemon.signal(Signal::SIGKILL);
        self.daemon.wait_end(Instant::now() + PATIENCE);
    }
}
