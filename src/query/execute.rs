//! Running changes on the shards that they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt, stream};
use sqlparser::ast::{Insert, SetExpr, Statement};
use tokio_postgres::types::{ToSql, Type};

use super::catalog::Catalog;
use super::change::{self, Place};
use super::describe::Describer;
use super::keys::Term;
use super::narrow;
use super::params;
use super::parse;
use super::planner::Planner;
use super::refusal::Refusal;
use super::render;
use super::sql::Sql;
use crate::client::{Committed, Write, deadline};
use crate::error::{Error, Label, Result};
use crate::fanout::Encoded;
use crate::id::{ShardId, ShardIndex};

/// What a change did, shard by shard. Each shard has its own transaction.
#[derive(Debug)]
#[non_exhaustive]
pub struct Executed {
    /// The shards, in the order of the configuration.
    pub shards: Vec<ShardExecuted>,
}

/// What a change did on one shard.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShardExecuted {
    /// The shard.
    pub shard: ShardId,
    /// The rows that it touched, committed; or why not.
    pub outcome: Result<Committed<u64>>,
}

impl Executed {
    /// The rows that were touched, of all shards that committed.
    pub fn rows(&self) -> u64 {
        let committed = self
            .shards
            .iter()
            .filter_map(|shard| shard.outcome.as_ref().ok());
        committed.map(|committed| committed.value).sum()
    }

    /// What was done, in the error of a change that some shards made and others did not.
    pub fn of(error: &Error) -> Option<&Executed> {
        let partly: &PartlyExecuted = error.source()?.downcast_ref()?;
        Some(&partly.0)
    }
}

/// Some shards made a change, and others did not.
#[derive(Debug)]
struct PartlyExecuted(Executed);

impl fmt::Display for PartlyExecuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.0.shards.iter().filter(|shard| shard.outcome.is_err());
        write!(
            f,
            "{} of {} shards failed; {} rows of the others are changed",
            failed.count(),
            self.0.shards.len(),
            self.0.rows()
        )
    }
}

impl std::error::Error for PartlyExecuted {}

use std::error::Error as _;

/// A statement for one shard.
struct Task {
    shard: ShardIndex,
    sql: Arc<str>,
    params: Vec<Encoded>,
}

