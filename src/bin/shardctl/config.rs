//! `shardctl config check` and `config show`.

use clap::Subcommand;
use pgshard::config::{Checked, Loader, Severity};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// Check or show the configuration. Nothing connects.
#[derive(clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(Check),
    Show(Show),
}

/// Say all that is wrong with the configuration, and what should be known about it.
///
/// With --output json: an array of objects with severity (error, warning), file, line, column
/// (null for environment variables), problem, advice; empty if all is well.
#[derive(clap::Args)]
#[command(after_help = "\
Exit codes: 0 it can be used, 2 it cannot; with --strict 1 for warnings.

Examples:
  shardctl config check
  shardctl --config bank.toml --output json config check --strict --skip-secrets")]
struct Check {
    /// Exit with 1 if there are warnings.
    #[arg(long)]
    strict: bool,

    /// Leave password files and certificates unread, for checks where they are not at hand.
    #[arg(long)]
    skip_secrets: bool,
}

/// Show the settings in effect and where each comes from. Secrets are never shown.
///
/// With --output json: an array of objects with setting, value, origin (a file with line and
/// column, $ and an environment variable, or "default").
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  shardctl config show
  PGSHARD_POOL_MAX_SIZE=4 shardctl config show")]
struct Show {}

impl Config {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Check(command) => command.run(context),
            Command::Show(command) => command.run(context),
        }
    }
}

impl Check {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut loader = Loader::new();
        if self.skip_secrets {
            loader = loader.without_secrets();
        }
        let checked = loader.check(context.config_path())?;
        let report = problems(&checked);
        if context.output() != Output::Table || !report.is_empty() {
            context.print(&report)?;
        }
        let Some(config) = &checked.config else {
            context.note(&format!("{} cannot be used", checked.file.display()));
            return Ok(Exit::Usage);
        };
        context.note(&format!(
            "{} can be used: cluster {}, {} shards, {} nodes, {} buckets",
            checked.file.display(),
            config.cluster,
            config.shards.len(),
            config.nodes().count(),
            config.map.buckets()
        ));
        Ok(match self.strict && !report.is_empty() {
            true => Exit::Problem,
            false => Exit::Fine,
        })
    }
}

impl Show {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let checked = Loader::new()
            .without_secrets()
            .check(context.config_path())?;
        let mut report = Report::new(["setting", "value", "origin"]);
        for setting in &checked.settings {
            report.row([
                json!(setting.name),
                json!(setting.value),
                json!(setting.origin.to_string()),
            ]);
        }
        // A configuration that cannot be used is an error, not half a table.
        checked.into_config()?;
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}

fn problems(checked: &Checked) -> Report {
    let mut report = Report::new(["severity", "file", "line", "column", "problem", "advice"]);
    for problem in &checked.problems {
        let place = problem.place.as_ref();
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        report.row([
            json!(severity),
            json!(place.map(|place| place.file.display().to_string())),
            json!(place.map(|place| place.line)),
            json!(place.map(|place| place.column)),
            json!(problem.what),
            json!(problem.advice),
        ]);
    }
    report
}
