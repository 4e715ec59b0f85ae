//! Whether all shards have the same tables: no I/O.

use std::fmt::Write as _;

use crate::config::Config;
use crate::error::{Error, Result};

use super::catalog::{Column, Database, Shard, Table};

/// The tables that all shards have, with the first one's order of columns.
///
/// The order may differ, since everything goes by name; nothing else may.
pub(super) fn agree(config: &Config, shards: Vec<Shard>) -> Result<(Vec<Table>, Database)> {
    let mut shards = shards.into_iter();
    let Some(first) = shards.next() else {
        return Err(Error::config("the configuration has no shards"));
    };
    let mut differences = String::new();
    for other in shards {
        if other.database.extensions != first.database.extensions {
            let list = |database: &Database| -> Vec<String> {
                let extensions = database.extensions.iter();
                extensions
                    .map(|(name, version)| format!("{name} {version}"))
                    .collect()
            };
            let _ = write!(
                differences,
                "\n  extensions: {} on {}, {} on {}",
                list(&first.database).join(", "),
                first.id,
                list(&other.database).join(", "),
                other.id
            );
        }
        if other.database.collation != first.database.collation {
            let _ = write!(
                differences,
                "\n  default collation: {} on {}, {} on {}",
                first.database.collation, first.id, other.database.collation, other.id
            );
        }
        for (a, b) in first.tables.iter().zip(&other.tables) {
            for line in between(&a.columns, &b.columns) {
                let _ = write!(
                    differences,
                    "\n  {}.{line} (first: {}, then: {})",
                    a.name, first.id, other.id
                );
            }
        }
    }
    if !differences.is_empty() {
        return Err(Error::refused(format!(
            "the shards' tables differ, so no view can show them as one; make them alike and run \
             this again:{differences}"
        )));
    }
    if let Some(table) = first.tables.iter().find(|table| table.columns.is_empty()) {
        return Err(Error::refused(format!(
            "{} has no columns: take it out of the configuration",
            table.name
        )));
    }
    for table in &config.tables {
        let found = first.tables.iter().find(|found| found.name == table.name);
        if !found.is_some_and(|found| found.columns.iter().any(|column| column.name == table.key)) {
            return Err(Error::refused(format!(
                "{} has no column {}, which the configuration names as its key",
                table.name,
                crate::sql::ident(&table.key)
            )));
        }
    }
    Ok((first.tables, first.database))
}

/// The differences between two lists of columns, a line each, in the order of the columns.
pub(super) fn between(old: &[Column], new: &[Column]) -> Vec<String> {
    let find = |list: &[Column], name: &str| list.iter().find(|c| c.name == name).cloned();
    let mut lines = Vec::new();
    for column in old {
        match find(new, &column.name) {
            None => lines.push(format!(
                "{}: {} / missing",
                quoted(column),
                definition(column)
            )),
            Some(other) if other != *column => lines.push(format!(
                "{}: {} / {}",
                quoted(column),
                definition(column),
                definition(&other)
            )),
            Some(_) => {}
        }
    }
    for column in new {
        if find(old, &column.name).is_none() {
            lines.push(format!(
                "{}: missing / {}",
                quoted(column),
                definition(column)
            ));
        }
    }
    lines
}

fn quoted(column: &Column) -> String {
    crate::sql::ident(&column.name).to_string()
}

/// A column's type and the rest, as in CREATE FOREIGN TABLE.
pub(super) fn definition(column: &Column) -> String {
    let mut text = column.declared.clone();
    if let Some(collation) = &column.collation {
        let _ = write!(text, " COLLATE {collation}");
    }
    if column.not_null {
        text += " NOT NULL";
    }
    if let Some(made_of) = &column.made_of {
        let _ = write!(
            text,
            " /* {} */",
            made_of.replace("*/", "* /").replace("/*", "/ *")
        );
    }
    text
}
