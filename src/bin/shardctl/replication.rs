//! `shardctl replication`.

mod apply;
mod copy;
mod follow;
mod slots;
mod verify;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::exit::Exit;

/// Set up and verify streaming replication, where no Patroni does it.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  shardctl replication verify
  shardctl replication plan s0
  shardctl replication apply s0 --synchronous any:1 --yes
  shardctl replication copy s0c --from s0a
  shardctl replication follow s0c --source s0b
  shardctl replication slots
  shardctl replication drop-slot s0a old_standby"
)]
pub(crate) struct Replication {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Verify),
    Plan(apply::Plan),
    Apply(apply::Apply),
    Copy(copy::Copy),
    Follow(follow::Follow),
    Slots(slots::Slots),
    DropSlot(slots::DropSlot),
}

impl Replication {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Verify(command) => command.run(context).await,
            Command::Plan(command) => command.run(context).await,
            Command::Apply(command) => command.run(context).await,
            Command::Copy(command) => command.run(context).await,
            Command::Follow(command) => command.run(context).await,
            Command::Slots(command) => command.run(context).await,
            Command::DropSlot(command) => command.run(context).await,
        }
    }
}
