//! Aggregates put together from the shards' own.
//!
//! Each shard groups its rows by what the query groups by, and also by the arguments of aggregates over
//! DISTINCT; one node adds up over the groups. An aggregate that cannot be put together from parts
//! leaves the whole query to be run over rows.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Ident, OrderByExpr, Query, Select, SelectItem,
};

use super::fragment::{self, select_of};
use super::grouped::Dependent;
use super::{Stop, Work};
use crate::query::bind::{builtin_name, item_expr, plain_arguments, position};
use crate::query::closed;
use crate::query::moment::cast;
use crate::query::names;
use crate::query::spread::Restrictions;
use crate::query::tree::{self, Node, NodeMut};

/// What the shards compute, column by column.
#[derive(Default)]
struct Columns {
    /// What is grouped by on the shards.
    groups: Vec<Expr>,
    /// Aggregates and dependent columns, behind the groups.
    values: Vec<Expr>,
}

/// A column of the shards' answer: one of the groups, or of the values.
#[derive(Clone, Copy)]
enum Place {
    Group(usize),
    Value(usize),
}

impl Columns {
    fn group(&mut self, expr: &Expr) -> Place {
        Place::Group(place(&mut self.groups, expr))
    }

    fn value(&mut self, expr: Expr) -> Place {
        Place::Value(place(&mut self.values, &expr))
    }
}

fn place(list: &mut Vec<Expr>, expr: &Expr) -> usize {
    match list.iter().position(|known| known == expr) {
        Some(at) => at,
        None => {
            list.push(expr.clone());
            list.len() - 1
        }
    }
}

