//! Results on standard output: the same rows as a table, as JSON or as CSV.

use std::io::{ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets,
};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::exit::Closed;
use crate::picture::{self, Tint};

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// An array of objects.
    Json,
    /// A line of column names, then the rows.
    Csv,
}

/// Rows under named columns.
///
/// The names are the keys of the JSON objects: lower case, stable, documented in the command's
/// help. A value may be anything that converts to JSON; `Value::Null` is shown as an empty field.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    tint: Option<fn(&str) -> Option<Tint>>,
}

impl Report {
    /// A report without rows.
    pub(crate) fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        Report {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            tint: None,
        }
    }

    /// With words in colours, where a terminal wants them.
    pub(crate) fn tinted(mut self, tint: fn(&str) -> Option<Tint>) -> Self {
        self.tint = Some(tint);
        self
    }

    /// Adds a row; as many values as columns, in their order.
    pub(crate) fn row(&mut self, values: impl IntoIterator<Item = Value>) {
        let mut row: Vec<Value> = values.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len());
        row.resize(self.columns.len(), Value::Null);
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table for people, whatever the output is.
    pub(crate) fn shown(&self) -> String {
        self.table()
    }

    /// The bytes to print.
    pub(crate) fn render(&self, output: Output) -> anyhow::Result<Vec<u8>> {
        match output {
            Output::Table => Ok(self.table().into_bytes()),
            Output::Json => {
                let mut bytes = Vec::new();
                let formatter = Lines::default();
                self.serialize(&mut serde_json::Serializer::with_formatter(
                    &mut bytes, formatter,
                ))?;
                bytes.push(b'\n');
                Ok(bytes)
            }
            Output::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.write_record(&self.columns)?;
                for row in &self.rows {
                    writer.write_record(row.iter().map(plain))?;
                }
                Ok(writer.into_inner()?)
            }
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        let colours = picture::colours();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        if std::io::stdout().is_terminal() {
            // Some terminals do not know their width, and say 0.
            if table.width().is_some_and(|width| width > 0) {
                table.set_content_arrangement(ContentArrangement::Dynamic);
            }
            table.set_header(
                self.columns
                    .iter()
                    .map(|name| Cell::new(name).add_attribute(Attribute::Bold)),
            );
        } else {
            table.force_no_tty();
            table.set_header(&self.columns);
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|value| {
                let text = printable(&plain(value));
                let tint = self.tint.filter(|_| colours).and_then(|tint| tint(&text));
                let mut cell = Cell::new(text);
                if let Some(tint) = tint {
                    cell = cell.fg(match tint {
                        Tint::Good => Color::Green,
                        Tint::Doubtful => Color::Yellow,
                        Tint::Bad => Color::Red,
                    });
                }
                if value.is_number() {
                    cell.set_alignment(CellAlignment::Right)
                } else {
                    cell
                }
            }));
        }
        // Without the blanks that pad the last column.
        let mut text = String::new();
        for line in table.to_string().lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Object<'a>(&'a [String], &'a [Value]);

        impl Serialize for Object<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut object = serializer.serialize_map(Some(self.0.len()))?;
                for (name, value) in self.0.iter().zip(self.1) {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
        }

        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            rows.serialize_element(&Object(&self.columns, row))?;
        }
        rows.end()
    }
}

/// Writes to standard output. A reader that went away is [`Closed`], which ends the process
/// quietly.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        other => Ok(other?),
    }
}

/// A value as text without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Without control characters, which a terminal would obey: the text may come from a table.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\n';
            let escaped = escape.then(|| c.escape_default());
            let plain = (!escape).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// JSON with one row a line.
#[derive(Default)]
struct Lines {
    depth: usize,
}

impl serde_json::ser::Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.depth += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.depth -= 1;
        writer.write_all(if self.depth == 0 { b"\n]" } else { b"]" })
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(match (self.depth, first) {
            (1, true) => b"\n  ",
            (1, false) => b",\n  ",
            (_, true) => b"",
            (_, false) => b",",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let mut report = Report::new(["key", "bucket", "shard"]);
        report.row([json!("a,\"b\""), json!(17), json!("s0")]);
        report.row([json!("c"), Value::Null, json!(["x", "y"])]);
        report
    }

    fn text(report: &Report, output: Output) -> String {
        String::from_utf8(report.render(output).unwrap()).unwrap()
    }

    #[test]
    fn json_keeps_the_order_of_columns() {
        assert_eq!(
            text(&report(), Output::Json),
            "[\n  {\"key\":\"a,\\\"b\\\"\",\"bucket\":17,\"shard\":\"s0\"},\n  \
             {\"key\":\"c\",\"bucket\":null,\"shard\":[\"x\",\"y\"]}\n]\n"
        );
        let none = Report::new(["x"]);
        let value: Value = serde_json::from_str(&text(&none, Output::Json)).unwrap();
        assert_eq!(value, json!([]));
    }

    #[test]
    fn csv_quotes() {
        assert_eq!(
            text(&report(), Output::Csv),
            "key,bucket,shard\n\"a,\"\"b\"\"\",17,s0\nc,,\"[\"\"x\"\",\"\"y\"\"]\"\n"
        );
    }

    #[test]
    fn table_shows_rows_and_hides_control_characters() {
        let mut report = report();
        report.row([json!("\x1b[31mred\r"), json!(1), json!("s1")]);
        let table = text(&report, Output::Table);
        assert!(table.contains(" a,\"b\""), "{table}");
        assert!(!table.contains('\x1b') && !table.contains('\r'), "{table}");
        assert!(table.contains("\\u{1b}[31mred\\r"), "{table}");
    }
}
