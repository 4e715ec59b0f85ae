//! A statement split for a reporting server: what each shard is asked, and what is made of it there.
//!
//! The same split as for an answer here, but its tables are to be a reporting server's foreign tables,
//! and the rows of all shards are called `partials` there.

use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SelectItem, TableAlias, TableAliasColumnDef,
    TableFactor, Value, VisitMut, VisitorMut,
};

use super::bind::{self, Kind};
use super::combine::{Types, cell_name, name, select_of};
use super::describe::{Described, Describer};
use super::explain::Tier;
use super::moment;
use super::names::{ident, parts};
use super::params::is_collatable;
use super::planner::Planner;
use super::refusal::Refusal;
use super::shape::{Body, Effort};
use super::sql::Sql;
use super::tree::{self, NodeMut};
use super::{parse, plan};
use crate::client::deadline;
use crate::config::TableName;
use crate::error::{Error, Result};

/// What the rows of all shards are called in the combine.
const PARTIALS: &str = "partials";

/// A statement as a report: what each shard is asked, and what is made of all their rows.
///
/// Made by [`Sql::report`]. Texts are written for a place, which gives each table its name there: on a
/// reporting server that of a foreign table.
///
/// ```no_run
/// use pgshard::fdw::{Branch, Fdw, Report};
///
/// # async fn example(cluster: pgshard::Cluster, fdw: Fdw) -> pgshard::Result<()> {
/// let plan = cluster
///     .sql("SELECT country, count(*) AS customers FROM customers GROUP BY country", &[])
///     .report()
///     .await?;
/// let shards: Vec<_> = cluster.config().shards.iter().map(|shard| shard.id).collect();
/// let mut branches = Vec::new();
/// for &shard in &shards {
///     let sql = plan.branch(|table| fdw.foreign_table(shard, table))?;
///     branches.push(Branch { shard, sql });
/// }
/// let combine = plan.combine(|table| fdw.foreign_table(shards[0], table))?;
/// let report = Report::Split { name: "per_country".into(), branches, combine };
/// println!("{}", fdw.report_sql(&report)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReportPlan {
    tier: Tier,
    branch: Query,
    combine: Query,
    /// The number of a branch's columns.
    width: usize,
    tables: Vec<TableName>,
}

impl ReportPlan {
    /// [`Split`](Tier::Split) if the shards answer with aggregates, [`Push`](Tier::Push) if with rows.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The tables that it reads.
    pub fn tables(&self) -> &[TableName] {
        &self.tables
    }

    /// What one shard is asked; `place` names its tables.
    ///
    /// # Errors
    ///
    /// [`Refused`](crate::ErrorKind::Refused) for a table that the place does not have.
    pub fn branch(&self, place: impl FnMut(&TableName) -> Option<String>) -> Result<String> {
        self.written(&self.branch, place)
    }

    /// What is made of the rows of all shards, which it calls `partials`; `place` names the reference
    /// tables that it reads beside them.
    ///
    /// # Errors
    ///
    /// As [`branch`](Self::branch).
    pub fn combine(&self, place: impl FnMut(&TableName) -> Option<String>) -> Result<String> {
        self.written(&self.combine, place)
    }

    fn written(
        &self,
        query: &Query,
        place: impl FnMut(&TableName) -> Option<String>,
    ) -> Result<String> {
        let mut query = query.clone();
        let mut placing = Placing {
            tables: &self.tables,
            width: self.width,
            place,
        };
        match query.visit(&mut placing) {
            ControlFlow::Continue(()) => Ok(query.to_string()),
            ControlFlow::Break(table) => Err(Refusal::new(
                table.to_string(),
                "the reporting server has no foreign table for it",
                "declare it as a sharded or as a reference table",
            )
            .into()),
        }
    }

    /// As one statement over the shards' own tables, to be described. They are read through WITH queries,
    /// which have no primary keys, no more than foreign tables have.
    fn whole(&self) -> Result<String> {
        let known = |at: usize| format!("pgshard_t{at}");
        let place = |table: &TableName| self.tables.iter().position(|t| t == table).map(known);
        let tables: String = self
            .tables
            .iter()
            .enumerate()
            .map(|(at, table)| {
                let (schema, name) = (ident(&table.schema), ident(&table.name));
                format!("{} AS (SELECT * FROM {schema}.{name}), ", known(at))
            })
            .collect();
        Ok(format!(
            "WITH {tables}{PARTIALS} AS (({}))\n({})",
            self.branch(place)?,
            self.combine(place)?
        ))
    }
}

