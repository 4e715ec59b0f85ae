//! What is done on a server's machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::config::NodeConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::host::account::Account;
use crate::host::control_data::ControlData;
use crate::host::spawn;
use crate::id::{NodeId, SystemId, Timeline};

use super::{HostConfig, Hosts, Script};
use crate::ops::replication::slot_name;

/// How long a short command may take, with the way to the machine.
const SHORT: Duration = Duration::from_secs(30);

/// How long a server may take to start or to stop.
const SERVER: Duration = Duration::from_secs(600);

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its sessions end, its standbys get all of its log, a checkpoint is written.
    Fast,
    /// At once, as by a crash.
    Immediate,
}

/// A node's machine.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) node: NodeId,
    pub(crate) data: PathBuf,
    bin: Option<PathBuf>,
    through: Vec<String>,
    start: Option<String>,
    stop: Option<String>,
    options: Option<String>,
    log: PathBuf,
    /// Keywords of the server's own connections: its password file and what all have.
    conninfo: String,
    address: (String, u16),
    replication_user: String,
    rewind_user: String,
}

impl Host {
    pub(super) fn new(hosts: &Hosts, host: &HostConfig, node: &NodeConfig) -> Result<Host> {
        let mut conninfo = hosts.conninfo.clone();
        if let Some(passfile) = &host.passfile {
            conninfo = format!(
                "{conninfo} passfile={}",
                quote(&passfile.display().to_string())
            );
        }
        let address = host.address.as_ref().map_or_else(
            || (node.host.clone(), node.port),
            |address| (address.host.clone(), address.port),
        );
        Ok(Host {
            node: node.id,
            data: host.data.clone(),
            bin: host.bin.clone(),
            through: host.through.clone(),
            start: host.start.clone(),
            stop: host.stop.clone(),
            options: host.options.clone(),
            log: host
                .log
                .clone()
                .unwrap_or_else(|| host.data.join("startup.log")),
            conninfo: conninfo.trim().to_owned(),
            address,
            replication_user: hosts.replication_user.clone(),
            rewind_user: hosts.rewind_user.clone(),
        })
    }

    /// The connection string with which this server follows another one.
    pub(crate) fn follow(&self, source: &Host) -> String {
        format!(
            "{} application_name={}",
            self.connect(source, &self.replication_user),
            quote(self.node.as_str())
        )
    }

    fn connect(&self, source: &Host, user: &str) -> String {
        let (host, port) = &source.address;
        format!(
            "host={} port={port} user={} connect_timeout=5 {}",
            quote(host),
            quote(user),
            self.conninfo
        )
        .trim_end()
        .to_owned()
    }

    pub(crate) fn program(&self, name: &str) -> Script {
        match &self.bin {
            Some(bin) => Script::program(bin.join(name).display()),
            None => Script::program(name),
        }
    }

    fn on_data(&self, name: &str) -> Script {
        self.program(name).arg("-D").arg(self.data.display())
    }

