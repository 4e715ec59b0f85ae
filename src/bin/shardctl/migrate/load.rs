//! `shardctl migrate load`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pgshard::Config;
use pgshard::config::TableName;
use pgshard::id::ShardId;
use pgshard::ops::migrate::{Load as Library, LoadOptions, Loaded, Rows};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::DdlRole;
use crate::duration::parse as duration;
use crate::exit::{Exit, Usage};
use crate::render::Report;

/// Make a reference table's rows the same on all shards: those of a file, or of a shard.
///
/// Rows are told apart by the primary key. Nothing is committed before every shard has them all.
#[derive(Args)]
#[command(after_help = "\
The file is CSV as PostgreSQL reads it, with a line of column names; an empty field without quotes is NULL. Columns
that it does not name keep what they have, or get their default.

Columns: table, shard, inserted, updated, deleted.

Exit codes: 0 done, or nothing to do; 1 a COMMIT failed, and it says where: load again; 2 no such table, column or file;
3 a shard is down: nothing was changed; 4 refused, with the reason: nothing was changed.

Examples:
  shardctl migrate load currencies --file currencies.csv --ddl-user bank_owner --dry-run
  shardctl migrate load currencies --from s0 --delete --ddl-user bank_owner --yes")]
pub(super) struct Load {
    /// The table, as in the topology file.
    table: TableName,

    #[command(flatten)]
    rows: Source,

    /// Delete rows that are on a shard and not among the new ones; without this, such a load is refused.
    #[arg(long)]
    delete: bool,

    /// How long the table's lock is waited for; writers of it wait meanwhile.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    lock_timeout: Duration,

    #[command(flatten)]
    role: DdlRole,

    #[command(flatten)]
    consent: Consent,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A file with the rows.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The shard that has the right rows.
    #[arg(long, value_name = "SHARD")]
    from: Option<ShardId>,
}

impl Source {
    fn rows(&self) -> anyhow::Result<Rows> {
        match (&self.file, self.from) {
            (Some(file), _) => read(file),
            (_, Some(shard)) => Ok(Rows::Of(shard)),
            _ => Err(Usage("say where the rows are: --file or --from".to_owned()).into()),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Rows> {
    let wrong = |error: &dyn std::fmt::Display| Usage(format!("{}: {error}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let mut reader = csv::ReaderBuilder::new().from_reader(&*text);
    let columns = reader.headers().map_err(|error| wrong(&error))?;
    let columns = columns.iter().map(str::to_owned).collect();
    Ok(Rows::Csv { columns, text })
}

impl Load {
    pub(super) async fn run(self, context: &Context, config: &Config) -> anyhow::Result<Exit> {
        let login = self.role.login()?;
        let mut options = LoadOptions::default();
        (options.delete, options.lock_timeout) = (self.delete, self.lock_timeout);
        let rows = self.rows.rows()?;
        let load = Library::plan(config, login.role(), &self.table, rows, options)
            .await
            .map_err(|error| login.explain(error))?;
        let planned = report(load.changes());
        if load.changes().iter().all(Loaded::is_nothing) {
            context.print(&planned)?;
            return Ok(Exit::Fine);
        }
        if let Some(exit) =
            self.consent
                .ends(context, &planned, &planned.shown(), "Change this?")?
        {
            return Ok(exit);
        }
        let done = load.apply().await.map_err(|error| login.explain(error))?;
        context.print(&report(&done))?;
        Ok(Exit::Fine)
    }
}

fn report(changes: &[Loaded]) -> Report {
    let mut report = Report::new(["table", "shard", "inserted", "updated", "deleted"]);
    for one in changes {
        report.row([
            json!(one.table),
            json!(one.shard),
            json!(one.inserted),
            json!(one.updated),
            json!(one.deleted),
        ]);
    }
    report
}
