//! How a query's answer is spread over the shards.
//!
//! The one question that decides what may run where: is the answer over all rows the union of the
//! answers over each shard's rows? A sharded table's rows with one key are on one shard; whatever puts
//! together only rows of one key can be done there.

mod select;

pub(super) use select::{Rows, holding};

use std::collections::HashMap;

use sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier};

use super::bind::Items;
use super::catalog::Catalog;
use super::keys::{Col, Term};
use super::tree;

/// Conditions on the keys that count, all of which hold: each is a list of keys, one of which it is.
pub(super) type Restrictions = Vec<Vec<Term>>;

/// Where the rows of an answer come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// No sharded table takes part: the same on every shard.
    Same,
    /// All rows that take part are on the shard of the row that the query stands beside.
    Beside,
    /// The answer is the union of the shards' answers.
    Parts(Parts),
    /// Rows of several shards are put together.
    Whole,
}

/// What is known of an answer in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// The output columns that hold the key, by position.
    pub(super) keys: Vec<usize>,
    /// What is known of the keys that have rows in it.
    pub(super) only: Restrictions,
}

/// Finds out how queries are spread.
pub(super) struct Analysis<'a> {
    pub(super) items: &'a Items,
    pub(super) catalog: &'a Catalog,
    /// CTEs by their unique names.
    ctes: HashMap<String, Spread>,
    /// What every table that was met is restricted to; `None` if one is not.
    pins: Option<Restrictions>,
}

impl<'a> Analysis<'a> {
    pub(super) fn new(items: &'a Items, catalog: &'a Catalog) -> Self {
        Analysis {
            items,
            catalog,
            ctes: HashMap::new(),
            pins: Some(Vec::new()),
        }
    }

    /// The restrictions of all tables of a query, if every one of them has some: if all of these come
    /// to one shard, the query can run there as it is.
    pub(super) fn pins(
        query: &Query,
        items: &'a Items,
        catalog: &'a Catalog,
    ) -> Option<Restrictions> {
        let mut analysis = Analysis::new(items, catalog);
        analysis.query(query, &[]);
        analysis.pins
    }

    /// How a query is spread, beside rows with these keys.
    pub(super) fn query(&mut self, query: &Query, anchors: &[Col]) -> Spread {
        self.learn_ctes(query, anchors);
        let spread = self.set(&query.body, anchors);
        let cut = query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some();
        if !cut {
            return spread;
        }
        let mut near = anchors.to_vec();
        if let SetExpr::Select(select) = query.body.as_ref()
            && let (Rows::Parts { keys, .. }, _) = self.rows(select, anchors)
        {
            near.extend(keys);
        }
        // What the order and the limits ask for counts for the pins in any case.
        let mut outside = Spread::Same;
        for expr in tree::cut_exprs(query) {
            outside = beside(outside, self.inner(expr, &near));
        }
        match (spread, outside) {
            (_, Spread::Whole | Spread::Parts(_)) | (Spread::Parts(_), _) => Spread::Whole,
            (spread, outside) => beside(spread, outside),
        }
    }

    /// Takes up the CTEs of a query.
    pub(super) fn learn_ctes(&mut self, query: &Query, anchors: &[Col]) {
        let Some(with) = &query.with else { return };
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            if with.recursive {
                self.ctes.insert(name.clone(), Spread::Same);
            }
            let mut spread = self.query(&cte.query, anchors);
            if with.recursive && !matches!(spread, Spread::Same) && refers_to(&cte.query, &name) {
                spread = Spread::Whole;
            }
            self.ctes.insert(name, spread);
        }
    }

    fn set(&mut self, body: &SetExpr, anchors: &[Col]) -> Spread {
        match body {
            SetExpr::Select(select) => self.select(select, anchors),
            SetExpr::Query(query) => self.query(query, anchors),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let left = self.set(left, anchors);
                let right = self.set(right, anchors);
                let all = matches!(set_quantifier, SetQuantifier::All);
                combined(left, right, *op, all)
            }
            SetExpr::Values(values) => {
                let mut spread = Spread::Same;
                for expr in values.rows.iter().flat_map(|row| &row.content) {
                    spread = beside(spread, self.inner(expr, anchors));
                }
                spread
            }
            _ => Spread::Whole,
        }
    }
}

/// Two things that are used together, without a join.
fn beside(a: Spread, b: Spread) -> Spread {
    match (a, b) {
        (Spread::Same, Spread::Same) => Spread::Same,
        (Spread::Same | Spread::Beside, Spread::Same | Spread::Beside) => Spread::Beside,
        _ => Spread::Whole,
    }
}

fn combined(left: Spread, right: Spread, op: SetOperator, all: bool) -> Spread {
    use SetOperator::{Except, Intersect, Union};
    match (left, right) {
        (Spread::Parts(left), Spread::Parts(right)) => {
            let keys: Vec<usize> = left
                .keys
                .iter()
                .copied()
                .filter(|at| right.keys.contains(at))
                .collect();
            if keys.is_empty() && !(all && op == Union) {
                return Spread::Whole;
            }
            let only = match op {
                Union => either(&left.only, &right.only),
                Intersect => [left.only, right.only].concat(),
                _ => left.only,
            };
            Spread::Parts(Parts { keys, only })
        }
        // Every row of the parts is held against the same rows.
        (Spread::Parts(left), Spread::Same)
            if matches!(op, Intersect | Except) && !left.keys.is_empty() =>
        {
            Spread::Parts(left)
        }
        (Spread::Same, Spread::Parts(right)) if op == Intersect && !right.keys.is_empty() => {
            Spread::Parts(right)
        }
        (left, right) => beside(left, right),
    }
}

/// What holds if one of two does.
fn either(a: &Restrictions, b: &Restrictions) -> Restrictions {
    match (a.first(), b.first()) {
        (Some(a), Some(b)) => vec![[a.as_slice(), b.as_slice()].concat()],
        _ => Vec::new(),
    }
}

/// Whether a query names a CTE.
pub(super) fn refers_to(query: &Query, cte: &str) -> bool {
    let mut found = false;
    each_table(query, &mut |name| found = found || name == cte);
    found
}

/// Hands over the names of tables without a schema, which are CTEs.
pub(super) fn each_table(query: &Query, f: &mut dyn FnMut(&str)) {
    use std::ops::ControlFlow;
    let _ = sqlparser::ast::visit_relations(query, |name| {
        if let [sqlparser::ast::ObjectNamePart::Identifier(ident)] = name.0.as_slice() {
            f(&ident.value);
        }
        ControlFlow::<()>::Continue(())
    });
}
