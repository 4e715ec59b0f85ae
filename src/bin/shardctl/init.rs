//! `shardctl init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use pgshard::Error;
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::render::{Output, Report};

/// The file, up to its shards.
const TEMPLATE: &str = include_str!("init/shards.toml");

/// Write a commented shards.toml to start from.
///
/// With --output json: an array of one object with file, shards.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  shardctl init                       # shards.toml, two shards
  shardctl init --shards 4 bank.toml
  shardctl config check               # after editing it")]
pub(crate) struct Init {
    /// How many shards to begin with.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: u16,

    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,

    /// The file to write; --config or shards.toml if it is not given.
    file: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let path = self.file.as_deref().unwrap_or(context.config_path());
        write(path, self.force, &text(self.shards))?;
        context.note(&format!(
            "wrote {}; edit it, then run: shardctl --config {} config check",
            path.display(),
            path.display()
        ));
        if context.output() != Output::Table {
            let mut report = Report::new(["file", "shards"]);
            report.row([json!(path.display().to_string()), json!(self.shards)]);
            context.print(&report)?;
        }
        Ok(Exit::Fine)
    }
}

fn text(shards: u16) -> String {
    let mut text = TEMPLATE.to_owned();
    for shard in 0..shards {
        text.push_str(&format!(
            "\n[[shard]]\nid = \"s{shard}\"\n\
             [[shard.node]]\nid = \"s{shard}a\"\nhost = \"s{shard}a.db.example\"\nport = 5432\n\
             [[shard.node]]\nid = \"s{shard}b\"\nhost = \"s{shard}b.db.example\"\nport = 5432\n"
        ));
    }
    text
}

fn write(path: &Path, force: bool, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let failed = |error: std::io::Error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return Error::refused(format!(
                "{} exists: name another file, or replace it with --force",
                path.display()
            ));
        }
        Error::config(format!("cannot write {}", path.display())).with_source(error)
    };
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use pgshard::config::{Environment, Loader};

    #[test]
    fn what_it_writes_is_valid_and_mentions_every_setting() {
        for shards in [1, 2, 7] {
            let text = super::text(shards);
            let checked = Loader::new()
                .environment(Environment::default())
                .check_text(&text, "shards.toml");
            assert!(checked.problems.is_empty(), "{:?}", checked.problems);
            for setting in &checked.settings {
                let field = setting.name.split('.').next_back().unwrap();
                let top = setting.name.split('.').next().unwrap();
                assert!(top == "shard" || text.contains(field), "{}", setting.name);
            }
            let config = checked.into_config().unwrap();
            assert_eq!(config.shards.len(), usize::from(shards));
            assert_eq!(config.map.hash().name(), "pg");
        }
    }

    /// The values in comments are the defaults, and uncommenting them all is still valid.
    #[test]
    fn the_commented_settings_are_the_defaults() {
        let uncommented: String = super::text(2)
            .lines()
            .map(|line| match line.strip_prefix("#: ") {
                Some(setting) => format!("{setting}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let settings = |text: &str| {
            let checked = Loader::new()
                .environment(Environment::default())
                .without_secrets()
                .check_text(text, "shards.toml");
            assert!(checked.problems.is_empty(), "{:?}", checked.problems);
            checked.settings
        };
        let commented = settings(&super::text(2));
        for setting in settings(&uncommented) {
            let name = &setting.name;
            if let Some(default) = commented.iter().find(|s| s.name == *name)
                && name.contains('.')
                && !name.starts_with("tls.")
            {
                assert_eq!(setting.value, default.value, "{name}");
            }
        }
    }
}
