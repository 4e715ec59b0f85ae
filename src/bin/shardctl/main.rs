//! `shardctl`, the operators' binary over the library.
//!
//! One file a command. [`render`] prints results, [`failure`] prints errors, [`exit`] maps both to
//! exit codes, [`context`] is what every command is given.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod backup;
mod check;
mod completions;
mod config;
mod confirm;
mod context;
mod credentials;
mod demo;
mod dev;
mod duration;
mod exit;
mod exporter;
mod failover;
mod failure;
mod fdw;
mod init;
mod install;
mod journal;
mod ledger;
mod locate;
mod logging;
mod logical;
mod migrate;
mod patroni;
mod pgbouncer;
mod pgpool;
mod picture;
mod procedure;
mod progress;
mod query;
mod rejoin;
mod render;
mod replication;
mod restore;
mod shard;
mod split_brain;
mod stack;
mod status;
mod switchover;
mod top;
mod topology;
mod wal;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use context::Context;
use exit::Exit;
use render::Output;

/// Operates PostgreSQL shards: configuration, placement, state, reports.
#[derive(Parser)]
#[command(
    name = "shardctl",
    version,
    after_help = EXAMPLES,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    /// The cluster's configuration.
    ///
    /// Without it, and without SHARDCTL_CONFIG, shards.toml in the current directory.
    #[arg(long, global = true, env = "SHARDCTL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// How results are printed on standard output, and errors on standard error.
    ///
    /// json: an array with one object a row. csv: a line of column names, then the rows. Errors
    /// are text, but with json one object: {"error": {"kind", "message", "labels", "causes", …}}.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,

    /// Log more to standard error: -v what happens, -vv why, -vvv everything.
    ///
    /// Without it, warnings; with --output json, nothing. PGSHARD_LOG sets levels by module
    /// instead, such as "pgshard::topology=debug". The PostgreSQL driver's log of statements and parameters is never shown.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Exit codes:
  0  fine
  1  found a problem, or a server answered with an error or refused the login
  2  wrong usage or configuration, or no password; nothing was changed
  3  a server could not be reached in time
  4  refused: understood, and declined with the reason

Examples:
  shardctl init                                  write a commented shards.toml
  shardctl config check                          say all that is wrong with it
  shardctl locate 123e4567-e89b-12d3-a456-426614174000
  shardctl --output json locate - < keys.txt

See `shardctl help COMMAND` for more.";

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Config(config::Config),
    Install(install::Install),
    Ledger(ledger::Ledger),
    Check(check::Check),
    Shard(shard::Shard),
    Node(shard::Node),
    Locate(locate::Locate),
    Fdw(fdw::Fdw),
    Status(status::Status),
    Top(top::Top),
    Topology(topology::Topology),
    Watch(watch::Watch),
    Query(query::Query),
    Migrate(migrate::Migrate),
    Patroni(patroni::Patroni),
    #[command(name = "pgbouncer")]
    PgBouncer(pgbouncer::PgBouncer),
    Pgpool(pgpool::Pgpool),
    Render(stack::Render),
    Replication(replication::Replication),
    Logical(logical::Logical),
    Switchover(switchover::Switchover),
    Failover(failover::Failover),
    Rejoin(rejoin::Rejoin),
    SplitBrain(split_brain::SplitBrain),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Wal(wal::Wal),
    Journal(journal::Journal),
    Exporter(exporter::Exporter),
    Dev(dev::Dev),
    Demo(demo::Demo),
    Completions(completions::Completions),
}

