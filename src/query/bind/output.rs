//! The select list, and what names its columns elsewhere: by name, by position, by a star.

use sqlparser::ast::{
    Expr, Ident, ObjectName, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned, Value,
};

use super::{Binder, column, unknown, unknown_columns};
use crate::query::names::{self, folded};
use crate::query::refusal::Refusal;
use crate::query::tree;

impl Binder<'_> {
    pub(super) fn item(
        &mut self,
        item: SelectItem,
        projection: &mut Vec<SelectItem>,
        names: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        match item {
            SelectItem::Wildcard(options) if plain(&options) => {
                let scope = self.scopes.last().cloned().unwrap_or_default();
                for (_, unique) in &scope.aliases {
                    if self.columns_of(unique).is_none() {
                        return Err(unknown_columns(unique).at(options.span()));
                    }
                }
                self.stars = true;
                for column in scope.columns {
                    names.push(column.name.clone());
                    projection.push(named(column.expr, &column.name));
                }
                Ok(())
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if plain(&options) => {
                let alias = names::parts(&name)
                    .and_then(|parts| self.alias(&parts))
                    .ok_or_else(|| unknown(&format!("{name}.*")).at(name.span()))?;
                let columns = self
                    .columns_of(&alias)
                    .ok_or_else(|| unknown_columns(&alias).at(name.span()))?
                    .to_vec();
                self.stars = true;
                for name in columns {
                    projection.push(SelectItem::UnnamedExpr(column(&alias, &name)));
                    names.push(name);
                }
                Ok(())
            }
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {
                let name = names::of_item(&item).ok_or_else(|| unknown(&item.to_string()))?;
                let mut expr = match item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
                    _ => return Ok(()),
                };
                self.expr(&mut expr)?;
                projection.push(named(expr, &name));
                names.push(name);
                Ok(())
            }
            other => Err(unknown(&other.to_string()).at(other.span())),
        }
    }

    /// A bare name in GROUP BY is a column if there is one, else an output.
    pub(super) fn group(
        &mut self,
        expr: &mut Expr,
        projection: &[SelectItem],
        names: &[String],
    ) -> Result<(), Refusal> {
        match expr {
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                for expr in sets.iter_mut().flatten() {
                    // Of two outputs that are one expression, a set may hold one and not the other.
                    let twice = output(expr, names).filter(|at| {
                        let item = projection.get(*at).map(item_expr);
                        projection
                            .iter()
                            .filter(|other| Some(item_expr(other)) == item)
                            .count()
                            > 1
                    });
                    match twice {
                        Some(at) if !self.is_column(expr) => *expr = position(at),
                        _ => self.group(expr, projection, names)?,
                    }
                }
                return Ok(());
            }
            Expr::Tuple(list) => {
                for expr in list {
                    self.group(expr, projection, names)?;
                }
                return Ok(());
            }
            _ => {}
        }
        let is_column = self.is_column(expr);
        let item = match is_column {
            true => None,
            false => output(expr, names).and_then(|at| projection.get(at)),
        };
        match item.map(item_expr) {
            // A literal would be a position again.
            Some(Expr::Value(_)) => Ok(()),
            // A subquery is not written twice: its two answers would not be known to be one.
            Some(item) if tree::holds_query(item) => {
                *expr = position(output(expr, names).unwrap_or_default());
                Ok(())
            }
            Some(item) => {
                *expr = item.clone();
                Ok(())
            }
            None => self.expr(expr),
        }
    }

    /// Whether a bare name is a column of the innermost level.
    fn is_column(&self, expr: &Expr) -> bool {
        match tree::bare(expr) {
            Expr::Identifier(ident) => {
                let name = folded(ident);
                let scope = self.scopes.last();
                scope.is_some_and(|scope| scope.columns.iter().any(|c| c.name == name))
            }
            _ => false,
        }
    }
}

/// `TABLE t`, as a SELECT.
pub(super) fn table_body(table: &sqlparser::ast::Table) -> Option<SetExpr> {
    use sqlparser::ast::{ObjectNamePart, WildcardAdditionalOptions};
    let parts = table.schema_name.iter().chain(&table.table_name).cloned();
    let mut item = crate::query::combine::table(0);
    if let sqlparser::ast::TableFactor::Table { name, .. } = &mut item.relation {
        *name = ObjectName(parts.map(ObjectNamePart::Identifier).collect());
    }
    table.table_name.as_ref()?;
    let star = SelectItem::Wildcard(WildcardAdditionalOptions::default());
    Some(*crate::query::combine::select_of(vec![star], vec![item]).body)
}

/// A select item with this name.
fn named(expr: Expr, name: &str) -> SelectItem {
    let item = SelectItem::UnnamedExpr(expr);
    match names::of_item(&item).as_deref() == Some(name) {
        true => item,
        false => {
            let SelectItem::UnnamedExpr(expr) = item else {
                return item;
            };
            SelectItem::ExprWithAlias {
                expr,
                alias: Ident::with_quote('"', name),
            }
        }
    }
}

/// The expression of a select item.
pub(in crate::query) fn item_expr(item: &SelectItem) -> &Expr {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
        // Written out by then.
        _ => &NOTHING,
    }
}

static NOTHING: Expr = Expr::Value(sqlparser::ast::ValueWithSpan {
    value: Value::Null,
    span: sqlparser::tokenizer::Span {
        start: sqlparser::tokenizer::Location { line: 0, column: 0 },
        end: sqlparser::tokenizer::Location { line: 0, column: 0 },
    },
});

/// The output that an expression of ORDER BY or DISTINCT ON names: by its name, or by its position.
///
/// PostgreSQL's grammar drops parentheses: `(n)` is the name, and `(1)` the position.
pub(super) fn output(expr: &Expr, names: &[String]) -> Option<usize> {
    match tree::bare(expr) {
        Expr::Identifier(ident) => {
            let name = folded(ident);
            names.iter().position(|known| *known == name)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// A position in the select list, from 0, as SQL writes it.
pub(in crate::query) fn position(at: usize) -> Expr {
    Expr::Value(Value::Number((at + 1).to_string(), false).with_empty_span())
}

pub(super) fn to_position(expr: &mut Expr, names: &[String]) -> Result<(), Refusal> {
    let at = output(expr, names).ok_or_else(|| unknown(&expr.to_string()).at(expr.span()))?;
    *expr = position(at);
    Ok(())
}

/// The names that the first arm of a recursive query gives.
pub(super) fn first_names(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(names::of_item).collect(),
        SetExpr::SetOperation { left, .. } => first_names(left),
        SetExpr::Query(query) => first_names(&query.body),
        SetExpr::Values(values) => {
            let width = values.rows.first()?.content.len();
            Some((1..=width).map(|n| format!("column{n}")).collect())
        }
        _ => None,
    }
}

fn plain(options: &sqlparser::ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}
