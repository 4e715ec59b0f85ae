//! FROM clauses.

use super::{Column, Grammar, Item, Ty};

impl Grammar {
    /// A table under an alias of its own.
    pub(super) fn table(&mut self) -> (String, Item) {
        let tables = self.tables;
        let table = self.pick(tables);
        let alias = self.name("t");
        let of = |column: &str| format!("{alias}.{column}");
        let columns = table.columns.iter().map(|(name, ty)| Column {
            sql: of(name),
            ty: *ty,
            canonical: ty.canonical(),
        });
        let item = Item {
            columns: columns.collect(),
            key: table.key.map(of),
            unique: table.unique.iter().map(|name| of(name)).collect(),
        };
        (format!("{} AS {alias}", table.name), item)
    }

    /// A table, or a query in parentheses.
    fn source(&mut self, depth: usize) -> (String, Item) {
        if depth == 0 || self.chance(75) {
            return self.table();
        }
        let made = self.inner(depth - 1, false);
        let alias = self.name("q");
        let (list, item) = made.as_source(&alias);
        (format!("({}) AS {alias} ({list})", made.sql), item)
    }

    /// One to four sources, joined.
    pub(super) fn from(&mut self, depth: usize) -> (String, Vec<Item>) {
        let (mut sql, first) = self.source(depth);
        let mut scope = vec![first];
        let more = *self.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 3]);
        for _ in 0..more {
            let (next, item) = self.source(depth);
            let kind = *self.pick(&[
                "JOIN",
                "JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
            ]);
            let Some(equal) = self.equality(&scope, &item) else {
                // Nothing to join by: only what is small is worth it.
                continue;
            };
            let mut on = equal;
            // A full join takes equalities only.
            if kind != "FULL JOIN" && self.chance(25) {
                let all = [&scope[..], std::slice::from_ref(&item)].concat();
                on = format!("{on} AND {}", self.condition(&all, 0));
            }
            sql = format!("{sql} {kind} {next} ON {on}");
            scope.push(item);
        }
        (sql, scope)
    }

    /// How a source is joined to those before it: by the key mostly.
    pub(super) fn equality(&mut self, scope: &[Item], item: &Item) -> Option<String> {
        let keys: Vec<String> = scope.iter().filter_map(|item| item.key.clone()).collect();
        let mut parts = Vec::new();
        if let (Some(key), false) = (&item.key, keys.is_empty())
            && self.chance(75)
        {
            parts.push(format!("{key} = {}", self.pick(&keys)));
        }
        if parts.is_empty() || self.chance(50) {
            for _ in 0..6 {
                let ty = self.some_type(std::slice::from_ref(item), true);
                // These have few values: the product would be large.
                if matches!(ty, Ty::Bool | Ty::Mood) {
                    continue;
                }
                let a = self.column(std::slice::from_ref(item), ty, true);
                let b = self.column(scope, ty, true);
                if let (Some(a), Some(b)) = (a, b) {
                    parts.push(format!("{a} = {b}"));
                    break;
                }
            }
        }
        (!parts.is_empty()).then(|| parts.join(" AND "))
    }
}
