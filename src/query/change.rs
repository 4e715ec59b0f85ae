//! INSERT, UPDATE and DELETE: which shards they belong to.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, OnConflictAction, OnInsert,
    SelectItem, SetExpr, Spanned, Statement, TableFactor, TableObject, TableWithJoins, Update,
    UpdateTableFromKind,
};

use super::bind;
use super::catalog::{Catalog, Placement, Table};
use super::combine::select_of;
use super::keys::{self, Term};
use super::names;
use super::refusal::Refusal;
use super::spread::{Analysis, Restrictions, Spread};

/// What a change does where.
pub(super) enum Change {
    /// The statement, on the shards of these keys; all of them if there are none.
    Where(Restrictions),
    /// The statement, on every shard: the table is the same on all.
    Everywhere,
    /// Rows, each for the shard of its key.
    Rows(Box<Insert>, Vec<Vec<Term>>),
}

/// Finds out where a change belongs.
pub(super) fn change(statement: Statement, catalog: &Catalog) -> Result<Change, Refusal> {
    match statement {
        Statement::Insert(insert) => insert_of(insert, catalog),
        Statement::Update(update) => update_of(update, catalog),
        Statement::Delete(delete) => delete_of(delete, catalog),
        Statement::Query(query) => Err(Refusal::new(
            "a query",
            "it changes nothing",
            "run it by query() or stream()",
        )
        .at(query.span())),
        other => Err(Refusal::new(
            other.to_string(),
            "it is neither INSERT, UPDATE nor DELETE",
            "run it on each shard by a migration",
        )
        .at(other.span())),
    }
}

fn insert_of(insert: Insert, catalog: &Catalog) -> Result<Change, Refusal> {
    let span = insert.insert_token.0.span;
    let odd = insert.or.is_some()
        || insert.ignore
        || insert.overwrite
        || insert.partitioned.is_some()
        || !insert.assignments.is_empty()
        || insert.replace_into
        || insert.output.is_some();
    let TableObject::TableName(name) = &insert.table else {
        return Err(odd_one(&insert.to_string()).at(span));
    };
    if odd {
        return Err(odd_one(&insert.to_string()).at(span));
    }
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
        Placement::Reference => return Ok(Change::Everywhere),
        Placement::Sharded(Some(key)) => key,
        _ => {
            return Err(Refusal::new(
                name.to_string(),
                "its rows have no key that says where they belong",
                "declare it as [[table]] with a key that is NOT NULL",
            )
            .at(name.span()));
        }
    };
    if let Some(OnInsert::OnConflict(conflict)) = &insert.on
        && let OnConflictAction::DoUpdate(update) = &conflict.action
    {
        keeps_key(&update.assignments, key)?;
    }
    let listed: Option<Vec<String>> = insert
        .columns
        .iter()
        .map(|column| names::parts(column)?.pop())
        .collect();
    let listed = listed.ok_or_else(|| odd_one(&insert.to_string()).at(span))?;
    let at = position(&listed, table, key).ok_or_else(|| {
        Refusal::new(
            format!("INSERT without {key}"),
            "the key says where a row belongs",
            "give it a value in every row",
        )
        .at(span)
    })?;
    let rows = match insert.source.as_ref().map(|source| source.body.as_ref()) {
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
    Ok(Change::Rows(Box::new(insert), terms))
}

/// Where a column stands in the rows of an INSERT.
fn position(listed: &[String], table: &Table, key: &str) -> Option<usize> {
    match listed.is_empty() {
        true => table.columns.iter().position(|column| column.name == key),
        false => listed.iter().position(|column| column == key),
    }
}

fn update_of(update: Update, catalog: &Catalog) -> Result<Change, Refusal> {
    let span = update.update_token.0.span;
    let odd = update.or.is_some()
        || update.limit.is_some()
        || update.output.is_some()
        || !update.order_by.is_empty()
        || !update.table.joins.is_empty();
    if odd {
        return Err(odd_one(&update.to_string()).at(span));
    }
    no_returning(update.returning.is_some()).map_err(|refusal| refusal.at(span))?;
    let table = target(&update.table.relation, catalog)?;
    if let Placement::Sharded(Some(key)) = &table.placement {
        keeps_key(&update.assignments, key)?;
    }
    let mut from = vec![update.table.clone()];
    from.extend(match update.from {
        Some(UpdateTableFromKind::BeforeSet(list) | UpdateTableFromKind::AfterSet(list)) => list,
        None => Vec::new(),
    });
    let values = update.assignments.into_iter().map(|a| a.value).collect();
    place(table, from, update.selection, values, catalog, span)
}

