//! The operators' guide's own set-up, under the guide's names, for psql: no I/O.
//!
//! `shard_customer_id`, servers `shard0` …, foreign tables `customers_shard0` …, views
//! `customers_all`, in the schema that is current. What the guide gets wrong is put right: the
//! function is the cluster's own, foreign tables have explicit columns, the password is psql's
//! variable, and nothing can be written.

use std::fmt::Write as _;

use crate::config::{Config, ShardConfig};
use crate::error::{Error, Result};
use crate::id::{Bucket, ShardIndex};
use crate::routing::{HashFunction, KeyType, ShardMap, sql};
use crate::sql::{ident, literal};

use super::catalog::Table;
use super::layout::{column_list, definitions, shard_column};
use super::object::{Kind, Object};
use super::options::FdwOptions;
use super::render::{preamble, since_15};
use super::{marker, name, server};

/// The script.
pub(super) fn script(config: &Config, options: &FdwOptions, tables: &[Table]) -> Result<String> {
    options.check(config)?;
    let mut text = preamble(config, options);
    text += "CREATE EXTENSION IF NOT EXISTS postgres_fdw;\n\n";
    text += &function(config)?;
    let mut marks = vec![format!(
        "FUNCTION shard_customer_id({})",
        config.map.key_type()
    )];
    text += "\n-- A foreign server a shard, and how you log in there\n";
    for (n, shard) in config.shards.iter().enumerate() {
        let made = renamed(server::server(config, options, shard)?, shard, n);
        let mapping = renamed(server::mapping(config, options, shard), shard, n);
        let _ = writeln!(text, "{}{}{}", made.sql, since_15(&made), mapping.sql);
        marks.push(format!(
            "{} {}",
            Kind::Server.label().to_uppercase(),
            made.name
        ));
    }
    let names: Vec<_> = tables.iter().map(|table| &table.name).collect();
    for table in tables {
        let plain = name::view(&table.name, &names);
        let _ = writeln!(text, "-- {plain} on all shards");
        let shards = if table.sharded {
            config.shards.len()
        } else {
            1
        };
        let mut branches = Vec::new();
        for number in 0..shards {
            let foreign = readable(&name::with_suffix(&plain, &format!("_shard{number}")));
            let _ = writeln!(
                text,
                "CREATE FOREIGN TABLE {foreign} (\n{}\n) SERVER shard{number} OPTIONS (schema_name {}, \
                 table_name {});",
                definitions(table),
                literal(&table.name.schema),
                literal(&table.name.name)
            );
            let columns = column_list(table);
            branches.push(if table.sharded {
                let column = shard_column(table)?;
                format!("    SELECT {number} AS {column}, {columns} FROM {foreign}")
            } else {
                format!("    SELECT {columns} FROM {foreign}")
            });
            marks.push(format!("FOREIGN TABLE {foreign}"));
        }
        let view = readable(&name::with_suffix(&plain, "_all"));
        let _ = writeln!(
            text,
            "CREATE VIEW {view} AS\n{};\n",
            branches.join("\n    UNION ALL\n")
        );
        marks.push(format!("VIEW {view}"));
    }
    text += "-- By this, `shardctl fdw drop` knows what to take away\n";
    for mark in marks {
        let _ = writeln!(
            text,
            "COMMENT ON {mark} IS {};",
            literal(&marker(config.cluster))
        );
    }
    text += "\nCOMMIT;\n";
    Ok(text)
}

/// A server or its mapping under the guide's name.
fn renamed(object: Object, shard: &ShardConfig, number: usize) -> Object {
    let own = ident(&name::server(shard.id)).to_string();
    let new = format!("shard{number}");
    Object {
        sql: object
            .sql
            .replacen(&format!("SERVER {own} "), &format!("SERVER {new} "), 1),
        name: new,
        ..object
    }
}

/// Without quotes where it needs none: what ends in `_shard0` or `_all` is no word of SQL's.
fn readable(name: &str) -> String {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let letter = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if plain && letter {
        name.to_owned()
    } else {
        ident(name).to_string()
    }
}

/// The number of a key's shard, as the cluster routes.
fn function(config: &Config) -> Result<String> {
    let map = &config.map;
    if map.hash() == HashFunction::Xxh3 {
        return Err(Error::refused(
            "the keys are placed by xxh3, which PostgreSQL does not have: under the guide's names there \
             would be no shard_customer_id; use the names of `shardctl fdw sql` without --guide-names",
        ));
    }
    let bucket = sql::twin(map).bucket_of("key");
    let mut number = match striped(map) {
        Some(1) => "0".to_owned(),
        Some(shards) => format!("{bucket} % {shards}"),
        None => {
            let owners = (0..map.buckets()).map(|bucket| map.owner(Bucket(bucket)));
            let owners: Vec<String> = owners
                .map(|owner| owner.map_or("NULL".to_owned(), |owner| owner.index().to_string()))
                .collect();
            format!("('{{{}}}'::int[])[{bucket} + 1]", owners.join(","))
        }
    };
    let pins: Vec<String> = map
        .pins()
        .map(|pin| {
            format!(
                " WHEN {}::{} THEN {}",
                literal(&pin.key.to_string()),
                map.key_type(),
                pin.shard.index()
            )
        })
        .collect();
    if !pins.is_empty() {
        number = format!("CASE key{} ELSE {number} END", pins.concat());
    }
    let example = match map.key_type() {
        KeyType::Uuid => "123e4567-e89b-12d3-a456-426614174000",
        KeyType::BigInt => "42",
        KeyType::Text => "ada",
    };
    Ok(format!(
        "-- The number of a customer's shard. It leaves the other shards out of a query:\n\
         --   SELECT … WHERE shard = shard_customer_id('{example}') AND …\n\
         CREATE OR REPLACE FUNCTION shard_customer_id(key {}) RETURNS integer\n    \
         LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE\n    \
         RETURN {number};\n",
        map.key_type()
    ))
}

/// The number of shards, if each bucket belongs to the shard of its remainder.
fn striped(map: &ShardMap) -> Option<u32> {
    let shards = u32::from(map.shards());
    let at = |bucket: u32| u16::try_from(bucket % shards).ok().map(ShardIndex);
    (0..map.buckets())
        .all(|bucket| map.owner(Bucket(bucket)) == at(bucket))
        .then_some(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_well_where_they_may() {
        assert_eq!(readable("customers_shard0"), "customers_shard0");
        assert_eq!(readable("Customers_all"), "\"Customers_all\"");
        assert_eq!(readable("1_all"), "\"1_all\"");
    }

    #[test]
    fn a_map_that_is_not_striped_is_looked_up() {
        let builder = || ShardMap::builder(HashFunction::Pg, KeyType::Uuid);
        assert_eq!(striped(&builder().striped(3).build().unwrap()), Some(3));
        let owners = [0, 0, 1, 1].map(ShardIndex);
        let map = builder().buckets(4).owners(2, owners).build().unwrap();
        assert_eq!(striped(&map), None);
    }
}
