//! INSERT, UPDATE and DELETE: which shards they belong to.

mod insert;

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, SelectItem, SetExpr, Spanned,
    Statement, TableFactor, TableWithJoins, Update, UpdateTableFromKind,
};
use sqlparser::tokenizer::Span;

use super::bind::{self, Bound};
use super::catalog::{Catalog, Placement, Table};
use super::combine::select_of;
use super::keys::Term;
use super::names;
use super::refusal::Refusal;
use super::spread::{Analysis, Restrictions, Spread};

/// A change, and where it belongs.
pub(super) struct Change {
    pub(super) place: Place,
    /// Why it cannot run on more than one shard, if something in it cannot.
    pub(super) blocker: Option<Refusal>,
    /// Where it begins.
    pub(super) span: Span,
}

/// What a change does where.
pub(super) enum Place {
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
        Statement::Insert(insert) => insert::insert(insert, catalog),
        Statement::Update(update) => update_of(update, catalog),
        Statement::Delete(delete) => delete_of(delete, catalog),
        Statement::Query(query) if changes(&query.body) => Err(Refusal::new(
            "a change behind WITH",
            "what is read and what is changed may be on different shards",
            "run its parts as statements of their own",
        )
        .at(query.span())),
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

/// Whether what stands behind a WITH is a change.
fn changes(body: &SetExpr) -> bool {
    matches!(
        body,
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
    )
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
    match &table.placement {
        Placement::Sharded(Some(key)) => keeps_key(&update.assignments, key)?,
        Placement::Sharded(None) => return Err(keyless(&table.name.to_string()).at(span)),
        _ => {}
    }
    let mut from = vec![update.table.clone()];
    from.extend(match update.from {
        Some(UpdateTableFromKind::BeforeSet(list) | UpdateTableFromKind::AfterSet(list)) => list,
        None => Vec::new(),
    });
    let values = values_of(update.assignments.into_iter().map(|a| a.value));
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
    mut values: Vec<SelectItem>,
    catalog: &Catalog,
    span: Span,
) -> Result<Change, Refusal> {
    values.push(SelectItem::UnnamedExpr(bind::position(0)));
    let mut query = select_of(values, from);
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.selection = condition;
    }
    let bound = bind::bind(query, catalog)?;
    let spread = Analysis::new(&bound.scope, catalog).query(&bound.query, &[]);
    let place = match (&table.placement, spread) {
        (Placement::Reference, Spread::Same) => {
            same_everywhere(&bound).map_err(|refusal| refusal.at(span))?;
            Place::Everywhere
        }
        (Placement::Sharded(_), Spread::Parts(parts)) => Place::Where(parts.only),
        _ => return Err(elsewhere(table).at(span)),
    };
    Ok(Change {
        place,
        blocker: bound.change_blocker,
        span,
    })
}

/// The values that columns are set to. DEFAULT is no expression.
fn values_of(values: impl IntoIterator<Item = Expr>) -> Vec<SelectItem> {
    let mut items = Vec::new();
    for value in values {
        match value {
            Expr::Identifier(name)
                if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") => {}
            // A constant says nothing of where a change belongs.
            Expr::Value(_) => {}
            Expr::Tuple(values) => items.extend(values_of(values)),
            value => items.push(SelectItem::UnnamedExpr(value)),
        }
    }
    items
}

/// The copies of a reference table stay the same.
fn same_everywhere(bound: &Bound) -> Result<(), Refusal> {
    let construct = match &bound.blocker {
        Some(blocker) => blocker.construct(),
        None if bound.asks_time => "the time of day",
        None => return Ok(()),
    };
    Err(Refusal::new(
        construct,
        "each shard's copy of the reference table would get a value of its own",
        "compute it in the program and pass it as a parameter",
    ))
}

fn elsewhere(table: &Table) -> Refusal {
    Refusal::new(
        format!("the change to {}", table.name),
        "it depends on rows of other shards than the one that it changes",
        "read those rows first, and pass them as parameters",
    )
}

fn keyless(name: &str) -> Refusal {
    Refusal::new(
        name,
        "its rows have no key that says where they belong",
        "declare it as [[table]] with a key that is NOT NULL",
    )
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
