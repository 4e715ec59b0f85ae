//! What a caller asks of a fan-out.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::answer::Answer;
use super::merge::Merge;
use super::reading::Reading;
use super::scatter::{FanOutRows, start};
use super::statement::Statement;
use crate::client::{Cluster, Core, FromRow, Token};
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{ShardId, ShardIndex};
use crate::routing::Key;
use crate::topology::ReadPreference;

/// Rows that are collected at most, unless said otherwise.
const MAX_ROWS: usize = 1_000_000;

impl Cluster {
    /// A query over all shards, or [some](FanOut::shards), whose rows become one answer by a
    /// [`Merge`]. Nothing is sent before [`query`](FanOut::query) or [`stream`](FanOut::stream).
    ///
    /// ```no_run
    /// # async fn example(cluster: pgshard::Cluster) -> pgshard::Result<()> {
    /// use pgshard::fanout::{Merge, SortKey};
    ///
    /// let latest = cluster
    ///     .fan_out(
    ///         "SELECT transaction_id, created_at FROM transactions \
    ///          ORDER BY created_at DESC, transaction_id LIMIT 100",
    ///         &[],
    ///         Merge::ordered([SortKey::desc("created_at"), SortKey::asc("transaction_id")]).limit(100),
    ///     )
    ///     .prefer_replica()
    ///     .query::<(uuid::Uuid, std::time::SystemTime)>()
    ///     .await?;
    /// for shard in &latest.report.shards {
    ///     println!("{}: {} rows in {:?}", shard.shard, shard.rows, shard.time);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn fan_out<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [&'a (dyn ToSql + Sync)],
        merge: impl Into<Merge>,
    ) -> FanOut<'a> {
        let core = self.core();
        FanOut {
            core,
            sql,
            params,
            merge: merge.into(),
            shards: None,
            fault: None,
            reading: Reading::new(core),
            partial: false,
            max_rows: MAX_ROWS,
        }
    }
}

/// A query over many shards; made by [`Cluster::fan_out`].
#[derive(Debug)]
#[must_use = "nothing is sent before `query` or `stream`"]
pub struct FanOut<'a> {
    core: &'a Core,
    sql: &'a str,
    params: &'a [&'a (dyn ToSql + Sync)],
    merge: Merge,
    shards: Option<BTreeSet<ShardIndex>>,
    /// The first mistake in naming shards or keys.
    fault: Option<Error>,
    reading: Reading,
    partial: bool,
    max_rows: usize,
}

impl<'a> FanOut<'a> {
    /// Asks these shards only, and those that are named by other calls.
    pub fn shards(mut self, shards: impl IntoIterator<Item = ShardId>) -> Self {
        let core = self.core;
        self.narrow(shards.into_iter().map(|shard| core.index(shard)));
        self
    }

    /// Asks only the shards of these keys, and those that are named by other calls. The statement itself has to name the keys as well
    /// (`WHERE customer_id = ANY($1)`).
    pub fn keys<'k, K: Key + 'k>(mut self, keys: impl IntoIterator<Item = &'k K>) -> Self {
        let map = &self.core.config.map;
        self.narrow(keys.into_iter().map(|key| Ok(map.locate(key)?.shard)));
        self
    }

    fn narrow(&mut self, shards: impl Iterator<Item = Result<ShardIndex>>) {
        match shards.collect::<Result<BTreeSet<_>>>() {
            // A later call must not take shards away from an earlier one: rows would be missing.
            Ok(shards) => self.shards.get_or_insert_default().extend(shards),
            Err(error) => self.fault = self.fault.take().or(Some(error)),
        }
    }

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

    /// Sets how long each shard may be waited for, from the start of its work to its last row;
    /// `timeouts.statement` otherwise. What other shards and the reader of a stream take meanwhile
    /// does not count, as far as rows have arrived by then.
    pub fn within(mut self, time: Duration) -> Self {
        self.reading.within = time;
        self
    }

    /// Sets how many shards work at once, 16 otherwise. In an ordered merge it bounds the shards
    /// that work for their first row: every shard has to have a row before any can be given out.
    pub fn concurrency(mut self, shards: usize) -> Self {
        self.reading.concurrency = shards.max(1);
        self
    }

    /// Answers without the shards that fail, instead of failing with the first. The
    /// [report](super::Report) says which are missing and why.
    ///
    /// A shard that fails midway takes no part in an aggregate at all; of a concatenation or an
    /// ordered merge it may have given some rows already, and the report says how many.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Sets how many rows [`query`](Self::query) collects at most, a million otherwise.
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// Starts the shards' work and hands out the merged rows as they come, in bounded memory.
    /// Dropping the stream cancels what is still running.
    ///
    /// # Errors
    ///
    /// [`Refused`](ErrorKind::Refused) if the statement cannot be right under the merge;
    /// [`Config`](ErrorKind::Config) for shards that do not exist, or none at all;
    /// [`Unroutable`](ErrorKind::Unroutable) for a key.
    pub fn stream(self) -> Result<FanOutRows<'a>> {
        self.merge.lint(self.sql)?;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let shards: Vec<ShardIndex> = match self.shards {
            Some(shards) => shards.into_iter().collect(),
            None => self.core.shards().map(|(index, _)| index).collect(),
        };
        if shards.is_empty() {
            return Err(
                Error::new(ErrorKind::Config, "there is no shard to ask: name one")
                    .with_label(Label::NOT_SENT),
            );
        }
        let statement = Statement::Borrowed(self.sql, self.params);
        Ok(start(
            self.core,
            &shards,
            &statement,
            &self.reading,
            self.merge,
            self.partial,
        ))
    }

    /// Collects the merged rows.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream); the first shard's error, unless the answer may be
    /// [partial](Self::partial) and some shard gave its own to the end; [`Refused`](ErrorKind::Refused) if the
    /// merge does not fit the columns, the shards' columns differ, or there are more than
    /// [`max_rows`](Self::max_rows) rows; [`Decode`](ErrorKind::Decode) for a row that does not fit
    /// `T`.
    pub async fn query<T: FromRow>(self) -> Result<Answer<T>> {
        let max_rows = self.max_rows;
        let mut stream = self.stream()?;
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

    /// The only row of the merged answer, as an aggregate without groups gives.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); if there is not exactly one row; if a shard failed, even where
    /// the answer may be partial: there is no room for its report.
    pub async fn query_one<T: FromRow>(mut self) -> Result<T> {
        self.partial = false;
        let Answer { mut rows, .. } = self.max_rows(2).query().await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            (last, _) => Err(Error::new(
                ErrorKind::Decode,
                format!(
                    "exactly one row was expected, the merged answer has {}",
                    if last.is_some() { "more" } else { "none" }
                ),
            )
            .in_phase(Phase::Merge)),
        }
    }
}
