//! INSERT: every row belongs to the shard of its key.

use sqlparser::ast::{
    ConflictTarget, Insert, OnConflict, OnConflictAction, OnInsert, Query, SetExpr, Spanned,
    TableObject, Values,
};
use sqlparser::tokenizer::Span;

use super::{
    Change, Place, elsewhere, keeps_key, keyless, no_returning, odd_one, same_everywhere, values_of,
};
use crate::query::bind::{self, Bound};
use crate::query::catalog::{Catalog, Placement, Table};
use crate::query::combine::select_of;
use crate::query::keys::{self, Term};
use crate::query::names;
use crate::query::parse;
use crate::query::refusal::Refusal;
use crate::query::spread::{Analysis, Spread};
use crate::query::tree;

pub(super) fn insert(insert: Insert, catalog: &Catalog) -> Result<Change, Refusal> {
    let span = insert.insert_token.0.span;
    let odd = insert.or.is_some()
        || insert.ignore
        || insert.overwrite
        || insert.by_name
        || insert.partitioned.is_some()
        || !insert.assignments.is_empty()
        || insert.replace_into
        || insert.output.is_some()
        || insert.insert_alias.is_some();
    let name = match &insert.table {
        TableObject::TableName(name) if !odd => name,
        _ => return Err(odd_one(&insert.to_string()).at(span)),
    };
    no_returning(insert.returning.is_some()).map_err(|refusal| refusal.at(span))?;
    let parts = names::parts(name).ok_or_else(|| odd_one(&name.to_string()))?;
    let table = catalog.table(&parts).ok_or_else(|| {
        Refusal::new(
            name.to_string(),
            "the shards have no such table",
            "name one that they have",
        )
        .at(name.span())
    })?;
    let key = match &table.placement {
        Placement::Reference => None,
        Placement::Sharded(Some(key)) => Some(key.as_str()),
        _ => return Err(keyless(&name.to_string()).at(name.span())),
    };
    let mut blocker = None;
    for query in [values(&insert), updated(&insert, key)?] {
        let Some(query) = query else { continue };
        let bound = bind::bind(query, catalog)?;
        let spread = Analysis::new(&bound.scope, catalog).query(&bound.query, &[]);
        match (key, spread) {
            (_, Spread::Same) | (Some(_), Spread::Parts(_)) => {}
            // INSERT … SELECT into a sharded table is refused below, with what to do instead.
            (Some(_), _) if !matches!(body(&insert), Some(SetExpr::Values(_))) => {}
            _ => return Err(elsewhere(table).at(span)),
        }
        if key.is_none() {
            same_everywhere(&bound).map_err(|refusal| refusal.at(span))?;
        }
        let Bound { change_blocker, .. } = bound;
        blocker = blocker.or(change_blocker);
    }
    let Some(key) = key else {
        return Ok(Change {
            place: Place::Everywhere,
            blocker,
            span,
        });
    };
    conflict(&insert, key).map_err(|refusal| refusal.at(span))?;
    let terms = terms(&insert, table, key, catalog, span)?;
    Ok(Change {
        place: Place::Rows(Box::new(insert), terms),
        blocker,
        span,
    })
}

fn body(insert: &Insert) -> Option<&SetExpr> {
    insert.source.as_ref().map(|source| source.body.as_ref())
}

/// The query whose answer the new rows are, as far as it is more than constants.
fn values(insert: &Insert) -> Option<Query> {
    match body(insert)? {
        SetExpr::Values(Values { rows, .. }) => {
            let values = rows.iter().flat_map(|row| row.content.iter().cloned());
            let items = values_of(values);
            (!items.is_empty()).then(|| select_of(items, Vec::new()))
        }
        _ => insert.source.as_deref().cloned(),
    }
}

