//! The names of what is made on a reporting server: at most 63 bytes, and no two alike.

use crate::config::TableName;
use crate::id::ShardId;

/// PostgreSQL cuts longer identifiers, without an error.
const LONGEST: usize = 63;

/// The schema of the foreign tables.
pub(super) const FOREIGN: &str = "pgshard_fdw";

/// A shard's foreign server.
pub(super) fn server(shard: ShardId) -> String {
    format!("pgshard_{shard}")
}

/// A shard's foreign table.
pub(super) fn foreign_table(shard: ShardId, table: &TableName, tables: &[&TableName]) -> String {
    bounded(format!("{shard}_{}", view(table, tables)), |digest| {
        digest.update(shard.as_str().as_bytes());
        identity(digest, table);
    })
}

/// The parent of a table's foreign partitions.
pub(super) fn parent(table: &TableName, tables: &[&TableName]) -> String {
    bounded(format!("all_{}", view(table, tables)), |digest| {
        digest.update(b"all");
        identity(digest, table);
    })
}

/// A table's view: the table's own name, with its schema before it if another table has that name
/// too.
pub(super) fn view(table: &TableName, tables: &[&TableName]) -> String {
    let alone = tables
        .iter()
        .filter(|other| other.name == table.name)
        .count()
        == 1;
    if alone {
        return table.name.clone();
    }
    bounded(format!("{}_{}", table.schema, table.name), |digest| {
        identity(digest, table);
    })
}

/// A name with something after it.
pub(super) fn with_suffix(name: &str, suffix: &str) -> String {
    bounded(format!("{name}{suffix}"), |digest| {
        digest.update(name.as_bytes());
        digest.update(suffix.as_bytes());
    })
}

fn identity(digest: &mut xxhash_rust::xxh3::Xxh3, table: &TableName) {
    digest.update(table.schema.as_bytes());
    digest.update(&[0]);
    digest.update(table.name.as_bytes());
}

/// The name, or its beginning and a digest of what it stands for.
fn bounded(name: String, add: impl FnOnce(&mut xxhash_rust::xxh3::Xxh3)) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let mut digest = xxhash_rust::xxh3::Xxh3::new();
    add(&mut digest);
    let tail = format!("_{:016x}", digest.digest());
    let mut end = LONGEST - tail.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned() + &tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str) -> TableName {
        TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn names_are_bounded_and_distinct() {
        let long = "ä".repeat(31);
        let (a, b) = (table("public", &long), table("x", &long));
        let tables = [&a, &b];
        let shard = ShardId::new("s0").unwrap();
        let names = [
            view(&a, &tables),
            view(&b, &tables),
            foreign_table(shard, &a, &tables),
            foreign_table(shard, &b, &tables),
        ];
        for (n, name) in names.iter().enumerate() {
            assert!(name.len() <= 63, "{name}");
            assert!(!names[..n].contains(name));
        }
        assert_eq!(view(&a, &[&a]), long);
        let c = table("public", "customers");
        assert_eq!(view(&c, &[&a, &c]), "customers");
        assert_eq!(foreign_table(shard, &c, &[&c]), "s0_customers");
    }
}
