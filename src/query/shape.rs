//! The shape of a plan: which of the four tiers a query belongs to, and what runs where.
//!
//! Pure. The first tier that is provably right wins: one shard has all (pass), the answer is the union
//! of the shards' answers (push), it is put together from the shards' aggregates (split), or from their
//! rows (pull).

use sqlparser::ast::{
    DataType, Distinct, Expr, Ident, LimitClause, Offset, OffsetRows, OrderBy, OrderByExpr,
    OrderByKind, OrderByOptions, OrderBySort, Query, SelectItem, SetExpr, Value,
};

use super::bind::{Bound, item_expr, position};
use super::catalog::Catalog;
use super::combine::{self, Combined, Fragment, Stop, Types, combine, select_of};
use super::keys;
use super::moment::cast;
use super::refusal::Refusal;
use super::spread::{Analysis, Restrictions, Spread};
use super::tree;

/// What runs where.
pub(super) struct Shape {
    /// If all of these keys are on one shard, the statement runs there as it is.
    pub(super) pins: Option<Restrictions>,
    pub(super) body: Body,
}

/// What runs where the statement does not run on one shard as it is.
pub(super) enum Body {
    /// Any one shard can answer.
    Anywhere,
    /// Every shard answers, and the rows are passed on, in an order or not.
    Push(Box<Push>),
    /// Rows are gathered, and one node answers.
    Combine(Box<Combined>),
    /// Nothing but one shard would be right.
    OneShard(Refusal),
}

/// A query that is pushed to the shards whole.
pub(super) struct Push {
    /// What every shard runs, with its keys of the order behind its columns.
    pub(super) fragment: Fragment,
    /// How many of its columns are the answer's.
    pub(super) visible: usize,
    pub(super) order: Vec<SortColumn>,
    pub(super) limit: Option<Count>,
    pub(super) offset: Option<Count>,
    /// What one node runs over the rows where the client cannot merge the order itself.
    pub(super) ordered: Query,
    /// Whether only that is right.
    pub(super) needs_node: bool,
}

/// A column that rows are ordered by.
#[derive(Clone, Debug)]
pub(super) struct SortColumn {
    pub(super) column: usize,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// A number of rows.
#[derive(Clone, Debug)]
pub(super) enum Count {
    Number(u64),
    Param(usize),
}

/// Which tiers may be taken: a plan that the servers do not take, for a value that cannot travel, say, is
/// made again without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) push: bool,
    pub(super) split: bool,
}

impl Effort {
    /// From all to the least.
    pub(super) const ALL: [Effort; 3] = [
        Effort {
            push: true,
            split: true,
        },
        Effort {
            push: true,
            split: false,
        },
        Effort {
            push: false,
            split: false,
        },
    ];
}

/// Finds the shape of a statement.
pub(super) fn shape(
    bound: &Bound,
    catalog: &Catalog,
    types: &Types,
    effort: Effort,
) -> Result<Shape, Stop> {
    let items = &bound.scope;
    if let Some(local) = &bound.local {
        return Ok(Shape {
            pins: None,
            body: Body::OneShard(local.clone()),
        });
    }
    let pins = Analysis::pins(&bound.query, items, catalog);
    let mut analysis = Analysis::new(items, catalog);
    let whole = analysis.query(&bound.query, &[]);
    let body = match (whole, &bound.blocker) {
        (Spread::Same, blocker) if blocker.is_none() || bound.harmless => Body::Anywhere,
        (_, Some(blocker)) => Body::OneShard(blocker.clone()),
        _ => {
            let push = match effort.push && plain_limits(&bound.query) {
                true => push(bound, &mut analysis),
                false => None,
            };
            match push {
                Some(push) => Body::Push(Box::new(push)),
                None => {
                    let query = bound.query.clone();
                    Body::Combine(Box::new(combine(
                        query,
                        items,
                        catalog,
                        types,
                        effort.split,
                    )?))
                }
            }
        }
    };
    Ok(Shape { pins, body })
}

/// Whether the limits of a query hold no subqueries.
fn plain_limits(query: &Query) -> bool {
    let (limit, offset) = limits(query);
    let quantity = query
        .fetch
        .as_ref()
        .and_then(|fetch| fetch.quantity.as_ref());
    limit
        .into_iter()
        .chain(offset)
        .chain(quantity)
        .all(|expr| !tree::any_expr(expr, &mut |e| matches!(e, Expr::Subquery(_))))
}

fn limits(query: &Query) -> (Option<&Expr>, Option<&Expr>) {
    match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        _ => (None, None),
    }
}

/// A number of rows that the client can know.
fn count(expr: &Expr) -> Option<Count> {
    match tree::bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse().ok().map(Count::Number),
            Value::Placeholder(name) => keys::number(name).map(Count::Param),
            _ => None,
        },
        Expr::Cast {
            expr,
            data_type:
                DataType::BigInt(None)
                | DataType::Int8(None)
                | DataType::Int(None)
                | DataType::Integer(None)
                | DataType::Int4(None),
            ..
        } => count(expr),
        _ => None,
    }
}

