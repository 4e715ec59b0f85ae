//! The layout `partitions`: a hash-partitioned parent of foreign tables, so that PostgreSQL prunes by
//! key.
//!
//! The parent is not what people read: a foreign table that is read directly is read as whoever
//! reads, who has no user mapping. A view of it is read as its owner, as in the other layout, and has
//! the same columns.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::routing::KeyType;
use crate::sql::{ident, literal};

use super::super::catalog::{Column, Table};
use super::super::name;
use super::super::object::{Detail, Kind, Object, object};
use super::foreign::{definitions, foreign_table};
use super::residue::classes;
use super::{Scene, column_list, shard_column};

/// The parent, a partition a shard, and the view.
pub(super) fn objects(scene: &Scene<'_>, table: &Table) -> Result<Vec<Object>> {
    let config = scene.config;
    let classes = classes(&config.map)?;
    let key = key(scene, table)?;
    let parent = format!(
        "{}.{}",
        ident(name::FOREIGN),
        ident(&name::parent(&table.name, &scene.names))
    );
    let sql = format!(
        "CREATE TABLE {parent} (\n{}\n) PARTITION BY HASH ({});\n",
        definitions(table),
        ident(&key.name)
    );
    let detail = Detail::Parent {
        key: key.name.clone(),
        columns: table.columns.clone(),
    };
    let mut objects = vec![object(config, Kind::Parent, parent.clone(), sql, detail)];
    let mut cases = String::new();
    for class in classes {
        let Some(shard) = config.shards.get(class.shard.index()) else {
            return Err(Error::config(
                "the shard map names a shard that is not there",
            ));
        };
        let bound = format!(
            "FOR VALUES WITH (modulus {}, remainder {})",
            class.modulus, class.remainder
        );
        let made = foreign_table(scene, shard, table, Some((parent.clone(), bound)));
        let _ = write!(
            cases,
            "\n               WHEN {}::regclass THEN {}",
            literal(&made.name),
            literal(shard.id.as_str())
        );
        objects.push(made);
    }
    let name = scene.view(table);
    let sql = format!(
        "CREATE VIEW {name} AS\n    SELECT CASE tableoid{cases} END AS {}, {}\n      FROM {parent};\n{}",
        ident(shard_column(table)?),
        column_list(table),
        scene.grant(&name)
    );
    let mut reads = vec![parent];
    reads.extend(objects.iter().skip(1).map(|made| made.name.clone()));
    let detail = Detail::Reads(reads);
    objects.push(object(config, Kind::View, name, sql, detail));
    Ok(objects)
}

/// The key's column, if PostgreSQL hashes it as the map does.
fn key<'a>(scene: &Scene<'_>, table: &'a Table) -> Result<&'a Column> {
    let declared = scene.config.tables.iter().find(|d| d.name == table.name);
    let column = declared
        .and_then(|declared| table.columns.iter().find(|c| c.name == declared.key))
        .ok_or_else(|| Error::config(format!("{} has no key", table.name)))?;
    let types: &[&str] = match scene.config.map.key_type() {
        KeyType::Uuid => &["uuid"],
        // The hash of an integer is that of its value.
        KeyType::BigInt => &["bigint", "integer", "smallint"],
        KeyType::Text => &["text", "character varying"],
    };
    let bytewise = match column.collation.as_deref() {
        // A database's default collation is deterministic.
        None => true,
        Some(name) => matches!(name, "pg_catalog.\"C\"" | "pg_catalog.\"POSIX\""),
    };
    if types.contains(&column.type_name.as_str()) && bytewise {
        return Ok(column);
    }
    Err(Error::refused(format!(
        "{}.{} is {}, which PostgreSQL does not hash as the shard map does ({}): use the layout `views`",
        table.name,
        ident(&column.name),
        super::super::agree::definition(column),
        types.join(", ")
    )))
}
