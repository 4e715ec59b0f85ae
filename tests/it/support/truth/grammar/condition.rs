//! Truths: comparisons full of NULLs, keys, subqueries.

use super::{Grammar, Item, Ty};

impl Grammar {
    pub(super) fn condition(&mut self, scope: &[Item], depth: usize) -> String {
        if depth > 0 && self.chance(40) {
            let (a, b) = (
                self.condition(scope, depth - 1),
                self.condition(scope, depth - 1),
            );
            return match self.below(5) {
                0 | 1 => format!("({a} AND {b})"),
                2 | 3 => format!("({a} OR {b})"),
                _ => format!("NOT ({a})"),
            };
        }
        if depth > 0 && self.chance(18) {
            return self.with_subquery(scope);
        }
        if self.chance(15)
            && let Some(key) = self.key_condition(scope)
        {
            return key;
        }
        self.comparison(scope, depth.min(1))
    }

    fn comparison(&mut self, scope: &[Item], depth: usize) -> String {
        let ty = self.some_type(scope, false);
        let a = self.value(scope, ty, depth, false);
        match self.below(9) {
            0 => format!("{a} IS NULL"),
            1 => format!("{a} IS NOT NULL"),
            2 => {
                let b = self.value(scope, ty, 0, false);
                let not = *self.pick(&["", "NOT "]);
                format!("{a} IS {not}DISTINCT FROM {b}")
            }
            3 => {
                let (b, c) = (self.literal(ty), self.literal(ty));
                let not = *self.pick(&["", "NOT "]);
                format!("{a} {not}BETWEEN {b} AND {c}")
            }
            4 => {
                let list: Vec<String> = (0..1 + self.below(3)).map(|_| self.literal(ty)).collect();
                let not = *self.pick(&["", "", "NOT "]);
                format!("{a} {not}IN ({})", list.join(", "))
            }
            5 if matches!(ty, Ty::Text(_)) => {
                let pattern = *self.pick(&["'%e%'", "'a%'", "'%\\_%'", "'_u%'"]);
                let like = *self.pick(&["LIKE", "ILIKE", "NOT LIKE"]);
                format!("{a} {like} {pattern}")
            }
            5 if ty == Ty::Bool => format!("{a} IS NOT TRUE"),
            6 => {
                let other = self.some_type(scope, false);
                let (b, c, d) = (
                    self.column(scope, other, false)
                        .unwrap_or_else(|| self.literal(other)),
                    self.literal(ty),
                    self.literal(other),
                );
                let op = *self.pick(&["=", "<", ">=", "<>"]);
                format!("({a}, {b}) {op} ({c}, {d})")
            }
            _ => {
                let op = *self.pick(&["=", "<>", "<>", "<", "<=", ">", ">="]);
                let b = match self.chance(40) {
                    true => self.value(scope, ty, 0, false),
                    false => self.literal(ty),
                };
                format!("{a} {op} {b}")
            }
        }
    }

    pub(super) fn key_condition(&mut self, scope: &[Item]) -> Option<String> {
        let keys: Vec<String> = scope.iter().filter_map(|item| item.key.clone()).collect();
        if keys.is_empty() {
            return None;
        }
        let key = self.pick(&keys).clone();
        let (a, b) = (*self.pick(self.keys), *self.pick(self.keys));
        let ty = if self.keys[0].starts_with('\'') {
            "uuid"
        } else {
            "bigint"
        };
        Some(match self.below(6) {
            0 | 1 => format!("{key} = {a}"),
            2 => format!("{key} IN ({a}, {b})"),
            3 => format!("{key} = ANY (ARRAY[{a}, {b}]::{ty}[])"),
            4 => format!("({key} = {a} OR {key} = {b})"),
            _ => format!("{key} <> {a}"),
        })
    }

    /// EXISTS, IN, or a comparison with a scalar, correlated or not.
    fn with_subquery(&mut self, scope: &[Item]) -> String {
        let (from, inner) = self.table();
        let inner = vec![inner];
        let mut conditions = Vec::new();
        match self.below(4) {
            // By the key.
            0 | 1 => {
                let outer: Vec<String> = scope.iter().filter_map(|item| item.key.clone()).collect();
                if let (Some(key), false) = (&inner[0].key, outer.is_empty()) {
                    conditions.push(format!("{key} = {}", self.pick(&outer)));
                }
            }
            // By something else.
            2 => {
                let ty = self.some_type(&inner, true);
                if let (Some(a), Some(b)) = (
                    self.column(&inner, ty, false),
                    self.column(scope, ty, false),
                ) {
                    conditions.push(format!("{a} = {b}"));
                }
            }
            _ => {}
        }
        if conditions.is_empty() || self.chance(60) {
            conditions.push(self.comparison(&inner, 1));
        }
        let filter = conditions.join(" AND ");
        let not = *self.pick(&["", "", "NOT "]);
        match self.below(3) {
            0 => format!("{not}EXISTS (SELECT 1 FROM {from} WHERE {filter})"),
            1 => {
                let ty = self.some_type(scope, false);
                let (a, b) = (
                    self.value(scope, ty, 0, false),
                    self.value(&inner, ty, 0, false),
                );
                format!("{a} {not}IN (SELECT {b} FROM {from} WHERE {filter})")
            }
            _ => {
                let (aggregate, ty) = self.aggregate(&inner, false);
                let a = self.value(scope, ty, 0, false);
                let op = *self.pick(&["=", "<", ">=", "<>"]);
                format!("{a} {op} (SELECT {aggregate} FROM {from} WHERE {filter})")
            }
        }
    }
}