impl Command {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Command::Init(command) => command.run(context),
            Command::Config(command) => command.run(context),
            Command::Locate(command) => command.run(context),
            Command::Completions(command) => command.run(context),
            Command::Fdw(command) => command.run(context).await,
            Command::Install(command) => command.run(context).await,
            Command::Check(command) => command.run(context).await,
            Command::Shard(command) => command.run(context).await,
            Command::Node(command) => command.run(context).await,
            Command::Ledger(command) => command.run(context).await,
            Command::Watch(command) => command.run(context).await,
            Command::Status(command) => command.run(context).await,
            Command::Top(command) => command.run(context).await,
            Command::Topology(command) => command.run(context).await,
            Command::Query(command) => command.run(context).await,
            Command::Render(command) => command.run(context),
            Command::Migrate(command) => command.run(context).await,
            Command::Patroni(command) => command.run(context).await,
            Command::PgBouncer(command) => command.run(context).await,
            Command::Pgpool(command) => command.run(context).await,
            Command::Replication(command) => command.run(context).await,
            Command::Logical(command) => command.run(context).await,
            Command::Switchover(command) => command.run(context).await,
            Command::Failover(command) => command.run(context).await,
            Command::Rejoin(command) => command.run(context).await,
            Command::SplitBrain(command) => command.run(context).await,
            Command::Backup(command) => command.run(context).await,
            Command::Restore(command) => command.run(context).await,
            Command::Wal(command) => command.run(),
            Command::Journal(command) => command.run(context),
            Command::Exporter(command) => command.run(context).await,
            Command::Dev(command) => command.run(context).await,
            Command::Demo(command) => command.run(context).await,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, &arguments).into(),
    };
    let output = cli.output;
    match run(cli) {
        Ok(exit) => exit,
        Err(error) => failure::report(&error, output),
    }
    .into()
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let story = matches!(cli.command, Command::Demo(_));
    logging::init(cli.verbose, cli.output, story)?;
    let context = Context::new(cli.config, cli.output);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(cli.command.run(&context))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_section_in_the_documentation() {
        const CHAPTER: &str = include_str!("../../../docs/shardctl.md");
        for command in super::Cli::command().get_subcommands() {
            let heading = format!("\n## `{}`\n", command.get_name());
            assert!(CHAPTER.contains(&heading), "docs/shardctl.md: {heading}");
        }
    }

    /// The pages of the documentation, with their texts.
    fn pages() -> Vec<(String, String)> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut left = vec![root.join("docs"), root.join("README.md")];
        let mut pages = Vec::new();
        while let Some(path) = left.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).unwrap();
                left.extend(entries.map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                pages.push((path.display().to_string(), text));
            }
        }
        pages
    }

    /// A line with a word in place of each variable and substitution of the shell.
    fn plain(line: &str) -> String {
        let mut plain = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let end = match after.strip_prefix('(') {
                Some(inside) => inside.find(')').map_or(after.len(), |at| at + 2),
                None => {
                    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    after.find(|c| !name(c)).unwrap_or(after.len())
                }
            };
            plain.push_str(if end == 0 { "$" } else { "word" });
            rest = &after[end..];
        }
        plain + rest
    }

    /// The commands of a shell's line that are this program's, as words.
    fn own(line: &str) -> Vec<Vec<String>> {
        let line = &plain(line);
        let mut all = Vec::new();
        for part in line.split("&&").flat_map(|part| part.split(['|', ';'])) {
            let words = shlex::split(part).unwrap_or_default();
            let words: Vec<String> = words.into_iter().take_while(|word| word != ">").collect();
            let words = match words.split_first() {
                Some((first, rest)) if first == "cargo" => rest.to_vec(),
                _ => words,
            };
            // What is left out on a page is the reader's.
            let whole = !words.iter().any(|word| word.contains('…'));
            if words.first().is_some_and(|word| word == "shardctl") && whole {
                all.push(words);
            }
        }
        all
    }

    #[test]
    fn commands_on_the_pages_are_understood() {
        let mut understood = 0;
        let mut wrong = Vec::new();
        for (page, text) in pages() {
            let blocks = text.split("```sh\n").skip(1);
            let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
            for line in blocks.flat_map(|block| {
                block
                    .replace("\\\n", " ")
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            }) {
                for mut words in own(&line) {
                    understood += 1;
                    // A variable that the page sets stands for it.
                    let stored = ["backup", "restore"].contains(&words[1].as_str());
                    if stored && text.contains("export SHARDCTL_STORE=") {
                        words.push("--store=/backups".to_owned());
                    }
                    if let Err(error) = super::Cli::command().try_get_matches_from(&words) {
                        wrong.push(format!("{page}: {words:?}: {error}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(understood > 100, "only {understood} commands were found");
    }
}
