//! What a caller asks of all shards, in SQL.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use tokio_postgres::types::{Kind, ToSql, Type};

use super::combine::AnswerKind;
use super::explain::{Explained, ShardWork, Tier};
use super::gather::{Bounds, Budget, Gathered};
use super::narrow;
use super::params;
use super::plan::{Before, Combining, Feed, Merging, Plan, Statement as Text, Steps};
use super::planner::Planner;
use super::rows::{SqlRows, changed, is_same};
use super::shape::Count;
use super::spread::Restrictions;
use crate::client::{Cluster, Core, FromRow, Token};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::fanout::{Answer, Encoded, FanOutRows, Merge, Reading, Statement, start};
use crate::id::ShardIndex;
use crate::topology::ReadPreference;

/// Rows that are gathered at most, unless said otherwise.
const MAX_GATHERED_ROWS: usize = 1_000_000;
/// Bytes that are gathered at most, unless said otherwise.
const MAX_GATHERED_BYTES: usize = 64 << 20;
/// Rows that are collected at most, unless said otherwise.
const MAX_ROWS: usize = 1_000_000;

impl Cluster {
    /// A SELECT over all shards as if they were one database, or a refusal that says why not.
    ///
    /// The statement is planned: keys in its conditions narrow the shards; what can run on each shard
    /// does; aggregates are put together from the shards' own; and what is left runs over gathered rows
    /// on one node, within bounds. Each shard is read at its own moment. Plans are kept by the
    /// statement's text, so that texts should be few: pass values as parameters.
    ///
    /// ```no_run
    /// # async fn example(cluster: pgshard::Cluster) -> pgshard::Result<()> {
    /// let answer = cluster
    ///     .sql(
    ///         "SELECT c.country, count(*) AS accounts, avg(a.balance)::text AS average \
    ///          FROM customers c JOIN bank_accounts a USING (customer_id) \
    ///          WHERE a.currency = $1 GROUP BY c.country ORDER BY accounts DESC LIMIT 10",
    ///         &[&"EUR"],
    ///     )
    ///     .prefer_replica()
    ///     .query::<(String, i64, String)>()
    ///     .await?;
    /// for (country, accounts, average) in &answer.rows {
    ///     println!("{country}: {accounts} accounts of {average} on average");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn sql<'a>(&'a self, sql: &'a str, params: &'a [&'a (dyn ToSql + Sync)]) -> Sql<'a> {
        let core = self.core();
        Sql {
            core,
            sql,
            params,
            reading: Reading::new(core),
            max_rows: MAX_ROWS,
            all_shards: false,
            bounds: Bounds {
                rows: MAX_GATHERED_ROWS,
                bytes: MAX_GATHERED_BYTES,
            },
        }
    }
}

/// A statement over all shards; made by [`Cluster::sql`].
#[must_use = "nothing is sent before `query`, `stream` or `explain`"]
pub struct Sql<'a> {
    pub(super) core: &'a Core,
    pub(super) sql: &'a str,
    pub(super) params: &'a [&'a (dyn ToSql + Sync)],
    pub(super) reading: Reading,
    max_rows: usize,
    bounds: Bounds,
    pub(super) all_shards: bool,
}

impl<'a> Sql<'a> {
    /// Sets where each shard is read: its primary, unless said otherwise.
    pub fn preference(mut self, preference: ReadPreference) -> Self {
        self.reading.preference = preference;
        self
    }

    /// Reads from replicas where they qualify, else from primaries.
    pub fn prefer_replica(self) -> Self {
        self.preference(ReadPreference::PreferReplica)
    }

    /// Leaves out replicas that are more than so many bytes of log behind, as of the last probe.
    pub fn max_lag(mut self, bytes: u64) -> Self {
        self.reading.max_lag = Some(bytes);
        self
    }

    /// Leaves out replicas that may show what is older than this; see
    /// [`Read::max_lag_time`](crate::client::Read::max_lag_time).
    pub fn max_lag_time(mut self, age: Duration) -> Self {
        self.reading.max_lag_time = Some(age);
        self
    }

    /// Sees at least what the token's writes did.
    pub fn at_least(mut self, token: &Token) -> Self {
        self.reading.token = Some(token.clone());
        self
    }

