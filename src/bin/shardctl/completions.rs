//! `shardctl completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::context::Context;
use crate::exit::Exit;
use crate::render;

/// Write completions for a shell to standard output.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  shardctl completions bash > /etc/bash_completion.d/shardctl
  shardctl completions zsh  > ~/.zfunc/_shardctl
  shardctl completions fish > ~/.config/fish/completions/shardctl.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        // The generator panics when it cannot write, so it never sees the pipe.
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut crate::Cli::command(),
            "shardctl",
            &mut script,
        );
        render::write(&script)?;
        Ok(Exit::Fine)
    }
}
