//! `shardctl wal`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pgshard::ops::backup::wal;

use crate::exit::Exit;

/// Copy a file of a server's log into an archive, and back. Servers run it.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
In postgresql.conf:
  archive_command = 'shardctl wal push %p --to /backups/s0/wal'
  restore_command = 'shardctl wal fetch %f %p --from /backups/s0/wal'

Exit codes of push: 0 it is in the archive, and durable; else not, and the server tries again.
Exit codes of fetch: 0 it is there, 1 the archive has no such file, 200 it is not certain (the server stops
its recovery then, and does not take it for the end)."
)]
pub(crate) struct Wal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copy a file into an archive. One that is there already is never replaced.
    Push {
        /// The file: %p.
        file: PathBuf,

        /// The archive's directory.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Copy a file from an archive.
    Fetch {
        /// The file's name: %f.
        name: String,

        /// Where it is wanted: %p.
        file: PathBuf,

        /// The archive's directory.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
    },
}

impl Wal {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Push { file, to } => {
                wal::push(&file, &to)?;
                Ok(Exit::Fine)
            }
            Command::Fetch { name, file, from } => match wal::fetch(&name, &from, &file) {
                Ok(true) => Ok(Exit::Fine),
                Ok(false) => Ok(Exit::Problem),
                Err(error) => {
                    crate::failure::say(&format!("error: {error}\n"));
                    Ok(Exit::Uncertain)
                }
            },
        }
    }
}
