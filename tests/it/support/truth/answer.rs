//! What was answered: columns and the bytes of the rows.

use std::fmt;

use pgshard::raw::{FromSql, Type};

use super::value;

/// A value's bytes, whatever its type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A row.
pub(crate) type Cells = Vec<Option<Raw>>;

/// A column's name and type. Types that users define have other numbers on each server: their
/// names count.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: String,
}

impl Column {
    pub(crate) fn new(name: &str, ty: &Type) -> Self {
        let ty = if ty.oid() < 16384 {
            format!("{}={}", ty.name(), ty.oid())
        } else {
            format!("{}.{}", ty.schema(), ty.name())
        };
        Column {
            name: name.to_owned(),
            ty,
        }
    }
}

/// Columns and rows.
#[derive(Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Cells>,
}

/// How a question ended.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// With rows, and by which tier.
    Answer(Answer, String),
    /// By a typed refusal.
    Refused(String),
    /// By an error, PostgreSQL's own if it has a code.
    Error(Option<String>, String),
}

impl Outcome {
    pub(crate) fn of_driver(error: &tokio_postgres::Error) -> Self {
        let code = error.code().map(|code| code.code().to_owned());
        let text = error
            .as_db_error()
            .map_or_else(|| error.to_string(), |error| error.message().to_owned());
        Outcome::Error(code, text)
    }
}

/// The rows that are shown; a wrong answer is seen in the first few.
const SHOWN: usize = 12;

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.ty))
            .collect();
        writeln!(f, "    [{}] {} rows", heads.join(", "), self.rows.len())?;
        for row in self.rows.iter().take(SHOWN) {
            let cells: Vec<String> = row
                .iter()
                .zip(&self.columns)
                .map(|(cell, column)| value::show(cell.as_ref(), &column.ty))
                .collect();
            writeln!(f, "    ({})", cells.join(", "))?;
        }
        if self.rows.len() > SHOWN {
            writeln!(f, "    …")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Answer(answer, tier) => write!(f, "{tier}\n{answer:?}"),
            Outcome::Refused(why) => writeln!(f, "refused: {why}"),
            Outcome::Error(code, text) => {
                writeln!(f, "error {}: {text}", code.as_deref().unwrap_or("-"))
            }
        }
    }
}