    /// Sets how long each shard, and the node that puts rows together, may take;
    /// `timeouts.statement` otherwise.
    pub fn within(mut self, time: Duration) -> Self {
        self.reading.within = time;
        self
    }

    /// Sets how many shards work at once, 16 otherwise.
    pub fn concurrency(mut self, shards: usize) -> Self {
        self.reading.concurrency = shards.max(1);
        self
    }

    /// Sets how many rows [`query`](Self::query) collects at most, a million otherwise.
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// Sets what may be gathered at most for one node to put together: a million rows and 64 MiB
    /// otherwise. It is held in memory here, and sent to the node in one message; PostgreSQL takes up to
    /// 1 GB.
    pub fn max_gathered(mut self, rows: usize, bytes: usize) -> Self {
        self.bounds = Bounds { rows, bytes };
        self
    }

    /// Runs the statement and collects its rows.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream); [`Refused`](ErrorKind::Refused) if there are more than
    /// [`max_rows`](Self::max_rows); [`Decode`](ErrorKind::Decode) for a row that does not fit `T`.
    pub async fn query<T: FromRow>(self) -> Result<Answer<T>> {
        let max_rows = self.max_rows;
        let mut stream = self.stream().await?;
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            let row = row?;
            if rows.len() >= max_rows {
                return Err(Error::refused(format!(
                    "the answer has more than {max_rows} rows: read it as a stream, add a limit, \
                     or raise max_rows()"
                ))
                .in_phase(Phase::Merge));
            }
            rows.push(row.read()?);
        }
        Ok(Answer {
            rows,
            report: stream.into_report(),
        })
    }

    /// The only row of the answer.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); and if there is not exactly one row.
    pub async fn query_one<T: FromRow>(self) -> Result<T> {
        let Answer { mut rows, .. } = self.max_rows(2).query().await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            (last, _) => Err(Error::new(
                ErrorKind::Decode,
                format!(
                    "exactly one row was expected, the answer has {}",
                    if last.is_some() { "more" } else { "none" }
                ),
            )
            .in_phase(Phase::Merge)),
        }
    }

    /// Runs the statement and hands out its rows as they come. Dropping the stream cancels what is still
    /// running.
    ///
    /// # Errors
    ///
    /// PostgreSQL's own error for a statement that it does not take; [`Refused`](ErrorKind::Refused)
    /// with a [`Refusal`](super::Refusal) if it cannot be right over many shards, or if more would have to be
    /// gathered than [`max_gathered`](Self::max_gathered) allows; a shard's error: all must answer.
    pub async fn stream(self) -> Result<SqlRows<'a>> {
        let planner = Planner::of(self.core);
        let plan = params::boxed(planner.plan(self.core, &self.reading, self.sql)).await?;
        match self.run(&plan).await {
            Err(error) if planner.is_stale(&error, plan.made) => {
                let plan = params::boxed(planner.plan(self.core, &self.reading, self.sql)).await?;
                self.run(&plan).await
            }
            outcome => outcome,
        }
    }

    /// Tells what would be done, without doing it.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream), but for those of running.
    pub async fn explain(self) -> Result<Explained> {
        let planner = Planner::of(self.core);
        let plan = params::boxed(planner.plan(self.core, &self.reading, self.sql)).await?;
        let params = params::encode(self.params, &plan.types)?;
        let work = |shards: BTreeSet<ShardIndex>, sql: &str| ShardWork {
            shards: shards
                .into_iter()
                .map(|shard| self.core.shard(shard).id())
                .collect(),
            sql: sql.to_owned(),
        };
        if let Some(shard) = self.pinned(&plan, &params)? {
            return Ok(Explained {
                tier: Tier::Pass,
                shards: vec![work(BTreeSet::from([shard]), self.sql)],
                merge: "none".to_owned(),
                combine: None,
            });
        }
        let merge = plan.merge();
        Ok(match &plan.steps {
            Steps::Anywhere => Explained {
                tier: Tier::Pass,
                shards: vec![work(BTreeSet::from([ShardIndex(0)]), self.sql)],
                merge,
                combine: None,
            },
            Steps::OneShard(refusal) => return Err(refusal.clone().into()),
            Steps::Merge(merging) => Explained {
                tier: Tier::Push,
                shards: vec![work(
                    self.shards(&merging.only, &params)?,
                    &merging.text.sql,
                )],
                merge,
                combine: None,
            },
            Steps::Combine(combining) => Explained {
                tier: combining.tier,
                shards: texts(combining)
                    .into_iter()
                    .map(|(only, text)| Ok(work(self.shards(only, &params)?, &text.sql)))
                    .collect::<Result<_>>()?,
                merge,
                combine: Some(combining.text.sql.to_string()),
            },
        })
    }

    /// The one shard that has all that the statement asks for.
    pub(super) fn pinned(&self, plan: &Plan, params: &[Encoded]) -> Result<Option<ShardIndex>> {
        let Some(pins) = plan.pins.as_ref().filter(|pins| !pins.is_empty()) else {
            return Ok(None);
        };
        let mut one = None;
        for terms in pins {
            let Some(shards) = narrow::any_of(terms, params, &self.core.config.map)? else {
                return Ok(None);
            };
            for shard in shards {
                if one.is_some_and(|known| known != shard) {
                    return Ok(None);
                }
                one = Some(shard);
            }
        }
        // No key at all: no row of a sharded table takes part.
        Ok(Some(one.unwrap_or(ShardIndex(0))))
    }

    /// The shards that have rows under these restrictions, but one at least, for an answer of no rows.
    fn shards(&self, only: &Restrictions, params: &[Encoded]) -> Result<BTreeSet<ShardIndex>> {
        let found = narrow::shards(only, params, &self.core.config.map)?;
        let mut shards = match found {
            Some(shards) => shards,
            None => self.core.shards().map(|(shard, _)| shard).collect(),
        };
        if shards.is_empty() {
            shards.insert(ShardIndex(0));
        }
        Ok(shards)
    }

    async fn run(&self, plan: &Plan) -> Result<SqlRows<'a>> {
        let own = params::encode(self.params, &plan.types)?;
        let columns = Arc::clone(&plan.columns);
        let alone = match (self.pinned(plan, &own)?, &plan.steps) {
            (Some(shard), _) => Some(vec![shard]),
            // PostgreSQL's own error: of a limit and an offset the shards see the sum only.
            (None, Steps::Merge(merging)) if is_negative(merging, &own) => {
                Some(vec![ShardIndex(0)])
            }
            (None, Steps::Anywhere) => Some(self.core.shards().map(|(shard, _)| shard).collect()),
            (None, _) => None,
        };
        if let Some(shards) = alone {
            let statement = Statement::Owned(self.sql.into(), own.into());
            let rows = self.first_of(&statement, shards).await?;
            return SqlRows::new(columns, rows, true).whole_checked();
        }
        let args = Args {
            own,
            time: match plan.asks_time {
                true => Some(self.time().await?),
                false => None,
            },
        };
        let Ran {
            rows,
            is_own,
            gathered,
        } = self.steps(&plan.steps, &args).await?;
        let rows = SqlRows::new(columns, rows, is_own).after(gathered);
        rows.ready().await?.checked()
    }

    /// Runs the steps of a plan, or of a subquery's.
    fn steps<'s>(&'s self, steps: &'s Steps, args: &'s Args) -> BoxFuture<'s, Result<Ran<'a>>> {
        params::boxed(self.steps_of(steps, args))
    }

    async fn steps_of(&self, steps: &Steps, args: &Args) -> Result<Ran<'a>> {
        match steps {
            Steps::Merge(merging) => {
                let rows = self.merge(merging, args)?;
                Ok(Ran {
                    rows,
                    is_own: true,
                    gathered: Vec::new(),
                })
            }
            Steps::Combine(combining) => self.combine(combining, args).await,
            Steps::OneShard(refusal) => Err(refusal.clone().into()),
            // The whole statement only is run as it is.
            Steps::Anywhere => Err(Error::refused("a part of the statement has no shard")),
        }
    }

    fn merge(&self, merging: &Merging, args: &Args) -> Result<FanOutRows<'a>> {
        if is_negative(merging, &args.own) {
            return Err(Error::refused("LIMIT and OFFSET must not be negative"));
        }
        let shards: Vec<ShardIndex> = self.shards(&merging.only, &args.own)?.into_iter().collect();
        let mut merge = match merging.order.is_empty() {
            true => Merge::concat(),
            false => Merge::ordered(merging.order.iter().cloned()),
        };
        if let Some(rows) = rows_of(merging.limit.as_ref(), &args.own) {
            merge = merge.limit(rows);
        }
        if let Some(rows) = rows_of(merging.offset.as_ref(), &args.own) {
            merge = merge.offset(rows);
        }
        let statement = args.statement(&merging.text);
        Ok(start(
            self.core,
            &shards,
            &statement,
            &self.reading,
            merge,
            false,
        ))
    }

    async fn combine(&self, combining: &Combining, args: &Args) -> Result<Ran<'a>> {
        let budget = Budget::new(self.bounds);
        let before = combining
            .firsts
            .iter()
            .map(|first| self.before(first, args, &budget));
        let mut args = args.clone();
        args.own.extend(try_join_all(before).await?);
        let feeds = combining
            .feeds
            .iter()
            .map(|feed| self.gather(feed, &args, &budget));
        let gathered = try_join_all(feeds).await?;
        let mut arguments = args.of(&combining.text);
        let mut near = BTreeSet::new();
        let mut reports = Vec::new();
        for (arrays, report, shards) in gathered {
            arguments.extend(arrays);
            near.extend(shards);
            reports.push(report);
        }
        let statement = Statement::Owned(Arc::clone(&combining.text.sql), arguments.into());
        // Those that just answered first.
        let mut shards: Vec<ShardIndex> = near.iter().copied().collect();
        if !shards.is_empty() {
            let turn = crate::random::number() as usize % shards.len();
            shards.rotate_left(turn);
        }
        let others = self.core.shards().map(|(shard, _)| shard);
        shards.extend(others.filter(|shard| !near.contains(shard)));
        let rows = self.first_of(&statement, shards).await?;
        Ok(Ran {
            rows,
            is_own: false,
            gathered: reports,
        })
    }

    /// The answer of a subquery, as a parameter.
    async fn before(&self, first: &Before, args: &Args, budget: &Budget) -> Result<Encoded> {
        let mut ran = self.steps(&first.steps, args).await?;
        ran.rows.open().await?;
        let planned = match first.ty.kind() {
            Kind::Array(element) if first.answer == AnswerKind::List => element,
            _ => &first.ty,
        };
        let columns = ran.rows.columns().unwrap_or_default();
        let same = columns.first().is_some_and(|(_, ty)| is_same(planned, ty));
        if first.answer != AnswerKind::Exists && !same {
            return Err(changed());
        }
        let bytes = match first.answer {
            AnswerKind::Exists => {
                let found = ran.rows.next().await.transpose()?.is_some();
                Some(Bytes::copy_from_slice(&[u8::from(found)]))
            }
            AnswerKind::Value => {
                let row = ran.rows.next().await.transpose()?;
                if row.is_some() && ran.rows.next().await.transpose()?.is_some() {
                    return Err(Error::new(
                        ErrorKind::Database,
                        "more than one row returned by a subquery used as an expression",
                    )
                    .in_phase(Phase::Execute));
                }
                row.and_then(|row| row.bytes(0).map(Bytes::copy_from_slice))
            }
            AnswerKind::List => {
                let mut list = Gathered::of(first.ty.clone());
                while let Some(row) = ran.rows.next().await {
                    list.push(&row?, budget, "the rows of a subquery")?;
                }
                list.into_arrays().next().and_then(|array| array.bytes)
            }
        };
        Ok(Encoded {
            ty: first.ty.clone(),
            bytes,
        })
    }

    async fn gather(
        &self,
        feed: &Feed,
        args: &Args,
        budget: &Budget,
    ) -> Result<(Vec<Encoded>, crate::fanout::Report, BTreeSet<ShardIndex>)> {
        let shards = self.shards(&feed.only, &args.own)?;
        let list: Vec<ShardIndex> = shards.iter().copied().collect();
        let statement = args.statement(&feed.text);
        let mut rows = start(
            self.core,
            &list,
            &statement,
            &self.reading,
            Merge::concat(),
            false,
        );
        let mut gathered = Gathered::new(&feed.columns);
        rows.open().await?;
        if !gathered.fits(&rows.columns().unwrap_or_default()) {
            return Err(changed());
        }
        while let Some(row) = rows.next().await {
            gathered.push(&row?, budget, &feed.text.sql)?;
        }
        Ok((gathered.into_arrays().collect(), rows.into_report(), shards))
    }

    /// Starts a statement on the first of these shards that answers.
    async fn first_of(
        &self,
        statement: &Statement<'static>,
        shards: Vec<ShardIndex>,
    ) -> Result<FanOutRows<'a>> {
        let mut last = None;
        for shard in shards {
            let mut rows = start(
                self.core,
                &[shard],
                statement,
                &self.reading,
                Merge::concat(),
                false,
            );
            match rows.open().await {
                Ok(()) => return Ok(rows),
                Err(error) if is_elsewhere(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "there is no shard to ask")))
    }

    /// The time of a transaction on one server.
    async fn time(&self) -> Result<Encoded> {
        let statement = Statement::Owned("SELECT pg_catalog.now()".into(), Arc::from([]));
        let shards = self.core.shards().map(|(shard, _)| shard).collect();
        let mut rows = self.first_of(&statement, shards).await?;
        let row = rows.next().await.transpose()?;
        let bytes = row.as_ref().and_then(|row| row.bytes(0));
        Ok(Encoded {
            ty: Type::TIMESTAMPTZ,
            bytes: bytes.map(Bytes::copy_from_slice),
        })
    }
}

