//! A change of the publisher as the statement that does on the subscriber what its worker would do: pure.

use crate::sql::{ident, literal};

use super::pgoutput::{Cell, Message, Relation};

/// A column's name and its value as text.
pub(super) type Values = Vec<(String, Option<String>)>;

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(super) kind: &'static str,
    /// Quoted, with its schema.
    pub(super) table: String,
    /// The same for people.
    pub(super) name: String,
    /// What names the row: the columns of the replica identity, as they were before.
    pub(super) key: Values,
    /// Whether the replica identity is the whole row.
    whole: bool,
    /// The row that arrives, without what did not change; of a DELETE, nothing.
    pub(super) row: Values,
}

fn values<'a>(
    relation: &'a Relation,
    cells: &'a [Cell],
) -> impl Iterator<Item = (bool, String, Option<String>)> + 'a {
    let columns = relation.columns.iter().zip(cells);
    columns.filter_map(|((name, key), cell)| match cell {
        Cell::Unchanged => None,
        Cell::Null => Some((*key, name.clone(), None)),
        Cell::Text(text) => Some((*key, name.clone(), Some(text.clone()))),
    })
}

fn all(relation: &Relation, cells: &[Cell]) -> Values {
    let found = values(relation, cells);
    found.map(|(_, name, value)| (name, value)).collect()
}

fn identity(relation: &Relation, cells: &[Cell]) -> Values {
    let found = values(relation, cells).filter(|(key, ..)| *key);
    found.map(|(_, name, value)| (name, value)).collect()
}

impl Change {
    /// The change of a row that a message tells of; none of other messages.
    pub(super) fn of(message: &Message, relation: &Relation) -> Option<Change> {
        let (kind, key, row) = match message {
            Message::Insert { new, .. } => ("INSERT", identity(relation, new), all(relation, new)),
            Message::Update { old, new, .. } => {
                let before = old.as_ref().unwrap_or(new);
                ("UPDATE", identity(relation, before), all(relation, new))
            }
            Message::Delete { old, .. } => ("DELETE", identity(relation, old), Vec::new()),
            _ => return None,
        };
        Some(Change {
            kind,
            table: relation.quoted(),
            name: relation.plain(),
            key,
            whole: relation.columns.iter().all(|(_, key)| *key) && relation.columns.len() > 1,
            row,
        })
    }

    /// The statement; it answers with a row for each row that it changed.
    pub(super) fn sql(&self) -> String {
        let table = &self.table;
        match self.kind {
            "INSERT" => {
                let (names, values): (Vec<_>, Vec<_>) = self
                    .row
                    .iter()
                    .map(|(name, value)| (ident(name).to_string(), quoted(value.as_deref())))
                    .unzip();
                format!(
                    "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING 1",
                    names.join(", "),
                    values.join(", ")
                )
            }
            "UPDATE" => {
                let set: Vec<String> = self
                    .row
                    .iter()
                    .map(|(name, value)| format!("{} = {}", ident(name), quoted(value.as_deref())))
                    .collect();
                format!(
                    "UPDATE {table} SET {} WHERE {} RETURNING 1",
                    set.join(", "),
                    self.condition()
                )
            }
            _ => format!("DELETE FROM {table} WHERE {} RETURNING 1", self.condition()),
        }
    }

    fn condition(&self) -> String {
        match self.whole {
            true => whole(&self.key),
            false => equal(&self.key),
        }
    }
}

impl Relation {
    /// Its name, quoted, with its schema.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// The same for people.
    pub(super) fn plain(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

fn quoted(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |text| literal(text).to_string())
}

/// The condition by which an index finds a row.
pub(super) fn equal(key: &[(String, Option<String>)]) -> String {
    let parts = key.iter().map(|(name, value)| match value {
        Some(text) => format!("{} = {}", ident(name), literal(text)),
        None => format!("{} IS NULL", ident(name)),
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

// Not each type has an equality.
fn whole(row: &[(String, Option<String>)]) -> String {
    let parts = row.iter().map(|(name, value)| match value {
        Some(text) => format!("{}::text = {}", ident(name), literal(text)),
        None => format!("{} IS NULL", ident(name)),
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(keys: [bool; 2]) -> Relation {
        let columns = ["id", "Name"].into_iter().map(str::to_owned).zip(keys);
        Relation {
            id: 1,
            schema: "public".to_owned(),
            name: "t".to_owned(),
            columns: columns.collect(),
        }
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn statements() {
        let insert = Message::Insert {
            relation: 1,
            new: vec![text("1"), text("O'Hara")],
        };
        let change = Change::of(&insert, &relation([true, false])).unwrap();
        assert_eq!(
            change.sql(),
            r#"INSERT INTO "public"."t" ("id", "Name") OVERRIDING SYSTEM VALUE VALUES ('1', 'O''Hara') RETURNING 1"#
        );
        assert_eq!(change.key, [("id".to_owned(), Some("1".to_owned()))]);
        let update = Message::Update {
            relation: 1,
            old: Some(vec![text("1"), Cell::Null]),
            new: vec![text("2"), Cell::Unchanged],
        };
        let change = Change::of(&update, &relation([true, false])).unwrap();
        assert_eq!(
            change.sql(),
            r#"UPDATE "public"."t" SET "id" = '2' WHERE "id" = '1' RETURNING 1"#
        );
        let delete = Message::Delete {
            relation: 1,
            old: vec![text("1"), Cell::Null],
        };
        let change = Change::of(&delete, &relation([true, true])).unwrap();
        assert_eq!(
            change.sql(),
            r#"DELETE FROM "public"."t" WHERE "id"::text = '1' AND "Name" IS NULL RETURNING 1"#
        );
        assert_eq!(Change::of(&Message::Other, &relation([true, true])), None);
    }
}
