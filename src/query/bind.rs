//! Names resolved: after this every column stands with its alias, every alias is unique, stars are
//! written out and `USING` is a condition, so that parts can be moved without changing what they mean.
//!
//! PostgreSQL has checked the statement by then. What cannot be resolved here is refused.

pub(super) mod from;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    LimitClause, ObjectName, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, Value,
};

use super::catalog::{Catalog, Placement, Table};
use super::keys::{self, Col};
use super::moment;
use super::names::{self, folded, ident};
use super::refusal::Refusal;
use super::tree::{self, NodeMut};
use super::volatile;

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

/// What stands in the FROM clauses, by unique alias.
#[derive(Clone, Debug, Default)]
pub(super) struct Items {
    pub(super) items: HashMap<String, Item>,
    /// Aliases that stand for a whole row somewhere.
    pub(super) whole_rows: HashSet<String>,
    /// The columns that the outputs of subqueries (by alias) and CTEs (by name) are, where they are
    /// plain columns: one for each arm of a set operation.
    outputs: HashMap<String, Vec<Option<Vec<Col>>>>,
}

impl Items {
    /// The columns that an item's column is passed on from, if it is a subquery's and nothing but that.
    pub(super) fn sources(&self, alias: &str, column: &str) -> Option<&[Col]> {
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

/// The plain columns that the outputs of a query are.
fn outputs(body: &SetExpr) -> Vec<Option<Vec<Col>>> {
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

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// The names of its columns, if they are known.
    pub(super) columns: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Table(Arc<Table>),
    Query,
    /// A CTE, by its unique name.
    Cte(String),
    Function,
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

    fn item(
        &mut self,
        item: SelectItem,
        projection: &mut Vec<SelectItem>,
        names: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        match item {
            SelectItem::Wildcard(options) if plain(&options) => {
                let scope = self.scopes.last().cloned().unwrap_or_default();
                for (_, unique) in &scope.aliases {
                    if self.columns_of(unique).is_none() {
                        return Err(unknown_columns(unique).at(options.span()));
                    }
                }
                self.stars = true;
                for column in scope.columns {
                    names.push(column.name.clone());
                    projection.push(named(column.expr, &column.name));
                }
                Ok(())
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if plain(&options) => {
                let alias = names::parts(&name)
                    .and_then(|parts| self.alias(&parts))
                    .ok_or_else(|| unknown(&format!("{name}.*")).at(name.span()))?;
                let columns = self
                    .columns_of(&alias)
                    .ok_or_else(|| unknown_columns(&alias).at(name.span()))?
                    .to_vec();
                self.stars = true;
                for name in columns {
                    projection.push(SelectItem::UnnamedExpr(column(&alias, &name)));
                    names.push(name);
                }
                Ok(())
            }
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {
                let name = names::of_item(&item).ok_or_else(|| unknown(&item.to_string()))?;
                let mut expr = match item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
                    _ => return Ok(()),
                };
                self.expr(&mut expr)?;
                projection.push(named(expr, &name));
                names.push(name);
                Ok(())
            }
            other => Err(unknown(&other.to_string()).at(other.span())),
        }
    }

    /// A bare name in GROUP BY is a column if there is one, else an output.
    fn group(
        &mut self,
        expr: &mut Expr,
        projection: &[SelectItem],
        names: &[String],
    ) -> Result<(), Refusal> {
        match expr {
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                for expr in sets.iter_mut().flatten() {
                    // Of two outputs that are one expression, a set may hold one and not the other.
                    let twice = output(expr, names).filter(|at| {
                        let item = projection.get(*at).map(item_expr);
                        projection
                            .iter()
                            .filter(|other| Some(item_expr(other)) == item)
                            .count()
                            > 1
                    });
                    match twice {
                        Some(at) if !self.is_column(expr) => *expr = position(at),
                        _ => self.group(expr, projection, names)?,
                    }
                }
                return Ok(());
            }
            Expr::Tuple(list) => {
                for expr in list {
                    self.group(expr, projection, names)?;
                }
                return Ok(());
            }
            _ => {}
        }
        let is_column = self.is_column(expr);
        let item = match is_column {
            true => None,
            false => output(expr, names).and_then(|at| projection.get(at)),
        };
        match item.map(item_expr) {
            // A literal would be a position again.
            Some(Expr::Value(_)) => Ok(()),
            // A subquery is not written twice: its two answers would not be known to be one.
            Some(item) if tree::holds_query(item) => {
                *expr = position(output(expr, names).unwrap_or_default());
                Ok(())
            }
            Some(item) => {
                *expr = item.clone();
                Ok(())
            }
            None => self.expr(expr),
        }
    }

    /// Whether a bare name is a column of the innermost level.
    fn is_column(&self, expr: &Expr) -> bool {
        match tree::bare(expr) {
            Expr::Identifier(ident) => {
                let name = folded(ident);
                let scope = self.scopes.last();
                scope.is_some_and(|scope| scope.columns.iter().any(|c| c.name == name))
            }
            _ => false,
        }
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

/// `TABLE t`, as a SELECT.
fn table_body(table: &sqlparser::ast::Table) -> Option<SetExpr> {
    use sqlparser::ast::{ObjectNamePart, WildcardAdditionalOptions};
    let parts = table.schema_name.iter().chain(&table.table_name).cloned();
    let mut item = super::combine::table(0);
    if let sqlparser::ast::TableFactor::Table { name, .. } = &mut item.relation {
        *name = ObjectName(parts.map(ObjectNamePart::Identifier).collect());
    }
    table.table_name.as_ref()?;
    let star = SelectItem::Wildcard(WildcardAdditionalOptions::default());
    Some(*super::combine::select_of(vec![star], vec![item]).body)
}

/// A select item with this name.
fn named(expr: Expr, name: &str) -> SelectItem {
    let item = SelectItem::UnnamedExpr(expr);
    match names::of_item(&item).as_deref() == Some(name) {
        true => item,
        false => {
            let SelectItem::UnnamedExpr(expr) = item else {
                return item;
            };
            SelectItem::ExprWithAlias {
                expr,
                alias: Ident::with_quote('"', name),
            }
        }
    }
}

/// The expression of a select item.
pub(super) fn item_expr(item: &SelectItem) -> &Expr {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
        // Written out by then.
        _ => &NOTHING,
    }
}

static NOTHING: Expr = Expr::Value(sqlparser::ast::ValueWithSpan {
    value: Value::Null,
    span: sqlparser::tokenizer::Span {
        start: sqlparser::tokenizer::Location { line: 0, column: 0 },
        end: sqlparser::tokenizer::Location { line: 0, column: 0 },
    },
});

/// The output that an expression of ORDER BY or DISTINCT ON names: by its name, or by its position.
///
/// PostgreSQL's grammar drops parentheses: `(n)` is the name, and `(1)` the position.
fn output(expr: &Expr, names: &[String]) -> Option<usize> {
    match tree::bare(expr) {
        Expr::Identifier(ident) => {
            let name = folded(ident);
            names.iter().position(|known| *known == name)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// A position in the select list, from 0, as SQL writes it.
pub(super) fn position(at: usize) -> Expr {
    Expr::Value(Value::Number((at + 1).to_string(), false).with_empty_span())
}

fn to_position(expr: &mut Expr, names: &[String]) -> Result<(), Refusal> {
    let at = output(expr, names).ok_or_else(|| unknown(&expr.to_string()).at(expr.span()))?;
    *expr = position(at);
    Ok(())
}

/// The names that the first arm of a recursive query gives.
fn first_names(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(names::of_item).collect(),
        SetExpr::SetOperation { left, .. } => first_names(left),
        SetExpr::Query(query) => first_names(&query.body),
        SetExpr::Values(values) => {
            let width = values.rows.first()?.content.len();
            Some((1..=width).map(|n| format!("column{n}")).collect())
        }
        _ => None,
    }
}

fn plain(options: &sqlparser::ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
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

fn refuse_clauses(query: &Query) -> Result<(), Refusal> {
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

fn refuse_select(select: &Select) -> Result<(), Refusal> {
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

impl Items {
    /// The key of a sharded table, as its alias calls it.
    pub(super) fn key(&self, alias: &str) -> Option<Col> {
        let Kind::Table(table) = &self.items.get(alias)?.kind else {
            return None;
        };
        let Placement::Sharded(Some(key)) = &table.placement else {
            return None;
        };
        Some((alias.to_owned(), self.written(alias, table, key)?))
    }

    /// The table's column that an alias calls by this name.
    pub(super) fn table_column(&self, alias: &str, name: &str) -> Option<&super::catalog::Column> {
        let item = self.items.get(alias)?;
        let Kind::Table(table) = &item.kind else {
            return None;
        };
        let at = item.columns.as_ref()?.iter().position(|c| c == name)?;
        table.columns.get(at)
    }

    /// What a table's column is called under an alias.
    pub(super) fn written(&self, alias: &str, table: &Table, column: &str) -> Option<String> {
        let at = table
            .columns
            .iter()
            .position(|known| known.name == column)?;
        self.items.get(alias)?.columns.as_ref()?.get(at).cloned()
    }
}
