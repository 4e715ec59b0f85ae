//! `shardctl query`.

mod merge;
mod numeric;
mod planned;
mod shapes;
mod time;
mod value;

use std::time::Duration;

use clap::ValueEnum;
use indicatif::ProgressBar;
use pgshard::fanout::{FanOut, FanOutRow, Merge, Outcome, Report as ShardReports};
use pgshard::id::ShardId;
use pgshard::{Cluster, Error, ReadPreference};
use serde_json::{Value, json};

use crate::context::Context;
use crate::duration;
use crate::exit::{Exit, Usage};
use crate::locate;
use crate::render::Report;
use merge::Merging;
use value::Shown;

/// Run a query over all shards as if they were one database.
///
/// A SELECT is planned: what each shard can answer it does, and the rest is put together by PostgreSQL or
/// refused with the reason; --explain shows how. With a merge (--order-by, --count, …), or with --each,
/// --shard, --key or --partial, the statement runs as it is on every shard that is asked, and the merge says
/// how its rows become one answer; without one they stand one shard's after the other's, with the shard in
/// the first column. Sessions are read-only on the servers: nothing can be written. (Like any client, this
/// one adopts a primary that was just promoted.)
#[derive(clap::Args)]
#[command(after_help = "\
Columns: those of the statement; before them, where it runs as it is and rows are not combined, shard. Of equal names the
later ones get a number. Numerics, dates and the like are texts in JSON. With -v, one line a shard on
standard error: node, rows, time.

Exit codes: 0 fine, 1 a server's error, or a shard is missing (--partial), 3 a shard could not be reached,
4 the statement cannot be right under the merge, or it writes.

Examples:
  shardctl query 'SELECT country, count(*), avg(balance) FROM customers JOIN bank_accounts USING (customer_id)
                  GROUP BY country ORDER BY 2 DESC LIMIT 5'
  shardctl query --explain 'SELECT count(DISTINCT country) FROM customers'
  shardctl query 'SELECT count(*) AS n FROM customers' --count n
  shardctl query 'SELECT currency, count(*) AS n, sum(balance) AS total FROM bank_accounts
                  GROUP BY currency' --group-by currency --count n --sum total --order-by total:desc
  shardctl query 'SELECT account_id, balance FROM bank_accounts ORDER BY balance DESC LIMIT 10' \\
                 --order-by balance:desc --limit 10 --preference prefer-replica
  shardctl query --key 123e4567-e89b-12d3-a456-426614174000 \\
                 \"SELECT * FROM customers WHERE customer_id = '123e4567-e89b-12d3-a456-426614174000'\"")]
pub(crate) struct Query {
    /// The statement.
    #[arg(value_name = "SQL")]
    sql: String,

    /// Show what would run where, and run nothing.
    #[arg(long)]
    explain: bool,

    /// Run the statement as it is on every shard.
    #[arg(long)]
    each: bool,

    /// Ask these shards only.
    #[arg(long, value_name = "SHARD", value_delimiter = ',', value_parser = shard_id)]
    shard: Vec<ShardId>,

    /// Ask the shard of this key only. The statement itself has to name the key as well.
    #[arg(
        long,
        value_name = "KEY",
        conflicts_with = "shard",
        allow_negative_numbers = true
    )]
    key: Option<String>,

    /// Where to read on each shard.
    #[arg(long, value_enum, default_value_t = Preference::Primary, value_name = "WHERE")]
    preference: Preference,

    /// Leave out replicas that are more than so many bytes of log behind.
    #[arg(long, value_name = "BYTES")]
    max_lag: Option<u64>,

    /// Answer without the shards that fail, and say which are missing.
    #[arg(long)]
    partial: bool,

    /// The time for each shard; timeouts.statement otherwise.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    within: Option<Duration>,

    /// Refuse an answer of more rows: they are held in memory.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    max_rows: usize,

    #[command(flatten)]
    merging: Merging,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preference {
    Primary,
    Replica,
    PreferReplica,
    Nearest,
}

impl From<Preference> for ReadPreference {
    fn from(preference: Preference) -> Self {
        match preference {
            Preference::Primary => ReadPreference::Primary,
            Preference::Replica => ReadPreference::Replica,
            Preference::PreferReplica => ReadPreference::PreferReplica,
            Preference::Nearest => ReadPreference::Nearest,
        }
    }
}

pub(crate) fn shard_id(text: &str) -> Result<ShardId, String> {
    ShardId::new(text).map_err(|error| error.to_string())
}

/// The merged rows, and what each shard did.
struct Answered {
    report: Report,
    shards: ShardReports,
}

