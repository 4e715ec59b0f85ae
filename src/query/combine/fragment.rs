//! What every shard runs, and how its rows stand in the query that puts them together.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    Cte, Expr, GroupByExpr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectFlavor,
    SelectItem, SetExpr, TableFactor, TableWithJoins, With,
};

use crate::query::spread::Restrictions;

/// A query that every shard runs, whose rows are gathered.
#[derive(Clone, Debug)]
pub(in crate::query) struct Fragment {
    pub(in crate::query) query: Query,
    /// What is known of the keys that have rows in it.
    pub(in crate::query) only: Restrictions,
    /// The number of its columns.
    pub(in crate::query) width: usize,
}

/// The name that a fragment's rows stand under.
pub(in crate::query) fn name(at: usize) -> String {
    format!("pgshard_f{at}")
}

/// The name of a fragment's column.
pub(in crate::query) fn cell_name(n: usize) -> String {
    format!("c{}", n + 1)
}

/// A fragment's column.
pub(in crate::query) fn cell(at: usize, n: usize) -> Expr {
    Expr::CompoundIdentifier(vec![Ident::new(name(at)), Ident::new(cell_name(n))])
}

/// A fragment's rows, as an item of FROM.
pub(in crate::query) fn table(at: usize) -> TableWithJoins {
    item(TableFactor::Table {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name(at)))]),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_directives: Vec::new(),
        inheritance: None,
    })
}

/// An item of FROM.
pub(super) fn item(relation: TableFactor) -> TableWithJoins {
    TableWithJoins {
        relation,
        joins: Vec::new(),
    }
}

/// `SELECT … FROM …`.
pub(in crate::query) fn select_of(projection: Vec<SelectItem>, from: Vec<TableWithJoins>) -> Query {
    query_of(SetExpr::Select(Box::new(Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    })))
}

/// A body, as a query.
pub(in crate::query) fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// Sets the WHERE of a query that is one SELECT.
pub(super) fn set_condition(query: &mut Query, condition: Option<Expr>) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.selection = condition;
    }
}

pub(super) fn with(cte_tables: Vec<Cte>, recursive: bool) -> With {
    With {
        with_token: AttachedToken::empty(),
        recursive,
        cte_tables,
    }
}
