//! The FROM clause of a query that one node runs: rows gathered stand in the place of tables.

use std::collections::{HashMap, HashSet};

use sqlparser::ast::{
    Distinct, Expr, Ident, JoinOperator, OrderByExpr, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins,
};

use super::fragment::{self, select_of};
use super::{Stop, Work};
use crate::query::bind::from::derived;
use crate::query::bind::{Kind, column, position};
use crate::query::catalog::Placement;
use crate::query::closed;
use crate::query::keys::{self, Col};
use crate::query::spread::{self, Restrictions, Rows, Spread};
use crate::query::tree::{self, Node};

impl Work<'_> {
    /// Puts the rows gathered in the place of a FROM clause.
    pub(super) fn gather_from(
        &mut self,
        select: &mut Select,
        order: &[OrderByExpr],
        pushed: Vec<Expr>,
        only: Restrictions,
        aliases: &[String],
    ) {
        let from = std::mem::take(&mut select.from);
        let needed = self.needed(select, order, aliases);
        let set = self.is_set(select, order);
        select.from = self.stand_in(from, pushed, only, aliases, &needed);
        if set
            && let Some(fragment) = self.fragments.last_mut()
            && let SetExpr::Select(inner) = fragment.query.body.as_mut()
        {
            inner.distinct = Some(Distinct::Distinct);
        }
    }

    /// The items of FROM that stand for a tree of joins: its rows gathered, and for each alias its
    /// columns of them.
    fn stand_in(
        &mut self,
        from: Vec<TableWithJoins>,
        pushed: Vec<Expr>,
        only: Restrictions,
        aliases: &[String],
        needed: &HashMap<String, Vec<String>>,
    ) -> Vec<TableWithJoins> {
        let none = Vec::new();
        let columns: Vec<(&String, &String)> = aliases
            .iter()
            .flat_map(|alias| {
                let names = needed.get(alias).unwrap_or(&none);
                names.iter().map(move |name| (alias, name))
            })
            .collect();
        let mut items: Vec<SelectItem> = columns
            .iter()
            .map(|(alias, name)| SelectItem::UnnamedExpr(column(alias, name)))
            .collect();
        if items.is_empty() {
            items.push(SelectItem::UnnamedExpr(position(0)));
        }
        let width = items.len();
        let mut query = select_of(items, from);
        fragment::set_condition(&mut query, tree::conjunction(pushed));
        let at = self.add(query, only, width);
        let part = |alias: &str| -> Vec<SelectItem> {
            let mine = columns.iter().enumerate().filter(|(_, (a, _))| *a == alias);
            mine.map(|(n, (_, name))| SelectItem::ExprWithAlias {
                expr: fragment::cell(at, n),
                alias: Ident::with_quote('"', name.as_str()),
            })
            .collect()
        };
        if let [alias] = aliases {
            let items = part(alias);
            let items = match items.is_empty() {
                true => vec![SelectItem::UnnamedExpr(fragment::cell(at, 0))],
                false => items,
            };
            let query = select_of(items, vec![fragment::table(at)]);
            return vec![fragment::item(derived(query, alias, false))];
        }
        let mut out = vec![fragment::table(at)];
        for alias in aliases {
            let items = part(alias);
            if !items.is_empty() {
                let query = select_of(items, Vec::new());
                out.push(fragment::item(derived(query, alias, true)));
            }
        }
        out
    }

    /// The columns of these aliases that a SELECT names, apart from its FROM.
    fn needed(
        &self,
        select: &Select,
        order: &[OrderByExpr],
        aliases: &[String],
    ) -> HashMap<String, Vec<String>> {
        let mut used: HashSet<Col> = HashSet::new();
        let mut whole: HashSet<String> = HashSet::new();
        let mut see = |expr: &Expr| {
            tree::any_expr(expr, &mut |expr| {
                match expr {
                    Expr::Identifier(ident) => {
                        whole.insert(ident.value.clone());
                    }
                    other => used.extend(
                        keys::col(other).filter(|_| matches!(other, Expr::CompoundIdentifier(_))),
                    ),
                }
                false
            });
        };
        tree::select_nodes(select, &mut |node| match node {
            Node::Expr(expr) => see(expr),
            Node::Query(query) => {
                tree::any_in_query(query, &mut |expr| {
                    see(expr);
                    false
                });
            }
        });
        order.iter().for_each(|key| see(&key.expr));
        aliases
            .iter()
            .map(|alias| {
                let item = self.items.items.get(alias);
                let all = item
                    .and_then(|item| item.columns.clone())
                    .unwrap_or_default();
                let needed = match whole.contains(alias) {
                    true => all,
                    false => {
                        let mut seen = HashSet::new();
                        all.into_iter()
                            .filter(|name| used.contains(&(alias.clone(), name.clone())))
                            .filter(|name| seen.insert(name.clone()))
                            .collect()
                    }
                };
                (alias.clone(), needed)
            })
            .collect()
    }

    /// Every part of a FROM clause by itself.
    pub(super) fn piecewise(
        &mut self,
        select: &mut Select,
        order: &[OrderByExpr],
    ) -> Result<(), Stop> {
        let aliases = closed::aliases(select);
        let needed = self.needed(select, order, &aliases);
        let nullable = nullable(&select.from);
        let conditions: Vec<Expr> = spread::holding(select)
            .into_iter()
            .flat_map(tree::conjuncts)
            .cloned()
            .collect();
        let mut from = Vec::new();
        for mut tree in std::mem::take(&mut select.from) {
            if !tree.joins.is_empty()
                && let Some(stand_in) = self.colocated(&tree, &conditions, &needed)
            {
                from.extend(stand_in);
                continue;
            }
            self.tree(&mut tree, &conditions, &nullable, &needed)?;
            from.push(tree);
        }
        select.from = from;
        Ok(())
    }

    /// A tree of joins that the shards can run.
    fn colocated(
        &mut self,
        tree: &TableWithJoins,
        conditions: &[Expr],
        needed: &HashMap<String, Vec<String>>,
    ) -> Option<Vec<TableWithJoins>> {
        let aliases = closed::tree_aliases(tree);
        let pushed: Vec<Expr> = conditions
            .iter()
            .filter(|condition| {
                let names = closed::names_in(condition);
                !names.is_empty() && names.iter().all(|alias| aliases.contains(alias))
            })
            .cloned()
            .collect();
        let mut query = select_of(Vec::new(), vec![tree.clone()]);
        fragment::set_condition(&mut query, tree::conjunction(pushed));
        let SetExpr::Select(mut probe) = *query.body else {
            return None;
        };
        let (Rows::Parts { keys, only }, true) = (
            self.analysis.rows(&probe, &[]).0,
            self.can_gather(&probe, &aliases),
        ) else {
            return None;
        };
        let pushed = self.push_conditions(&mut probe, &aliases, &keys);
        Some(self.stand_in(vec![tree.clone()], pushed, only, &aliases, needed))
    }

    fn tree(
        &mut self,
        tree: &mut TableWithJoins,
        conditions: &[Expr],
        nullable: &HashSet<String>,
        needed: &HashMap<String, Vec<String>>,
    ) -> Result<(), Stop> {
        self.factor(&mut tree.relation, conditions, nullable, needed)?;
        for join in &mut tree.joins {
            self.factor(&mut join.relation, conditions, nullable, needed)?;
        }
        Ok(())
    }

    fn factor(
        &mut self,
        factor: &mut TableFactor,
        conditions: &[Expr],
        nullable: &HashSet<String>,
        needed: &HashMap<String, Vec<String>>,
    ) -> Result<(), Stop> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.tree(table_with_joins, conditions, nullable, needed),
            TableFactor::Derived {
                lateral, subquery, ..
            } => match lateral {
                true => match self.analysis.query(subquery, &[]) {
                    Spread::Same => Ok(()),
                    _ => self.query(subquery),
                },
                false => self.replace(subquery),
            },
            TableFactor::Table { .. } => {
                let Some(alias) = closed::alias(factor) else {
                    return Ok(());
                };
                let Some(Kind::Table(table)) = self.items.items.get(&alias).map(|item| &item.kind)
                else {
                    return Ok(());
                };
                let Placement::Sharded(_) = table.placement else {
                    return Ok(());
                };
                let columns = needed.get(&alias).cloned().unwrap_or_default();
                let keys: Vec<Col> = self.items.key(&alias).into_iter().collect();
                let pushed: Vec<Expr> = match nullable.contains(&alias) {
                    true => Vec::new(),
                    false => conditions
                        .iter()
                        .filter(|condition| {
                            closed::names_in(condition).iter().eq([&alias])
                                && self.analysis.is_near(condition, &keys)
                        })
                        .cloned()
                        .collect(),
                };
                let key_type = self.catalog.key_type;
                let only = pushed
                    .iter()
                    .filter_map(|c| keys::allowed(c, key_type, &|col| keys.contains(col)))
                    .collect();
                let stand_in = self.stand_in(
                    vec![fragment::item(factor.clone())],
                    pushed,
                    only,
                    std::slice::from_ref(&alias),
                    &HashMap::from([(alias.clone(), columns)]),
                );
                if let Some(item) = stand_in.into_iter().next() {
                    *factor = item.relation;
                }
                Ok(())
            }
            TableFactor::Function { args, .. } => {
                arguments(args).try_for_each(|expr| self.expr(expr))
            }
            TableFactor::UNNEST { array_exprs, .. } => {
                array_exprs.iter_mut().try_for_each(|expr| self.expr(expr))
            }
            _ => Ok(()),
        }
    }
}

