//! Exactly one row, or one at most.

use tokio_postgres::Row;

use super::row::FromRow;
use crate::error::{Error, ErrorKind, Phase, Result};

pub(super) fn one<T: FromRow>(rows: &[Row]) -> Result<T> {
    match rows {
        [row] => T::from_row(&row.into()),
        rows => Err(count("exactly one row", rows.len())),
    }
}

pub(super) fn optional<T: FromRow>(rows: &[Row]) -> Result<Option<T>> {
    match rows {
        [] => Ok(None),
        [row] => T::from_row(&row.into()).map(Some),
        rows => Err(count("one row at most", rows.len())),
    }
}

#[cold]
fn count(wanted: &str, found: usize) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!("{wanted} was expected, the query answered {found}"),
    )
    .in_phase(Phase::Execute)
}