impl Work<'_> {
    /// Splits a SELECT; `None` if it cannot be, and then nothing was changed.
    pub(super) fn split(
        &mut self,
        select: &mut Select,
        order: &mut [OrderByExpr],
        pushed: &[Expr],
        only: &Restrictions,
    ) -> Result<Option<()>, Stop> {
        let GroupByExpr::Expressions(group_by, _) = &select.group_by else {
            return Ok(None);
        };
        let mut plain = true;
        let mut groups = Vec::new();
        for expr in group_by {
            match expr {
                Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                    plain = false;
                    groups.extend(sets.iter().flatten().cloned());
                }
                Expr::Tuple(list) => groups.extend(list.iter().cloned()),
                Expr::Value(_) => return Ok(None),
                other => groups.push(other.clone()),
            }
        }
        // A position inside a set stands for an output.
        if groups.iter().any(|expr| matches!(expr, Expr::Value(_))) {
            return Ok(None);
        }
        // A subquery that the shards cannot judge cannot be grouped by there.
        if groups.iter().any(tree::holds_query) {
            return Ok(None);
        }
        let mut calls = Vec::new();
        if !self.collect(select, order, &mut calls) {
            return Ok(None);
        }
        let arguments: Vec<Expr> = calls
            .iter()
            .filter(|call| needs_type(call))
            .filter_map(argument)
            .collect();
        let types = match arguments.is_empty() {
            true => Vec::new(),
            false => {
                let items = arguments
                    .iter()
                    .cloned()
                    .map(SelectItem::UnnamedExpr)
                    .collect();
                // Conditions change no types.
                let mut question = select_of(items, select.from.clone());
                self.define_ctes(&mut question);
                match self.types.get(&question.to_string()) {
                    Some(types) => types.clone(),
                    None => return Err(Stop::Ask(Box::new(question))),
                }
            }
        };
        let type_of = |call: &Function| {
            let argument = argument(call)?;
            let at = arguments.iter().position(|known| *known == argument)?;
            types.get(at).map(String::as_str)
        };
        let mut columns = Columns::default();
        for group in &groups {
            columns.group(group);
        }
        let mut parts = Vec::new();
        for call in &calls {
            match part(call, type_of(call), &mut columns) {
                Some(part) => parts.push((call.clone(), part)),
                None => return Ok(None),
            }
        }
        let aliases = closed::aliases(select);
        let dependent = Dependent::of(&groups, self.items, &aliases);
        let at = self.fragments.len();
        let mut rewriting = Rewriting {
            at,
            groups,
            parts,
            columns,
            dependent: plain.then_some(dependent),
            aliases,
            failed: false,
        };
        let mut changed = select.clone();
        let mut keys: Vec<Expr> = order.iter().map(|key| key.expr.clone()).collect();
        for item in &mut changed.projection {
            let name = names::of_item(item).unwrap_or_default();
            let mut expr = item_expr(item).clone();
            rewriting.expr(&mut expr);
            *item = SelectItem::ExprWithAlias {
                expr,
                alias: Ident::with_quote('"', name),
            };
        }
        if let GroupByExpr::Expressions(list, _) = &mut changed.group_by {
            for expr in list {
                rewriting.expr(expr);
            }
        }
        if let Some(having) = &mut changed.having {
            rewriting.expr(having);
        }
        if let Some(sqlparser::ast::Distinct::On(list)) = &mut changed.distinct {
            for expr in list {
                rewriting.expr(expr);
            }
        }
        for definition in &mut changed.named_window {
            if let sqlparser::ast::NamedWindowExpr::WindowSpec(spec) = &mut definition.1 {
                tree::window_children_mut(spec, &mut |node| {
                    if let NodeMut::Expr(expr) = node {
                        rewriting.expr(expr);
                    }
                });
            }
        }
        for key in &mut keys {
            rewriting.expr(key);
        }
        if rewriting.failed {
            return Ok(None);
        }
        let Columns { groups, values } = rewriting.columns;
        let count = groups.len();
        let mut items: Vec<SelectItem> = groups
            .into_iter()
            .chain(values)
            .map(SelectItem::UnnamedExpr)
            .collect();
        if items.is_empty() {
            items.push(SelectItem::UnnamedExpr(position(0)));
        }
        let width = items.len();
        // Columns were numbered apart: the values stand behind the groups.
        let mut shift = |expr: &mut Expr| settle(expr, at, count);
        let mut query: Query = select_of(items, std::mem::take(&mut changed.from));
        fragment::set_condition(&mut query, tree::conjunction(pushed.to_vec()));
        if let sqlparser::ast::SetExpr::Select(inner) = query.body.as_mut() {
            // Without groups the shards answer one row each, but where only groups of arguments are
            // asked for.
            inner.group_by =
                GroupByExpr::Expressions((0..count).map(position).collect(), Vec::new());
        }
        changed.from = vec![fragment::table(at)];
        tree::select_nodes_mut(&mut changed, &mut |node| {
            if let NodeMut::Expr(expr) = node {
                tree::change_expr(expr, &mut shift);
            }
        });
        for (key, mut expr) in order.iter_mut().zip(keys) {
            tree::change_expr(&mut expr, &mut shift);
            key.expr = expr;
        }
        *select = changed;
        self.add(query, only.clone(), width);
        self.partials += 1;
        Ok(Some(()))
    }

    /// The aggregates of a SELECT; `false` if a part of it is not understood.
    fn collect(&self, select: &Select, order: &[OrderByExpr], calls: &mut Vec<Function>) -> bool {
        let mut see = |expr: &Expr| {
            tree::each_expr(expr, &mut |expr| {
                if let Expr::Function(function) = expr
                    && closed::is_aggregate(function, self.catalog)
                    && !calls.contains(function)
                {
                    calls.push(function.clone());
                }
            });
        };
        let mut nested = false;
        tree::select_nodes(select, &mut |node| {
            if let Node::Expr(expr) = node {
                see(expr);
                nested = nested || closed::aggregates_outside(expr, self.catalog);
            }
        });
        order.iter().for_each(|key| see(&key.expr));
        // An aggregate inside of an aggregate's argument is none of this level's.
        !nested
    }
}

