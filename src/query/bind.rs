//! Names resolved: after this every column stands with its alias, every alias is unique, stars are
//! written out and `USING` is a condition, so that parts can be moved without changing what they mean.
//!
//! PostgreSQL has checked the statement by then. What cannot be resolved here is refused.

mod clauses;
pub(super) mod from;
mod items;
mod output;

use std::collections::HashSet;

use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    LimitClause, ObjectName, OrderByExpr, OrderByKind, Query, Select, SetExpr, Spanned,
};

use super::catalog::{Catalog, Placement, Table};
use super::moment;
use super::names::{self, folded, ident};
use super::refusal::Refusal;
use super::tree::{self, NodeMut};
use super::volatile;
use clauses::{refuse_clauses, refuse_select};
use items::outputs;
use output::{first_names, output, table_body, to_position};

pub(super) use items::{Item, Items, Kind};
pub(super) use output::{item_expr, position};

/// A statement with resolved names.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) query: Query,
    pub(super) scope: Items,
    /// The names of the answer's columns.
    pub(super) names: Vec<String>,
    /// Why it cannot run on more than one shard, if something in it cannot.
    pub(super) blocker: Option<Refusal>,
    /// Why it cannot run on one shard either: it looks at what a shard has.
    pub(super) local: Option<Refusal>,
    /// Whether any one shard may answer where no sharded table takes part, in spite of a blocker.
    pub(super) harmless: bool,
    /// The same of a change, each of whose rows may have a value of its own.
    pub(super) change_blocker: Option<Refusal>,
    /// Whether it asks for all columns, of which a table may get more.
    pub(super) stars: bool,
    /// Whether it asks for the time, which is then bound as `$0`.
    pub(super) asks_time: bool,
}

/// Resolves the names of a query.
pub(super) fn bind(query: Query, catalog: &Catalog) -> Result<Bound, Refusal> {
    let mut binder = Binder {
        catalog,
        out: Items::default(),
        scopes: Vec::new(),
        ctes: Vec::new(),
        later: Vec::new(),
        used: HashSet::new(),
        blocker: None,
        local: None,
        harmless: true,
        change_blocker: None,
        stars: false,
        asks_time: false,
    };
    let mut query = query;
    let names = binder.query(&mut query)?;
    Ok(Bound {
        query,
        scope: binder.out,
        names,
        blocker: binder.blocker,
        local: binder.local,
        harmless: binder.harmless,
        change_blocker: binder.change_blocker,
        stars: binder.stars,
        asks_time: binder.asks_time,
    })
}

struct Binder<'c> {
    catalog: &'c Catalog,
    out: Items,
    /// What names are looked up in, the innermost last.
    scopes: Vec<Scope>,
    ctes: Vec<Cte>,
    /// The CTEs of WITH RECURSIVE that are not known yet.
    later: Vec<String>,
    /// Aliases and names of CTEs that are taken.
    used: HashSet<String>,
    blocker: Option<Refusal>,
    local: Option<Refusal>,
    harmless: bool,
    change_blocker: Option<Refusal>,
    stars: bool,
    asks_time: bool,
}

struct Cte {
    name: String,
    unique: String,
    columns: Vec<String>,
}

/// What can be named at one level.
#[derive(Clone, Default)]
struct Scope {
    /// Aliases as written, and unique.
    aliases: Vec<(String, String)>,
    /// What a star stands for.
    columns: Vec<Column>,
    /// The schema and name of tables without an alias.
    tables: Vec<(String, String, String)>,
}

#[derive(Clone)]
struct Column {
    name: String,
    expr: Expr,
}

impl Scope {
    fn extend(&mut self, other: Scope) {
        self.aliases.extend(other.aliases);
        self.columns.extend(other.columns);
        self.tables.extend(other.tables);
    }
}

/// A column of an alias.
pub(super) fn column(alias: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![ident(alias), ident(name)])
}

