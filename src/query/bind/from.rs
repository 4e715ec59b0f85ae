//! The FROM clause: tables, subqueries, functions, and their joins.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Spanned, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins,
};

use super::{Binder, Column, Item, Kind, Scope, column, unknown};
use crate::query::keys;
use crate::query::names::{self, folded, ident};
use crate::query::refusal::Refusal;
use crate::query::tree;

impl Binder<'_> {
    /// Binds a tree of joins; `left` is what stands before it in the FROM clause.
    pub(super) fn from(
        &mut self,
        tree: &mut TableWithJoins,
        left: &Scope,
    ) -> Result<Scope, Refusal> {
        let mut scope = self.factor(&mut tree.relation, left)?;
        for join in &mut tree.joins {
            if join.global {
                return Err(unknown(&join.to_string()).at(join.span()));
            }
            let mut before = left.clone();
            before.extend(scope.clone());
            let right = self.factor(&mut join.relation, &before)?;
            let operator = join.join_operator.clone();
            let Some(constraint) = tree::constraint!(&mut join.join_operator) else {
                return Err(unknown(&join.to_string()).at(join.span()));
            };
            scope = self.join(&operator, constraint, scope, right)?;
        }
        Ok(scope)
    }

    fn join(
        &mut self,
        operator: &JoinOperator,
        constraint: &mut JoinConstraint,
        left: Scope,
        right: Scope,
    ) -> Result<Scope, Refusal> {
        let shared: Vec<String> = match &*constraint {
            JoinConstraint::On(_) | JoinConstraint::None => {
                let mut scope = left;
                scope.extend(right);
                if let JoinConstraint::On(condition) = constraint {
                    self.scopes.push(scope.clone());
                    let outcome = self.expr(condition);
                    self.scopes.pop();
                    outcome?;
                }
                return Ok(scope);
            }
            JoinConstraint::Using(columns) => columns
                .iter()
                .map(|name| {
                    names::parts(name)
                        .and_then(|mut parts| parts.pop())
                        .ok_or_else(|| unknown(&name.to_string()))
                })
                .collect::<Result<_, _>>()?,
            JoinConstraint::Natural => {
                for (_, unique) in left.aliases.iter().chain(&right.aliases) {
                    if self.columns_of(unique).is_none() {
                        return Err(unknown("NATURAL JOIN of a function"));
                    }
                }
                let shared = left.columns.iter().map(|column| column.name.clone());
                shared
                    .filter(|name| right.columns.iter().any(|column| column.name == *name))
                    .collect()
            }
            JoinConstraint::UsingAlias(..) => {
                return Err(unknown("JOIN … USING (…) AS"));
            }
        };
        let mut merged = Vec::new();
        let mut conditions = Vec::new();
        for name in &shared {
            let (l, r) = (one(&left, name)?, one(&right, name)?);
            conditions.push(Expr::BinaryOp {
                left: Box::new(l.clone()),
                op: BinaryOperator::Eq,
                right: Box::new(r.clone()),
            });
            // Of two types the merged column has the common one, as COALESCE does.
            let one_type = self
                .type_of(&l)
                .is_some_and(|l| self.type_of(&r) == Some(l));
            let expr = match operator {
                JoinOperator::FullOuter(_) => coalesce(l, r),
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) if one_type => r,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => coalesce(r, l),
                _ if one_type => l,
                _ => coalesce(l, r),
            };
            merged.push(Column {
                name: name.clone(),
                expr,
            });
        }
        *constraint = match tree::conjunction(conditions) {
            Some(condition) => JoinConstraint::On(condition),
            // Without a shared column every row matches every other.
            None => JoinConstraint::On(Expr::Value(
                sqlparser::ast::Value::Boolean(true).with_empty_span(),
            )),
        };
        let rest = |column: &Column| !shared.contains(&column.name);
        merged.extend(left.columns.into_iter().filter(rest));
        merged.extend(right.columns.into_iter().filter(rest));
        let mut scope = Scope {
            aliases: left.aliases,
            columns: merged,
            tables: left.tables,
        };
        scope.aliases.extend(right.aliases);
        scope.tables.extend(right.tables);
        Ok(scope)
    }

    /// The type of a column, if it is a table's.
    fn type_of(&self, expr: &Expr) -> Option<String> {
        let (alias, name) = keys::col(expr)?;
        self.column_type(&alias, &name)
    }

    fn column_type(&self, alias: &str, name: &str) -> Option<String> {
        if let Some(column) = self.out.table_column(alias, name) {
            return column.ty.split('(').next().map(|ty| ty.trim().to_owned());
        }
        let mut types = self
            .out
            .sources(alias, name)?
            .iter()
            .map(|(alias, name)| self.column_type(alias, name));
        let first = types.next()??;
        types.all(|ty| ty.as_ref() == Some(&first)).then_some(first)
    }

    fn factor(&mut self, factor: &mut TableFactor, left: &Scope) -> Result<Scope, Refusal> {
        let span = factor.span();
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_directives,
                inheritance: None,
            } if with_hints.is_empty() && partitions.is_empty() && index_directives.is_empty() => {
                self.table(name, alias)
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                sample: None,
            } => {
                let columns = match lateral {
                    true => self.laterally(left, |binder| binder.query(subquery))?,
                    false => self.query(subquery)?,
                };
                let written = alias.as_ref().map_or_else(
                    || "unnamed_subquery".to_owned(),
                    |alias| folded(&alias.name),
                );
                let scope = self.add(Kind::Query, &written, Some(columns), alias)?;
                if let Some((_, unique)) = scope.aliases.first() {
                    let outputs = super::outputs(&subquery.body);
                    self.out.outputs.insert(unique.clone(), outputs);
                }
                Ok(scope)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.from(table_with_joins, left),
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality,
                ..
            } if args.settings.is_none() => {
                let ordinality = *with_ordinality;
                self.laterally(left, |binder| binder.arguments(&mut args.args))?;
                self.function_item(name.clone(), alias, ordinality)
            }
            TableFactor::Function {
                name,
                args,
                with_ordinality,
                alias,
                ..
            } => {
                let ordinality = *with_ordinality;
                self.laterally(left, |binder| binder.arguments(args))?;
                self.function_item(name.clone(), alias, ordinality)
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality,
            } => {
                let ordinality = *with_ordinality;
                let several = array_exprs.len() > 1;
                self.laterally(left, |binder| {
                    array_exprs
                        .iter_mut()
                        .try_for_each(|expr| binder.expr(expr))
                })?;
                if several && alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) {
                    return Err(super::unknown_columns("unnest").at(span));
                }
                let name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new("unnest"))]);
                self.function_item(name, alias, ordinality)
            }
            other => Err(unknown(&other.to_string()).at(span)),
        }
    }

    /// Binds what may name what stands to its left.
    fn laterally<T>(
        &mut self,
        left: &Scope,
        bind: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.scopes.push(left.clone());
        let outcome = bind(self);
        self.scopes.pop();
        outcome
    }

    fn table(
        &mut self,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
    ) -> Result<Scope, Refusal> {
        let span = name.span();
        let parts = names::parts(name).ok_or_else(|| unknown(&name.to_string()).at(span))?;
        if let [single] = parts.as_slice()
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == *single)
        {
            let kind = Kind::Cte(cte.unique.clone());
            let columns = cte.columns.clone();
            *name = ObjectName(vec![ObjectNamePart::Identifier(ident(&cte.unique))]);
            let written = alias
                .as_ref()
                .map_or_else(|| single.clone(), |alias| folded(&alias.name));
            return self.add(kind, &written, Some(columns), alias);
        }
        if let [single] = parts.as_slice()
            && self.later.contains(single)
        {
            return Err(Refusal::new(
                name.to_string(),
                "it is a CTE that comes later",
                "define a CTE before those that name it",
            )
            .at(span));
        }
        let table = self.catalog.table(&parts).cloned().ok_or_else(|| {
            Refusal::new(
                name.to_string(),
                "the shards have no such table, or it is a system catalogue",
                "ask one shard by cluster.read_shard()",
            )
            .at(span)
        })?;
        self.check_table(&table, name)?;
        // With its schema, so that no CTE takes its place.
        *name = ObjectName(vec![
            ObjectNamePart::Identifier(ident(&table.name.schema)),
            ObjectNamePart::Identifier(ident(&table.name.name)),
        ]);
        let columns = table.columns.iter().map(|c| c.name.clone()).collect();
        let written = match alias {
            Some(alias) => folded(&alias.name),
            None => table.name.name.clone(),
        };
        let bare = alias.is_none();
        let (schema, short) = (table.name.schema.clone(), table.name.name.clone());
        let mut scope = self.add(Kind::Table(table), &written, Some(columns), alias)?;
        if bare && let Some((_, unique)) = scope.aliases.first() {
            scope.tables.push((schema, short, unique.clone()));
        }
        Ok(scope)
    }

    fn function_item(
        &mut self,
        name: ObjectName,
        alias: &mut Option<TableAlias>,
        ordinality: bool,
    ) -> Result<Scope, Refusal> {
        self.function(&name, 2)?;
        let last = names::parts(&name)
            .and_then(|mut parts| parts.pop())
            .ok_or_else(|| unknown(&name.to_string()))?;
        let written = match alias {
            Some(alias) => folded(&alias.name),
            None => last.clone(),
        };
        let listed: Vec<String> = alias
            .iter()
            .flat_map(|alias| alias.columns.iter().map(|c| folded(&c.name)))
            .collect();
        let typed = alias.iter().any(|alias| {
            alias
                .columns
                .iter()
                .any(|column| column.data_type.is_some())
        });
        let scalar = SCALAR_SETS.contains(&last.as_str());
        let mut columns = match (listed.is_empty(), self.catalog.outputs(&last)) {
            _ if typed => Some(listed),
            (true, _) if scalar => Some(vec![written.clone()]),
            (false, _) if scalar => Some(listed),
            (false, None) if listed.len() > 1 => Some(listed),
            (false, Some(names)) if names.len() <= listed.len() => Some(listed),
            (true, Some(names)) if !names.is_empty() => Some(names.to_vec()),
            (false, _) => Some(listed),
            _ => None,
        };
        if ordinality && let Some(columns) = &mut columns {
            let has = alias.as_ref().is_some_and(|alias| alias.columns.len() > 1);
            if !has {
                columns.push("ordinality".to_owned());
            }
        }
        if typed {
            return Err(unknown(&format!("{name} with typed columns")));
        }
        self.add(Kind::Function, &written, columns, alias)
    }

    /// Gives an item its unique alias, and the columns the names that the alias has for them.
    fn add(
        &mut self,
        kind: Kind,
        written: &str,
        columns: Option<Vec<String>>,
        alias: &mut Option<TableAlias>,
    ) -> Result<Scope, Refusal> {
        if let Some(at) = alias.as_ref().and_then(|alias| alias.at.as_ref()) {
            return Err(unknown(&at.value));
        }
        let unique = self.unique(written);
        let renamed: Vec<String> = alias
            .iter()
            .flat_map(|alias| alias.columns.iter().map(|c| folded(&c.name)))
            .collect();
        let columns = columns.map(|mut columns| {
            for (column, name) in columns.iter_mut().zip(&renamed) {
                column.clone_from(name);
            }
            columns
        });
        // Columns of a subquery and a function are written out: the names inside and the alias may change.
        let write_out = matches!(kind, Kind::Query | Kind::Function);
        let list = match (&columns, write_out) {
            (Some(columns), true) => columns.clone(),
            _ => renamed,
        };
        *alias = Some(TableAlias {
            explicit: true,
            name: ident(&unique),
            columns: list
                .iter()
                .map(|name| TableAliasColumnDef {
                    name: ident(name),
                    data_type: None,
                })
                .collect(),
            at: None,
        });
        let scope = Scope {
            aliases: vec![(written.to_owned(), unique.clone())],
            columns: columns
                .iter()
                .flatten()
                .map(|name| Column {
                    name: name.clone(),
                    expr: column(&unique, name),
                })
                .collect(),
            tables: Vec::new(),
        };
        self.out.items.insert(unique, Item { kind, columns });
        Ok(scope)
    }
}

/// Functions of PostgreSQL's own that give one column, named as the alias.
const SCALAR_SETS: [&str; 9] = [
    "generate_series",
    "unnest",
    "generate_subscripts",
    "regexp_split_to_table",
    "string_to_table",
    "regexp_matches",
    "jsonb_object_keys",
    "json_object_keys",
    "jsonb_path_query",
];

fn one(scope: &Scope, name: &str) -> Result<Expr, Refusal> {
    let mut columns = scope.columns.iter().filter(|column| column.name == name);
    match (columns.next(), columns.next()) {
        (Some(column), None) => Ok(column.expr.clone()),
        _ => Err(unknown(&format!("USING ({name})"))),
    }
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    use sqlparser::ast::{
        Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    };
    let arg = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new("COALESCE"))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![arg(left), arg(right)],
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}

/// A subquery as an item of FROM.
pub(in crate::query) fn derived(query: Query, alias: &str, lateral: bool) -> TableFactor {
    TableFactor::Derived {
        lateral,
        subquery: Box::new(query),
        alias: Some(TableAlias {
            explicit: true,
            name: ident(alias),
            columns: Vec::new(),
            at: None,
        }),
        sample: None,
    }
}
