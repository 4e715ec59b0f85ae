//! What every command is given.

use std::path::{Path, PathBuf};

use pgshard::Config;

use crate::progress::Progress;
use crate::render::{self, Output, Report};

/// The global arguments.
pub(crate) struct Context {
    config: Option<PathBuf>,
    output: Output,
}

impl Context {
    pub(crate) fn new(config: Option<PathBuf>, output: Output) -> Self {
        Context { config, output }
    }

    /// The configuration file: as given, else `shards.toml` in the current directory.
    pub(crate) fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new("shards.toml"))
    }

    /// The checked configuration, with the environment over it and its secrets.
    pub(crate) fn load(&self) -> pgshard::Result<Config> {
        Config::load(self.config_path())
    }

    /// The form of results that was asked for.
    pub(crate) fn output(&self) -> Output {
        self.output
    }

    /// Prints a result on standard output.
    pub(crate) fn print(&self, report: &Report) -> anyhow::Result<()> {
        render::write(&report.render(self.output)?)
    }

    /// Prints a sentence for people on standard error; nothing where a program reads.
    pub(crate) fn note(&self, text: &str) {
        if self.output == Output::Table {
            crate::failure::say(&format!("{text}\n"));
        }
    }

    /// Progress on standard error; silent unless that is a terminal.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new()
    }
}
