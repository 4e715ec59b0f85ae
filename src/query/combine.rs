//! A query whose rows have to be put together: what every shard runs, and what one node runs over the
//! rows gathered.
//!
//! Wherever a subquery is the union of the shards' answers, its rows are gathered (a [`Fragment`]) and
//! stand in the query in its place; what is left runs on one node, with PostgreSQL's own meaning. The
//! rest is saving: conditions and projections go to the shards with the fragment, and where aggregates
//! can be put together from the shards' own (`split`), those are gathered instead of rows.

mod first;
mod fragment;
mod from;
mod grouped;
mod split;

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, Ident, OrderByExpr, OrderByKind, Query, Select, SelectItem,
    SetExpr,
};

use super::bind::Items;
use super::catalog::Catalog;
use super::closed;
use super::keys::{self, Col};
use super::names;
use super::refusal::Refusal;
use super::spread::{Analysis, Restrictions, Rows, Spread};
use super::tree::{self, Node, NodeMut};

pub(super) use first::{AnswerKind, First, number as first_number};
pub(super) use fragment::{Fragment, cell, cell_name, name, select_of, table};

/// The types that were asked for, by the query that has them.
pub(super) type Types = HashMap<String, Vec<String>>;

/// Why planning stops.
pub(super) enum Stop {
    Refused(Refusal),
    /// The types of this query's columns have to be known first.
    Ask(Box<Query>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// A query for one node, and what feeds it.
pub(super) struct Combined {
    /// What is run before anything else.
    pub(super) firsts: Vec<First>,
    pub(super) query: Query,
    pub(super) fragments: Vec<Fragment>,
    /// Whether only aggregates are gathered, and no rows.
    pub(super) only_partials: bool,
}

/// Takes a query apart.
pub(super) fn combine(
    mut query: Query,
    items: &Items,
    catalog: &Catalog,
    types: &Types,
    split: bool,
) -> Result<Combined, Stop> {
    let mut work = Work {
        items,
        catalog,
        types,
        analysis: Analysis::new(items, catalog),
        ctes: HashMap::new(),
        fragments: Vec::new(),
        firsts: Vec::new(),
        partials: 0,
        splits: split,
    };
    work.query(&mut query)?;
    Ok(Combined {
        firsts: work.firsts,
        query,
        only_partials: work.partials == work.fragments.len(),
        fragments: work.fragments,
    })
}

struct Work<'a> {
    items: &'a Items,
    catalog: &'a Catalog,
    types: &'a Types,
    analysis: Analysis<'a>,
    /// The definitions of CTEs, as they were.
    ctes: HashMap<String, Cte>,
    fragments: Vec<Fragment>,
    firsts: Vec<First>,
    /// How many fragments are aggregates.
    partials: usize,
    /// Whether aggregates may be put together from the shards', and subqueries be run first.
    splits: bool,
}

impl Work<'_> {
    /// Changes a query so that one node can run it.
    fn query(&mut self, query: &mut Query) -> Result<(), Stop> {
        self.analysis.learn_ctes(query, &[]);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(cte.alias.name.value.clone(), cte.clone());
        }
        let mut order = query.order_by.take();
        let keys: &mut [OrderByExpr] = match order.as_mut().map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(keys)) => keys,
            _ => &mut [],
        };
        match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, keys)?,
            body => self.set(body)?,
        }
        query.order_by = order;
        self.subqueries_of(query)?;
        self.keep_used_ctes(query)
    }

    /// CTEs whose rows nothing asks for any more are not gathered.
    fn keep_used_ctes(&mut self, query: &mut Query) -> Result<(), Stop> {
        let Some(mut with) = query.with.take() else {
            return Ok(());
        };
        let mut used = closed::free_ctes(query);
        let mut kept = Vec::new();
        for mut cte in with.cte_tables.into_iter().rev() {
            if used.contains(&cte.alias.name.value) {
                self.replace(&mut cte.query)?;
                used.extend(closed::free_ctes(&cte.query));
                kept.push(cte);
            }
        }
        kept.reverse();
        if !kept.is_empty() {
            with.cte_tables = kept;
            query.with = Some(with);
        }
        Ok(())
    }

    /// Limits and the like may hold subqueries.
    fn subqueries_of(&mut self, query: &mut Query) -> Result<(), Stop> {
        let mut outcome = Ok(());
        if let Some(sqlparser::ast::LimitClause::LimitOffset { limit, offset, .. }) =
            &mut query.limit_clause
        {
            for expr in limit
                .iter_mut()
                .chain(offset.iter_mut().map(|o| &mut o.value))
            {
                if outcome.is_ok() {
                    outcome = self.expr(expr);
                }
            }
        }
        outcome
    }

    fn set(&mut self, body: &mut SetExpr) -> Result<(), Stop> {
        match body {
            SetExpr::SetOperation { left, right, .. } => {
                self.arm(left)?;
                self.arm(right)
            }
            SetExpr::Query(query) => self.replace(query),
            SetExpr::Select(select) => self.select(select, &mut []),
            SetExpr::Values(values) => values
                .rows
                .iter_mut()
                .flat_map(|row| &mut row.content)
                .try_for_each(|expr| self.expr(expr)),
            _ => Ok(()),
        }
    }

    fn arm(&mut self, body: &mut SetExpr) -> Result<(), Stop> {
        let mut query = fragment::query_of(body.clone());
        match self.analysis.query(&query, &[]) {
            Spread::Same => Ok(()),
            Spread::Parts(parts) if is_closed(&query) => {
                let gathered = self.gather(query, parts.only);
                *body = SetExpr::Query(Box::new(gathered));
                Ok(())
            }
            _ => {
                self.set(&mut query.body)?;
                *body = *query.body;
                Ok(())
            }
        }
    }

    /// A subquery: gathered if it can be, else taken apart itself.
    fn replace(&mut self, query: &mut Query) -> Result<(), Stop> {
        match self.analysis.query(query, &[]) {
            Spread::Same => Ok(()),
            Spread::Parts(parts) if is_closed(query) => {
                *query = self.gather(query.clone(), parts.only);
                Ok(())
            }
            _ => self.query(query),
        }
    }

    /// All subqueries of an expression.
    fn expr(&mut self, expr: &mut Expr) -> Result<(), Stop> {
        let mut outcome = Ok(());
        tree::children_mut(expr, &mut |node| {
            if outcome.is_ok() {
                outcome = match node {
                    NodeMut::Expr(inner) => self.expr(inner),
                    NodeMut::Query(query) => self.replace(query),
                };
            }
        });
        outcome
    }

    /// Has a query run on the shards; yields the query that stands for its rows.
    fn gather(&mut self, mut query: Query, only: Restrictions) -> Query {
        let names = output_names(&query);
        if names.is_empty()
            && let SetExpr::Select(select) = query.body.as_mut()
        {
            // A row without columns cannot travel.
            let one = SelectItem::UnnamedExpr(super::bind::position(0));
            select.projection.push(one);
        }
        let at = self.add(query, only, names.len().max(1));
        let items = names
            .iter()
            .enumerate()
            .map(|(n, name)| SelectItem::ExprWithAlias {
                expr: fragment::cell(at, n),
                alias: Ident::with_quote('"', name),
            });
        select_of(items.collect(), vec![fragment::table(at)])
    }

    fn add(&mut self, mut query: Query, only: Restrictions, width: usize) -> usize {
        self.define_ctes(&mut query);
        self.fragments.push(Fragment { query, only, width });
        self.fragments.len() - 1
    }

    /// Gives a query the CTEs that it names.
    fn define_ctes(&self, query: &mut Query) {
        let mut wanted: Vec<String> = closed::free_ctes(query).into_iter().collect();
        let mut found: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if let Some(cte) = self.ctes.get(&name)
                && found.insert(name)
            {
                wanted.extend(closed::free_ctes(&cte.query));
            }
        }
        if found.is_empty() {
            return;
        }
        // Each behind those that it names.
        let mut order: Vec<Cte> = Vec::new();
        while order.len() < found.len() {
            let known: HashSet<String> = order.iter().map(|c| c.alias.name.value.clone()).collect();
            let next = found
                .iter()
                .filter(|name| !known.contains(*name))
                .find_map(|name| {
                    let cte = self.ctes.get(name)?;
                    let mut needs = closed::free_ctes(&cte.query);
                    needs.retain(|need| need != name && !known.contains(need));
                    needs.is_empty().then(|| cte.clone())
                });
            match next {
                Some(cte) => order.push(cte),
                None => break,
            }
        }
        let recursive = order
            .iter()
            .any(|cte| super::spread::refers_to(&cte.query, &cte.alias.name.value));
        match &mut query.with {
            Some(with) => {
                with.recursive = with.recursive || recursive;
                with.cte_tables.splice(0..0, order);
            }
            None => query.with = Some(fragment::with(order, recursive)),
        }
    }

    fn select(&mut self, select: &mut Select, order: &mut [OrderByExpr]) -> Result<(), Stop> {
        let (rows, _) = self.analysis.rows(select, &[]);
        let aliases = closed::aliases(select);
        match rows {
            Rows::Same => {}
            Rows::Parts { keys, only } if self.can_gather(select, &aliases) => {
                let pushed = self.push_conditions(select, &aliases, &keys);
                if self.splits
                    && select.selection.is_none()
                    && self.is_grouped(select, order)
                    && let Some(()) = self.split(select, order, &pushed, &only)?
                {
                    return self.rest(select, order);
                }
                grouped::complete(select, order, self.items, &aliases, self.catalog);
                self.gather_from(select, order, pushed, only, &aliases);
            }
            _ => {
                grouped::complete(select, order, self.items, &aliases, self.catalog);
                self.piecewise(select, order)?;
            }
        }
        self.rest(select, order)
    }

    /// What is left of a SELECT may hold subqueries.
    fn rest(&mut self, select: &mut Select, order: &mut [OrderByExpr]) -> Result<(), Stop> {
        let mut outcome = Ok(());
        tree::select_nodes_mut(select, &mut |node| {
            if let (NodeMut::Expr(expr), Ok(())) = (node, &outcome) {
                outcome = self.expr(expr);
            }
        });
        for key in order {
            if outcome.is_ok() {
                outcome = self.expr(&mut key.expr);
            }
        }
        outcome
    }

    /// Whether a SELECT makes one row of many.
    fn is_grouped(&self, select: &Select, order: &[OrderByExpr]) -> bool {
        let groups = match &select.group_by {
            GroupByExpr::Expressions(list, _) => !list.is_empty(),
            GroupByExpr::All(_) => false,
        };
        groups || self.analysis.aggregates(select) || self.aggregates_in(order)
    }

    fn aggregates_in(&self, order: &[OrderByExpr]) -> bool {
        order.iter().any(|key| {
            tree::any_expr(&key.expr, &mut |expr| match expr {
                Expr::Function(function) => closed::is_aggregate(function, self.catalog),
                _ => false,
            })
        })
    }

    /// Whether equal rows may be gathered once: nothing but the set of them counts.
    fn is_set(&self, select: &Select, order: &[OrderByExpr]) -> bool {
        let window = |expr: &Expr| matches!(expr, Expr::Function(f) if f.over.is_some());
        let mut windows = order
            .iter()
            .any(|key| tree::any_expr(&key.expr, &mut |e| window(e)));
        tree::select_nodes(select, &mut |node| {
            if let Node::Expr(expr) = node {
                windows = windows || tree::any_expr(expr, &mut |e| window(e));
            }
        });
        // Values that are equal may differ in what is made of them, as 1.0 and 1.00 do as text: the
        // columns themselves have to be what is asked for.
        let plain = |item: &SelectItem| keys::col(super::bind::item_expr(item)).is_some();
        self.splits
            && matches!(select.distinct, Some(Distinct::Distinct))
            && select.projection.iter().all(plain)
            && select.selection.is_none()
            && !windows
            && !self.is_grouped(select, order)
    }

    /// Whether a whole FROM clause can be run on the shards, and its columns stand for it.
    fn can_gather(&self, select: &Select, aliases: &[String]) -> bool {
        let core = select_of(Vec::new(), select.from.clone());
        let several = aliases.len() > 1;
        let known = |alias: &String| {
            let item = self.items.items.get(alias);
            item.is_some_and(|item| item.columns.is_some())
        };
        is_closed(&core)
            && aliases.iter().all(known)
            && !(several && aliases.iter().any(|a| self.items.whole_rows.contains(a)))
    }

    /// Takes the conditions out of a SELECT that the shards can judge.
    fn push_conditions(
        &mut self,
        select: &mut Select,
        aliases: &[String],
        keys: &[Col],
    ) -> Vec<Expr> {
        let Some(condition) = select.selection.take() else {
            return Vec::new();
        };
        let mut pushed = Vec::new();
        let mut kept = Vec::new();
        for conjunct in tree::conjuncts(&condition) {
            let ours = closed::names_in(conjunct)
                .iter()
                .all(|alias| aliases.contains(alias));
            if ours && self.analysis.is_near(conjunct, keys) {
                pushed.push(conjunct.clone());
            } else if ours && let Some(judged) = self.with_firsts(conjunct, keys) {
                pushed.push(judged);
            } else {
                kept.push(conjunct.clone());
            }
        }
        select.selection = tree::conjunction(kept);
        pushed
    }
}

/// Whether a query names nothing outside.
fn is_closed(query: &Query) -> bool {
    closed::free(query).is_empty()
}

/// The names of a query's columns.
pub(super) fn output_names(query: &Query) -> Vec<String> {
    fn of(body: &SetExpr) -> Vec<String> {
        match body {
            SetExpr::Select(select) => select
                .projection
                .iter()
                .map(|item| names::of_item(item).unwrap_or_default())
                .collect(),
            SetExpr::Query(query) => of(&query.body),
            SetExpr::SetOperation { left, .. } => of(left),
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                (1..=width).map(|n| format!("column{n}")).collect()
            }
            _ => Vec::new(),
        }
    }
    of(&query.body)
}