/// The query that finds what ON CONFLICT DO UPDATE looks at: the row that is there beside the one that
/// was to be inserted.
fn updated(insert: &Insert, key: Option<&str>) -> Result<Option<Query>, Refusal> {
    let Some(OnInsert::OnConflict(OnConflict {
        action: OnConflictAction::DoUpdate(update),
        ..
    })) = &insert.on
    else {
        return Ok(None);
    };
    let name = &insert.table;
    let (alias, target) = match &insert.table_alias {
        Some(alias) => (format!(" AS {}", alias.alias), alias.alias.to_string()),
        None => (String::new(), name.to_string()),
    };
    let both = match key.map(names::ident) {
        Some(key) => format!(" ON {target}.{key} = excluded.{key}"),
        None => " ON true".to_owned(),
    };
    let from = format!("SELECT 0 FROM {name}{alias} JOIN {name} AS excluded{both}");
    let query = tree::query_of(parse::statement(&from)?);
    let mut query = query.ok_or_else(|| odd_one(&insert.to_string()))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let assigned = update.assignments.iter().map(|a| a.value.clone());
        select.projection.extend(values_of(assigned));
        select.selection = update.selection.clone();
    }
    Ok(Some(*query))
}

/// Conflicts are with rows of the same key, and leave the key as it is.
fn conflict(insert: &Insert, key: &str) -> Result<(), Refusal> {
    let conflict = match &insert.on {
        Some(OnInsert::OnConflict(conflict)) => conflict,
        Some(_) => return Err(odd_one(&insert.to_string())),
        None => return Ok(()),
    };
    if let OnConflictAction::DoUpdate(update) = &conflict.action {
        keeps_key(&update.assignments, key)?;
    }
    if let Some(ConflictTarget::Columns { columns, .. }) = &conflict.conflict_target
        && !columns.iter().any(|column| names::folded(column) == key)
    {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        return Err(Refusal::new(
            format!("ON CONFLICT ({})", columns.join(", ")),
            "rows of other shards are not seen to conflict",
            format!("name {key} in it, too, with a unique index over all of it"),
        ));
    }
    Ok(())
}

/// The keys of the new rows.
fn terms(
    insert: &Insert,
    table: &Table,
    key: &str,
    catalog: &Catalog,
    span: Span,
) -> Result<Vec<Vec<Term>>, Refusal> {
    let listed: Option<Vec<String>> = insert
        .columns
        .iter()
        .map(|column| names::parts(column)?.pop())
        .collect();
    let listed = listed.ok_or_else(|| odd_one(&insert.to_string()).at(span))?;
    let at = position(&listed, table, key).filter(|_| insert.source.is_some());
    let at = at.ok_or_else(|| {
        Refusal::new(
            format!("INSERT without {key}"),
            "the key says where a row belongs",
            "give it a value in every row",
        )
        .at(span)
    })?;
    let rows = match body(insert) {
        Some(SetExpr::Values(values)) => &values.rows,
        _ => {
            return Err(Refusal::new(
                "INSERT … SELECT",
                "its rows may belong to other shards than they are read from",
                "read the rows, and insert them with their values",
            )
            .at(span));
        }
    };
    if insert.source.as_deref().is_some_and(chooses) {
        return Err(Refusal::new(
            "INSERT … VALUES with WITH, ORDER BY, LIMIT, OFFSET or FETCH",
            "each shard would choose among its own rows",
            "give it the rows that are to be inserted",
        )
        .at(span));
    }
    let mut terms = Vec::new();
    for row in rows {
        let value = row.content.get(at);
        let term = value.and_then(|value| keys::term(value, catalog.key_type));
        match term {
            Some(term) if !term.is_empty() => terms.push(term),
            _ => {
                let written = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                return Err(Refusal::new(
                    format!("{key} = {written}"),
                    "the key of a new row has to be a literal or a parameter, and not NULL",
                    "compute it in the program",
                )
                .at(value.map_or(span, Spanned::span)));
            }
        }
    }
    Ok(terms)
}

/// Where a column stands in the rows of an INSERT.
fn position(listed: &[String], table: &Table, key: &str) -> Option<usize> {
    match listed.is_empty() {
        true => table.columns.iter().position(|column| column.name == key),
        false => listed.iter().position(|column| column == key),
    }
}

/// Whether more stands around VALUES than their rows.
fn chooses(source: &Query) -> bool {
    source.with.is_some()
        || source.order_by.is_some()
        || source.limit_clause.is_some()
        || source.fetch.is_some()
        || !source.locks.is_empty()
}
