//! What the shards' databases know: tables with their columns, and functions.
//!
//! Pure but for [`Catalog::load`]. Types, names and collations are never worked out here: the servers
//! are asked, by describing what is about to be run (`describe`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::try_join_all;
use tokio_postgres::Row;

use crate::client::{Core, Read};
use crate::config::Config;
use crate::config::TableName;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ShardIndex;
use crate::routing::KeyType;
use crate::topology::ReadPreference;

/// How a table's rows are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// By the key in this column. `None` for a key that may be NULL or is of another type: rows are
    /// somewhere, and nothing more is known.
    Sharded(Option<String>),
    /// The same on every shard.
    Reference,
    /// Neither declared: each shard's own business.
    Undeclared,
    /// A view, a foreign table and the like.
    Other(&'static str),
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: TableName,
    pub(super) placement: Placement,
    pub(super) columns: Vec<Column>,
    /// The columns of the primary key, if all of them are set.
    pub(super) primary_key: Vec<String>,
    /// How the table differs between shards.
    pub(super) differs: Option<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// As `format_type` writes it.
    pub(super) ty: String,
    pub(super) not_null: bool,
    /// The collation, if it is not its type's own.
    pub(super) collation: Option<String>,
    /// Equal values have equal bytes, as far as the collation is concerned.
    pub(super) deterministic: bool,
}

/// What the planner has to know of a function's name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Function {
    pub(super) volatile: bool,
    pub(super) stable: bool,
    pub(super) aggregate: bool,
    /// Some function of this name is not PostgreSQL's own.
    pub(super) foreign: bool,
}

/// What the databases know.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    tables: HashMap<TableName, Arc<Table>>,
    /// Functions that are not plain immutable ones of PostgreSQL's own.
    functions: HashMap<String, Function>,
    /// The names of the output columns of functions in FROM that have such.
    outputs: HashMap<String, Vec<String>>,
    search_path: Vec<String>,
    /// Whether the databases' own collation compares bytes.
    bytewise: bool,
    pub(super) key_type: KeyType,
}

const TABLES: &str = "SELECT n.nspname::text, c.relname::text, c.relkind::text, a.attname::text, \
       pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
       CASE WHEN a.attcollation <> t.typcollation THEN \
           pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname) END, \
       coalesce(co.collisdeterministic, true), \
       coalesce(a.attnum = ANY (pk.conkey), false) \
  FROM pg_catalog.pg_class c \
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
  LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation \
  LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
  LEFT JOIN pg_catalog.pg_constraint pk ON pk.conrelid = c.oid AND pk.contype = 'p' \
       AND NOT pk.condeferrable \
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgshard') \
   AND n.nspname NOT LIKE 'pg\\_temp%' \
 ORDER BY 1, 2, a.attnum";

const FUNCTIONS: &str = "SELECT p.proname::text, bool_or(p.provolatile = 'v'), \
       bool_or(p.provolatile = 's'), bool_or(p.prokind = 'a'), \
       bool_or(n.nspname <> 'pg_catalog') \
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
 WHERE p.provolatile <> 'i' OR p.prokind = 'a' OR n.nspname <> 'pg_catalog' \
 GROUP BY 1";

const OUTPUTS: &str = "SELECT DISTINCT ON (p.proname) p.proname::text, \
       ARRAY(SELECT p.proargnames[i] FROM pg_catalog.generate_subscripts(p.proargmodes, 1) i \
              WHERE p.proargmodes[i] IN ('o', 'b', 't') ORDER BY i) \
  FROM pg_catalog.pg_proc p \
 WHERE p.proargmodes IS NOT NULL AND p.proretset ORDER BY p.proname, p.oid";

const SEARCH_PATH: &str =
    "SELECT s::text FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) s";

const BYTEWISE: &str = "SELECT d.datcollate IN ('C', 'POSIX') \
       AND coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' \
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