/// How an aggregate is put together.
#[derive(Clone)]
enum Part {
    /// The same aggregate over the shards' ones.
    Same(Place),
    /// Their sum, of the type that a sum of the argument has.
    Sum(Place, Option<&'static str>),
    /// Their sum, 0 for none.
    Count(Place),
    /// Sum by count.
    Average(Place, Place, &'static str),
    /// The call itself, over groups.
    Distinct(Vec<Place>, Option<Place>),
}

/// How a call is put together; `None` if it cannot be.
fn part(call: &Function, ty: Option<&str>, columns: &mut Columns) -> Option<Part> {
    let name = builtin_name(call)?;
    if !call.within_group.is_empty() || call.null_treatment.is_some() {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    // What a subquery inside asks for may be on another shard.
    let expr = Expr::Function(call.clone());
    if tree::holds_query(&expr) {
        return None;
    }
    let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
    if distinct && !matches!(name.as_str(), "min" | "max") {
        let args = plain_arguments(call)?;
        let args = args.into_iter().map(|arg| columns.group(arg)).collect();
        let filter = call.filter.as_ref().map(|filter| columns.group(filter));
        return Some(Part::Distinct(args, filter));
    }
    if !list.clauses.is_empty() {
        return None;
    }
    let mut of = |name: &str, argument: Option<Expr>| {
        let mut call = call.clone();
        call.name = names_of(name);
        if let (FunctionArguments::List(list), Some(argument)) = (&mut call.args, argument) {
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))];
        }
        columns.value(Expr::Function(call))
    };
    Some(match name.as_str() {
        "count" => Part::Count(of("count", None)),
        "sum" => match ty? {
            "int2" | "int4" => Part::Sum(of("sum", None), Some("pg_catalog.int8")),
            "int8" | "numeric" | "float8" | "interval" | "money" => {
                Part::Sum(of("sum", None), None)
            }
            _ => return None,
        },
        "avg" => {
            let argument = plain_arguments(call)?.first().copied()?.clone();
            match ty? {
                "int2" | "int4" | "int8" | "numeric" => {
                    Part::Average(of("sum", None), of("count", None), "pg_catalog.numeric")
                }
                "float8" => Part::Average(of("sum", None), of("count", None), "pg_catalog.float8"),
                "float4" => Part::Average(
                    of(
                        "sum",
                        Some(cast(Expr::Nested(Box::new(argument)), "pg_catalog.float8")),
                    ),
                    of("count", None),
                    "pg_catalog.float8",
                ),
                _ => return None,
            }
        }
        "min" | "max" | "bool_and" | "bool_or" | "every" | "bit_and" | "bit_or" | "bit_xor"
        | "any_value" => Part::Same(of(&name, None)),
        _ => return None,
    })
}

fn names_of(name: &str) -> sqlparser::ast::ObjectName {
    sqlparser::ast::ObjectName(vec![sqlparser::ast::ObjectNamePart::Identifier(
        Ident::new(name),
    )])
}

fn needs_type(call: &Function) -> bool {
    let distinct = matches!(
        &call.args,
        FunctionArguments::List(list)
            if matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct))
    );
    !distinct && matches!(builtin_name(call).as_deref(), Some("sum" | "avg"))
}

fn argument(call: &Function) -> Option<Expr> {
    plain_arguments(call)?.first().map(|expr| (*expr).clone())
}

/// Puts the shards' columns in the place of what they stand for.
struct Rewriting<'a> {
    at: usize,
    groups: Vec<Expr>,
    parts: Vec<(Function, Part)>,
    columns: Columns,
    dependent: Option<Dependent<'a>>,
    aliases: Vec<String>,
    failed: bool,
}

/// Values are numbered from here on, until it is known how many groups there are.
const VALUES: usize = 100_000;

