//! Whole statements.

use super::super::Order;
use super::{Column, Grammar, Item, Ty};

/// A query and what it gives.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) sql: String,
    pub(crate) order: Order,
    columns: Vec<Output>,
}

#[derive(Clone, Debug)]
struct Output {
    ty: Ty,
    canonical: bool,
    /// It is the key of a sharded table.
    key: bool,
}

impl Made {
    /// As a source in FROM: names for its columns, and what they are.
    pub(super) fn as_source(&self, alias: &str) -> (String, Item) {
        let names: Vec<String> = (1..=self.columns.len()).map(|n| format!("c{n}")).collect();
        let columns = names
            .iter()
            .zip(&self.columns)
            .map(|(name, output)| Column {
                sql: format!("{alias}.{name}"),
                ty: output.ty,
                canonical: output.canonical,
            });
        let key = self.columns.iter().position(|output| output.key);
        let item = Item {
            columns: columns.collect(),
            key: key.map(|at| format!("{alias}.c{}", at + 1)),
            unique: Vec::new(),
        };
        (names.join(", "), item)
    }

    fn is_canonical(&self) -> bool {
        self.columns.iter().all(|output| output.canonical)
    }
}

impl Grammar {
    /// A statement.
    pub(crate) fn statement(&mut self) -> Made {
        self.names = 0;
        let depth = *self.pick(&[0, 1, 1, 2]);
        let mut made = match self.below(10) {
            0 | 1 => self.with(depth),
            2 => self.set_operation(depth),
            _ => self.query(depth, None, false),
        };
        if made.is_canonical() && self.chance(55) {
            self.order(&mut made, true);
            made.order = Order::Exact;
        }
        made
    }

