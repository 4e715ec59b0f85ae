//! Values.

use super::{Grammar, Item, Ty};

impl Grammar {
    /// A type that one of these columns has.
    pub(super) fn some_type(&mut self, scope: &[Item], canonical: bool) -> Ty {
        let types: Vec<Ty> = scope
            .iter()
            .flat_map(|item| &item.columns)
            .map(|column| column.ty)
            .filter(|ty| *ty != Ty::Other && (!canonical || ty.canonical() || *ty == Ty::Num))
            .collect();
        if types.is_empty() {
            Ty::Int
        } else {
            *self.pick(&types)
        }
    }

    /// A column of a type.
    pub(super) fn column(&mut self, scope: &[Item], ty: Ty, canonical: bool) -> Option<String> {
        let columns: Vec<&str> = scope
            .iter()
            .flat_map(|item| &item.columns)
            .filter(|column| column.ty == ty && (!canonical || column.canonical))
            .map(|column| column.sql.as_str())
            .collect();
        (!columns.is_empty()).then(|| (*self.pick(&columns)).to_owned())
    }

    pub(super) fn literal(&mut self, ty: Ty) -> String {
        if self.chance(6) {
            return self.null(ty);
        }
        let n = self.below(23) as i64 - 8;
        match ty {
            Ty::Int => n.to_string(),
            Ty::Big => format!("{}", self.below(70)),
            Ty::Num | Ty::Huge => {
                (*self.pick(&["0", "10.50", "-250.25", "1.5", "3000", "0.000"])).to_owned()
            }
            Ty::F4 | Ty::F8 => {
                (*self.pick(&["0", "'NaN'", "2.25", "-1e3", "'Infinity'"])).to_owned()
            }
            Ty::Text(_) | Ty::Nocase => (*self.pick(&[
                "'buy'", "'Buy'", "'apple'", "'EUR'", "'phone'", "''", "'é'", "'a_b'", "'open'",
                "'DE'", "'rent'", "'chrome'",
            ]))
            .to_owned(),
            Ty::Bool => (*self.pick(&["true", "false"])).to_owned(),
            Ty::Ts => format!(
                "timestamp '2024-01-{:02} 13:00:07.091916'",
                1 + self.below(28)
            ),
            Ty::Tz => format!(
                "timestamptz '2024-01-{:02} 01:00:00.5+00'",
                1 + self.below(28)
            ),
            Ty::Date => format!("date '2024-01-{:02}'", 1 + self.below(28)),
            Ty::Uuid => match self.keys[0].starts_with('\'') {
                true => format!("{}::uuid", self.pick(self.keys)),
                false => "'80000000-0000-0000-0000-000000000000'::uuid".to_owned(),
            },
            Ty::Mood => "'calm'::mood".to_owned(),
            Ty::Span => "interval '30 days'".to_owned(),
            Ty::Other => "NULL::int[]".to_owned(),
        }
    }

    fn null(&mut self, ty: Ty) -> String {
        let ty = match ty {
            Ty::Int => "int",
            Ty::Big => "bigint",
            Ty::Num | Ty::Huge => "numeric",
            Ty::F4 => "real",
            Ty::F8 => "float8",
            Ty::Text(_) | Ty::Nocase => "text",
            Ty::Bool => "bool",
            Ty::Ts => "timestamp",
            Ty::Tz => "timestamptz",
            Ty::Date => "date",
            Ty::Uuid => "uuid",
            Ty::Mood => "mood",
            Ty::Span => "interval",
            Ty::Other => "int[]",
        };
        format!("NULL::{ty}")
    }

    /// An expression of a type; canonical if that is asked for.
    pub(super) fn value(
        &mut self,
        scope: &[Item],
        ty: Ty,
        depth: usize,
        canonical: bool,
    ) -> String {
        if ty == Ty::Num && canonical {
            let inner = self.value(scope, ty, depth, false);
            return format!("round({inner}, 2)");
        }
        if depth == 0 || self.chance(45) {
            let column = self.column(scope, ty, canonical);
            return column.unwrap_or_else(|| self.literal(ty));
        }
        let depth = depth - 1;
        if self.chance(20) {
            let (when, a, b) = (
                self.condition(scope, 1),
                self.value(scope, ty, depth, canonical),
                self.value(scope, ty, depth, canonical),
            );
            return format!("CASE WHEN {when} THEN {a} ELSE {b} END");
        }
        if self.chance(20) {
            let (a, b) = (self.value(scope, ty, depth, canonical), self.literal(ty));
            let function = *self.pick(&["coalesce", "nullif", "greatest", "least"]);
            return format!("{function}({a}, {b})");
        }
        let a = self.value(scope, ty, depth, canonical);
        match ty {
            Ty::Int => {
                let b = self.value(scope, ty, 0, false);
                match self.below(6) {
                    0 => format!("({a} + {b})"),
                    1 => format!("({a} - {b})"),
                    2 => format!("({a} % 5)"),
                    3 => format!("abs({a})"),
                    4 => format!("({a} * 2)"),
                    _ => self.text_length(scope).unwrap_or(a),
                }
            }
            Ty::Big => {
                let by = 2 + self.below(6);
                format!("({a} % {by})")
            }
            Ty::Num => {
                let b = self.value(scope, ty, 0, false);
                match self.below(4) {
                    0 => format!("({a} + {b})"),
                    1 => format!("({a} * 1.5)"),
                    2 => format!("(- {a})"),
                    _ => format!("trunc({a})"),
                }
            }
            Ty::Text(_) => match self.below(5) {
                0 => format!("lower({a})"),
                1 => format!("upper({a})"),
                2 => format!("left({a}, 2)"),
                3 => format!("({a} || '!')"),
                _ => format!("replace({a}, 'e', '_')"),
            },
            Ty::Ts | Ty::Tz => match self.below(2) {
                0 => format!("date_trunc('day', {a})"),
                _ => format!("({a} + interval '36 hours')"),
            },
            Ty::Date => format!("({a} + 1)"),
            Ty::Bool => self.condition(scope, 1),
            _ => a,
        }
    }

    fn text_length(&mut self, scope: &[Item]) -> Option<String> {
        let ty = *self.pick(&[Ty::Text("C"), Ty::Text("default"), Ty::Text("lexical")]);
        let column = self.column(scope, ty, true)?;
        Some(format!("char_length({column})"))
    }
}