impl std::fmt::Debug for Sql<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the statement nor its parameters: they may be secrets.
        f.debug_struct("Sql")
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

/// What the shards run for a node to put together, with what is run before.
fn texts(combining: &Combining) -> Vec<(&Restrictions, &Text)> {
    let mut out = Vec::new();
    for first in &combining.firsts {
        match &first.steps {
            Steps::Merge(merging) => out.push((&merging.only, &merging.text)),
            Steps::Combine(inner) => out.extend(texts(inner)),
            Steps::Anywhere | Steps::OneShard(_) => {}
        }
    }
    out.extend(combining.feeds.iter().map(|feed| (&feed.only, &feed.text)));
    out
}

/// Another shard may answer what this one does not.
fn is_elsewhere(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Connection | ErrorKind::Overloaded
    )
}

/// Rows that come, and what was done for them.
struct Ran<'a> {
    rows: FanOutRows<'a>,
    /// Whether a row is some shard's own.
    is_own: bool,
    gathered: Vec<crate::fanout::Report>,
}

/// The parameters of a run.
#[derive(Clone)]
struct Args {
    /// The caller's, and behind them the answers of subqueries that were run first.
    own: Vec<Encoded>,
    time: Option<Encoded>,
}

impl Args {
    /// Those that a text takes, in its order.
    fn of(&self, text: &Text) -> Vec<Encoded> {
        text.params
            .iter()
            .filter_map(|number| match number.checked_sub(1) {
                Some(at) => self.own.get(at),
                None => self.time.as_ref(),
            })
            .cloned()
            .collect()
    }

    fn statement(&self, text: &Text) -> Statement<'static> {
        Statement::Owned(Arc::clone(&text.sql), self.of(text).into())
    }
}

/// A number of rows that is known only with the parameters.
fn rows_of(count: Option<&Count>, params: &[Encoded]) -> Option<u64> {
    match count? {
        Count::Number(number) => Some(*number),
        Count::Param(number) => u64::try_from(given(*number, params)?).ok(),
    }
}

fn is_negative(merging: &Merging, params: &[Encoded]) -> bool {
    let counts = [&merging.limit, &merging.offset];
    counts.into_iter().any(|count| match count {
        Some(Count::Param(number)) => given(*number, params).is_some_and(|rows| rows < 0),
        _ => false,
    })
}

fn given(number: usize, params: &[Encoded]) -> Option<i64> {
    let param = params.get(number.checked_sub(1)?)?;
    let bytes = param.bytes.as_deref()?;
    Some(match param.ty {
        Type::INT8 => i64::from_be_bytes(bytes.try_into().ok()?),
        Type::INT4 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
        Type::INT2 => i16::from_be_bytes(bytes.try_into().ok()?).into(),
        _ => return None,
    })
}
