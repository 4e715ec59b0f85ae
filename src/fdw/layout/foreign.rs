//! A shard's foreign table.

use crate::config::ShardConfig;
use crate::sql::{ident, literal};

use super::super::agree;
use super::super::catalog::{Column, Table};
use super::super::name;
use super::super::object::{Detail, Kind, Object, object};
use super::Scene;

/// The columns as CREATE TABLE has them, a line each.
pub(in super::super) fn definitions(table: &Table) -> String {
    let columns = table.columns.iter();
    let lines: Vec<String> = columns
        .map(|column| {
            let plain = Column {
                made_of: None,
                ..column.clone()
            };
            format!("    {} {}", ident(&column.name), agree::definition(&plain))
        })
        .collect();
    lines.join(",\n")
}

/// A foreign table; as a partition, its columns are the parent's.
pub(super) fn foreign_table(
    scene: &Scene<'_>,
    shard: &ShardConfig,
    table: &Table,
    partition: Option<(String, String)>,
) -> Object {
    let name = scene.foreign(shard, table);
    let shape = match &partition {
        Some((parent, bound)) => format!(" PARTITION OF {parent}\n    {bound}\n   "),
        None => format!(" (\n{}\n)", definitions(table)),
    };
    let sql = format!(
        "CREATE FOREIGN TABLE {name}{shape} SERVER {} OPTIONS (schema_name {}, table_name {});\n",
        ident(&name::server(shard.id)),
        literal(&table.name.schema),
        literal(&table.name.name),
    );
    let detail = Detail::Foreign {
        server: name::server(shard.id),
        options: vec![
            ("schema_name".to_owned(), table.name.schema.clone()),
            ("table_name".to_owned(), table.name.name.clone()),
        ],
        columns: table.columns.clone(),
        partition,
    };
    object(scene.config, Kind::ForeignTable, name, sql, detail)
}
