//! The rows of an answer as they come.

use std::fmt;
use std::sync::Arc;

use futures::stream::{self, Stream};
use tokio_postgres::types::Type;

use crate::error::{Error, Label, Phase, Result};
use crate::fanout::merge::Column;
use crate::fanout::{FanOutRow, FanOutRows, Report};

/// The tables are not those that the statement was planned with.
#[derive(Debug)]
pub(super) struct Changed;

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tables were changed")
    }
}

impl std::error::Error for Changed {}

pub(super) fn changed() -> Error {
    Error::refused(
        "the columns are not those that the statement was planned with: the tables were changed \
         meanwhile; run it again",
    )
    .with_label(Label::RETRYABLE)
    .in_phase(Phase::Execute)
    .with_source(Changed)
}

/// The rows of a statement's answer, as they come.
///
/// Dropping it cancels what still runs on the servers.
#[derive(Debug)]
pub struct SqlRows<'a> {
    columns: Arc<[Column]>,
    rows: FanOutRows<'a>,
    /// Whether a row is some shard's own.
    own: bool,
    gathered: Option<Report>,
}

impl<'a> SqlRows<'a> {
    pub(super) fn new(columns: Arc<[Column]>, rows: FanOutRows<'a>, own: bool) -> Self {
        SqlRows {
            columns,
            rows,
            own,
            gathered: None,
        }
    }

    /// Waits until it is known that the shards take the statement.
    pub(super) async fn ready(mut self) -> Result<Self> {
        self.rows.open().await?;
        Ok(self)
    }

    /// Refuses columns of other types than were planned with, and of other names if those are shown: a
    /// table was changed since.
    pub(super) fn checked(self) -> Result<Self> {
        let found = self.rows.columns().unwrap_or_default();
        let mut pairs = self.columns.iter().zip(&found);
        let same = pairs.all(|(column, (_, ty))| is_same(&column.ty, ty));
        match same && found.len() >= self.columns.len() {
            true => Ok(self),
            false => Err(changed()),
        }
    }

    /// The same of a statement that runs as it is.
    pub(super) fn whole_checked(self) -> Result<Self> {
        let found = self.rows.columns().unwrap_or_default();
        let mut pairs = self.columns.iter().zip(&found);
        let same =
            pairs.all(|(column, (name, ty))| column.name == *name && is_same(&column.ty, ty));
        match same && found.len() == self.columns.len() {
            true => Ok(self),
            false => Err(changed()),
        }
    }

    /// With what was gathered before.
    pub(super) fn after(mut self, reports: Vec<Report>) -> Self {
        self.gathered = Report::together(reports);
        self
    }

    /// The names and types of the columns. Known before the first row.
    pub fn columns(&self) -> Vec<(&str, &Type)> {
        self.columns
            .iter()
            .map(|c| (c.name.as_str(), &c.ty))
            .collect()
    }

    /// The next row; `None` at the end, and after an error. May be dropped while it waits, and called
    /// again.
    ///
    /// # Errors
    ///
    /// A shard's error: the answer is whole, or there is none.
    pub async fn next(&mut self) -> Option<Result<FanOutRow>> {
        let row = self.rows.next().await?;
        Some(row.map(|row| row.showing(&self.columns, self.own)))
    }

    /// The rows as a [`Stream`].
    pub fn into_stream(self) -> impl Stream<Item = Result<FanOutRow>> + Send + 'a {
        stream::unfold(self, |mut rows| async move {
            let row = rows.next().await?;
            Some((row, rows))
        })
    }

    /// What happened on each shard so far.
    pub fn report(&self) -> &Report {
        self.gathered.as_ref().unwrap_or_else(|| self.rows.report())
    }

    /// What happened on each shard. Cancels what still runs.
    pub fn into_report(self) -> Report {
        let rows = self.rows.into_report();
        self.gathered.unwrap_or(rows)
    }
}

/// Whether two servers mean the same type: one that is not built in has another number on each.
pub(super) fn is_same(a: &Type, b: &Type) -> bool {
    a.name() == b.name() && a.schema() == b.schema()
}
