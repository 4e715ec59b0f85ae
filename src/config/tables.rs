//! `[[table]]` and `[[reference]]`.

use std::collections::HashMap;
use std::str::FromStr;

use toml::Spanned;

use super::settings::{Origin, Settings};
use super::text::{Section, Text};
use super::{ShardedTable, TableName};
use crate::error::{Error, Result};

/// PostgreSQL cuts longer identifiers off.
const LONGEST_NAME: usize = 63;

pub(super) fn tables(
    settings: &Settings<'_>,
    root: &Section<'_>,
) -> (Vec<ShardedTable>, Vec<TableName>) {
    let text = settings.text;
    let mut lines = HashMap::new();
    let mut tables = Vec::new();
    for section in root.sections("table") {
        let name = name(text, &section, &mut lines);
        let key = section.require::<String>("key", "name the column that holds the key");
        if let Some(key) = &key {
            check_length(text, key);
        }
        let origin = Origin::File(text.place(&section.span()));
        section.finish();
        if let (Some(name), Some(key)) = (name, key) {
            let value = format!("{name} by {}", key.get_ref());
            settings.list(&["table"], value, origin);
            tables.push(ShardedTable {
                name,
                key: key.into_inner(),
            });
        }
    }
    let mut references = Vec::new();
    for section in root.sections("reference") {
        if let Some(name) = name(text, &section, &mut lines) {
            let origin = Origin::File(text.place(&section.span()));
            settings.list(&["reference"], name.to_string(), origin);
            references.push(name);
        }
        section.forbid(
            "key",
            "a reference table has no key",
            "it is the same on every shard; write [[table]] if it is spread over them",
        );
        section.finish();
    }
    (tables, references)
}

fn name(
    text: &Text<'_>,
    section: &Section<'_>,
    lines: &mut HashMap<TableName, usize>,
) -> Option<TableName> {
    let written = section.require::<String>("name", "name the table, such as \"customers\"")?;
    let Some(name) = parse(written.get_ref()) else {
        text.error(
            written.span(),
            format!("{:?} is not the name of a table", written.get_ref()),
            "write \"table\" or \"schema.table\", exactly as the catalogue has them (usually \
             lower case); put double quotes around a part that holds a dot",
        );
        return None;
    };
    for part in [&name.schema, &name.name] {
        if part.len() > LONGEST_NAME {
            too_long(text, &written, part);
        }
    }
    if let Some(first) = lines.insert(name.clone(), text.line(&written.span())) {
        text.error(
            written.span(),
            format!("the table {} is on line {first} already", written.get_ref()),
            "name each table once, either as [[table]] or as [[reference]]",
        );
    }
    Some(name)
}

fn check_length(text: &Text<'_>, name: &Spanned<String>) {
    if name.get_ref().len() > LONGEST_NAME {
        too_long(text, name, name.get_ref());
    }
}

fn too_long(text: &Text<'_>, at: &Spanned<String>, name: &str) {
    text.error(
        at.span(),
        format!("{name:?} is too long for a name in PostgreSQL"),
        format!("names have at most {LONGEST_NAME} bytes"),
    );
}

impl FromStr for TableName {
    type Err = Error;

    /// `table` (of `public`), `schema.table`, and both with parts in double quotes, as in the topology file.
    fn from_str(text: &str) -> Result<TableName> {
        parse(text).ok_or_else(|| {
            Error::config(format!(
                "{text:?} is not the name of a table: write \"table\" or \"schema.table\", as the catalogue has them"
            ))
        })
    }
}

/// `table`, `schema.table`, and both with parts in double quotes.
fn parse(text: &str) -> Option<TableName> {
    let (first, rest) = part(text)?;
    let (schema, name) = match rest {
        "" => ("public".to_owned(), first),
        rest => {
            let (second, rest) = part(rest.strip_prefix('.')?)?;
            if !rest.is_empty() {
                return None;
            }
            (first, second)
        }
    };
    (!schema.is_empty() && !name.is_empty()).then_some(TableName { schema, name })
}

fn part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        let plain = !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        return plain.then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables() {
        let of = |text| parse(text).map(|name| (name.schema, name.name));
        let pair = |schema: &str, name: &str| Some((schema.to_owned(), name.to_owned()));
        assert_eq!(of("customers"), pair("public", "customers"));
        assert_eq!(of("bank.customers"), pair("bank", "customers"));
        assert_eq!(of("\"a.b\".\"c\"\"d\""), pair("a.b", "c\"d"));
        assert_eq!(of("bank.\"Order Items\""), pair("bank", "Order Items"));
        for text in [
            "", ".", "a.", ".a", "a.b.c", "a b", "\"a", "\"a\"b", "\"\"", "a.\"\"",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
