//! `shardctl backup`.

mod archiving;
mod check;
mod list;
mod mark;
mod prune;
mod run;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pgshard::Config;
use pgshard::id::ShardId;
use pgshard::ops::backup::Store;

use crate::context::Context;
use crate::exit::Exit;

/// Back up shards: the archive of their logs, base backups, retention.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  shardctl backup archiving --store /backups --apply --yes
  shardctl backup archiving --store /backups --prove
  shardctl backup run --store /backups
  shardctl backup list --store /backups
  shardctl backup verify --store /backups
  shardctl backup check --store /backups --max-age 26h
  shardctl backup mark before-release-12 --store /backups
  shardctl backup prune --store /backups --keep 4 --window 35d --dry-run"
)]
pub(crate) struct Backup {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Archiving(archiving::Archiving),
    Run(run::Run),
    List(list::List),
    Verify(verify::Verify),
    Check(check::Check),
    Mark(mark::Mark),
    Prune(prune::Prune),
}

impl Backup {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Archiving(command) => command.run(context).await,
            Command::Run(command) => command.run(context).await,
            Command::List(command) => command.run(context).await,
            Command::Verify(command) => command.run(context).await,
            Command::Check(command) => command.run(context).await,
            Command::Mark(command) => command.run(context).await,
            Command::Prune(command) => command.run(context).await,
        }
    }
}

/// The store, and the shards in it.
#[derive(Args)]
struct Place {
    /// The shards; all, if none is named.
    shards: Vec<ShardId>,

    #[command(flatten)]
    store: StoreOption,
}

/// Where backups are.
#[derive(Args)]
pub(crate) struct StoreOption {
    /// The directory of backups and archives; with a file pgbackrest.conf in it, pgBackRest has them.
    #[arg(long, env = "SHARDCTL_STORE", value_name = "DIR")]
    store: PathBuf,
}

impl StoreOption {
    pub(crate) fn open(&self) -> pgshard::Result<Store> {
        Store::open(&self.store)
    }
}

impl Place {
    fn load(&self, context: &Context) -> anyhow::Result<(Config, Store, Vec<ShardId>)> {
        let config = context.load()?;
        let shards = shards(&config, &self.shards)?;
        Ok((config, self.store.open()?, shards))
    }
}

/// The named shards, or all.
pub(crate) fn shards(config: &Config, named: &[ShardId]) -> pgshard::Result<Vec<ShardId>> {
    if named.is_empty() {
        return Ok(config.shards.iter().map(|shard| shard.id).collect());
    }
    for shard in named {
        if config.shard(*shard).is_none() {
            return Err(pgshard::Error::config(format!("there is no shard {shard}")));
        }
    }
    Ok(named.to_vec())
}
