//! Asking before something is changed.

use std::io::{BufRead, IsTerminal};

use clap::Args;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::say;
use crate::render::Report;

/// Whether something is to be changed.
#[derive(Args)]
pub(crate) struct Consent {
    /// Show what would be done, and do nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

impl Consent {
    /// Whether only the plan is wanted.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run
    }

    /// Asks, unless told not to. `None` to go on, else the exit code: with `--dry-run` the plan is the result.
    pub(crate) fn ends(
        &self,
        context: &Context,
        plan: &Report,
        about: &str,
        question: &str,
    ) -> anyhow::Result<Option<Exit>> {
        if self.dry_run {
            context.print(plan)?;
            return Ok(Some(Exit::Fine));
        }
        if self.yes || agreed(context, plan, about, question)? {
            return Ok(None);
        }
        Ok(Some(Exit::Refused))
    }
}

/// Whether to go on: shows what would be done and asks on the terminal. Anything but "y" or "yes" is
/// no.
///
/// # Errors
///
/// A refusal, if there is nobody to ask; the plan is then the result, for whoever reads that.
pub(crate) fn agreed(
    context: &Context,
    plan: &Report,
    shown: &str,
    question: &str,
) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        context.print(plan)?;
        return Err(pgshard::Error::refused(
            "nothing was changed: there is no terminal to ask on; look at what would be done, then \
             pass --yes",
        )
        .into());
    }
    say(&format!("{shown}{question} [y/N] "));
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    let yes = matches!(line.trim().to_lowercase().as_str(), "y" | "yes");
    if !yes {
        say("nothing was changed\n");
    }
    Ok(yes)
}