impl fmt::Debug for ReportPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the statement: what is in it may be a secret.
        f.debug_struct("ReportPlan")
            .field("tier", &self.tier)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

/// Gives tables their names at a place, and the rows gathered theirs.
struct Placing<'a, P> {
    tables: &'a [TableName],
    width: usize,
    place: P,
}

impl<P: FnMut(&TableName) -> Option<String>> VisitorMut for Placing<'_, P> {
    type Break = TableName;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<TableName> {
        let TableFactor::Table {
            name: written,
            alias,
            args: None,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        let Some(parts) = parts(written) else {
            return ControlFlow::Continue(());
        };
        match parts.as_slice() {
            [single] if *single == name(0) => {
                let columns = (0..self.width).map(cell_name);
                *written = verbatim(PARTIALS.to_owned());
                *alias = Some(TableAlias {
                    explicit: true,
                    name: Ident::new(name(0)),
                    columns: columns.map(TableAliasColumnDef::from_name).collect(),
                    at: None,
                });
            }
            [schema, table] => {
                let is = |t: &&TableName| t.schema == *schema && t.name == *table;
                if let Some(table) = self.tables.iter().find(is) {
                    match (self.place)(table) {
                        Some(there) => *written = verbatim(there),
                        None => return ControlFlow::Break(table.clone()),
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A table under its own name.
fn own(table: &TableName) -> Option<String> {
    let (schema, name) = (ident(&table.schema), ident(&table.name));
    Some(format!("{schema}.{name}"))
}

/// A name that is SQL already.
fn verbatim(sql: String) -> ObjectName {
    ObjectName(vec![ObjectNamePart::Identifier(Ident::new(sql))])
}

impl Sql<'_> {
    /// Plans the statement as a report: one query for each shard, and one over all their rows. Nothing is
    /// run, and nothing kept.
    ///
    /// All shards take part, whatever its conditions say: a report outlives the map that it was made by.
    ///
    /// # Errors
    ///
    /// PostgreSQL's own error for a statement that it does not take; [`Refused`](crate::ErrorKind::Refused)
    /// with a [`Refusal`] for one with parameters, and for one that is neither made of the shards' aggregates
    /// nor the union of their answers: it would gather rows.
    pub async fn report(self) -> Result<ReportPlan> {
        let planner = Planner::of(self.core);
        let deadline = deadline::after(tokio::time::Instant::now(), self.reading.within);
        let catalog = planner.catalog(self.core).await?;
        let describer = Describer::open(self.core, &self.reading, deadline).await?;
        // PostgreSQL's own errors come first.
        let (types, columns) = describer.describe(self.sql).await?;
        if !types.is_empty() {
            return Err(Refusal::new(
                "$1",
                "a report has no parameters",
                "write the values into the statement",
            )
            .into());
        }
        let query = tree::query_of(parse::statement(self.sql)?)
            .ok_or_else(|| Refusal::new("the statement", "it is no SELECT", "write a SELECT"))?;
        let bound = bind::bind(*query, &catalog)?;
        if !bound.scope.whole_rows.is_empty() {
            return Err(Refusal::new(
                "a whole row",
                "its type is another for each shard's foreign table",
                "name the columns",
            )
            .into());
        }
        for (at, column) in columns.iter().enumerate() {
            if columns.iter().take(at).any(|c| c.name == column.name) {
                return Err(Refusal::new(
                    format!("column {}", column.name),
                    "a view has each column once",
                    "give one of them another name by AS",
                )
                .into());
            }
        }
        let mut answers = Types::new();
        let [effort, ..] = Effort::ALL;
        let shape = plan::shaped(&bound, &catalog, &mut answers, effort, &describer, &types);
        let (tier, fragment, mut combine) = match shape.await?.body {
            Body::Push(push) => (Tier::Push, push.fragment, push.ordered),
            Body::Combine(mut combined) => {
                let one = combined.fragments.pop();
                match one {
                    Some(one) if combined.only_partials && combined.fragments.is_empty() => {
                        (Tier::Split, one, combined.query)
                    }
                    _ => return Err(gathers().into()),
                }
            }
            Body::Anywhere => {
                return Err(Refusal::new(
                    "the statement",
                    "it reads no sharded table",
                    "read the views of the reference tables",
                )
                .into());
            }
            Body::OneShard(refusal) => return Err(refusal.into()),
        };
        let mut branch = fragment.query;
        if names_partials(&branch) || names_partials(&combine) {
            return Err(Refusal::new(
                PARTIALS,
                "the report itself has a part of that name",
                "give the WITH query another name",
            )
            .into());
        }
        known_first(&mut branch);
        tree::change_query(&mut combine, &mut tell_time);
        let tables = bound
            .scope
            .items
            .values()
            .filter_map(|item| match &item.kind {
                Kind::Table(table) => Some(table.name.clone()),
                _ => None,
            });
        let mut tables: Vec<TableName> = tables.collect();
        tables.sort();
        tables.dedup();
        let plan = ReportPlan {
            tier,
            branch,
            combine,
            width: fragment.width,
            tables,
        };
        // What travels between servers means the same on all of them, and the columns are the statement's.
        let (_, parts) = describer
            .describe(&plan.branch(own)?)
            .await
            .map_err(plan::own)?;
        parts.iter().try_for_each(|c| plan::carry(c).map(drop))?;
        let found = describer.in_full(&plan.whole()?, &[]).await;
        let found = found.map_err(without_keys)?;
        let unsure = |c: &&Described| is_collatable(&c.ty) && c.collation.is_none();
        if let Some(column) = found.iter().find(unsure) {
            return Err(Refusal::new(
                format!("column {}", column.name),
                "a view has to know the collation of its columns, and this one's could be several",
                "name one by COLLATE",
            )
            .into());
        }
        plan::check(&columns, &found, true)?;
        Ok(plan)
    }
}

/// PostgreSQL does not take the report: it may lean on a primary key.
fn without_keys(error: Error) -> Error {
    let ungrouped = error
        .sqlstate()
        .is_some_and(|code| code.as_str() == "42803");
    if !ungrouped {
        return plan::own(error);
    }
    Refusal::new(
        "GROUP BY",
        "a foreign table has no primary key, which other columns could depend on",
        "group by the columns that are selected, too",
    )
    .into()
}

fn gathers() -> Refusal {
    Refusal::new(
        "the statement",
        "it would gather rows: it is neither put together from the shards' aggregates, in one step, nor the \
         union of their answers",
        "read the views instead, materialised if that takes long",
    )
}

/// Whether a query has a CTE of the name that the rows of all shards have.
fn names_partials(query: &Query) -> bool {
    struct Find;
    impl sqlparser::ast::Visitor for Find {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
            for cte in ctes {
                if cte.alias.name.value == PARTIALS {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        }
    }
    sqlparser::ast::Visit::visit(query, &mut Find).is_break()
}

/// The time of the reporting server's transaction in the place of the one that would be bound.
fn tell_time(expr: &mut Expr) {
    if is_time(expr) {
        *expr = Expr::Identifier(Ident::new("pg_catalog.now()"));
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value)
        if matches!(&value.value, Value::Placeholder(p) if p == moment::PARAMETER))
}

/// What is made of the time and of constants alone becomes a subquery: the reporting server knows its value
/// before it asks the shards, and sends it to them. Written as it stands, it would not be sent, for it is not
/// immutable, and the reporting server would fetch every row.
fn known_first(query: &mut Query) {
    tree::query_nodes_mut(query, &mut |node| match node {
        NodeMut::Expr(expr) => known_in(expr),
        NodeMut::Query(query) => known_first(query),
    });
}

fn known_in(expr: &mut Expr) {
    if is_known(expr) && tree::any_expr(expr, &mut is_time) {
        tree::change_expr(expr, &mut tell_time);
        let item = SelectItem::UnnamedExpr(expr.clone());
        *expr = Expr::Subquery(Box::new(select_of(vec![item], Vec::new())));
        return;
    }
    tree::children_mut(expr, &mut |node| match node {
        NodeMut::Expr(inner) => known_in(inner),
        NodeMut::Query(query) => known_first(query),
    });
}

/// Whether nothing but constants, the time, casts and operators are inside.
fn is_known(expr: &Expr) -> bool {
    !tree::any_expr(expr, &mut |expr| {
        !matches!(
            expr,
            Expr::Value(_)
                | Expr::TypedString(_)
                | Expr::Interval(_)
                | Expr::Cast { .. }
                | Expr::Nested(_)
                | Expr::UnaryOp { .. }
                | Expr::BinaryOp { .. }
                | Expr::AtTimeZone { .. }
        )
    })
}
