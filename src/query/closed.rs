//! What a part of a statement names that stands outside of it.
//!
//! Aliases are unique by then, so that it takes no scopes to tell.

use std::collections::HashSet;

use sqlparser::ast::{Expr, Function, Query, Select, SetExpr, TableFactor, TableWithJoins};

use super::bind::builtin_name;
use super::catalog::Catalog;
use super::spread;
use super::tree::{self, Node};

/// The alias of an item of FROM.
pub(super) fn alias(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref().map(|alias| alias.name.value.clone()),
        _ => None,
    }
}

/// The aliases of a tree of joins.
pub(super) fn tree_aliases(tree: &TableWithJoins) -> Vec<String> {
    let of = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => tree_aliases(table_with_joins),
        other => alias(other).into_iter().collect(),
    };
    let mut out = of(&tree.relation);
    out.extend(tree.joins.iter().flat_map(|join| of(&join.relation)));
    out
}

/// The aliases of a FROM clause.
pub(super) fn aliases(select: &Select) -> Vec<String> {
    select.from.iter().flat_map(tree_aliases).collect()
}

/// All aliases that are given inside a query.
pub(super) fn declared(query: &Query) -> HashSet<String> {
    let mut out = HashSet::new();
    declare(query, &mut out);
    out
}

fn declare(query: &Query, out: &mut HashSet<String>) {
    declare_set(&query.body, out);
    tree::query_nodes(query, &mut |node| declare_node(node, out));
}

fn declare_node(node: Node<'_>, out: &mut HashSet<String>) {
    match node {
        Node::Query(query) => declare(query, out),
        Node::Expr(expr) => {
            tree::children(expr, &mut |node| declare_node(node, out));
        }
    }
}

fn declare_set(body: &SetExpr, out: &mut HashSet<String>) {
    match body {
        SetExpr::Select(select) => out.extend(aliases(select)),
        SetExpr::SetOperation { left, right, .. } => {
            declare_set(left, out);
            declare_set(right, out);
        }
        _ => {}
    }
}

/// The alias that an expression names itself.
fn named(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::CompoundIdentifier(parts) => parts.first().map(|part| part.value.as_str()),
        Expr::Identifier(ident) => Some(&ident.value),
        _ => None,
    }
}

/// The aliases that an expression names, but those that it gives itself in subqueries.
pub(super) fn names_in(expr: &Expr) -> HashSet<String> {
    let mut used = HashSet::new();
    let mut given = HashSet::new();
    tree::any_expr(expr, &mut |expr| {
        used.extend(named(expr).map(str::to_owned));
        false
    });
    declare_node(Node::Expr(expr), &mut given);
    used.retain(|alias| !given.contains(alias));
    used
}

/// The aliases that a query names and does not give.
pub(super) fn free(query: &Query) -> HashSet<String> {
    let given = declared(query);
    let mut used = HashSet::new();
    tree::any_in_query(query, &mut |expr| {
        used.extend(named(expr).map(str::to_owned));
        false
    });
    used.retain(|alias| !given.contains(alias));
    used
}

/// The CTEs that a query names and does not define.
pub(super) fn free_ctes(query: &Query) -> HashSet<String> {
    let mut used = HashSet::new();
    spread::each_table(query, &mut |name| {
        used.insert(name.to_owned());
    });
    let mut given = HashSet::new();
    defined(query, &mut given);
    used.retain(|name| !given.contains(name));
    used
}

fn defined(query: &Query, out: &mut HashSet<String>) {
    use std::ops::ControlFlow;
    struct Ctes<'a>(&'a mut HashSet<String>);
    impl sqlparser::ast::Visitor for Ctes<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
                self.0.insert(cte.alias.name.value.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let _ = sqlparser::ast::Visit::visit(query, &mut Ctes(out));
}

/// Whether a call aggregates the rows of its level.
pub(super) fn is_aggregate(function: &Function, catalog: &Catalog) -> bool {
    // SQL/JSON's are part of the grammar, and no functions of the catalogue.
    let is_one = |name: String| {
        matches!(name.as_str(), "json_arrayagg" | "json_objectagg")
            || catalog.function(&name).aggregate
    };
    function.over.is_none() && builtin_or_own(function).is_some_and(is_one)
}

fn builtin_or_own(function: &Function) -> Option<String> {
    builtin_name(function).or_else(|| super::names::parts(&function.name)?.pop())
}

/// Whether a subquery of an expression holds an aggregate that belongs outside of the subquery, as its
/// arguments all do.
pub(super) fn aggregates_outside(expr: &Expr, catalog: &Catalog) -> bool {
    let mut found = false;
    tree::children(expr, &mut |node| {
        found = found
            || match node {
                Node::Expr(inner) => aggregates_outside(inner, catalog),
                Node::Query(query) => {
                    let given = declared(query);
                    tree::any_in_query(query, &mut |expr| match expr {
                        Expr::Function(function) if is_aggregate(function, catalog) => {
                            // Its FILTER and its ORDER BY count as well.
                            let used = names_in(expr);
                            !used.is_empty() && used.is_disjoint(&given)
                        }
                        _ => false,
                    })
                }
            };
    });
    found
}
