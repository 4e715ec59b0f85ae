//! How foreign tables are made one: no I/O.
//!
//! - `foreign` renders a shard's foreign table, with its own columns or as a partition;
//! - `views` puts a UNION ALL over them;
//! - `partitions` puts a hash-partitioned parent over them, and `residue` says how the shard map is
//!   one.

mod foreign;
mod partitions;
mod residue;
mod views;

use crate::config::{Config, ShardConfig, TableName};
use crate::error::{Error, Result};
use crate::sql::ident;

use super::catalog::Table;
use super::name;
use super::object::Object;
use super::options::{FdwOptions, Layout};

pub(super) use foreign::definitions;

/// What all tables are rendered with.
pub(super) struct Scene<'a> {
    pub(super) config: &'a Config,
    pub(super) options: &'a FdwOptions,
    /// The names of all tables.
    pub(super) names: Vec<&'a TableName>,
}

impl Scene<'_> {
    /// The name of a table's view, as SQL.
    fn view(&self, table: &Table) -> String {
        format!(
            "{}.{}",
            ident(&self.options.schema),
            ident(&name::view(&table.name, &self.names))
        )
    }

    /// The name of a shard's foreign table, as SQL.
    fn foreign(&self, shard: &ShardConfig, table: &Table) -> String {
        format!(
            "{}.{}",
            ident(name::FOREIGN),
            ident(&name::foreign_table(shard.id, &table.name, &self.names))
        )
    }

    fn grant(&self, view: &str) -> String {
        format!(
            "GRANT SELECT ON {view} TO {};\n",
            ident(&self.options.reader)
        )
    }
}

/// Everything that shows a table.
pub(super) fn objects(scene: &Scene<'_>, tables: &[Table]) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for table in tables {
        objects.extend(match (table.sharded, scene.options.layout) {
            (true, Layout::Partitions) => partitions::objects(scene, table)?,
            (true, Layout::Views) | (false, _) => views::objects(scene, table)?,
        });
    }
    Ok(objects)
}

/// The columns as SQL, in order.
pub(super) fn column_list(table: &Table) -> String {
    let columns = table.columns.iter();
    let columns: Vec<_> = columns
        .map(|column| ident(&column.name).to_string())
        .collect();
    columns.join(", ")
}

/// The name of the column that says which shard a row is from.
pub(super) fn shard_column(table: &Table) -> Result<&'static str> {
    let taken = |wanted: &&str| !table.columns.iter().any(|column| column.name == **wanted);
    ["shard", "pgshard_shard"]
        .into_iter()
        .find(taken)
        .ok_or_else(|| {
            Error::refused(format!(
                "{} has both a column shard and a column pgshard_shard, so the view cannot have one \
                 that names the shard: rename one",
                table.name
            ))
        })
}