impl Query {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.merging.check()?;
        let cluster = Cluster::connect(context.load()?)?;
        if self.explain {
            let explained = self.explained(&cluster).await;
            cluster.close().await;
            context.print(&explained?)?;
            return Ok(Exit::Fine);
        }
        let progress = context.progress();
        let spinner = progress.spinner("asking the shards");
        let answered = match self.is_planned() {
            true => planned::answer(&self, &cluster, &spinner).await,
            false => self.answer(&cluster, &spinner).await,
        };
        spinner.finish_and_clear();
        cluster.close().await;
        let Answered { report, shards } = answered?;
        context.print(&report)?;
        for shard in &shards.shards {
            tracing::info!(
                shard = %shard.shard,
                node = shard.node.map(|node| node.to_string()),
                rows = shard.rows,
                time = ?shard.time,
                outcome = outcome(&shard.outcome),
                "asked"
            );
        }
        for (shard, error) in shards.missing() {
            crate::failure::say(&format!("missing: shard {shard}: {}\n", error.message()));
        }
        Ok(if shards.is_complete() {
            Exit::Fine
        } else {
            Exit::Problem
        })
    }

    /// Whether the statement is planned, and does not run as it is.
    fn is_planned(&self) -> bool {
        !self.each
            && !self.partial
            && self.shard.is_empty()
            && self.key.is_none()
            && !self.merging.is_given()
    }

    async fn explained(&self, cluster: &Cluster) -> anyhow::Result<Report> {
        if !self.is_planned() {
            return Err(Usage(
                "--explain is for statements that are planned: leave out --each, --shard, --key, \
                 --partial and the merge"
                    .to_owned(),
            )
            .into());
        }
        planned::explain(self, cluster).await
    }

    async fn answer(&self, cluster: &Cluster, spinner: &ProgressBar) -> anyhow::Result<Answered> {
        if self.merging.groups() {
            self.refuse_odd_collations(cluster).await?;
        }
        let mut rows = self
            .fan_out(cluster, &self.sql, self.merging.merge())?
            .stream()?;
        let with_shard = !self.merging.combines();
        let mut report = None;
        let mut count = 0;
        while let Some(row) = rows.next().await {
            let row = row?;
            count += 1;
            say_rows(spinner, count);
            if count > self.max_rows {
                return Err(Error::refused(format!(
                    "the answer has more than {} rows: add --limit, or raise --max-rows",
                    self.max_rows
                ))
                .into());
            }
            if report.is_none() {
                report = Some(Report::new(names(&rows, with_shard)?));
            }
            if let Some(report) = &mut report {
                report.row(values(&row, with_shard)?);
            }
        }
        let report = match report {
            Some(report) => report,
            None => Report::new(names(&rows, with_shard)?),
        };
        Ok(Answered {
            report,
            shards: rows.into_report(),
        })
    }

    fn fan_out<'a>(
        &'a self,
        cluster: &'a Cluster,
        sql: &'a str,
        merge: Merge,
    ) -> anyhow::Result<FanOut<'a>> {
        let mut fan_out = cluster
            .fan_out(sql, &[], merge)
            .preference(self.preference.into());
        if !self.shard.is_empty() {
            fan_out = fan_out.shards(self.shard.iter().copied());
        }
        if let Some(text) = &self.key {
            let key = locate::parse(text, cluster.config().map.key_type())?;
            let place = cluster.locate(&key)?;
            let shard = cluster.config().shard_at(place.shard).map(|shard| shard.id);
            fan_out = fan_out.shards(shard);
        }
        if let Some(bytes) = self.max_lag {
            fan_out = fan_out.max_lag(bytes);
        }
        if let Some(time) = self.within {
            fan_out = fan_out.within(time);
        }
        Ok(if self.partial {
            fan_out.partial()
        } else {
            fan_out
        })
    }

    /// Groups are made of equal bytes, which is what PostgreSQL does unless a collation says
    /// otherwise. The servers tell whether there is one.
    async fn refuse_odd_collations(&self, cluster: &Cluster) -> anyhow::Result<()> {
        const ODD: &str = "SELECT collname::text FROM pg_catalog.pg_collation \
                           WHERE NOT collisdeterministic ORDER BY 1";
        let odd = self.fan_out(cluster, ODD, Merge::concat())?;
        let odd = odd.query::<(String,)>().await?;
        match odd.rows.first() {
            None => Ok(()),
            Some((name,)) => Err(Error::refused(format!(
                "the shards have a collation ({name}) by which different texts may be equal, and \
                 groups of several shards are combined by equal bytes: group by a cast to bytea, \
                 or report through `shardctl fdw`"
            ))
            .into()),
        }
    }
}

/// Shows now and then how many rows there are.
fn say_rows(spinner: &ProgressBar, count: usize) {
    if count.is_multiple_of(1000) {
        spinner.set_message(format!("{count} rows"));
    }
}

/// The names of the columns, each of them once.
fn names(rows: &pgshard::fanout::FanOutRows<'_>, with_shard: bool) -> anyhow::Result<Vec<String>> {
    shown(&rows.columns().unwrap_or_default(), with_shard)
}

fn shown(columns: &[(&str, &pgshard::raw::Type)], with_shard: bool) -> anyhow::Result<Vec<String>> {
    if let Some((name, ty)) = columns.iter().find(|(_, ty)| !value::is_known(ty)) {
        return Err(Usage(format!(
            "column {name} is of type {ty}, which is not shown here: cast it to text in the statement"
        ))
        .into());
    }
    let wanted = columns.iter().map(|(name, _)| (*name).to_owned());
    let shard = with_shard.then(|| "shard".to_owned());
    Ok(unique(shard.into_iter().chain(wanted)))
}

fn unique(wanted: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in wanted {
        let mut candidate = name.clone();
        let mut number = 2;
        while names.contains(&candidate) {
            candidate = format!("{name}_{number}");
            number += 1;
        }
        names.push(candidate);
    }
    names
}

fn values(row: &FanOutRow, with_shard: bool) -> pgshard::Result<Vec<Value>> {
    let mut values = Vec::new();
    if with_shard {
        values.push(json!(row.shard()));
    }
    let row = row.row();
    for column in 0..row.columns().len() {
        let Shown(value) = row.at(column)?;
        values.push(value);
    }
    Ok(values)
}

fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Stopped => "stopped",
        Outcome::Failed(_) => "failed",
        _ => "running",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_unique() {
        let names = ["shard", "a", "shard", "a", "a_2"].map(str::to_owned);
        assert_eq!(
            super::unique(names.into_iter()),
            ["shard", "a", "shard_2", "a_2", "a_2_2"]
        );
    }
}