/// `None`: the answer is not the union of the shards', or their answers do not tell the order.
fn push(bound: &Bound, analysis: &mut Analysis<'_>) -> Option<Push> {
    let query = &bound.query;
    let visible = bound.names.len();
    let mut shard = query.clone();
    shard.order_by = None;
    shard.limit_clause = None;
    shard.fetch = None;
    let mut order = Vec::new();
    let mut keys = tree::sort_keys(query).to_vec();
    let mut width = visible;
    for key in &mut keys {
        let column = sort_column(&key.expr, &mut shard, &mut width)?;
        let descending = match &key.options.sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(OrderBySort::Using(_)) => return None,
        };
        // The column's own key, for it may stand behind the answer's columns.
        key.expr = position(column);
        order.push(SortColumn {
            column,
            descending,
            nulls_first: key.options.nulls_first.unwrap_or(descending),
        });
    }
    // With what is ordered by: that has to be the shards' own as well.
    let Spread::Parts(parts) = analysis.query(&shard, &[]) else {
        return None;
    };
    let (limit, offset) = limits(query);
    let quantity = query
        .fetch
        .as_ref()
        .and_then(|fetch| fetch.quantity.as_ref());
    let ties = query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties);
    let one = Expr::Value(Value::Number("1".to_owned(), false).with_empty_span());
    let limit = match (&query.fetch, limit) {
        (Some(_), None) => Some(quantity.unwrap_or(&one)),
        (None, limit) => limit,
        _ => return None,
    };
    let (limit_count, offset_count) = (limit.and_then(count), offset.and_then(count));
    let known =
        limit_count.is_some() == limit.is_some() && offset_count.is_some() == offset.is_some();
    // What a shard has behind so many rows takes no part.
    if let Some(limit) = limit {
        let rows = match offset {
            None => limit.clone(),
            Some(offset) => sum(limit, offset),
        };
        match (ties, offset) {
            (false, _) => shard.limit_clause = Some(limit_of(Some(rows), None)),
            (true, None) => shard.fetch.clone_from(&query.fetch),
            (true, Some(_)) => {}
        }
    }
    if !keys.is_empty() {
        shard.order_by = Some(order_of(keys));
    }
    let ordered = ordered(bound, visible, &order, query);
    Some(Push {
        fragment: Fragment {
            query: shard,
            only: parts.only,
            width,
        },
        visible,
        order,
        limit: limit_count,
        offset: offset_count,
        ordered,
        needs_node: ties || !known,
    })
}

/// The column that a key of the order is; it is added to the columns if it is none of them.
fn sort_column(key: &Expr, shard: &mut Query, width: &mut usize) -> Option<usize> {
    if let Expr::Value(value) = key
        && let Value::Number(number, _) = &value.value
    {
        return number.parse::<usize>().ok()?.checked_sub(1);
    }
    let SetExpr::Select(select) = shard.body.as_mut() else {
        return None;
    };
    let same = |item: &SelectItem| item_expr(item) == key;
    if let Some(at) = select.projection.iter().position(same) {
        return Some(at);
    }
    if matches!(select.distinct, Some(Distinct::Distinct)) {
        return None;
    }
    select.projection.push(SelectItem::ExprWithAlias {
        expr: key.clone(),
        alias: Ident::new(format!("pgshard_o{}", *width + 1)),
    });
    *width += 1;
    Some(*width - 1)
}

/// The order, and the limits, over the rows of all shards.
fn ordered(bound: &Bound, visible: usize, order: &[SortColumn], query: &Query) -> Query {
    let items = bound
        .names
        .iter()
        .take(visible)
        .enumerate()
        .map(|(n, name)| SelectItem::ExprWithAlias {
            expr: combine::cell(0, n),
            alias: Ident::with_quote('"', name),
        });
    let mut out = select_of(items.collect(), vec![combine::table(0)]);
    let keys: Vec<OrderByExpr> = order
        .iter()
        .map(|key| OrderByExpr {
            expr: combine::cell(0, key.column),
            options: OrderByOptions {
                sort: key.descending.then_some(OrderBySort::Desc),
                nulls_first: Some(key.nulls_first),
            },
            with_fill: None,
        })
        .collect();
    if !keys.is_empty() {
        out.order_by = Some(order_of(keys));
    }
    out.limit_clause.clone_from(&query.limit_clause);
    out.fetch.clone_from(&query.fetch);
    out
}

fn order_of(keys: Vec<OrderByExpr>) -> OrderBy {
    OrderBy {
        kind: OrderByKind::Expressions(keys),
        interpolate: None,
    }
}

pub(super) fn limit_of(limit: Option<Expr>, offset: Option<Expr>) -> LimitClause {
    LimitClause::LimitOffset {
        limit,
        offset: offset.map(|value| Offset {
            value,
            rows: OffsetRows::None,
        }),
        limit_by: Vec::new(),
    }
}

fn sum(a: &Expr, b: &Expr) -> Expr {
    let number = |expr: &Expr| cast(Expr::Nested(Box::new(expr.clone())), "pg_catalog.int8");
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(number(a)),
        op: sqlparser::ast::BinaryOperator::Plus,
        right: Box::new(number(b)),
    }))
}
