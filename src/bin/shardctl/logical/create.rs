//! `shardctl logical create`.

use std::ops::RangeInclusive;

use clap::Args;
use pgshard::Config;
use pgshard::config::TableName;
use pgshard::id::ShardId;
use pgshard::ops::hosts::Hosts;
use pgshard::ops::logical::{Plan, Rows, Wanted};
use serde_json::json;

use super::Ends;
use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::Exit;
use crate::render::Report;

/// Make a publication, a slot and a subscription, after checking both ends.
#[derive(Args)]
pub(super) struct Create {
    /// The name of all three: a-z, 0-9, _.
    name: String,

    #[command(flatten)]
    ends: Ends,

    /// The tables, as in the topology file.
    #[arg(
        long,
        value_name = "TABLE",
        value_delimiter = ',',
        required_unless_present = "all_tables"
    )]
    table: Vec<TableName>,

    /// All sharded tables of the topology file.
    #[arg(long, conflicts_with = "table")]
    all_tables: bool,

    /// Only rows that the shard map gives to this shard.
    #[arg(long, value_name = "SHARD", conflicts_with = "buckets")]
    rows_of: Option<ShardId>,

    /// Only rows of these buckets, such as 0-1023,4095.
    #[arg(long, value_name = "BUCKETS", value_delimiter = ',', value_parser = buckets)]
    buckets: Vec<RangeInclusive<u32>>,

    /// Do not copy what is there: only what is written from now on arrives.
    #[arg(long)]
    no_copy: bool,

    /// Copy though the subscriber's tables have rows.
    #[arg(long)]
    allow_rows: bool,

    /// The role as which the subscriber comes. Without it, that of hosts.toml, else replicator.
    #[arg(long, value_name = "ROLE")]
    replication_user: Option<String>,

    /// The file with its password on the subscriber's machine, as .pgpass.
    #[arg(long, value_name = "FILE")]
    passfile: Option<String>,

    /// More of the connection string, such as "sslmode=verify-full".
    #[arg(long, value_name = "KEYWORDS", default_value = "")]
    conninfo: String,

    #[command(flatten)]
    consent: Consent,
}

fn buckets(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("{text:?} is no bucket"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    match range.is_empty() {
        true => Err(format!("{text}: the first one is the larger")),
        false => Ok(range),
    }
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let file = context.config_path().with_file_name("hosts.toml");
        let hosts = file.exists().then(|| Hosts::load(&file)).transpose()?;
        let login = self.ends.admin.login()?;
        let wanted = self.wanted(&config, hosts.as_ref());
        let plan = Plan::new(&config, hosts.as_ref(), &wanted, login.role())
            .await
            .map_err(|error| login.explain(error))?;
        let mut report = Report::new(["end", "sql"]);
        for change in plan.changes() {
            report.row([json!(change.end), json!(change.sql)]);
        }
        for note in plan.notes() {
            context.note(&format!("note: {note}"));
        }
        if plan.changes().is_empty() {
            context.print(&report)?;
            return Ok(Exit::Fine);
        }
        let about = report.shown();
        if let Some(exit) = self.consent.ends(context, &report, &about, "Do this?")? {
            return Ok(exit);
        }
        plan.apply(|change| context.note(&change.sql))
            .await
            .map_err(|error| login.explain(error))?;
        context.print(&report)?;
        Ok(Exit::Fine)
    }

    fn wanted(&self, config: &Config, hosts: Option<&Hosts>) -> Wanted {
        let tables = match self.all_tables {
            true => config
                .tables
                .iter()
                .map(|table| table.name.clone())
                .collect(),
            false => self.table.clone(),
        };
        let (from, to) = (self.ends.from.clone(), self.ends.to.clone());
        let mut wanted = Wanted::new(&self.name, from, to, tables);
        wanted.rows = match (self.rows_of, self.buckets.is_empty()) {
            (Some(shard), _) => Rows::OfShard(shard),
            (None, false) => Rows::OfBuckets(self.buckets.clone()),
            (None, true) => Rows::All,
        };
        (wanted.copy, wanted.allow_rows) = (!self.no_copy, self.allow_rows);
        if let Some(hosts) = hosts {
            wanted.user.clone_from(&hosts.replication_user);
            wanted.conninfo.clone_from(&hosts.conninfo);
        }
        if let Some(user) = &self.replication_user {
            wanted.user.clone_from(user);
        }
        if !self.conninfo.is_empty() {
            wanted.conninfo.clone_from(&self.conninfo);
        }
        wanted.passfile.clone_from(&self.passfile);
        wanted
    }
}
