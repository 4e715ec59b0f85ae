//! Measuring which options suit a reporting server: a few shapes of reports, each under a few sets of
//! options, on the live server.
//!
//! The options are altered inside transactions that are rolled back, so nobody else sees them; while
//! one runs, applies wait.
//!
//! - `pick` chooses from what was measured: pure.

mod pick;

use std::time::Duration;

use crate::config::TableName;
use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::sql::{ident, literal};

use super::catalog::Table;
use super::options::Reporting;
use super::{Fdw, apply, name};

/// What a reporting server is asked for advice with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdviseOptions {
    /// The sharded table whose view is read; `None`: the first of the configuration.
    pub table: Option<TableName>,
    /// How often each is run; the median counts. At least 1.
    pub runs: u32,
    /// What one run may take; a slower one is given up.
    pub limit: Duration,
}

impl Default for AdviseOptions {
    fn default() -> Self {
        AdviseOptions {
            table: None,
            runs: 5,
            limit: Duration::from_secs(60),
        }
    }
}

/// One shape of report under one set of options.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// `aggregate`, `top`, `drain` or `point`.
    pub shape: &'static str,
    /// The set of options, such as `async, fetch_size 1000`.
    pub options: &'static str,
    /// Planning and execution, median; `None` if the limit was reached.
    pub milliseconds: Option<f64>,
    /// Whether the shards worked at the same time.
    pub asynchronous: bool,
    /// Whether the shards were sent the LIMIT, the ORDER BY or the aggregate.
    pub pushed: bool,
}

/// What was measured, and what follows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Advice {
    /// Every shape under every set of options.
    pub measured: Vec<Measured>,
    /// The set that is best over all shapes, of those that make none of them worse than a server
    /// without options.
    pub suggested: &'static str,
    /// The arguments of `shardctl fdw apply` that choose it.
    pub arguments: &'static str,
}

/// A set of options: what it is called, what chooses it, what it is.
struct Set {
    name: &'static str,
    arguments: &'static str,
    options: &'static [(&'static str, &'static str)],
}

/// What the sets differ in.
const VARIED: [&str; 3] = ["async_capable", "fetch_size", "use_remote_estimate"];

/// The first has no options: what a set must not be worse than.
const SETS: [Set; 6] = [
    Set {
        name: "none",
        arguments: "--no-async",
        options: &[],
    },
    Set {
        name: "async",
        arguments: "(the defaults)",
        options: &[("async_capable", "true")],
    },
    Set {
        name: "async, fetch_size 1000",
        arguments: "--fetch-size 1000",
        options: &[("async_capable", "true"), ("fetch_size", "1000")],
    },
    Set {
        name: "async, fetch_size 10000",
        arguments: "--fetch-size 10000",
        options: &[("async_capable", "true"), ("fetch_size", "10000")],
    },
    Set {
        name: "async, use_remote_estimate",
        arguments: "--remote-estimate",
        options: &[("async_capable", "true"), ("use_remote_estimate", "true")],
    },
    Set {
        name: "async, fetch_size 1000, use_remote_estimate",
        arguments: "--fetch-size 1000 --remote-estimate",
        options: &[
            ("async_capable", "true"),
            ("fetch_size", "1000"),
            ("use_remote_estimate", "true"),
        ],
    },
];

impl Fdw {
    /// Measures an aggregate, a top 100 by an indexed column, a whole drain and a read by key, each
    /// under several sets of options, on a reporting server to which this plan was applied. Changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// `Config` if there is no such sharded table; `Refused` if the plan is not applied there, or if
    /// the table is empty; the errors of connecting.
    pub async fn advise(&self, reporting: &Reporting, how: &AdviseOptions) -> Result<Advice> {
        let table = self.measurable(how.table.as_ref())?;
        let mut session = reporting.connect(&self.config).await?;
        if !apply::plan(self, &session).await?.differences.is_empty() {
            return Err(Error::refused(
                "the reporting server is not as this plan would make it, so that something else would be \
                 measured: apply first",
            ));
        }
        session.set_deadline(how.limit);
        let shapes = self.shapes(&session, table).await?;
        let mut measured = Vec::new();
        for set in &SETS {
            apply::begin(&session).await?;
            for shard in &self.config.shards {
                vary(&session, &name::server(shard.id), set).await?;
            }
            session
                .batch(&format!(
                    "SET LOCAL statement_timeout = {}",
                    how.limit.as_millis()
                ))
                .await?;
            for (shape, sql) in &shapes {
                measured.push(measure(&session, shape, sql, set.name, how.runs.max(1)).await?);
            }
            session.batch("ROLLBACK").await?;
        }
        let best = pick::best(&measured, SETS.map(|set| set.name).as_slice());
        let set = SETS.iter().find(|set| set.name == best).unwrap_or(&SETS[0]);
        Ok(Advice {
            measured,
            suggested: set.name,
            arguments: set.arguments,
        })
    }

    fn measurable(&self, wanted: Option<&TableName>) -> Result<&Table> {
        let mut sharded = self.tables.iter().filter(|table| table.sharded);
        sharded
            .find(|table| wanted.is_none_or(|wanted| table.name == *wanted))
            .ok_or_else(|| match wanted {
                Some(wanted) => Error::config(format!("there is no sharded table {wanted}")),
                None => Error::config("the configuration has no sharded table"),
            })
    }

