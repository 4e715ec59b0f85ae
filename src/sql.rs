//! Quoting of SQL identifiers and literals.

use std::fmt;

mod words;

pub(crate) use words::Words;

/// An identifier in double quotes, always quoted.
///
/// ```
/// assert_eq!(pgshard::sql::ident("a\"b").to_string(), r#""a""b""#);
/// ```
pub fn ident(name: &str) -> Ident<'_> {
    Ident(name)
}

/// A string literal, safe whatever `standard_conforming_strings` says.
///
/// ```
/// assert_eq!(pgshard::sql::literal("it's").to_string(), "'it''s'");
/// assert_eq!(pgshard::sql::literal("a\\b").to_string(), r"E'a\\b'");
/// ```
pub fn literal(text: &str) -> Literal<'_> {
    Literal(text)
}

/// An identifier that displays quoted; made by [`ident`].
#[derive(Clone, Copy, Debug)]
pub struct Ident<'a>(&'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A literal that displays quoted; made by [`literal`].
#[derive(Clone, Copy, Debug)]
pub struct Literal<'a>(&'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.0.replace('\'', "''");
        if quoted.contains('\\') {
            write!(f, "E'{}'", quoted.replace('\\', "\\\\"))
        } else {
            write!(f, "'{quoted}'")
        }
    }
}