fn delete_of(delete: Delete, catalog: &Catalog) -> Result<Change, Refusal> {
    let span = delete.delete_token.0.span;
    let odd = !delete.tables.is_empty()
        || delete.output.is_some()
        || !delete.order_by.is_empty()
        || delete.limit.is_some();
    let FromTable::WithFromKeyword(mut from) = delete.from.clone() else {
        return Err(odd_one(&delete.to_string()).at(span));
    };
    if odd {
        return Err(odd_one(&delete.to_string()).at(span));
    }
    no_returning(delete.returning.is_some()).map_err(|refusal| refusal.at(span))?;
    let first = from.first().ok_or_else(|| odd_one(&delete.to_string()))?;
    let table = target(&first.relation, catalog)?;
    from.extend(delete.using.into_iter().flatten());
    place(table, from, delete.selection, Vec::new(), catalog, span)
}

/// The table that a change is to.
fn target<'c>(factor: &TableFactor, catalog: &'c Catalog) -> Result<&'c Table, Refusal> {
    let TableFactor::Table { name, .. } = factor else {
        return Err(odd_one(&factor.to_string()).at(factor.span()));
    };
    names::parts(name)
        .and_then(|parts| catalog.table(&parts))
        .map(AsRef::as_ref)
        .ok_or_else(|| {
            let reason = "the shards have no such table";
            Refusal::new(name.to_string(), reason, "name one that they have").at(name.span())
        })
}

/// Where the rows are that a change finds: as a query over the same tables would find them.
fn place(
    table: &Table,
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
    values: Vec<Expr>,
    catalog: &Catalog,
    span: sqlparser::tokenizer::Span,
) -> Result<Change, Refusal> {
    // DEFAULT is no expression.
    let values = values.into_iter().filter(
        |value| !matches!(value, Expr::Identifier(i) if i.value.eq_ignore_ascii_case("default")),
    );
    let mut items: Vec<SelectItem> = values.map(SelectItem::UnnamedExpr).collect();
    items.push(SelectItem::UnnamedExpr(bind::position(0)));
    let mut query = select_of(items, from);
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.selection = condition;
    }
    let bound = bind::bind(query, catalog)?;
    let spread = Analysis::new(&bound.scope, catalog).query(&bound.query, &[]);
    match (&table.placement, spread) {
        (Placement::Reference, Spread::Same) => Ok(Change::Everywhere),
        (Placement::Sharded(_), Spread::Parts(parts)) => Ok(Change::Where(parts.only)),
        _ => Err(Refusal::new(
            format!("the change to {}", table.name),
            "it depends on rows of other shards than the one that it changes",
            "read those rows first, and pass them as parameters",
        )
        .at(span)),
    }
}

fn keeps_key(assignments: &[Assignment], key: &str) -> Result<(), Refusal> {
    for assignment in assignments {
        let targets = match &assignment.target {
            AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
            AssignmentTarget::Tuple(names) => names,
        };
        for name in targets {
            if names::parts(name).is_none_or(|parts| parts.iter().any(|part| part == key)) {
                return Err(Refusal::new(
                    assignment.to_string(),
                    "it changes the key, and the row would stay on the shard of the old one",
                    "delete the row and insert it anew",
                )
                .at(assignment.span()));
            }
        }
    }
    Ok(())
}

fn no_returning(returning: bool) -> Result<(), Refusal> {
    match returning {
        false => Ok(()),
        true => Err(Refusal::new(
            "RETURNING",
            "a change over shards tells how many rows it touched",
            "run it in a transaction of the customer's session",
        )),
    }
}

fn odd_one(what: &str) -> Refusal {
    Refusal::new(what, "it is not understood", "write it in another way")
}
