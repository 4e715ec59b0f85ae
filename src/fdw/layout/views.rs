//! The layout `views`: a UNION ALL of foreign tables.

use crate::error::Result;
use crate::sql::{ident, literal};

use super::super::catalog::Table;
use super::super::object::{Detail, Kind, Object, object};
use super::foreign::foreign_table;
use super::{Scene, column_list, shard_column};

/// A foreign table a shard, and the view of them. That of a reference table reads the first shard; the
/// other shards' are for reports, whose joins run on each shard.
pub(super) fn objects(scene: &Scene<'_>, table: &Table) -> Result<Vec<Object>> {
    let columns = column_list(table);
    let constant = table.sharded.then(|| shard_column(table)).transpose()?;
    let (mut objects, mut branches, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for (n, shard) in scene.config.shards.iter().enumerate() {
        let made = foreign_table(scene, shard, table, None);
        let from = made.name.clone();
        objects.push(made);
        if n > 0 && !table.sharded {
            continue;
        }
        branches.push(match constant {
            Some(column) => format!(
                "    SELECT {}::text AS {}, {columns} FROM {from}",
                literal(shard.id.as_str()),
                ident(column)
            ),
            None => format!("    SELECT {columns} FROM {from}"),
        });
        reads.push(from);
    }
    let name = scene.view(table);
    let sql = format!(
        "CREATE VIEW {name} AS\n{};\n{}",
        branches.join("\n    UNION ALL\n"),
        scene.grant(&name)
    );
    let detail = Detail::Reads(reads);
    objects.push(object(scene.config, Kind::View, name, sql, detail));
    Ok(objects)
}
