//! Rows as the merge sees them.

use postgres_types::Type;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The name, as the server gives it.
    pub(crate) name: String,
    /// The type.
    pub(crate) ty: Type,
}

/// A row of values in PostgreSQL's binary format.
pub(crate) trait Cells {
    /// The value; `None` for NULL, and where there is no such column.
    fn cell(&self, column: usize) -> Option<&[u8]>;
}

/// A row of its own, not borrowed from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRow(pub(crate) Vec<Option<Vec<u8>>>);

impl Cells for OwnedRow {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref()
    }
}