    /// Runs a command there.
    pub(crate) async fn run(&self, script: &Script, limit: Duration) -> Result<String> {
        let command = match self.through.split_first() {
            None => {
                let account = match self.data.exists() {
                    true => Account::owner_of(&self.data)?,
                    false => Account::find()?,
                };
                let shell = Path::new("/bin/sh");
                let mut command = spawn::command(shell, &account, Path::new("/"), Signal::SIGTERM);
                command.arg("-c").arg(script.to_string());
                command
            }
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command
                    .args(arguments)
                    .arg(format!("LC_ALL=C; export LC_ALL; {script}"));
                command.stdin(std::process::Stdio::null());
                command
            }
        };
        let output = spawn::run(command, limit).await.map_err(|error| {
            let message = format!("on the machine of {}: {}", self.node, error.message());
            Error::new(error.kind(), message).on_node(self.node)
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether a server runs on the data directory.
    pub(crate) async fn runs(&self) -> Result<bool> {
        let status = self
            .on_data("pg_ctl")
            .arg("status")
            .raw(">/dev/null 2>&1; echo $?");
        match self.run(&status, SHORT).await?.trim() {
            "0" => Ok(true),
            "3" => Ok(false),
            _ => Err(Error::refused(format!(
                "pg_ctl cannot tell on the machine of {} whether a server runs: there is no data \
                 directory at {}, or no pg_ctl",
                self.node,
                self.data.display()
            ))
            .on_node(self.node)),
        }
    }

    /// The state in the control file.
    pub(crate) async fn control_data(&self) -> Result<ControlData> {
        let text = self.run(&self.on_data("pg_controldata"), SHORT).await?;
        ControlData::parse(&text).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!(
                    "pg_controldata printed no state of {} that can be read",
                    self.data.display()
                ),
            )
            .on_node(self.node)
        })
    }

    /// A setting of a stopped server, as it would start with it.
    pub(crate) async fn setting(&self, name: &str) -> Result<String> {
        let script = self.on_data("postgres").arg("-C").arg(name);
        let text = self.run(&script, SHORT).await?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Stops the server if it runs; when this returns, it does not.
    pub(crate) async fn stop(&self, how: Stop) -> Result<()> {
        if !self.runs().await? {
            return Ok(());
        }
        let script = match (&self.stop, how) {
            (Some(line), Stop::Fast) => Script::given(line),
            _ => {
                let (mode, seconds) = match how {
                    Stop::Fast => ("fast", "600"),
                    Stop::Immediate => ("immediate", "10"),
                };
                self.on_data("pg_ctl")
                    .args(["stop", "-w", "-t", seconds, "-m", mode])
            }
        };
        let mut stopped = self.run(&script, SERVER).await;
        if how == Stop::Immediate && self.runs().await? {
            stopped = self.kill().await;
        }
        match self.runs().await? {
            false => Ok(()),
            true => Err(stopped.err().unwrap_or_else(|| {
                Error::new(
                    ErrorKind::Io,
                    "the command that stops the server succeeded, and the server runs",
                )
                .on_node(self.node)
            })),
        }
    }

    /// Kills a server whose processes are stopped, or hang: they take no other signal.
    async fn kill(&self) -> Result<String> {
        let file = self.data.join("postmaster.pid");
        let file = Script::program(file.display()).to_string();
        let script = Script::given(&format!(
            "pid=$(head -n 1 {file}) && kill -9 \"$pid\" $(grep -lE \"^PPid:[[:space:]]+$pid\\$\" \
             /proc/[0-9]*/status 2>/dev/null | cut -d / -f 3)"
        ));
        let killed = self.run(&script, SHORT).await;
        for _ in 0..50 {
            if !self.runs().await? {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        killed
    }

    /// Starts the server, if it does not run, and waits until it takes sessions.
    pub(crate) async fn start(&self) -> Result<()> {
        if self.runs().await? {
            return Ok(());
        }
        let script = match &self.start {
            Some(line) => Script::given(line),
            None => {
                let mut script = self
                    .on_data("pg_ctl")
                    .args(["start", "-w", "-t", "600", "-l"])
                    .arg(self.log.display());
                if let Some(options) = &self.options {
                    script = script.arg("-o").arg(options);
                }
                script.raw("</dev/null >/dev/null")
            }
        };
        self.run(&script, SERVER).await.map_err(|error| {
            let advice = format!("{}; look at {}", error.message(), self.log.display());
            Error::new(error.kind(), advice).on_node(self.node)
        })?;
        Ok(())
    }

    /// Logs in to another server as this one would to stream from it, and reads who that is. So what
    /// `pg_hba.conf`, the password file and the network would refuse is known before anything is changed.
    pub(crate) async fn identify(&self, source: &Host) -> Result<(SystemId, Timeline)> {
        let script = self
            .program("psql")
            .args(["-XAtw", "-F", " ", "-c", "IDENTIFY_SYSTEM", "-d"])
            .arg(format!("{} replication=1", self.follow(source)));
        let text = self.run(&script, SHORT).await.map_err(|error| {
            let message = format!(
                "{} could not stream from {}: {}; correct pg_hba.conf there, the passfile here, or the \
                 role {}",
                self.node,
                source.node,
                error.message(),
                self.replication_user
            );
            Error::refused(message).on_node(self.node)
        })?;
        let mut words = text.split_whitespace();
        let system = words.next().and_then(|word| word.parse().ok());
        let timeline = words.next().and_then(|word| word.parse().ok());
        match (system, timeline) {
            (Some(system), Some(timeline)) => Ok((SystemId(system), Timeline(timeline))),
            _ => Err(Error::new(
                ErrorKind::Io,
                format!("IDENTIFY_SYSTEM answered {:?}", text.trim()),
            )
            .on_node(self.node)),
        }
    }

    /// Has the stopped server start as a standby, whatever it was.
    pub(crate) async fn signal_standby(&self) -> Result<()> {
        let script = Script::given("umask 077")
            .and(&Script::program("touch").arg(self.data.join("standby.signal").display()));
        self.run(&script, SHORT).await.map(drop)
    }

    /// Has the stopped server start as what it was before [`signal_standby`](Host::signal_standby).
    pub(crate) async fn signal_none(&self) -> Result<()> {
        let script = Script::program("rm")
            .arg("-f")
            .arg(self.data.join("standby.signal").display());
        self.run(&script, SHORT).await.map(drop)
    }

    /// Rewinds the server, which was stopped cleanly, to where it can follow `source`.
    ///
    /// It is never done twice: in a half rewound directory `pg_rewind` would let a server recover and write
    /// a checkpoint of its own, after which nothing tells that it has parted from its source. With
    /// `--no-ensure-shutdown` it refuses instead.
    pub(crate) async fn rewind(&self, source: &Host, limit: Duration) -> Result<()> {
        let script = self
            .on_data("pg_rewind")
            .arg("--no-ensure-shutdown")
            .arg("--source-server")
            .arg(format!(
                "{} dbname=postgres",
                self.connect(source, &self.rewind_user)
            ));
        self.run(&script, limit).await.map(drop)
    }

    /// Has the stopped server start as a standby of `source`: without the slots that it kept, or that a
    /// copy brought along, and with settings that override what stands before them.
    pub(crate) async fn make_standby(&self, source: &Host) -> Result<()> {
        let settings = [
            ("primary_conninfo", self.follow(source)),
            ("primary_slot_name", slot_name(self.node)),
            ("synchronous_standby_names", String::new()),
        ];
        let mut print = Script::program("printf").arg("%s\\n");
        for (name, value) in settings {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            print = print.arg(format!("{name} = '{value}'"));
        }
        let file = self.data.join("postgresql.auto.conf");
        let slots = self.data.join("pg_replslot");
        let script = Script::given("umask 077")
            .and(
                &Script::program("find")
                    .arg(slots.display())
                    .args(["-mindepth", "1", "-delete"]),
            )
            .and(&print.raw(">>").arg(file.display()))
            .and(&Script::program("touch").arg(self.data.join("standby.signal").display()));
        self.run(&script, SHORT).await.map(drop)
    }

    /// The major version of PostgreSQL's programs there.
    pub(crate) async fn major(&self) -> Result<u32> {
        let text = self
            .run(&self.program("postgres").arg("--version"), SHORT)
            .await?;
        crate::host::binaries::parse_version(&text).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!("postgres --version printed {:?}", text.trim()),
            )
            .on_node(self.node)
        })
    }

    /// Whether the data directory is not there, or is empty.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        let script = Script::program("ls")
            .arg("-A")
            .arg(self.data.display())
            .raw("2>/dev/null | head -n 1");
        Ok(self.run(&script, SHORT).await?.trim().is_empty())
    }

    /// Empties the data directory.
    pub(crate) async fn empty(&self) -> Result<()> {
        let delete =
            Script::program("find")
                .arg(self.data.display())
                .args(["-mindepth", "1", "-delete"]);
        let script = Script::program("test")
            .args(["!", "-e"])
            .arg(self.data.display())
            .raw(&format!("|| {delete}"));
        self.run(&script, SERVER).await.map(drop)
    }

    /// How many bytes there is room for.
    pub(crate) async fn room(&self) -> Result<u64> {
        // Of the directory, or of the nearest one above it that is there.
        let script = Script::program("set").arg("--").arg(self.data.display()).raw(
            "; d=$1; while [ ! -d \"$d\" ]; do d=$(dirname \"$d\"); done; df -Pk \"$d\" | tail -n 1 | awk '{print $4}'",
        );
        let text = self.run(&script, SHORT).await?;
        let kib: Option<u64> = text.trim().parse().ok();
        kib.map(|kib| kib << 10).ok_or_else(|| {
            Error::new(ErrorKind::Io, format!("df printed {:?}", text.trim())).on_node(self.node)
        })
    }

    /// Whether another server's machine is reached in the same way.
    pub(crate) fn shares_machine(&self, other: &Host) -> bool {
        self.through == other.through
    }

    /// Copies `source` into the data directory, which is empty or not there, to follow it through a
    /// slot of this node's name.
    pub(crate) async fn base_backup(&self, source: &Host, limit: Duration) -> Result<()> {
        let script = self
            .on_data("pg_basebackup")
            .args(["-w", "-c", "fast", "-X", "stream", "-S"])
            .arg(slot_name(self.node))
            .arg("-d")
            .arg(self.follow(source));
        self.run(&script, limit).await.map(drop)
    }
}

/// A value of a connection string.
fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}
