//! The shards as reports see them, as arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::future::join_all;
use pgshard::fdw::{self as library, FdwOptions, Hosts, Layout, ObservedShard, Source};
use pgshard::id::ShardId;
use pgshard::{Cluster, Config};

use crate::credentials::Login;
use crate::watch::is_settled;

/// How long to look for the shards' nodes.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Shards {
    #[command(flatten)]
    remote: Remote,

    /// Which nodes reports read: replicas (behind by their lag) or primaries; for one shard,
    /// SHARD=NODES. May be repeated.
    #[arg(long, value_name = "[SHARD=]NODES", default_value = "replicas", value_parser = source)]
    source: Vec<(Option<ShardId>, Source)>,

    /// What a foreign server names: all nodes of its shard, among which libpq finds the right one, or
    /// the one that is right now (`fdw refresh` after a failover).
    #[arg(long, value_enum, default_value_t = Names::All, value_name = "NODES")]
    hosts: Names,

    /// How the shards' tables become one: a UNION ALL, pruned by shard, or hash partitions, pruned by
    /// key.
    #[arg(long, value_enum, default_value_t = Shape::Views, value_name = "LAYOUT")]
    layout: Shape,

    /// The schema of the views on the reporting server.
    #[arg(long, default_value = "reporting", value_name = "NAME")]
    schema: String,

    /// The role on the reporting server that may read the views; created without login if missing.
    #[arg(long, default_value = "pgshard_reader", value_name = "ROLE")]
    reader: String,

    /// Rows fetched at a time: more helps reports that read much and harms those that stop early.
    #[arg(long, default_value_t = 100, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    fetch_size: u32,

    /// Ask the shards one after the other.
    #[arg(long)]
    no_async: bool,

    /// Plan with the shards' own estimates: round trips before each query, and better joins.
    #[arg(long)]
    remote_estimate: bool,

    /// End the shards' transactions at the same time, for shards that are far away; a reporting server
    /// older than PostgreSQL 15 is not told.
    #[arg(long)]
    parallel_commit: bool,

    /// Close the connections to the shards at the end of each transaction.
    #[arg(long)]
    close_connections: bool,

    /// An extension whose functions may run on the shards; the same version on all servers. May be
    /// repeated.
    #[arg(long, value_name = "NAME")]
    extension: Vec<String>,

    /// With TLS: the file on the reporting server with the authorities of the shards' certificates.
    #[arg(long, value_name = "FILE")]
    root_certificate: Option<String>,
}

/// The role on the shards that reports read as.
#[derive(Args)]
pub(super) struct Remote {
    /// The role on the shards that reports read as; one that may only read. [default: the
    /// configuration's user]
    #[arg(long, value_name = "ROLE")]
    remote_user: Option<String>,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE")]
    remote_password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Names {
    All,
    Current,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    Views,
    Partitions,
}

/// Reads `replicas`, `primaries`, or one of them after `s1=`.
fn source(text: &str) -> Result<(Option<ShardId>, Source), String> {
    let (shard, nodes) = match text.split_once('=') {
        Some((shard, nodes)) => {
            let shard = ShardId::new(shard).map_err(|error| error.to_string())?;
            (Some(shard), nodes)
        }
        None => (None, text),
    };
    match nodes {
        "replicas" => Ok((shard, Source::Replicas)),
        "primaries" => Ok((shard, Source::Primaries)),
        _ => Err("write replicas or primaries, for one shard as in s1=primaries".to_owned()),
    }
}

impl Remote {
    pub(super) async fn login(&self, config: &Config) -> anyhow::Result<Login> {
        let own = self
            .remote_user
            .as_ref()
            .is_none_or(|user| *user == config.user);
        let user = self.remote_user.clone().unwrap_or(config.user.clone());
        let login = Login::new(
            user,
            "--remote-password-file",
            self.remote_password_file.as_deref(),
            "PGSHARD_FDW_PASSWORD",
        )?;
        Ok(if own {
            login.or_configured(config).await?
        } else {
            login
        })
    }
}

impl Shards {
    /// Whether reports are planned with the shards' estimates.
    pub(super) fn estimates(&self) -> bool {
        self.remote_estimate
    }

    /// Asks the shards.
    pub(super) async fn plan(&self, config: &Config) -> anyhow::Result<library::Fdw> {
        let login = self.remote.login(config).await?;
        let mut options = FdwOptions::new(login.role().clone());
        for (shard, source) in self.source.iter().copied() {
            match shard {
                Some(shard) => options.sources.push((shard, source)),
                None => options.source = source,
            }
        }
        options.hosts = match self.hosts {
            Names::All => Hosts::All,
            Names::Current => Hosts::Current,
        };
        options.layout = match self.layout {
            Shape::Views => Layout::Views,
            Shape::Partitions => Layout::Partitions,
        };
        options.schema.clone_from(&self.schema);
        options.reader.clone_from(&self.reader);
        options.fetch_size = self.fetch_size;
        options.asynchronous = !self.no_async;
        options.remote_estimate = self.remote_estimate;
        options.parallel_commit = self.parallel_commit;
        options.keep_connections = !self.close_connections;
        options.extensions.clone_from(&self.extension);
        options.root_certificate.clone_from(&self.root_certificate);
        // Where nodes come and go by themselves, the file does not say which there are.
        let managed = config.shards.iter().any(|shard| shard.patroni.is_some());
        if managed || options.hosts == Hosts::Current {
            options.observed = observed(config).await?;
        }
        let planned = library::Fdw::plan(config, options).await;
        planned.map_err(|error| login.explain(error))
    }
}

/// Looks at the shards as a service does, until all are settled or the patience is over.
pub(super) async fn observed(config: &Config) -> anyhow::Result<Vec<ObservedShard>> {
    let cluster = Cluster::observe(config.clone())?;
    let shards = config.shards.iter().map(|shard| shard.id);
    let waits = shards.map(|shard| cluster.wait_for(shard, LOOK, is_settled));
    let waited = join_all(waits).await;
    let seen = library::observe(&cluster.status());
    cluster.close().await;
    for waited in waited {
        waited?;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let s1 = Some(ShardId::new("s1").unwrap());
        assert_eq!(source("primaries"), Ok((None, Source::Primaries)));
        assert_eq!(source("s1=replicas"), Ok((s1, Source::Replicas)));
        assert!(source("s1=masters").is_err());
        assert!(source("a b=replicas").is_err());
    }
}