impl Catalog {
    /// Reads all shards' tables, and one shard's functions.
    pub(super) async fn load(core: &Core) -> Result<Catalog> {
        let read =
            |shard: ShardIndex| Read::new(core, shard).preference(ReadPreference::PreferReplica);
        let tables = try_join_all(
            core.shards()
                .map(|(shard, _)| read(shard).rows(TABLES, &[])),
        );
        let tables = tables.await?;
        let first = ShardIndex(0);
        let functions = read(first).rows(FUNCTIONS, &[]).await?;
        let outputs = read(first).rows(OUTPUTS, &[]).await?;
        let bytewise = read(first).rows(BYTEWISE, &[]).await?;
        let path = read(first).rows(SEARCH_PATH, &[]).await?;
        let ids: Vec<String> = core
            .shards()
            .map(|(_, shard)| shard.id().to_string())
            .collect();
        let mut all = Vec::new();
        for rows in &tables {
            all.push(read_tables(rows, &core.config)?);
        }
        Ok(Catalog {
            tables: agreed(all, &ids),
            functions: functions.iter().map(read_function).collect::<Result<_>>()?,
            outputs: outputs
                .iter()
                .map(|row| Ok((cell(row, 0)?, cell(row, 1)?)))
                .collect::<Result<_>>()?,
            search_path: path.iter().map(|row| cell(row, 0)).collect::<Result<_>>()?,
            bytewise: bytewise.first().map_or(Ok(false), |row| cell(row, 0))?,
            key_type: core.config.map.key_type(),
        })
    }

    /// The table of a name, as PostgreSQL looks it up.
    pub(super) fn table(&self, parts: &[String]) -> Option<&Arc<Table>> {
        let find = |schema: &str, name: &str| {
            self.tables.get(&TableName {
                schema: schema.to_owned(),
                name: name.to_owned(),
            })
        };
        match parts {
            [name] => self
                .search_path
                .iter()
                .find_map(|schema| find(schema, name)),
            [schema, name] => find(schema, name),
            _ => None,
        }
    }

    /// What is known of a function; plain immutable ones are not listed.
    pub(super) fn function(&self, name: &str) -> Function {
        self.functions.get(name).copied().unwrap_or_default()
    }

    /// Whether a collation, as `pg_collation_for` names it, compares bytes.
    pub(super) fn is_bytewise(&self, collation: &str) -> bool {
        match collation {
            "\"C\"" | "\"POSIX\"" => true,
            "\"default\"" => self.bytewise,
            _ => false,
        }
    }

    /// The names of a set-returning function's columns, if it declares them.
    pub(super) fn outputs(&self, name: &str) -> Option<&[String]> {
        self.outputs.get(name).map(Vec::as_slice)
    }
}

fn cell<T: tokio_postgres::types::FromSqlOwned>(row: &Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(|error| {
        Error::new(
            ErrorKind::Decode,
            "the catalogue answered something unexpected",
        )
        .with_source(error)
    })
}

fn read_function(row: &Row) -> Result<(String, Function)> {
    let function = Function {
        volatile: cell(row, 1)?,
        stable: cell(row, 2)?,
        aggregate: cell(row, 3)?,
        foreign: cell(row, 4)?,
    };
    Ok((cell(row, 0)?, function))
}

fn read_tables(rows: &[Row], config: &Config) -> Result<HashMap<TableName, Table>> {
    let mut tables: HashMap<TableName, (String, Table)> = HashMap::new();
    for row in rows {
        let name = TableName {
            schema: cell(row, 0)?,
            name: cell(row, 1)?,
        };
        let kind: String = cell(row, 2)?;
        let column = Column {
            name: cell(row, 3)?,
            ty: cell(row, 4)?,
            not_null: cell(row, 5)?,
            collation: cell(row, 6)?,
            deterministic: cell(row, 7)?,
        };
        let (_, table) = tables.entry(name.clone()).or_insert_with(|| {
            let table = Table {
                name,
                placement: Placement::Undeclared,
                columns: Vec::new(),
                primary_key: Vec::new(),
                differs: None,
            };
            (kind, table)
        });
        if cell(row, 8)? {
            table.primary_key.push(column.name.clone());
        }
        table.columns.push(column);
    }
    let key_type = config.map.key_type();
    let sharded: HashMap<&TableName, &str> = config
        .tables
        .iter()
        .map(|table| (&table.name, table.key.as_str()))
        .collect();
    let references: HashSet<&TableName> = config.references.iter().collect();
    Ok(tables
        .into_iter()
        .map(|(name, (kind, mut table))| {
            table.placement = match kind.as_str() {
                "v" => Placement::Other("a view"),
                "m" => Placement::Other("a materialised view"),
                "f" => Placement::Other("a foreign table"),
                _ => match sharded.get(&name) {
                    Some(key) => {
                        let column = table.columns.iter().find(|column| column.name == *key);
                        let sound = column.is_some_and(|column| is_key(column, key_type));
                        Placement::Sharded(sound.then(|| (*key).to_owned()))
                    }
                    None if references.contains(&name) => Placement::Reference,
                    None => Placement::Undeclared,
                },
            };
            (name, table)
        })
        .collect())
}

