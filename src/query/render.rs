//! Queries as text for the servers.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Statement, Value, visit_expressions_mut};
use tokio_postgres::types::Type;

use super::combine::{cell_name, name};
use super::moment::{self, cast};
use super::params::type_name;
use super::tree;

/// A text with the parameters that it takes, in order: numbers from 1, and 0 for the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) sql: String,
    pub(super) params: Vec<usize>,
}

impl Text {
    /// The types of its parameters.
    pub(super) fn types(&self, types: &[Type]) -> Vec<Type> {
        self.params.iter().map(|n| type_of(types, *n)).collect()
    }
}

fn type_of(types: &[Type], number: usize) -> Type {
    match number.checked_sub(1) {
        Some(at) => types.get(at).cloned().unwrap_or(Type::UNKNOWN),
        None => Type::TIMESTAMPTZ,
    }
}

/// Writes a query, with its parameters numbered anew and of the types that the whole statement gives
/// them: a part of it might suggest others.
pub(super) fn text(query: &Query, types: &[Type]) -> Text {
    let mut query = query.clone();
    let mut params: Vec<usize> = Vec::new();
    tree::change_query(&mut query, &mut |expr| renumber(expr, types, &mut params));
    Text {
        sql: query.to_string(),
        params,
    }
}

/// The same of any statement.
pub(super) fn statement(mut statement: Statement, types: &[Type]) -> Text {
    let mut params: Vec<usize> = Vec::new();
    let _ = visit_expressions_mut(&mut statement, |expr| {
        renumber(expr, types, &mut params);
        ControlFlow::<()>::Continue(())
    });
    Text {
        sql: statement.to_string(),
        params,
    }
}

fn renumber(expr: &mut Expr, types: &[Type], params: &mut Vec<usize>) {
    {
        let Expr::Value(value) = expr else { return };
        let Value::Placeholder(written) = &value.value else {
            return;
        };
        let number = match written.as_str() {
            moment::PARAMETER => 0,
            other => match super::keys::number(other) {
                Some(number) => number,
                None => return,
            },
        };
        let at = match params.iter().position(|known| *known == number) {
            Some(at) => at,
            None => {
                params.push(number);
                params.len() - 1
            }
        };
        let placeholder = Value::Placeholder(format!("${}", at + 1)).with_empty_span();
        let ty = type_name(&type_of(types, number));
        *expr = Expr::Nested(Box::new(cast(Expr::Value(placeholder), &ty)));
    }
}

/// How a column of a fragment travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    /// The type's name in SQL.
    pub(super) ty: String,
    /// The array that carries it: of its own type, or of text.
    pub(super) array: Type,
    /// Cast back from text.
    pub(super) cast: bool,
    /// The domain that it is of.
    pub(super) domain: Option<String>,
    pub(super) collation: Option<String>,
}

/// A fragment's text, with the columns that do not travel in binary written as text.
pub(super) fn carried(text: &Text, columns: &[Carried]) -> Text {
    if !columns.iter().any(|column| column.cast) {
        return text.clone();
    }
    let names: Vec<String> = (0..columns.len()).map(cell_name).collect();
    let items: Vec<String> = columns
        .iter()
        .zip(&names)
        .map(|(column, name)| match column.cast {
            true => format!("q.{name}::pg_catalog.text"),
            false => format!("q.{name}"),
        })
        .collect();
    Text {
        sql: format!(
            "SELECT {} FROM (\n{}\n) q ({})",
            items.join(", "),
            text.sql,
            names.join(", ")
        ),
        params: text.params.clone(),
    }
}

/// Puts the rows of fragments into the text of the query that is over them: as arrays, the parameters
/// behind its own.
pub(super) fn fed(text: &Text, fragments: &[Vec<Carried>]) -> String {
    let mut sql = text.sql.clone();
    let mut next = text.params.len() + 1;
    for (at, columns) in fragments.iter().enumerate() {
        let mut arrays = String::new();
        let mut names = String::new();
        let mut items = String::new();
        for (n, column) in columns.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let cell = cell_name(n);
            let _ = write!(
                arrays,
                "{comma}pg_catalog.unnest(${next}::{})",
                type_name(&column.array)
            );
            let _ = write!(names, "{comma}{cell}");
            let _ = write!(items, "{comma}u.{cell}");
            if column.cast {
                let _ = write!(items, "::{}", column.ty);
            }
            if let Some(domain) = &column.domain {
                let _ = write!(items, "::{domain}");
            }
            if let Some(collation) = &column.collation {
                let _ = write!(items, " COLLATE {collation}");
            }
            let _ = write!(items, " AS {cell}");
            next += 1;
        }
        let name = name(at);
        let rows =
            format!("FROM (SELECT {items} FROM ROWS FROM ({arrays}) AS u ({names})) AS {name}");
        sql = replace_from(&sql, &name, &rows);
    }
    sql
}

/// A fragment stands behind FROM, or behind a comma of it; its columns are named with it elsewhere. What
/// is quoted is the caller's own.
fn replace_from(sql: &str, name: &str, rows: &str) -> String {
    let mut out = String::with_capacity(sql.len() + rows.len());
    let mut rest = sql;
    let item = rows.strip_prefix("FROM ").unwrap_or(rows);
    while let Some(next) = rest.chars().next() {
        let length = match quoted(rest, out.chars().next_back()) {
            Some(length) => length,
            None => match rest.strip_prefix(name) {
                Some(behind) => {
                    let goes_on = behind
                        .starts_with(|c: char| c == '.' || c.is_ascii_alphanumeric() || c == '_');
                    out.push_str(if goes_on { name } else { item });
                    rest = behind;
                    continue;
                }
                None => next.len_utf8(),
            },
        };
        let (copied, behind) = rest.split_at(length);
        out.push_str(copied);
        rest = behind;
    }
    out
}

/// The length of what is quoted, if a text begins with a quote.
fn quoted(text: &str, before: Option<char>) -> Option<usize> {
    let quote = text.chars().next()?;
    if quote == '$' {
        let tag = text.get(1..)?.find('$')?;
        let open = text.get(..tag + 2)?;
        let named = open.trim_matches('$');
        // A parameter is none.
        if named.starts_with(|c: char| c.is_ascii_digit())
            || named.contains(|c: char| !c.is_alphanumeric() && c != '_')
        {
            return None;
        }
        let end = text.get(open.len()..)?.find(open)?;
        return Some(end + 2 * open.len());
    }
    if !matches!(quote, '\'' | '"') {
        return None;
    }
    let escapes = quote == '\'' && matches!(before, Some('E' | 'e'));
    let mut escaped = false;
    // A doubled quote ends one and begins the next.
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if escapes => escaped = true,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_left_alone() {
        let sql = "SELECT 'f0', E'\\'f0', $x$ f0 $x$, $1 AS \"f0\", 'it''s f0', f0.c1 FROM f0, f01";
        assert_eq!(
            replace_from(sql, "f0", "FROM (x) AS f0"),
            "SELECT 'f0', E'\\'f0', $x$ f0 $x$, $1 AS \"f0\", 'it''s f0', f0.c1 FROM (x) AS f0, f01"
        );
    }
}
