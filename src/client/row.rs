//! Rows as Rust values.

use std::error::Error as StdError;

use tokio_postgres::types::{FromSqlOwned, Type, WasNull, WrongType};

use crate::error::{Error, ErrorKind, Phase, Result};
use crate::fanout::merge::{Column, OwnedRow};

/// A row of an answer: the driver's own, or one that a fan-out combined from several shards'.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Driver(&'a tokio_postgres::Row),
    /// The first columns of the driver's row, under these names.
    First(&'a [Column], &'a tokio_postgres::Row),
    Combined(&'a [Column], &'a OwnedRow),
}

impl<'a> From<&'a tokio_postgres::Row> for Row<'a> {
    fn from(row: &'a tokio_postgres::Row) -> Self {
        Row(Source::Driver(row))
    }
}

impl<'a> Row<'a> {
    pub(crate) fn combined(columns: &'a [Column], row: &'a OwnedRow) -> Self {
        Row(Source::Combined(columns, row))
    }

    /// The first columns of a row, under these names.
    #[cfg_attr(not(feature = "sql"), allow(dead_code))]
    pub(crate) fn first(columns: &'a [Column], row: &'a tokio_postgres::Row) -> Self {
        Row(Source::First(columns, row))
    }

    /// Reads a column, by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the column is missing, NULL for a type that is not an `Option`, or
    /// of another type.
    pub fn get<T: FromSqlOwned>(&self, name: &str) -> Result<T> {
        match self.0 {
            Source::Driver(row) => row
                .try_get(name)
                .map_err(|error| self.unreadable(name, error.into())),
            Source::First(columns, row) => {
                match columns.iter().position(|column| column.name == name) {
                    Some(at) => row
                        .try_get(at)
                        .map_err(|error| self.unreadable(name, error.into())),
                    None => Err(self.unreadable(name, "there is no such column".into())),
                }
            }
            Source::Combined(columns, row) => {
                let at = columns.iter().position(|column| column.name == name);
                read(columns, row, at).map_err(|error| self.unreadable(name, error))
            }
        }
    }

    /// Reads a column, by position from 0.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn at<T: FromSqlOwned>(&self, index: usize) -> Result<T> {
        match self.0 {
            Source::Driver(row) => row
                .try_get(index)
                .map_err(|error| self.unreadable(&index.to_string(), error.into())),
            Source::First(columns, row) => match index < columns.len() {
                true => row
                    .try_get(index)
                    .map_err(|error| self.unreadable(&index.to_string(), error.into())),
                false => Err(self.unreadable(&index.to_string(), "there is no such column".into())),
            },
            Source::Combined(columns, row) => read(columns, row, Some(index))
                .map_err(|error| self.unreadable(&index.to_string(), error)),
        }
    }

    /// The names and types of the columns.
    pub fn columns(&self) -> Vec<(&'a str, &'a Type)> {
        match self.0 {
            Source::Driver(row) => row
                .columns()
                .iter()
                .map(|c| (c.name(), c.type_()))
                .collect(),
            Source::First(columns, _) | Source::Combined(columns, _) => {
                columns.iter().map(|c| (c.name.as_str(), &c.ty)).collect()
            }
        }
    }

    /// The driver's row, for code that is generated for it; `None` for a combined row.
    pub fn driver(&self) -> Option<&'a tokio_postgres::Row> {
        match self.0 {
            Source::Driver(row) => Some(row),
            Source::First(..) | Source::Combined(..) => None,
        }
    }

    #[cold]
    fn unreadable(&self, column: &str, error: Box<dyn StdError + Send + Sync>) -> Error {
        let columns = self.columns();
        let found: Vec<_> = columns
            .iter()
            .map(|(name, ty)| format!("{name} {ty}"))
            .collect();
        // The driver's error says which column; its source says why.
        let cause = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let cause = match error.source().unwrap_or(&*error) {
            null if null.is::<WasNull>() => {
                "it is NULL: read it as an Option, or use coalesce()".to_owned()
            }
            _ => cause,
        };
        Error::new(
            ErrorKind::Decode,
            format!(
                "column {column} cannot be read: {cause}; the row has ({})",
                found.join(", ")
            ),
        )
        .in_phase(Phase::Execute)
        .with_source(error)
    }
}

fn read<T: FromSqlOwned>(
    columns: &[Column],
    row: &OwnedRow,
    at: Option<usize>,
) -> Result<T, Box<dyn StdError + Send + Sync>> {
    let column = at.and_then(|at| Some((columns.get(at)?, row.0.get(at)?)));
    let (Column { ty, .. }, cell) = column.ok_or("there is no such column")?;
    if !T::accepts(ty) {
        return Err(Box::new(WrongType::new::<T>(ty.clone())));
    }
    T::from_sql_nullable(ty, cell.as_deref())
}

/// A value that a row can be read as.
///
/// Tuples of up to eight columns read by position; structs are declared with [`row!`](crate::row),
/// which reads by name.
///
/// ```
/// use pgshard::{FromRow, Result, Row};
///
/// struct Name(String);
///
/// impl FromRow for Name {
///     fn from_row(row: &Row<'_>) -> Result<Self> {
///         row.get("full_name").map(Name)
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
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

macro_rules! tuple {
    ($($T:ident $index:literal),+) => {
        impl<$($T: FromSqlOwned),+> FromRow for ($($T,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self> {
                Ok(($(row.at::<$T>($index)?,)+))
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
            fn from_row(row: &$crate::Row<'_>) -> $crate::Result<Self> {
                Ok(Self { $( $field: row.get(stringify!($field))? ),* })
            }
        }
    };
}
