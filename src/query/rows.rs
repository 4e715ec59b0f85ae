//! The rows of an answer as they come.

use std::sync::Arc;

use futures::stream::{self, Stream};
use tokio_postgres::types::Type;

use crate::error::Result;
use crate::fanout::merge::Column;
use crate::fanout::{FanOutRow, FanOutRows, Report};

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
