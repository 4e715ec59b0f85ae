//! The process that `dev up` leaves in the background: the servers' parent.
//!
//! It reports how the start goes on standard output, a line of JSON each time, and then serves the
//! control socket until it is asked to end. When it dies, the servers stop with it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use pgshard::id::{NodeId, ShardId};
use pgshard::local::control::{self, Failure, Running};
use pgshard::local::{LocalCluster, LocalPatroni, LocalSpec, PatroniSpec};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Internal: run a cluster's servers for `dev up`.
#[derive(clap::Args)]
pub(super) struct Supervise {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    shards: usize,
    #[arg(long)]
    replicas: usize,
    #[arg(long)]
    synchronous: bool,
    #[arg(long)]
    patroni: bool,
    #[arg(long)]
    pg_bindir: Option<PathBuf>,
}

/// How the start goes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    /// A node accepts sessions, and streams if it is a replica.
    Node(NodeId),
    /// The bank and the schema pgshard are on a shard.
    Installed(ShardId),
    /// The socket can be used.
    Ready,
    /// It cannot be started.
    Failed(Failure),
}

impl Supervise {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        // Away from the terminal, whose signals are not for us. It fails only if this is done
        // already.
        let _ = nix::unistd::setsid();
        let started = self.start().await;
        if let Err(error) = &started {
            // Nobody may be listening any more; the log has it too.
            let _ = say(&Step::Failed(Failure::from(error)));
        }
        let cluster = started?;
        control::serve(cluster, || {
            say(&Step::Ready).map_err(|_| {
                pgshard::Error::refused("whoever started the cluster is gone; stopping it again")
            })
        })
        .await
        .context("serving the cluster")?;
        Ok(Exit::Fine)
    }

    async fn start(&self) -> pgshard::Result<Running> {
        if self.patroni {
            return Ok(self.start_patroni().await?.into());
        }
        let spec = LocalSpec {
            shards: self.shards,
            replicas: self.replicas,
            synchronous: self.synchronous,
            dir: Some(self.dir.clone()),
            bindir: self.pg_bindir.clone(),
            settings: Vec::new(),
        };
        let cluster = LocalCluster::start_with(spec, |node| started(node.id())).await?;
        cluster.write_config()?;
        cluster.install(installed).await?;
        Ok(cluster.into())
    }

    async fn start_patroni(&self) -> pgshard::Result<LocalPatroni> {
        // Timings of an earlier run stay.
        let spec = PatroniSpec {
            shards: self.shards,
            nodes: self.replicas + 1,
            synchronous: self.synchronous,
            dir: Some(self.dir.clone()),
            bindir: self.pg_bindir.clone(),
            ..PatroniSpec::saved(&self.dir)?.unwrap_or_default()
        };
        let cluster = LocalPatroni::start_with(spec, |node| started(node.id())).await?;
        cluster.write_config()?;
        cluster.install(installed).await?;
        Ok(cluster)
    }
}

fn started(node: NodeId) {
    let _ = say(&Step::Node(node));
}

fn installed(shard: ShardId) {
    let _ = say(&Step::Installed(shard));
}

fn say(step: &Step) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(step)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