impl Sql<'_> {
    /// Lets an UPDATE or DELETE without a condition on the key, or a change to a reference table, run on
    /// all shards.
    pub fn all_shards(mut self) -> Self {
        self.all_shards = true;
        self
    }

    /// Runs an INSERT, UPDATE or DELETE on the shards that it belongs to: those of the keys in its
    /// condition, or of its rows.
    ///
    /// Each shard has a transaction of its own, as [`Session::transaction`](crate::Session::transaction)
    /// makes it; over several shards the change is not atomic.
    ///
    /// # Errors
    ///
    /// PostgreSQL's own; [`Refused`](crate::ErrorKind::Refused) for a change without a condition on the
    /// key, unless [`all_shards`](Self::all_shards) allows it, for one of the key itself, and for one that
    /// depends on other shards' rows. If some shards changed and others failed, the error tells
    /// [which](Executed::of), and its kind is that of the first that failed.
    ///
    /// ```no_run
    /// # async fn example(cluster: pgshard::Cluster, ada: uuid::Uuid, bob: uuid::Uuid) -> pgshard::Result<()> {
    /// let blocked = cluster
    ///     .sql("UPDATE customers SET status = 'blocked' WHERE customer_id = ANY ($1)", &[&vec![ada, bob]])
    ///     .execute()
    ///     .await?;
    /// assert!(blocked.rows() <= 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn execute(self) -> Result<Executed> {
        let tasks = params::boxed(self.tasks()).await?;
        let outcomes = stream::iter(tasks)
            .map(|task| async {
                let shard = task.shard;
                (shard, self.change(task).await)
            })
            .buffer_unordered(self.reading.concurrency)
            .collect::<BTreeMap<_, _>>()
            .await;
        let shards = outcomes.into_iter().map(|(shard, outcome)| ShardExecuted {
            shard: self.core.shard(shard).id(),
            outcome,
        });
        finish(shards.collect())
    }

    async fn change(&self, task: Task) -> Result<Committed<u64>> {
        let Some(write) = Write::on_shard(self.core, task.shard) else {
            return Err(Error::refused(
                "the shard owns no bucket: there are no rows to change",
            ));
        };
        write
            .within(self.reading.within)
            .run(|tx| {
                let (sql, params) = (Arc::clone(&task.sql), task.params.clone());
                async move {
                    let params: Vec<&(dyn ToSql + Sync)> = params
                        .iter()
                        .map(|param| param as &(dyn ToSql + Sync))
                        .collect();
                    tx.execute(&sql, &params).await
                }
            })
            .await
    }

    async fn tasks(&self) -> Result<Vec<Task>> {
        let planner = Planner::of(self.core);
        match self.tasks_by(&*planner.catalog(self.core).await?).await {
            Err(error) if planner.renews(&error) => {
                self.tasks_by(&*planner.catalog(self.core).await?).await
            }
            outcome => outcome,
        }
    }

    async fn tasks_by(&self, catalog: &Catalog) -> Result<Vec<Task>> {
        let deadline = deadline::after(tokio::time::Instant::now(), self.reading.within);
        let describer = Describer::open(self.core, &self.reading, deadline).await?;
        // PostgreSQL's own errors come first.
        let (types, _) = describer.describe(self.sql).await?;
        drop(describer);
        let statement = parse::statement(self.sql)?;
        let params = params::encode(self.params, &types)?;
        let map = &self.core.config.map;
        let all = || {
            self.core
                .shards()
                .map(|(shard, _)| shard)
                .collect::<BTreeSet<_>>()
        };
        let as_it_is = |shards: BTreeSet<ShardIndex>| {
            let sql: Arc<str> = self.sql.into();
            let tasks = shards.into_iter().map(|shard| Task {
                shard,
                sql: Arc::clone(&sql),
                params: params.clone(),
            });
            tasks.collect::<Vec<_>>()
        };
        let change = change::change(statement, catalog)?;
        let tasks = match change.place {
            Place::Where(only) => match narrow::shards(&only, &params, map)? {
                Some(shards) => as_it_is(shards),
                None if self.all_shards => as_it_is(all()),
                None => {
                    return Err(Refusal::new(
                        "a change without a condition on the key",
                        "it would change rows of all shards",
                        "add one, or allow it by all_shards()",
                    )
                    .at(change.span)
                    .into());
                }
            },
            Place::Everywhere if self.all_shards => as_it_is(all()),
            Place::Everywhere => {
                return Err(Refusal::new(
                    "a change to a reference table",
                    "it has to be made on all shards, and is not atomic",
                    "allow it by all_shards(), and run it again if a shard fails",
                )
                .at(change.span)
                .into());
            }
            Place::Rows(insert, terms) => {
                let mut rows: BTreeMap<ShardIndex, Vec<usize>> = BTreeMap::new();
                for (row, term) in terms.iter().enumerate() {
                    rows.entry(self.home(term, &params)?).or_default().push(row);
                }
                match rows.len() {
                    1 => as_it_is(rows.into_keys().collect()),
                    _ => rows
                        .into_iter()
                        .map(|(shard, rows)| part(&insert, &rows, &types, &params, shard))
                        .collect(),
                }
            }
        };
        match change.blocker {
            Some(blocker) if tasks.len() > 1 => Err(blocker.into()),
            _ => Ok(tasks),
        }
    }

    /// The shard of a new row.
    fn home(&self, term: &[Term], params: &[Encoded]) -> Result<ShardIndex> {
        let shards = narrow::any_of(term, params, &self.core.config.map)?;
        let mut shards = shards.into_iter().flatten();
        match (shards.next(), shards.next()) {
            (Some(shard), None) => Ok(shard),
            _ => Err(Refusal::new(
                "the key of a new row",
                "it is NULL, or not of the key's type",
                "give it a value",
            )
            .into()),
        }
    }
}

/// An INSERT of some of the rows.
fn part(
    insert: &Insert,
    rows: &[usize],
    types: &[Type],
    params: &[Encoded],
    shard: ShardIndex,
) -> Task {
    let mut insert = insert.clone();
    if let Some(SetExpr::Values(values)) = insert.source.as_mut().map(|source| source.body.as_mut())
    {
        let all = std::mem::take(&mut values.rows);
        let mine = all
            .into_iter()
            .enumerate()
            .filter(|(at, _)| rows.binary_search(at).is_ok());
        values.rows = mine.map(|(_, row)| row).collect();
    }
    let text = render::statement(Statement::Insert(insert), types);
    Task {
        shard,
        params: text
            .params
            .iter()
            .filter_map(|number| params.get(number.checked_sub(1)?).cloned())
            .collect(),
        sql: text.sql.into(),
    }
}

/// What all shards' outcomes come to.
fn finish(shards: Vec<ShardExecuted>) -> Result<Executed> {
    let failed = || {
        shards
            .iter()
            .filter_map(|shard| shard.outcome.as_ref().err())
    };
    let Some(first) = failed().next() else {
        return Ok(Executed { shards });
    };
    if shards.len() == 1 {
        let mut shards = shards;
        return match shards.pop().map(|shard| shard.outcome) {
            Some(Err(error)) => Err(error),
            _ => Ok(Executed { shards }),
        };
    }
    let mut error = Error::new(first.kind(), first.message()).in_phase(first.phase());
    if let Some(shard) = first.shard() {
        error = error.on_shard(shard);
    }
    if failed().any(|error| error.has(Label::OUTCOME_UNKNOWN)) {
        error = error.with_label(Label::OUTCOME_UNKNOWN);
    }
    // Others may have changed already: it is not to be repeated blindly, whatever the first says.
    Err(error.with_source(PartlyExecuted(Executed { shards })))
}
