//! Rows as Rust values.

use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use crate::error::{Error, ErrorKind, Phase, Result};

/// A value that a row can be read as.
///
/// Tuples of up to eight columns read by position; structs are declared with [`row!`](crate::row),
/// which reads by name.
///
/// ```
/// use pgshard::{FromRow, Result};
/// use tokio_postgres::Row;
///
/// struct Name(String);
///
/// impl FromRow for Name {
///     fn from_row(row: &Row) -> Result<Self> {
///         pgshard::column(row, "full_name").map(Name)
///     }
/// }
/// ```
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if a column is missing, NULL for a type that is not an `Option`, or of
    /// another type.
    fn from_row(row: &Row) -> Result<Self>;
}

/// Reads one column, by name.
///
/// # Errors
///
/// [`ErrorKind::Decode`] if the column is missing, NULL for a type that is not an `Option`, or of
/// another type.
pub fn column<T: FromSqlOwned>(row: &Row, name: &str) -> Result<T> {
    row.try_get(name)
        .map_err(|error| unreadable(row, name, error))
}

fn position<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T> {
    row.try_get(index)
        .map_err(|error| unreadable(row, &index.to_string(), error))
}

#[cold]
fn unreadable(row: &Row, column: &str, error: tokio_postgres::Error) -> Error {
    let found: Vec<_> = row
        .columns()
        .iter()
        .map(|c| format!("{} {}", c.name(), c.type_()))
        .collect();
    let cause = std::error::Error::source(&error)
        .map(|c| format!(": {c}"))
        .unwrap_or_default();
    Error::new(
        ErrorKind::Decode,
        format!(
            "column {column} cannot be read{cause}; the row has ({})",
            found.join(", ")
        ),
    )
    .in_phase(Phase::Execute)
    .with_source(error)
}

macro_rules! tuple {
    ($($T:ident $index:literal),+) => {
        impl<$($T: FromSqlOwned),+> FromRow for ($($T,)+) {
            fn from_row(row: &Row) -> Result<Self> {
                Ok(($(position::<$T>(row, $index)?,)+))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// Declares a struct whose fields are read from the columns of the same names.
///
/// ```
/// pgshard::row! {
///     /// What a statement shows.
///     #[derive(Debug)]
///     pub struct Account {
///         /// The account's number.
///         pub account_id: uuid::Uuid,
///         /// Absent for an account that was never used.
///         pub last_used: Option<std::time::SystemTime>,
///     }
/// }
/// fn is_row<T: pgshard::FromRow>() {}
/// is_row::<Account>();
/// ```
#[macro_export]
macro_rules! row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $Type:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $Name { $( $(#[$field_meta])* $field_vis $field: $Type ),* }

        impl $crate::FromRow for $Name {
            fn from_row(row: &$crate::raw::Row) -> $crate::Result<Self> {
                Ok(Self { $( $field: $crate::column(row, stringify!($field))? ),* })
            }
        }
    };
}
