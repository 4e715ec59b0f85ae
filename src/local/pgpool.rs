//! A real Pgpool-II in front of the servers of a local shard.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::{Error, ErrorKind, Result};

use super::cluster::{DATABASE, LocalCluster};
use super::daemon::{Daemon, log_tail};
use super::node::LocalNode;
use super::port::ReservedPort;
use super::secrets::{APP, write_private};
use super::settings::quote;
use super::wait;
use crate::host::account::Account;
use crate::host::binaries::find_program;
use crate::host::spawn::{self, io_error};

/// How long it may take to start or to stop on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a Pgpool-II shall be like.
#[derive(Clone, Debug)]
pub struct PgpoolSpec {
    /// Clients at the same time.
    pub children: usize,
    /// Whether SELECTs go to standbys too.
    pub load_balance: bool,
    /// Whether it may be told by its `pcp_…` programs to leave out a server.
    pub failover: bool,
    /// Lines of its `pcp.conf`: `USER:MD5`.
    pub control: String,
    /// More settings of `pgpool.conf`. Unknown ones are ignored by the program without a word.
    pub settings: Vec<(String, String)>,
}

impl Default for PgpoolSpec {
    fn default() -> Self {
        PgpoolSpec {
            children: 16,
            load_balance: false,
            failover: false,
            control: String::new(),
            settings: Vec::new(),
        }
    }
}

/// A Pgpool-II in streaming replication mode on loopback, with SCRAM on both sides. Dropping it ends
/// it; it must be dropped before its cluster.
#[derive(Debug)]
pub struct Pgpool {
    program: PathBuf,
    account: Account,
    dir: PathBuf,
    port: ReservedPort,
    control: ReservedPort,
    daemon: Daemon,
}

impl LocalCluster {
    /// Starts a Pgpool-II in front of all nodes of a shard.
    ///
    /// # Errors
    ///
    /// If there is no such shard; if Pgpool-II is not installed (the message names the package) or
    /// does not start.
    pub async fn pgpool(&self, shard: impl AsRef<str>, spec: PgpoolSpec) -> Result<Pgpool> {
        let shard = shard.as_ref();
        let nodes: Vec<&LocalNode> = self
            .nodes()
            .filter(|node| node.shard().as_str() == shard)
            .collect();
        let Some(first) = nodes.first() else {
            return Err(Error::config(format!("there is no shard {shard:?}")));
        };
        let account = first.account().clone();
        let port = ReservedPort::new(None)?;
        let pgpool = Pgpool {
            program: find_program(&account, "pgpool", "pgpool2")?,
            dir: self.dir().join(format!("pgpool-{}", port.number())),
            control: ReservedPort::new(None)?,
            daemon: Daemon::new("Pgpool-II"),
            account,
            port,
        };
        std::fs::create_dir_all(&pgpool.dir)
            .map_err(|e| io_error(format!("cannot create {}", pgpool.dir.display()), e))?;
        pgpool.account.own(&pgpool.dir, 0o700)?;
        let password = self.secrets().password(APP);
        pgpool.write("pool_passwd", &format!("{APP}:TEXT{password}\n"))?;
        pgpool.write("pool_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n")?;
        pgpool.write("pcp.conf", &spec.control)?;
        pgpool.write("pgpool.conf", &pgpool.config(&nodes, &spec))?;
        pgpool.start().await?;
        Ok(pgpool)
    }
}

impl Pgpool {
    /// Its port on 127.0.0.1, which stays its own while it is down.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its `pcp_port` on 127.0.0.1.
    pub fn control_port(&self) -> u16 {
        self.control.number()
    }

    /// Starts it, and returns when it takes connections.
    ///
    /// # Errors
    ///
    /// If it runs already or does not start.
    pub async fn start(&self) -> Result<()> {
        // SIGINT: a fast stop of it and its children.
        let mut command = spawn::command(&self.program, &self.account, &self.dir, Signal::SIGINT);
        command
            .arg("-n")
            .arg("-f")
            .arg(self.dir.join("pgpool.conf"))
            .arg("-a")
            .arg(self.dir.join("pool_hba.conf"))
            .arg("-F")
            .arg(self.dir.join("pcp.conf"));
        self.daemon.start(command, &self.log()).await?;
        let runs = || self.daemon.running().is_some();
        let open = || async {
            let address = (std::net::Ipv4Addr::LOCALHOST, self.port());
            tokio::net::TcpStream::connect(address).await.is_ok()
        };
        let waited = wait::until(PATIENCE, Duration::from_millis(20), runs, open).await;
        waited.map_err(|_| {
            let why = format!("Pgpool-II does not start: {}", log_tail(&self.log()));
            Error::new(ErrorKind::Io, why)
        })
    }

    /// Stops it at once: its clients lose their connections.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub async fn stop(&self) -> Result<()> {
        self.daemon.end(Signal::SIGINT, PATIENCE).await
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn config(&self, nodes: &[&LocalNode], spec: &PgpoolSpec) -> String {
        let dir = quote(&self.dir.display().to_string());
        let load_balance = if spec.load_balance { "on" } else { "off" };
        let mut text = format!(
            "backend_clustering_mode = 'streaming_replication'\n\
             listen_addresses = '127.0.0.1'\n\
             port = {}\n\
             unix_socket_directories = {dir}\n\
             pcp_listen_addresses = '127.0.0.1'\n\
             pcp_port = {}\n\
             pcp_socket_dir = {dir}\n\
             pid_file_name = {}\n\
             work_dir = {dir}\n\
             logdir = {dir}\n\
             enable_pool_hba = on\n\
             pool_passwd = 'pool_passwd'\n\
             allow_clear_text_frontend_auth = off\n\
             num_init_children = {}\n\
             max_pool = 1\n\
             load_balance_mode = {load_balance}\n\
             memory_cache_enabled = off\n\
             sr_check_period = 1\n\
             sr_check_user = '{APP}'\n\
             sr_check_database = '{DATABASE}'\n\
             health_check_period = 0\n\
             failover_on_backend_error = off\n",
            self.port(),
            self.control.number(),
            quote(&self.dir.join("pid").display().to_string()),
            spec.children,
        );
        let flag = match spec.failover {
            true => "ALLOW_TO_FAILOVER",
            false => "DISALLOW_TO_FAILOVER",
        };
        for (index, node) in nodes.iter().enumerate() {
            let _ = write!(
                text,
                "backend_hostname{index} = '127.0.0.1'\n\
                 backend_port{index} = {}\n\
                 backend_weight{index} = 1\n\
                 backend_flag{index} = '{flag}'\n\
                 backend_application_name{index} = '{}'\n",
                node.port(),
                node.id(),
            );
        }
        for (name, value) in &spec.settings {
            let _ = writeln!(text, "{name} = {}", quote(value));
        }
        text
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.dir.join(name);
        write_private(&file, text)?;
        self.account.own(&file, 0o600)
    }
}

impl Drop for Pgpool {
    fn drop(&mut self) {
        self.daemon.signal(Signal::SIGINT);
        self.daemon.wait_end(Instant::now() + PATIENCE);
        self.daemon.signal(Signal::SIGKILL);
    }
}
