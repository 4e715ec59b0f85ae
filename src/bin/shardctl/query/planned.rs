//! Statements that are planned over all shards.

use indicatif::ProgressBar;
use pgshard::query::Sql;
use pgshard::{Cluster, Error};
use serde_json::json;

use super::{Answered, Query, say_rows, shown, values};
use crate::render::Report;

fn sql<'a>(query: &'a Query, cluster: &'a Cluster) -> Sql<'a> {
    let mut sql = cluster
        .sql(&query.sql, &[])
        .preference(query.preference.into());
    if let Some(bytes) = query.max_lag {
        sql = sql.max_lag(bytes);
    }
    if let Some(time) = query.within {
        sql = sql.within(time);
    }
    sql
}

pub(super) async fn answer(
    query: &Query,
    cluster: &Cluster,
    spinner: &ProgressBar,
) -> anyhow::Result<Answered> {
    let mut rows = sql(query, cluster).stream().await?;
    let mut report = Report::new(shown(&rows.columns(), false)?);
    let mut count = 0;
    while let Some(row) = rows.next().await {
        let row = row?;
        count += 1;
        say_rows(spinner, count);
        if count > query.max_rows {
            return Err(Error::refused(format!(
                "the answer has more than {} rows: add a LIMIT, or raise --max-rows",
                query.max_rows
            ))
            .into());
        }
        report.row(values(&row, false)?);
    }
    Ok(Answered {
        report,
        shards: rows.into_report(),
    })
}

/// The plan, a step a row.
pub(super) async fn explain(query: &Query, cluster: &Cluster) -> anyhow::Result<Report> {
    let explained = sql(query, cluster).explain().await?;
    let mut report = Report::new(["step", "where", "what"]);
    report.row([json!("tier"), json!(null), json!(explained.tier)]);
    for work in &explained.shards {
        let shards: Vec<String> = work.shards.iter().map(ToString::to_string).collect();
        report.row([json!("shards"), json!(shards.join(" ")), json!(work.sql)]);
    }
    report.row([json!("merge"), json!(null), json!(explained.merge)]);
    if let Some(sql) = &explained.combine {
        report.row([json!("combine"), json!("one node"), json!(sql)]);
    }
    Ok(report)
}