impl Binder<'_> {
    fn query(&mut self, query: &mut Query) -> Result<Vec<String>, Refusal> {
        refuse_clauses(query)?;
        let ctes = self.ctes.len();
        if let Some(with) = &mut query.with {
            let recursive = with.recursive;
            let names: Vec<String> = with
                .cte_tables
                .iter()
                .map(|cte| folded(&cte.alias.name))
                .collect();
            for (at, cte) in with.cte_tables.iter_mut().enumerate() {
                let later = self.later.len();
                if recursive {
                    self.later.extend(names.iter().skip(at + 1).cloned());
                }
                let outcome = self.cte(cte, recursive);
                self.later.truncate(later);
                outcome?;
            }
        }
        let mut order = query.order_by.take();
        let keys: &mut [OrderByExpr] = match order.as_mut().map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(keys)) => keys,
            _ => &mut [],
        };
        if let SetExpr::Table(table) = query.body.as_ref() {
            *query.body = table_body(table).ok_or_else(|| unknown(&table.to_string()))?;
        }
        let names = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, keys)?,
            body => {
                let names = self.set(body)?;
                for key in keys {
                    to_position(&mut key.expr, &names)?;
                }
                names
            }
        };
        query.order_by = order;
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            for expr in limit
                .iter_mut()
                .chain(offset.iter_mut().map(|o| &mut o.value))
            {
                self.expr(expr)?;
            }
        }
        if let Some(quantity) = query.fetch.as_mut().and_then(|f| f.quantity.as_mut()) {
            self.expr(quantity)?;
        }
        self.ctes.truncate(ctes);
        Ok(names)
    }

    fn cte(&mut self, cte: &mut sqlparser::ast::Cte, recursive: bool) -> Result<(), Refusal> {
        let name = folded(&cte.alias.name);
        let unique = self.unique(&name);
        let mut columns: Vec<String> = cte.alias.columns.iter().map(|c| folded(&c.name)).collect();
        let known = self.ctes.len();
        if recursive {
            if columns.is_empty() {
                columns = first_names(&cte.query.body).unwrap_or_default();
            }
            self.ctes.push(Cte {
                name: name.clone(),
                unique: unique.clone(),
                columns: columns.clone(),
            });
        }
        let names = self.query(&mut cte.query)?;
        self.ctes.truncate(known);
        columns.extend(names.into_iter().skip(columns.len()));
        if !recursive {
            self.out
                .outputs
                .insert(unique.clone(), outputs(&cte.query.body));
        }
        cte.alias.name = ident(&unique);
        // Written out, for the names of what is inside may change.
        cte.alias.columns = columns
            .iter()
            .map(|name| sqlparser::ast::TableAliasColumnDef {
                name: ident(name),
                data_type: None,
            })
            .collect();
        self.ctes.push(Cte {
            name,
            unique,
            columns,
        });
        Ok(())
    }

    fn set(&mut self, body: &mut SetExpr) -> Result<Vec<String>, Refusal> {
        match body {
            SetExpr::Table(table) => {
                *body = table_body(table).ok_or_else(|| unknown(&table.to_string()))?;
                self.set(body)
            }
            SetExpr::Select(select) => self.select(select, &mut []),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let names = self.set(left)?;
                self.set(right)?;
                Ok(names)
            }
            SetExpr::Values(values) => {
                let mut width = 0;
                for row in &mut values.rows {
                    width = row.content.len();
                    for expr in &mut row.content {
                        self.expr(expr)?;
                    }
                }
                Ok((1..=width).map(|n| format!("column{n}")).collect())
            }
            other => Err(Refusal::new(
                other.to_string(),
                "it is no SELECT",
                "write changes as statements of their own",
            )
            .at(other.span())),
        }
    }

    fn select(
        &mut self,
        select: &mut Select,
        order: &mut [OrderByExpr],
    ) -> Result<Vec<String>, Refusal> {
        refuse_select(select)?;
        let mut scope = Scope::default();
        for tree in &mut select.from {
            let part = self.from(tree, &scope)?;
            scope.extend(part);
        }
        self.scopes.push(scope);
        let outcome = self.inside(select, order);
        self.scopes.pop();
        outcome
    }

    /// All of a SELECT but its FROM.
    fn inside(
        &mut self,
        select: &mut Select,
        order: &mut [OrderByExpr],
    ) -> Result<Vec<String>, Refusal> {
        let mut names = Vec::new();
        let mut projection = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            self.item(item, &mut projection, &mut names)?;
        }
        select.projection = projection;
        if let Some(condition) = &mut select.selection {
            self.expr(condition)?;
        }
        if let GroupByExpr::Expressions(list, modifiers) = &mut select.group_by {
            if let Some(modifier) = modifiers.first() {
                return Err(unknown(&modifier.to_string()));
            }
            for expr in list {
                self.group(expr, &select.projection, &names)?;
            }
        }
        if let Some(condition) = &mut select.having {
            self.expr(condition)?;
        }
        for definition in &mut select.named_window {
            if let sqlparser::ast::NamedWindowExpr::WindowSpec(spec) = &mut definition.1 {
                let mut outcome = Ok(());
                tree::window_children_mut(spec, &mut |node| {
                    if let (NodeMut::Expr(expr), Ok(())) = (node, &outcome) {
                        outcome = self.expr(expr);
                    }
                });
                outcome?;
            }
        }
        if let Some(Distinct::On(list)) = &mut select.distinct {
            for expr in list {
                match output(expr, &names).and_then(|at| Some((at, select.projection.get(at)?))) {
                    Some((at, item)) if tree::holds_query(item_expr(item)) => *expr = position(at),
                    Some((_, item)) => *expr = item_expr(item).clone(),
                    None => self.expr(expr)?,
                }
            }
        }
        for key in order {
            match output(&key.expr, &names) {
                Some(at) => key.expr = position(at),
                None => self.expr(&mut key.expr)?,
            }
        }
        Ok(names)
    }

    fn expr(&mut self, expr: &mut Expr) -> Result<(), Refusal> {
        match expr {
            Expr::Identifier(name) => {
                let resolved = self.name(&folded(name));
                *expr = resolved.ok_or_else(|| unknown(&name.value).at(name.span))?;
                return Ok(());
            }
            Expr::CompoundIdentifier(parts) => {
                let span = parts.first().map(|part| part.span).unwrap_or_else(no_span);
                let written: Vec<String> = parts.iter().map(folded).collect();
                let Some((name, alias)) = written.split_last() else {
                    return Ok(());
                };
                let alias = self
                    .alias(alias)
                    .filter(|alias| match self.columns_of(alias) {
                        Some(columns) => columns.contains(name),
                        None => true,
                    })
                    .ok_or_else(|| unknown(&written.join(".")).at(span))?;
                *expr = column(&alias, name);
                return Ok(());
            }
            Expr::Function(function) => {
                if let Some(time) = moment::replacement(function) {
                    self.asks_time = true;
                    *expr = time;
                    return Ok(());
                }
                let count = plain_arguments(function).map_or(0, |arguments| arguments.len());
                self.function(&function.name, count)?;
                self.whole_row_arguments(function)?;
            }
            Expr::Cast {
                data_type,
                expr: inner,
                ..
            } => {
                let text = tree::bare(inner);
                if let Some(time) = moment::of_text(data_type, text) {
                    self.asks_time = true;
                    *expr = time;
                    return Ok(());
                }
                let blocker = volatile::type_blocker(&data_type.to_string())
                    .or_else(|| volatile::moment_blocker(data_type, text));
                let span = expr.span();
                if let Some(blocker) = blocker {
                    let blocker = blocker.at(span);
                    self.change_blocker.get_or_insert_with(|| blocker.clone());
                    self.blocker.get_or_insert(blocker);
                }
            }
            Expr::TypedString(typed) => {
                let text = Expr::Value(typed.value.clone());
                if let Some(time) = moment::of_text(&typed.data_type, &text) {
                    self.asks_time = true;
                    *expr = time;
                    return Ok(());
                }
                let blocker = volatile::type_blocker(&typed.data_type.to_string())
                    .or_else(|| volatile::moment_blocker(&typed.data_type, &text));
                let span = expr.span();
                if let Some(blocker) = blocker {
                    let blocker = blocker.at(span);
                    self.change_blocker.get_or_insert_with(|| blocker.clone());
                    self.blocker.get_or_insert(blocker);
                }
            }
            _ => {}
        }
        let mut outcome = Ok(());
        let known = tree::children_mut(expr, &mut |node| {
            if outcome.is_ok() {
                outcome = match node {
                    NodeMut::Expr(inner) => self.expr(inner),
                    NodeMut::Query(query) => self.query(query).map(drop),
                };
            }
        });
        outcome?;
        match known {
            true => Ok(()),
            false => Err(unknown(&expr.to_string()).at(expr.span())),
        }
    }

    /// `f(t.*)` is `f(t)`.
    fn whole_row_arguments(&mut self, function: &mut Function) -> Result<(), Refusal> {
        let FunctionArguments::List(list) = &mut function.args else {
            return Ok(());
        };
        for arg in &mut list.args {
            if let FunctionArg::Unnamed(arg) = arg
                && let FunctionArgExpr::QualifiedWildcard(name) = arg
            {
                let alias = names::parts(name)
                    .filter(|parts| self.alias(parts).is_some())
                    .ok_or_else(|| unknown(&format!("{name}.*")).at(name.span()))?;
                let parts = alias.iter().map(|part| Ident::with_quote('"', part));
                let parts: Vec<Ident> = parts.collect();
                *arg = FunctionArgExpr::Expr(match <[Ident; 1]>::try_from(parts) {
                    Ok([alias]) => Expr::Identifier(alias),
                    Err(_) => return Err(unknown(&format!("{name}.*")).at(name.span())),
                });
            }
        }
        Ok(())
    }

    /// Notes a function that may not answer the same everywhere.
    fn function(&mut self, name: &ObjectName, arguments: usize) -> Result<(), Refusal> {
        let parts = names::parts(name).ok_or_else(|| unknown(&name.to_string()))?;
        let Some(last) = parts.last() else {
            return Ok(());
        };
        let function = self.catalog.function(last);
        if let Some(blocker) = volatile::blocker(last, arguments, function) {
            let blocker = blocker.at(name.span());
            if volatile::is_local(last, function) {
                self.local.get_or_insert(blocker.clone());
            }
            self.harmless = self.harmless && volatile::is_harmless(last);
            if !volatile::is_each_rows_own(last, function) {
                self.change_blocker.get_or_insert_with(|| blocker.clone());
            }
            self.blocker.get_or_insert(blocker);
        }
        Ok(())
    }

    fn arguments(&mut self, args: &mut [FunctionArg]) -> Result<(), Refusal> {
        for arg in args {
            match arg {
                FunctionArg::Named { arg, .. } | FunctionArg::Unnamed(arg) => match arg {
                    FunctionArgExpr::Expr(expr) => self.expr(expr)?,
                    other => return Err(unknown(&other.to_string())),
                },
                other => return Err(unknown(&other.to_string())),
            }
        }
        Ok(())
    }

    /// A name without an alias: a column of the innermost level that has one, else a whole row.
    fn name(&mut self, name: &str) -> Option<Expr> {
        for scope in self.scopes.iter().rev() {
            let mut columns = scope.columns.iter().filter(|column| column.name == name);
            match (columns.next(), columns.next()) {
                (Some(column), None) => return Some(column.expr.clone()),
                (Some(_), Some(_)) => return None,
                _ => {}
            }
            let mut unknown = scope
                .aliases
                .iter()
                .filter(|(written, unique)| written != name && self.columns_of(unique).is_none());
            if let (Some((_, alias)), None) = (unknown.next(), unknown.next()) {
                return Some(column(alias, name));
            }
        }
        let alias = self.alias(&[name.to_owned()])?;
        if let Some(Item {
            kind: Kind::Function,
            ..
        }) = self.out.items.get(&alias)
        {
            // A function's only column has the name of the alias.
            if self.columns_of(&alias).is_none() {
                return Some(Expr::Identifier(ident(&alias)));
            }
        }
        self.out.whole_rows.insert(alias.clone());
        Some(Expr::Identifier(ident(&alias)))
    }

    /// The unique alias of a written one, or of a table's name with its schema.
    fn alias(&self, parts: &[String]) -> Option<String> {
        self.scopes.iter().rev().find_map(|scope| match parts {
            [written] => scope
                .aliases
                .iter()
                .find(|(known, _)| known == written)
                .map(|(_, unique)| unique.clone()),
            [schema, name] => scope
                .tables
                .iter()
                .find(|(s, n, _)| s == schema && n == name)
                .map(|(_, _, unique)| unique.clone()),
            _ => None,
        })
    }

    fn columns_of(&self, unique: &str) -> Option<&[String]> {
        self.out.items.get(unique)?.columns.as_deref()
    }

    /// A name that nothing else has.
    fn unique(&mut self, written: &str) -> String {
        let base: String = written.chars().take(40).collect();
        let mut name = written.to_owned();
        let mut n = 1;
        while name.starts_with("pgshard_") || name.len() > 60 || !self.used.insert(name.clone()) {
            n += 1;
            name = format!("{}_{n}", base.trim_start_matches("pgshard_"));
        }
        name
    }

    /// Refuses tables that are nobody's.
    fn check_table(&self, table: &Table, name: &ObjectName) -> Result<(), Refusal> {
        let refusal = match (&table.differs, &table.placement) {
            (Some(difference), _) => Refusal::new(
                name.to_string(),
                format!("the shards do not agree on it: {difference}"),
                "bring the shards to one schema",
            ),
            (_, Placement::Undeclared) => Refusal::new(
                name.to_string(),
                "it is declared neither as sharded nor as a reference table, so that each shard's \
                 rows are its own",
                "declare it in the topology file as [[table]] or [[reference]]",
            ),
            (_, Placement::Other(what)) => Refusal::new(
                name.to_string(),
                format!("it is {what}, of which nothing is known"),
                "write its query out",
            ),
            _ => return Ok(()),
        };
        Err(refusal.at(name.span()))
    }
}

fn unknown(what: &str) -> Refusal {
    Refusal::new(
        what,
        "it is not understood",
        "write it in another way, with an alias before each column",
    )
}

fn unknown_columns(alias: &str) -> Refusal {
    Refusal::new(
        format!("* with {alias}"),
        "the columns of this function are not known",
        "name the columns, as in f(x) AS alias(column, …)",
    )
}

fn no_span() -> sqlparser::tokenizer::Span {
    sqlparser::tokenizer::Span::empty()
}

/// The name of a function, if it is called without a schema or in `pg_catalog`.
pub(super) fn builtin_name(function: &Function) -> Option<String> {
    let mut parts = names::parts(&function.name)?;
    let name = parts.pop()?;
    match parts.as_slice() {
        [] => Some(name),
        [schema] if schema == "pg_catalog" => Some(name),
        _ => None,
    }
}

/// A function's arguments that are plain expressions; `None` if some are not.
pub(super) fn plain_arguments(function: &Function) -> Option<Vec<&Expr>> {
    match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
    }
}