fn arguments(args: &mut [sqlparser::ast::FunctionArg]) -> impl Iterator<Item = &mut Expr> {
    use sqlparser::ast::{FunctionArg, FunctionArgExpr};
    args.iter_mut().filter_map(|arg| match arg {
        FunctionArg::Named {
            arg: FunctionArgExpr::Expr(expr),
            ..
        }
        | FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// Aliases that an outer join may fill with NULLs.
fn nullable(from: &[TableWithJoins]) -> HashSet<String> {
    let mut out = HashSet::new();
    for tree in from {
        nullable_in(tree, &mut out);
    }
    out
}

fn nullable_in(tree: &TableWithJoins, out: &mut HashSet<String>) {
    let of = |factor: &TableFactor| -> Vec<String> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => closed::tree_aliases(table_with_joins),
            other => closed::alias(other).into_iter().collect(),
        }
    };
    let inside = |factor: &TableFactor, out: &mut HashSet<String>| {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
        {
            nullable_in(table_with_joins, out);
        }
    };
    let mut left = of(&tree.relation);
    inside(&tree.relation, out);
    for join in &tree.joins {
        let right = of(&join.relation);
        inside(&join.relation, out);
        match &join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => out.extend(right.clone()),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => out.extend(left.clone()),
            JoinOperator::FullOuter(_) => {
                out.extend(left.clone());
                out.extend(right.clone());
            }
            _ => {}
        }
        left.extend(right);
    }
}
