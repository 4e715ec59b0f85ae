//! What stands in the FROM clauses of a statement, and what is known of its columns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlparser::ast::SetExpr;

use super::output::item_expr;
use crate::query::catalog::{Placement, Table};
use crate::query::keys::{self, Col};

/// What stands in the FROM clauses, by unique alias.
#[derive(Clone, Debug, Default)]
pub(in crate::query) struct Items {
    pub(in crate::query) items: HashMap<String, Item>,
    /// Aliases that stand for a whole row somewhere.
    pub(in crate::query) whole_rows: HashSet<String>,
    /// The columns that the outputs of subqueries (by alias) and CTEs (by name) are, where they are
    /// plain columns: one for each arm of a set operation.
    pub(super) outputs: HashMap<String, Vec<Option<Vec<Col>>>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(in crate::query) struct Item {
    pub(in crate::query) kind: Kind,
    /// The names of its columns, if they are known.
    pub(in crate::query) columns: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub(in crate::query) enum Kind {
    Table(Arc<Table>),
    Query,
    /// A CTE, by its unique name.
    Cte(String),
    Function,
}

impl Items {
    /// The columns that an item's column is passed on from, if it is a subquery's and nothing but that.
    pub(in crate::query) fn sources(&self, alias: &str, column: &str) -> Option<&[Col]> {
        let item = self.items.get(alias)?;
        let outputs = match &item.kind {
            Kind::Query => self.outputs.get(alias)?,
            Kind::Cte(name) => self.outputs.get(name)?,
            _ => return None,
        };
        let at = item.columns.as_ref()?.iter().position(|c| c == column)?;
        outputs.get(at)?.as_deref()
    }
}

impl Items {
    /// The key of a sharded table, as its alias calls it.
    pub(in crate::query) fn key(&self, alias: &str) -> Option<Col> {
        let Kind::Table(table) = &self.items.get(alias)?.kind else {
            return None;
        };
        let Placement::Sharded(Some(key)) = &table.placement else {
            return None;
        };
        Some((alias.to_owned(), self.written(alias, table, key)?))
    }

    /// The table's column that an alias calls by this name.
    pub(in crate::query) fn table_column(
        &self,
        alias: &str,
        name: &str,
    ) -> Option<&crate::query::catalog::Column> {
        let item = self.items.get(alias)?;
        let Kind::Table(table) = &item.kind else {
            return None;
        };
        let at = item.columns.as_ref()?.iter().position(|c| c == name)?;
        table.columns.get(at)
    }

    /// What a table's column is called under an alias.
    pub(in crate::query) fn written(
        &self,
        alias: &str,
        table: &Table,
        column: &str,
    ) -> Option<String> {
        let at = table
            .columns
            .iter()
            .position(|known| known.name == column)?;
        self.items.get(alias)?.columns.as_ref()?.get(at).cloned()
    }
}

/// The plain columns that the outputs of a query are.
pub(super) fn outputs(body: &SetExpr) -> Vec<Option<Vec<Col>>> {
    match body {
        SetExpr::Select(select) => {
            let items = select.projection.iter().map(item_expr);
            items.map(|expr| Some(vec![keys::col(expr)?])).collect()
        }
        SetExpr::Query(query) => outputs(&query.body),
        SetExpr::SetOperation { left, right, .. } => {
            let pairs = outputs(left).into_iter().zip(outputs(right));
            pairs
                .map(|(left, right)| Some([left?, right?].concat()))
                .collect()
        }
        _ => Vec::new(),
    }
}
