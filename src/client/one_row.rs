//! Exactly one row, or one at most.

use super::row::FromRow;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::pool::FirstRow;

pub(super) fn one<T: FromRow>(answer: &FirstRow) -> Result<T> {
    match answer {
        FirstRow {
            row: Some(row),
            count: 1,
        } => T::from_row(&row.into()),
        FirstRow { count, .. } => Err(miscounted("exactly one row", *count)),
    }
}

pub(super) fn optional<T: FromRow>(answer: &FirstRow) -> Result<Option<T>> {
    match answer {
        FirstRow { row: None, .. } => Ok(None),
        answer if answer.count > 1 => Err(miscounted("one row at most", answer.count)),
        answer => one(answer).map(Some),
    }
}

#[cold]
fn miscounted(wanted: &str, found: usize) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!("{wanted} was expected, the query answered {found}"),
    )
    .in_phase(Phase::Execute)
}