    /// Orders by every column, so that rows that tie are the same; and cuts.
    fn order(&mut self, made: &mut Made, may_be_whole: bool) {
        let mut keys: Vec<usize> = (1..=made.columns.len()).collect();
        let turn = self.below(keys.len());
        keys.rotate_left(turn);
        let keys: Vec<String> = keys
            .into_iter()
            .map(|key| {
                let order = *self.pick(&["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
                format!("{key}{order}")
            })
            .collect();
        made.sql = format!("{} ORDER BY {}", made.sql, keys.join(", "));
        if !may_be_whole || self.chance(50) {
            made.sql = format!("{} LIMIT {}", made.sql, 1 + self.below(30));
            if self.chance(40) {
                made.sql = format!("{} OFFSET {}", made.sql, self.below(20));
            }
        }
    }

    /// One SELECT. `want`: the types of its columns.
    pub(super) fn query(&mut self, depth: usize, want: Option<&[Ty]>, canonical: bool) -> Made {
        let (from, scope) = self.from(depth);
        let filter = match self.chance(55) {
            true => {
                let depth = *self.pick(&[0, 1, 1, 2]);
                format!(" WHERE {}", self.condition(&scope, depth))
            }
            false => String::new(),
        };
        match (want, self.below(10)) {
            (None, 0..=3) => self.grouped(&from, &scope, &filter, canonical),
            (None, 4) => self.whole(&from, &scope, &filter, canonical),
            (want, _) => self.rows(&from, &scope, &filter, want, canonical),
        }
    }

    /// A query inside another, which may be cut where its rows are the same on all sides.
    pub(super) fn inner(&mut self, depth: usize, canonical: bool) -> Made {
        let mut made = self.query(depth, None, canonical);
        if made.is_canonical() && self.chance(8) {
            self.order(&mut made, false);
        }
        made
    }

    fn rows(
        &mut self,
        from: &str,
        scope: &[Item],
        filter: &str,
        want: Option<&[Ty]>,
        canonical: bool,
    ) -> Made {
        let canonical = canonical || self.chance(50);
        let mut items = Vec::new();
        let mut columns = Vec::new();
        match want {
            Some(types) => {
                for ty in types {
                    items.push(self.value(scope, *ty, 1, true));
                    columns.push(Output {
                        ty: *ty,
                        canonical: true,
                        key: false,
                    });
                }
            }
            None => {
                let keys: Vec<&Item> = scope.iter().filter(|item| item.key.is_some()).collect();
                if !keys.is_empty() && self.chance(50) {
                    let key = self.pick(&keys).key.clone().unwrap_or_default();
                    let ty = if self.keys[0].starts_with('\'') {
                        Ty::Uuid
                    } else {
                        Ty::Big
                    };
                    items.push(key);
                    columns.push(Output {
                        ty,
                        canonical: true,
                        key: true,
                    });
                }
                for _ in 0..1 + self.below(3) {
                    let ty = self.some_type(scope, canonical);
                    items.push(self.value(scope, ty, 2, canonical));
                    let canonical = canonical || ty.canonical() && ty != Ty::Num;
                    columns.push(Output {
                        ty,
                        canonical,
                        key: false,
                    });
                }
                if self.chance(15) {
                    let (window, ty) = self.window(scope);
                    items.push(window);
                    columns.push(Output {
                        ty,
                        canonical: true,
                        key: false,
                    });
                }
            }
        }
        let distinct = match canonical && want.is_none() && self.chance(20) {
            true => "DISTINCT ",
            false => "",
        };
        Made {
            sql: format!("SELECT {distinct}{} FROM {from}{filter}", items.join(", ")),
            order: Order::Any,
            columns,
        }
    }

    /// Aggregates of everything: one row, or none.
    fn whole(&mut self, from: &str, scope: &[Item], filter: &str, canonical: bool) -> Made {
        let mut items = Vec::new();
        let mut columns = Vec::new();
        for _ in 0..1 + self.below(4) {
            let (aggregate, ty) = self.over_aggregates(scope, canonical);
            items.push(aggregate);
            let canonical = canonical || ty != Ty::Num;
            columns.push(Output {
                ty,
                canonical,
                key: false,
            });
        }
        let having = self.having(scope, 6);
        Made {
            sql: format!("SELECT {} FROM {from}{filter}{having}", items.join(", ")),
            order: Order::Any,
            columns,
        }
    }

    fn having(&mut self, scope: &[Item], percent: usize) -> String {
        if !self.chance(percent) {
            return String::new();
        }
        let (aggregate, ty) = self.aggregate(scope, false);
        let op = *self.pick(&[">", "<=", "<>"]);
        format!(" HAVING {aggregate} {op} {}", self.literal(ty))
    }

    fn grouped(&mut self, from: &str, scope: &[Item], filter: &str, canonical: bool) -> Made {
        let mut items = Vec::new();
        let mut columns = Vec::new();
        let keys: Vec<&Item> = scope.iter().filter(|item| item.key.is_some()).collect();
        if !keys.is_empty() && self.chance(35) {
            let key = self.pick(&keys).key.clone().unwrap_or_default();
            let ty = if self.keys[0].starts_with('\'') {
                Ty::Uuid
            } else {
                Ty::Big
            };
            items.push(key);
            columns.push(Output {
                ty,
                canonical: true,
                key: true,
            });
        }
        for _ in 0..if items.is_empty() {
            1 + self.below(2)
        } else {
            self.below(2)
        } {
            let ty = self.some_type(scope, true);
            items.push(self.value(scope, ty, 1, true));
            columns.push(Output {
                ty,
                canonical: true,
                key: false,
            });
        }
        let groups = items.len();
        for _ in 0..self.below(4) {
            let (aggregate, ty) = self.over_aggregates(scope, canonical);
            items.push(aggregate);
            let canonical = canonical || ty != Ty::Num;
            columns.push(Output {
                ty,
                canonical,
                key: false,
            });
        }
        let positions: Vec<String> = (1..=groups).map(|n| n.to_string()).collect();
        let group = match self.chance(8) {
            true => {
                columns[0].key = false;
                format!("ROLLUP ({})", positions.join(", "))
            }
            false => positions.join(", "),
        };
        let having = self.having(scope, 15);
        Made {
            sql: format!(
                "SELECT {} FROM {from}{filter} GROUP BY {group}{having}",
                items.join(", ")
            ),
            order: Order::Any,
            columns,
        }
    }

    /// Two or three queries of the same types.
    fn set_operation(&mut self, depth: usize) -> Made {
        let mut types = Vec::new();
        for _ in 0..1 + self.below(3) {
            let (_, item) = self.table();
            types.push(self.some_type(&[item], true));
        }
        let mut made = self.query(depth, Some(&types), true);
        made.sql = format!("({})", made.sql);
        for _ in 0..1 + self.below(2) {
            let other = self.query(depth.min(1), Some(&types), true);
            let operation = *self.pick(&[
                "UNION",
                "UNION ALL",
                "UNION ALL",
                "INTERSECT",
                "EXCEPT",
                "EXCEPT ALL",
            ]);
            made.sql = format!("({}) {operation} ({})", made.sql, other.sql);
        }
        made
    }

    /// A query over a common table expression, which may be used twice.
    fn with(&mut self, depth: usize) -> Made {
        let inner = self.inner(depth.min(1), true);
        let name = self.name("w");
        let (list, item) = inner.as_source(&name);
        let head = format!("WITH {name} ({list}) AS ({})", inner.sql);
        let mut scope = vec![item];
        let mut from = name.clone();
        if self.chance(60) {
            let (table, other) = match self.chance(40) {
                true => {
                    let alias = self.name("v");
                    let (_, item) = inner.as_source(&alias);
                    (format!("{name} AS {alias}"), item)
                }
                false => self.table(),
            };
            let kind = *self.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
            if let Some(on) = self.equality(&scope, &other) {
                from = format!("{from} {kind} {table} ON {on}");
                scope.push(other);
            }
        }
        let filter = match self.chance(50) {
            true => format!(" WHERE {}", self.condition(&scope, 1)),
            false => String::new(),
        };
        let mut made = match self.below(3) {
            0 => self.grouped(&from, &scope, &filter, false),
            1 => self.whole(&from, &scope, &filter, false),
            _ => self.rows(&from, &scope, &filter, None, false),
        };
        made.sql = format!("{head} {}", made.sql);
        made
    }
}
