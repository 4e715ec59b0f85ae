//! What a fan-out answers.

use std::sync::Arc;

use super::merge::{Cells, Column, OwnedRow};
use super::report::Report;
use crate::client::{FromRow, Row};
use crate::error::Result;
use crate::id::ShardId;

/// A collected answer.
#[derive(Debug)]
pub struct Answer<T> {
    /// The merged rows.
    pub rows: Vec<T>,
    /// What happened on each shard. If the answer may be partial, it says what is missing.
    pub report: Report,
}

/// A row of a merged answer: a shard's own, or one combined from several.
#[derive(Clone, Debug)]
pub struct FanOutRow(pub(super) Source);

#[derive(Clone, Debug)]
pub(super) enum Source {
    Shard(ShardId, tokio_postgres::Row),
    /// Its first columns, under these names.
    #[cfg_attr(not(feature = "sql"), allow(dead_code))]
    First(Option<ShardId>, Arc<[Column]>, tokio_postgres::Row),
    Combined(Arc<[Column]>, OwnedRow),
}

impl FanOutRow {
    /// The row, to be read column by column.
    pub fn row(&self) -> Row<'_> {
        match &self.0 {
            Source::Shard(_, row) => row.into(),
            Source::First(_, columns, row) => Row::first(columns, row),
            Source::Combined(columns, row) => Row::combined(columns, row),
        }
    }

    /// The shard that sent the row; `None` for one that is combined from several.
    pub fn shard(&self) -> Option<ShardId> {
        match &self.0 {
            Source::Shard(shard, _) => Some(*shard),
            Source::First(shard, ..) => *shard,
            Source::Combined(..) => None,
        }
    }

    /// The same row, of which only the first columns are shown, under these names; `one` says that it is
    /// a row of that shard.
    #[cfg(feature = "sql")]
    pub(crate) fn showing(self, columns: &Arc<[Column]>, one: bool) -> FanOutRow {
        match self.0 {
            Source::Shard(shard, row) => FanOutRow(Source::First(
                one.then_some(shard),
                Arc::clone(columns),
                row,
            )),
            other => FanOutRow(other),
        }
    }

    /// A column's bytes in PostgreSQL's binary format.
    #[cfg(feature = "sql")]
    pub(crate) fn bytes(&self, column: usize) -> Option<&[u8]> {
        match &self.0 {
            Source::Shard(_, row) | Source::First(_, _, row) => row.cell(column),
            Source::Combined(_, row) => row.cell(column),
        }
    }

    /// The row as a value.
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::ErrorKind::Decode) if it does not fit `T`.
    pub fn read<T: FromRow>(&self) -> Result<T> {
        T::from_row(&self.row())
    }
}

/// The bytes of a value of any type.
struct Raw<'a>(&'a [u8]);

impl<'a> postgres_types::FromSql<'a> for Raw<'a> {
    fn from_sql(
        _: &postgres_types::Type,
        bytes: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(bytes))
    }

    fn accepts(_: &postgres_types::Type) -> bool {
        true
    }
}

impl Cells for tokio_postgres::Row {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        // Fails only where there is no such column.
        let value: Option<Raw<'_>> = self.try_get(column).ok()?;
        value.map(|Raw(bytes)| bytes)
    }
}
