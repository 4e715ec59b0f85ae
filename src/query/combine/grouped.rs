//! Columns that hang on a primary key in GROUP BY.
//!
//! PostgreSQL lets a grouped query name any column of a table whose primary key it groups by. Of rows
//! that were gathered it does not know the key; all rows of a group have the same value, of which the
//! first is taken.

use std::collections::HashSet;

use sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions,
    Select, SelectItem, Subscript, Value,
};

use crate::query::bind::{Items, Kind};
use crate::query::catalog::Catalog;
use crate::query::closed;
use crate::query::keys::{self, Col};
use crate::query::tree::{self, NodeMut};

/// The columns of these aliases that hang on a primary key that is grouped by.
pub(super) struct Dependent<'a> {
    items: &'a Items,
    aliases: HashSet<String>,
}

impl<'a> Dependent<'a> {
    pub(super) fn of(group_by: &[Expr], items: &'a Items, aliases: &[String]) -> Self {
        let grouped: HashSet<Col> = group_by.iter().filter_map(keys::col).collect();
        let keyed = aliases.iter().filter(|alias| {
            let Some(Kind::Table(table)) = items.items.get(*alias).map(|item| &item.kind) else {
                return false;
            };
            let mut key = table.primary_key.iter();
            !table.primary_key.is_empty()
                && key.all(|name| {
                    let written = items.written(alias, table, name);
                    written.is_some_and(|name| grouped.contains(&((*alias).clone(), name)))
                })
        });
        Dependent {
            items,
            aliases: keyed.cloned().collect(),
        }
    }

    pub(super) fn has(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::CompoundIdentifier(_))
            && keys::col(expr).is_some_and(|(alias, _)| {
                self.aliases.contains(&alias) && self.items.items.contains_key(&alias)
            })
    }
}

impl Dependent<'_> {
    /// The value that all rows of a group have, of such a column; `of` is what stands for it.
    pub(super) fn value(&self, column: &Expr, of: Expr) -> Expr {
        let ty = keys::col(column)
            .and_then(|(alias, name)| self.items.table_column(&alias, &name))
            .map_or("", |column| column.ty.as_str());
        match is_element(ty) {
            true => first_of(of),
            false => mode_of(of),
        }
    }
}

/// Whether an array of a type has its values as elements: not that of an array, nor of a domain that may
/// be over one.
fn is_element(ty: &str) -> bool {
    const PLAIN: &[&str] = &[
        "bigint",
        "bit",
        "boolean",
        "bytea",
        "character",
        "cidr",
        "date",
        "double",
        "inet",
        "integer",
        "interval",
        "json",
        "jsonb",
        "money",
        "name",
        "numeric",
        "real",
        "smallint",
        "text",
        "time",
        "timestamp",
        "uuid",
        "xml",
    ];
    let base = ty.split(['(', ' ']).next().unwrap_or_default();
    !ty.ends_with("[]") && PLAIN.contains(&base)
}

/// The same for any type that has an order.
fn mode_of(expr: Expr) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new("mode"))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: Vec::new(),
            clauses: Vec::new(),
        }),
        within_group: vec![OrderByExpr {
            expr,
            options: OrderByOptions {
                sort: None,
                nulls_first: None,
            },
            with_fill: None,
        }],
        filter: None,
        null_treatment: None,
        over: None,
    })
}

/// The value that all rows of a group have.
fn first_of(expr: Expr) -> Expr {
    let call = Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new("array_agg"))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))],
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    });
    Expr::CompoundFieldAccess {
        root: Box::new(Expr::Nested(Box::new(call))),
        access_chain: vec![AccessExpr::Subscript(Subscript::Index {
            index: Expr::Value(Value::Number("1".to_owned(), false).with_empty_span()),
        })],
    }
}

/// Writes out which value of a dependent column is meant.
pub(super) fn complete(
    select: &mut Select,
    order: &mut [OrderByExpr],
    items: &Items,
    aliases: &[String],
    catalog: &Catalog,
) {
    let group_by = match &select.group_by {
        GroupByExpr::Expressions(list, _) if !list.is_empty() => list.clone(),
        _ => return,
    };
    let dependent = Dependent::of(&group_by, items, aliases);
    if dependent.aliases.is_empty() {
        return;
    }
    let mut change = |expr: &mut Expr| complete_expr(expr, &group_by, &dependent, catalog);
    for item in &mut select.projection {
        let name = crate::query::names::of_item(item).unwrap_or_default();
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            change(expr);
            let expr = expr.clone();
            *item = SelectItem::ExprWithAlias {
                expr,
                alias: Ident::with_quote('"', name),
            };
        }
    }
    if let Some(having) = &mut select.having {
        change(having);
    }
    for key in order {
        change(&mut key.expr);
    }
    if let Some(sqlparser::ast::Distinct::On(list)) = &mut select.distinct {
        list.iter_mut().for_each(&mut change);
    }
}

fn complete_expr(expr: &mut Expr, group_by: &[Expr], dependent: &Dependent<'_>, catalog: &Catalog) {
    if group_by.contains(expr) {
        return;
    }
    if let Expr::Function(function) = expr
        && closed::is_aggregate(function, catalog)
    {
        return;
    }
    if dependent.has(expr) {
        *expr = dependent.value(expr, expr.clone());
        return;
    }
    tree::children_mut(expr, &mut |node| match node {
        NodeMut::Expr(inner) => complete_expr(inner, group_by, dependent, catalog),
        // A subquery names the columns of its group; an aggregate there would be its own.
        NodeMut::Query(_) => {}
    });
}
