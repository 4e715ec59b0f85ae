//! What groups and windows are asked.

use super::{Grammar, Item, Ty};

impl Grammar {
    /// An aggregate and its type; canonical if that is asked for.
    pub(super) fn aggregate(&mut self, scope: &[Item], canonical: bool) -> (String, Ty) {
        let distinct = *self.pick(&["", "", "", "DISTINCT "]);
        let (call, ty) = match self.below(11) {
            0 => ("count(*)".to_owned(), Ty::Big),
            1 => {
                let ty = self.some_type(scope, false);
                (
                    format!("count({distinct}{})", self.value(scope, ty, 1, false)),
                    Ty::Big,
                )
            }
            2 | 3 => {
                let value = self.value(scope, Ty::Int, 1, false);
                (format!("sum({distinct}{value})"), Ty::Big)
            }
            4 => (
                format!("sum({})", self.value(scope, Ty::Num, 1, false)),
                Ty::Num,
            ),
            5 => {
                let ty = *self.pick(&[Ty::Int, Ty::Num]);
                let function = *self.pick(&["avg", "avg", "stddev", "var_pop"]);
                (
                    format!("{function}({distinct}{})", self.value(scope, ty, 1, false)),
                    Ty::Num,
                )
            }
            6 | 7 => {
                let ty = self.ordered_type(scope);
                let function = *self.pick(&["min", "max"]);
                (
                    format!("{function}({})", self.value(scope, ty, 1, true)),
                    ty,
                )
            }
            8 => {
                let function = *self.pick(&["bool_and", "bool_or"]);
                (
                    format!("{function}({})", self.condition(scope, 0)),
                    Ty::Bool,
                )
            }
            9 => {
                let function = *self.pick(&["bit_or", "bit_and"]);
                (
                    format!("{function}({})", self.value(scope, Ty::Int, 0, false)),
                    Ty::Int,
                )
            }
            _ => {
                let ty = *self.pick(&[Ty::Text("C"), Ty::Text("default"), Ty::Text("lexical")]);
                match self.column(scope, ty, true) {
                    Some(text) => (
                        format!("string_agg({distinct}{text}, ',' ORDER BY {text})"),
                        ty,
                    ),
                    None => ("count(*)".to_owned(), Ty::Big),
                }
            }
        };
        let call = match self.chance(22) {
            true => format!("{call} FILTER (WHERE {})", self.condition(scope, 0)),
            false => call,
        };
        match ty {
            Ty::Num if canonical => (format!("round({call}, 3)"), ty),
            _ => (call, ty),
        }
    }

    /// A type whose values have an order, and one form each.
    fn ordered_type(&mut self, scope: &[Item]) -> Ty {
        for _ in 0..8 {
            let ty = self.some_type(scope, true);
            if !matches!(ty, Ty::Bool | Ty::Uuid) {
                return ty;
            }
        }
        Ty::Int
    }

    /// An expression over aggregates.
    pub(super) fn over_aggregates(&mut self, scope: &[Item], canonical: bool) -> (String, Ty) {
        let (a, ty) = self.aggregate(scope, canonical);
        if !self.chance(35) {
            return (a, ty);
        }
        match ty {
            Ty::Big => {
                let b = self.value(scope, Ty::Int, 0, false);
                match self.below(4) {
                    0 => (format!("{a} - count(*)"), ty),
                    1 => (format!("coalesce({a}, 0) - coalesce(sum({b}), 0)"), ty),
                    2 => (format!("CASE WHEN {a} > 10 THEN {a} END"), ty),
                    _ => (format!("{a} * 2"), ty),
                }
            }
            Ty::Text(_) => (format!("coalesce({a}, '-')"), ty),
            Ty::Num if !canonical => (format!("{a} / nullif(count(*), 0)"), ty),
            _ => (a, ty),
        }
    }

    /// A window function and its type.
    pub(super) fn window(&mut self, scope: &[Item]) -> (String, Ty) {
        let mut parts = Vec::new();
        let keys: Vec<String> = scope.iter().filter_map(|item| item.key.clone()).collect();
        if !keys.is_empty() && self.chance(60) {
            parts.push(self.pick(&keys).clone());
        }
        if parts.is_empty() || self.chance(30) {
            let ty = self.some_type(scope, true);
            parts.extend(self.column(scope, ty, true));
        }
        let partition = match parts.is_empty() || self.chance(15) {
            true => String::new(),
            false => format!("PARTITION BY {} ", parts.join(", ")),
        };
        let told_apart = scope.iter().all(|item| !item.unique.is_empty());
        if told_apart && self.chance(40) {
            let order: Vec<String> = scope.iter().flat_map(|item| item.unique.clone()).collect();
            let window = format!("{partition}ORDER BY {}", order.join(", "));
            let column = self.value(scope, Ty::Int, 0, false);
            return match self.below(3) {
                0 => (format!("row_number() OVER ({window})"), Ty::Big),
                1 => (format!("lag({column}) OVER ({window})"), Ty::Int),
                _ => (
                    format!(
                        "sum({column}) OVER ({window} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
                    ),
                    Ty::Big,
                ),
            };
        }
        let ty = self.ordered_type(scope);
        let by = self.value(scope, ty, 0, true);
        let column = self.value(scope, Ty::Int, 0, false);
        match self.below(4) {
            0 => (format!("rank() OVER ({partition}ORDER BY {by})"), Ty::Big),
            1 => (format!("count(*) OVER ({partition})"), Ty::Big),
            2 => (
                format!("sum({column}) OVER ({partition}ORDER BY {by})"),
                Ty::Big,
            ),
            _ => (format!("max({column}) OVER ({partition})"), Ty::Int),
        }
    }
}
