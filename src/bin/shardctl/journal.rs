//! `shardctl journal`.

use clap::{Args, Subcommand};
use pgshard::ops::journal::{self as library, Outcome};
use serde_json::json;
use uuid::Uuid;

use crate::context::Context;
use crate::exit::Exit;
use crate::procedure::Directory;
use crate::render::Report;

/// Show procedures that were interrupted, and give them up.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Columns: id, procedure, subject, begun.

Exit codes: 0 fine, 1 list found one, 4 refused.

Examples:
  shardctl journal list
  shardctl journal abandon 01938f3c-2d1e-7a00-8000-3f2b1c4d5e6f"
)]
pub(crate) struct Journal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List procedures that have not come to their end; also those that run now.
    List {
        #[command(flatten)]
        directory: Directory,
    },
    /// Give a procedure up as it is: the servers stay as they are, and another one may begin.
    Abandon {
        /// Its journal.
        id: Uuid,

        #[command(flatten)]
        directory: Directory,
    },
}

impl Journal {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::List { directory } => {
                let found = library::Journal::unfinished(&directory.path(context))?;
                let mut report = Report::new(["id", "procedure", "subject", "begun"]);
                for head in &found {
                    report.row([
                        json!(head.id),
                        json!(head.procedure),
                        json!(head.subject),
                        json!(head.at),
                    ]);
                }
                context.print(&report)?;
                Ok(match found.is_empty() {
                    true => Exit::Fine,
                    false => Exit::Problem,
                })
            }
            Command::Abandon { id, directory } => {
                library::Journal::resume(&directory.path(context), id)?.end(Outcome::Abandoned)?;
                context.note("given up: look at the servers before the next procedure");
                Ok(Exit::Fine)
            }
        }
    }
}