    /// The shapes, as queries of the table's view.
    async fn shapes(
        &self,
        session: &Session,
        table: &Table,
    ) -> Result<Vec<(&'static str, String)>> {
        let names: Vec<_> = self.tables.iter().map(|table| &table.name).collect();
        let view = format!(
            "{}.{}",
            ident(&self.options.schema),
            ident(&name::view(&table.name, &names))
        );
        let declared = self.config.tables.iter().find(|t| t.name == table.name);
        let key = declared.map_or("", |declared| declared.key.as_str());
        let rows = session
            .query(
                &format!("SELECT {}::text FROM {view} LIMIT 1", ident(key)),
                &[],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Err(Error::refused(format!(
                "{} is empty: name a table with as many rows as reports read",
                table.name
            )));
        };
        let value: String = get(row, 0)?;
        let number = table.columns.iter().find(|column| {
            ["numeric", "bigint", "integer", "double precision"]
                .contains(&column.type_name.as_str())
        });
        let sum = number.map_or(String::new(), |column| {
            format!(", sum({})", ident(&column.name))
        });
        let order = table.indexed.as_deref().unwrap_or(key);
        Ok(vec![
            ("aggregate", format!("SELECT count(*){sum} FROM {view}")),
            (
                "top",
                format!(
                    "SELECT * FROM {view} ORDER BY {} DESC LIMIT 100",
                    ident(order)
                ),
            ),
            ("drain", format!("SELECT * FROM {view}")),
            (
                "point",
                format!(
                    "SELECT * FROM {view} WHERE {} = {}",
                    ident(key),
                    literal(&value)
                ),
            ),
        ])
    }
}

/// Gives a server a set of options, in this transaction.
async fn vary(session: &Session, server: &str, set: &Set) -> Result<()> {
    let row = session
        .one(
            "SELECT ARRAY(SELECT split_part(o, '=', 1) FROM unnest(srvoptions) o)
               FROM pg_foreign_server WHERE srvname = $1",
            &[&server],
        )
        .await?;
    let present: Vec<String> = get(&row, 0)?;
    let changes: Vec<String> = VARIED
        .iter()
        .filter_map(|option| {
            let has = present.iter().any(|found| found == option);
            let wanted = set.options.iter().find(|(name, _)| name == option);
            match (has, wanted) {
                (false, None) => None,
                (true, None) => Some(format!("DROP {option}")),
                (false, Some((_, value))) => Some(format!("ADD {option} {}", literal(value))),
                (true, Some((_, value))) => Some(format!("SET {option} {}", literal(value))),
            }
        })
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    session
        .batch(&format!(
            "ALTER SERVER {} OPTIONS ({})",
            ident(server),
            changes.join(", ")
        ))
        .await
}

async fn measure(
    session: &Session,
    shape: &'static str,
    sql: &str,
    options: &'static str,
    runs: u32,
) -> Result<Measured> {
    let mut measured = Measured {
        shape,
        options,
        milliseconds: None,
        asynchronous: false,
        pushed: false,
    };
    let mut times = Vec::new();
    // The first one connects to the shards.
    for run in 0..=runs {
        session.batch("SAVEPOINT shape").await?;
        let explain =
            format!("EXPLAIN (ANALYZE, TIMING OFF, VERBOSE, COSTS OFF, SUMMARY ON) {sql}");
        let rows = match session.query(&explain, &[]).await {
            Ok(rows) => rows,
            // query_canceled: the limit.
            Err(error) if error.sqlstate().is_some_and(|s| s.as_str() == "57014") => {
                session.batch("ROLLBACK TO shape").await?;
                return Ok(measured);
            }
            Err(error) => return Err(error),
        };
        session.batch("RELEASE shape").await?;
        let mut took = 0.0;
        for row in &rows {
            let line: String = get(row, 0)?;
            took += time(&line).unwrap_or(0.0);
            measured.asynchronous |= line.contains("Async Foreign Scan");
            measured.pushed |= line.contains("Remote SQL:")
                && [" ORDER BY ", " GROUP BY ", " LIMIT ", "count(", "sum("]
                    .iter()
                    .any(|part| line.contains(part));
        }
        if run > 0 {
            times.push(took);
        }
    }
    times.sort_by(f64::total_cmp);
    measured.milliseconds = times.get(times.len() / 2).copied();
    Ok(measured)
}

/// The milliseconds of a line `Planning Time: 0.1 ms` or `Execution Time: 2.3 ms`.
fn time(line: &str) -> Option<f64> {
    let line = line.trim();
    let rest = line
        .strip_prefix("Planning Time: ")
        .or_else(|| line.strip_prefix("Execution Time: "))?;
    rest.strip_suffix(" ms")?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_of_a_plan() {
        assert_eq!(super::time("Planning Time: 0.125 ms"), Some(0.125));
        assert_eq!(super::time(" Execution Time: 12.5 ms"), Some(12.5));
        assert_eq!(super::time("Remote SQL: SELECT 1"), None);
    }
}
