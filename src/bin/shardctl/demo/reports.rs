//! The same totals three ways: counted while loading, by a fan-out, and through foreign tables.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgshard::Cluster;
use pgshard::fanout::{Aggregate, Answer, GroupKey, SortKey};
use pgshard::fdw::{Fdw, FdwOptions, Source};
use pgshard::local::bank::Cents;
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use super::load::Loaded;
use super::servers::Servers;
use super::stage::{Stage, seconds};
use crate::render::Report;

/// Accounts and cents by currency.
type Totals = BTreeMap<String, (i64, i64)>;

/// Each way is run so often; the fastest counts.
const RUNS: usize = 3;

/// The reporting server, set up.
pub(super) struct Reports {
    session: Client,
}

impl Reports {
    pub(super) async fn set_up(
        stage: &mut Stage<'_>,
        servers: &Servers,
        cluster: &Cluster,
    ) -> anyhow::Result<Reports> {
        stage.step("A report over all shards: by a fan-out, and through postgres_fdw");
        let begun = Instant::now();
        let mut options = FdwOptions::new(servers.create_reports_role().await?);
        // To be compared to the cent, with no replica a moment behind.
        options.source = Source::Primaries;
        let fdw = Fdw::plan(cluster.config(), options).await?;
        let (reporting, settings) = servers.reporting()?;
        let made = fdw.apply(&reporting).await?;
        let (session, connection) = settings.connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the reporting session ended");
            }
        });
        stage.say(format_args!(
            "`shardctl fdw apply` made {} objects on the reporting server in {}",
            made.len(),
            seconds(begun.elapsed())
        ));
        Ok(Reports { session })
    }

    pub(super) async fn compare(
        &mut self,
        stage: &mut Stage<'_>,
        cluster: &Cluster,
        loaded: &Loaded,
    ) -> anyhow::Result<()> {
        let (mut by_fan_out, mut by_fdw) = (Totals::new(), Totals::new());
        let (mut fan_out_took, mut fdw_took) = (Duration::MAX, Duration::MAX);
        let mut shards = Report::new(["shard", "node", "rows", "ms"]);
        for run in 0..RUNS {
            let begun = Instant::now();
            let answer = fan_out(cluster).await?;
            fan_out_took = fan_out_took.min(begun.elapsed());
            if run + 1 == RUNS {
                for shard in &answer.report.shards {
                    let millis = shard.time.as_micros() as f64 / 1000.0;
                    shards.row([
                        json!(shard.shard),
                        json!(shard.node),
                        json!(shard.rows),
                        json!(millis),
                    ]);
                }
            }
            by_fan_out = totals(answer.rows);
            let begun = Instant::now();
            by_fdw = self.through_fdw().await?;
            fdw_took = fdw_took.min(begun.elapsed());
        }
        stage.show(&shards)?;
        let mut report = Report::new(["currency", "accounts", "fan_out", "fdw"]);
        for (currency, (accounts, cents)) in &by_fan_out {
            let other = by_fdw.get(currency).map(|(_, cents)| *cents);
            report.row([
                json!(currency),
                json!(accounts),
                json!(Cents(*cents).to_string()),
                json!(other.map(|cents| Cents(cents).to_string())),
            ]);
        }
        stage.show(&report)?;
        stage.measured(
            "the fan-out has the totals that were written",
            by_fan_out == loaded.totals,
            fan_out_took,
            format_args!("{} currencies, to the cent", by_fan_out.len()),
        );
        stage.measured(
            "the foreign tables have the same",
            by_fdw == by_fan_out,
            fdw_took,
            "UNION ALL views over postgres_fdw",
        );
        Ok(())
    }

    async fn through_fdw(&self) -> anyhow::Result<Totals> {
        let rows = self
            .session
            .query(
                "SELECT currency, count(*), sum(balance * 100)::bigint \
                   FROM reporting.bank_accounts GROUP BY currency",
                &[],
            )
            .await?;
        let row =
            |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        Ok(totals(rows.iter().map(row).collect::<anyhow::Result<_>>()?))
    }
}

async fn fan_out(cluster: &Cluster) -> pgshard::Result<Answer<(String, i64, i64)>> {
    // Each shard sums up its rows; the partial sums are combined here.
    let merge = Aggregate::new()
        .group_by(GroupKey::new("currency").deterministic())
        .count("accounts")
        .sum("cents")
        .order_by([SortKey::desc("cents")]);
    cluster
        .fan_out(
            "SELECT currency, count(*) AS accounts, sum(balance * 100)::bigint AS cents \
               FROM bank_accounts GROUP BY currency",
            &[],
            merge,
        )
        .query()
        .await
}

fn totals(rows: Vec<(String, i64, i64)>) -> Totals {
    rows.into_iter()
        .map(|(currency, accounts, cents)| (currency, (accounts, cents)))
        .collect()
}