impl Rewriting<'_> {
    fn cell(&self, place: Place) -> Expr {
        match place {
            Place::Group(n) => fragment::cell(self.at, n),
            Place::Value(n) => fragment::cell(self.at, VALUES + n),
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        if let Some(n) = self.groups.iter().position(|group| group == expr) {
            *expr = self.cell(Place::Group(n));
            return;
        }
        if let Expr::Function(function) = expr
            && let Some((_, part)) = self.parts.iter().find(|(call, _)| call == function)
        {
            let part = part.clone();
            *expr = self.put_together(function, &part);
            return;
        }
        if let Some(dependent) = &self.dependent
            && dependent.has(expr)
        {
            let place = self.columns.value(expr.clone());
            *expr = dependent.value(expr, self.cell(place));
            return;
        }
        // A column that is left over would be grouped by something that is written otherwise.
        if let Some((alias, _)) = crate::query::keys::col(expr)
            && self.aliases.contains(&alias)
        {
            self.failed = true;
            return;
        }
        if let Expr::Identifier(ident) = expr
            && self.aliases.contains(&ident.value)
        {
            self.failed = true;
            return;
        }
        tree::children_mut(expr, &mut |node| match node {
            NodeMut::Expr(inner) => self.expr(inner),
            NodeMut::Query(query) => {
                // Columns of the group in a subquery.
                let mut outside = false;
                tree::change_query(query, &mut |expr| {
                    if let Some((alias, _)) = crate::query::keys::col(expr)
                        && self.aliases.contains(&alias)
                        && matches!(expr, Expr::CompoundIdentifier(_))
                    {
                        match self.groups.iter().position(|group| group == expr) {
                            Some(n) => *expr = fragment::cell(self.at, n),
                            None => outside = true,
                        }
                    }
                });
                self.failed = self.failed || outside;
            }
        });
    }

    fn put_together(&mut self, function: &Function, part: &Part) -> Expr {
        let over = |name: &str, argument: Expr| {
            let mut call = function.clone();
            call.name = names_of(name);
            call.filter = None;
            if let FunctionArguments::List(list) = &mut call.args {
                list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))];
                list.duplicate_treatment = None;
            }
            Expr::Function(call)
        };
        let nested = |expr| Expr::Nested(Box::new(expr));
        match part {
            Part::Same(place) => {
                let name = builtin_name(function).unwrap_or_default();
                over(&name, self.cell(*place))
            }
            Part::Sum(place, None) => over("sum", self.cell(*place)),
            Part::Sum(place, Some(ty)) => nested(cast(over("sum", self.cell(*place)), ty)),
            Part::Count(place) => {
                let sum = over("sum", self.cell(*place));
                nested(cast(
                    call("COALESCE", vec![sum, position_value(0)]),
                    "pg_catalog.int8",
                ))
            }
            Part::Average(sum, count, ty) => {
                let sum = cast(over("sum", self.cell(*sum)), ty);
                let count = call(
                    "NULLIF",
                    vec![over("sum", self.cell(*count)), position_value(0)],
                );
                nested(Expr::BinaryOp {
                    left: Box::new(sum),
                    op: sqlparser::ast::BinaryOperator::Divide,
                    right: Box::new(cast(count, ty)),
                })
            }
            Part::Distinct(args, filter) => {
                let originals: Vec<Expr> = plain_arguments(function)
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect();
                let cells: Vec<Expr> = args.iter().map(|place| self.cell(*place)).collect();
                let mut call = function.clone();
                if let FunctionArguments::List(list) = &mut call.args {
                    list.args = cells
                        .iter()
                        .map(|cell| FunctionArg::Unnamed(FunctionArgExpr::Expr(cell.clone())))
                        .collect();
                    for clause in &mut list.clauses {
                        if let sqlparser::ast::FunctionArgumentClause::OrderBy(keys) = clause {
                            for key in keys {
                                match originals.iter().position(|arg| *arg == key.expr) {
                                    Some(n) => {
                                        if let Some(cell) = cells.get(n) {
                                            key.expr = cell.clone();
                                        }
                                    }
                                    None => self.failed = true,
                                }
                            }
                        }
                    }
                }
                if let Some(place) = filter {
                    call.filter = Some(Box::new(self.cell(*place)));
                }
                Expr::Function(call)
            }
        }
    }
}

fn position_value(number: usize) -> Expr {
    Expr::Value(sqlparser::ast::Value::Number(number.to_string(), false).with_empty_span())
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: names_of(name),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(sqlparser::ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: args
                .into_iter()
                .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)))
                .collect(),
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}

/// Numbers a value behind the groups.
fn settle(expr: &mut Expr, at: usize, groups: usize) {
    if let Expr::CompoundIdentifier(parts) = expr
        && let [table, column] = parts.as_mut_slice()
        && table.value == fragment::name(at)
        && let Some(n) = column
            .value
            .strip_prefix('c')
            .and_then(|n| n.parse::<usize>().ok())
        && n > VALUES
    {
        *column = Ident::new(fragment::cell_name(groups + n - 1 - VALUES));
    }
}