/// Whether equality of the column's values is equality of keys.
fn is_key(column: &Column, key_type: KeyType) -> bool {
    column.not_null && is_of_key_type(column, key_type)
}

/// Whether a column's values can be keys.
pub(super) fn is_of_key_type(column: &Column, key_type: KeyType) -> bool {
    match key_type {
        KeyType::Uuid => column.ty == "uuid",
        KeyType::BigInt => matches!(column.ty.as_str(), "bigint" | "integer" | "smallint"),
        KeyType::Text => {
            (column.ty == "text" || column.ty.starts_with("character varying"))
                && column.deterministic
        }
    }
}

/// The first shard's tables, with what is otherwise on another.
fn agreed(
    all: Vec<HashMap<TableName, Table>>,
    shards: &[String],
) -> HashMap<TableName, Arc<Table>> {
    let mut all = all.into_iter().zip(shards);
    let Some((mut first, first_shard)) = all.next() else {
        return HashMap::new();
    };
    for (other, shard) in all {
        for (name, table) in &mut first {
            if table.differs.is_some() {
                continue;
            }
            table.differs = match other.get(name) {
                None => Some(format!("shard {shard} does not have it")),
                Some(there) => difference(table, there).map(|what| {
                    format!("shards {first_shard} and {shard} have it otherwise: {what}")
                }),
            };
        }
        for (name, mut table) in other {
            first.entry(name).or_insert_with(|| {
                table.differs = Some(format!("shard {first_shard} does not have it"));
                table
            });
        }
    }
    first
        .into_iter()
        .map(|(name, table)| (name, Arc::new(table)))
        .collect()
}

fn difference(a: &Table, b: &Table) -> Option<String> {
    if a.columns.len() != b.columns.len() {
        return Some(format!(
            "{} columns and {}",
            a.columns.len(),
            b.columns.len()
        ));
    }
    let mut pairs = a.columns.iter().zip(&b.columns);
    pairs
        .find(|(a, b)| a != b)
        .map(|(a, b)| match a.name == b.name {
            true => format!("column {} is {} and {}", a.name, a.ty, b.ty),
            false => format!("column {} and column {}", a.name, b.name),
        })
}

/// A table of a test: its name, how it is spread, and its columns with their types.
#[cfg(test)]
pub(super) type Sketch<'a> = (&'a str, Placement, &'a [(&'a str, &'a str)]);

#[cfg(test)]
impl Catalog {
    /// A catalogue for tests: `schema.table(key column, others…)` each.
    pub(super) fn of(key_type: KeyType, tables: &[Sketch<'_>]) -> Self {
        let tables = tables.iter().map(|(name, placement, columns)| {
            let name = TableName {
                schema: "public".to_owned(),
                name: (*name).to_owned(),
            };
            let columns: Vec<Column> = columns
                .iter()
                .map(|(name, ty)| Column {
                    name: (*name).to_owned(),
                    ty: (*ty).to_owned(),
                    not_null: true,
                    collation: None,
                    deterministic: true,
                })
                .collect();
            let table = Table {
                name: name.clone(),
                placement: placement.clone(),
                primary_key: columns
                    .first()
                    .map(|c| c.name.clone())
                    .into_iter()
                    .collect(),
                columns,
                differs: None,
            };
            (name, Arc::new(table))
        });
        let functions = [
            ("random", true, false),
            ("now", false, true),
            ("sum", false, false),
            ("count", false, false),
            ("min", false, false),
            ("max", false, false),
            ("avg", false, false),
            ("array_agg", false, false),
            ("string_agg", false, false),
            ("rank", false, false),
        ];
        let functions = functions.map(|(name, volatile, stable)| {
            let function = Function {
                volatile,
                stable,
                aggregate: !volatile && !stable && name != "rank",
                foreign: false,
            };
            (name.to_owned(), function)
        });
        Catalog {
            tables: tables.collect(),
            functions: functions.into(),
            outputs: HashMap::new(),
            search_path: vec!["pg_catalog".into(), "public".into()],
            bytewise: false,
            key_type,
        }
    }
}
