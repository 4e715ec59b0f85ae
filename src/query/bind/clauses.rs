//! Clauses that are refused, and those of other databases' SQL.

use sqlparser::ast::{GroupByExpr, LimitClause, OrderByKind, Query, Select, SelectFlavor, Spanned};

use super::unknown;
use crate::query::refusal::Refusal;

pub(super) fn refuse_clauses(query: &Query) -> Result<(), Refusal> {
    if let Some(lock) = query.locks.first() {
        return Err(Refusal::new(
            lock.to_string(),
            "reads do not lock",
            "lock rows in a transaction of the customer's session",
        )
        .at(query.span()));
    }
    let order_all = query.order_by.as_ref().is_some_and(|order| {
        order.interpolate.is_some()
            || match &order.kind {
                OrderByKind::All(_) => true,
                OrderByKind::Expressions(keys) => keys.iter().any(|key| key.with_fill.is_some()),
            }
    });
    let limit = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit_by, .. }) => !limit_by.is_empty(),
        Some(LimitClause::OffsetCommaLimit { .. }) => true,
        None => false,
    };
    let odd = query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty()
        || query.fetch.as_ref().is_some_and(|fetch| fetch.percent)
        || order_all
        || limit;
    match odd {
        true => Err(unknown(&query.to_string()).at(query.span())),
        false => Ok(()),
    }
}

pub(super) fn refuse_select(select: &Select) -> Result<(), Refusal> {
    if select.into.is_some() {
        return Err(Refusal::new(
            "SELECT INTO",
            "it makes a table",
            "create it by a migration on every shard",
        )
        .at(select.span()));
    }
    let odd = !select.optimizer_hints.is_empty()
        || select.select_modifiers.is_some()
        || select.top.is_some()
        || select.exclude.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.qualify.is_some()
        || select.value_table_mode.is_some()
        || matches!(select.group_by, GroupByExpr::All(_))
        || select.flavor != SelectFlavor::Standard;
    match odd {
        true => Err(unknown(&select.to_string()).at(select.span())),
        false => Ok(()),
    }
}
