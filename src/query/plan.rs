//! A statement's plan: the texts that the servers run, described by the servers themselves.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use tokio_postgres::types::Type;

use super::bind::{self, Bound};
use super::catalog::Catalog;
use super::combine::{AnswerKind, Combined, First, Fragment, Stop, Types, first_number};
use super::describe::{Described, Describer};
use super::explain::Tier;
use super::params::{self, array_of, is_local, travels_in_binary, type_name};
use super::parse;
use super::refusal::Refusal;
use super::render::{self, Carried, Text};
use super::shape::{self, Body, Count, Effort, Push, Shape};
use super::spread::Restrictions;
use super::tree;
use crate::error::{Error, Result};
use crate::fanout::SortKey;
use crate::fanout::merge::Column;

/// What is known of a statement once and for all, but for its parameters.
#[derive(Debug)]
pub(super) struct Plan {
    /// The parameters' types.
    pub(super) types: Vec<Type>,
    /// The answer's columns.
    pub(super) columns: Arc<[Column]>,
    /// If all of these keys are on one shard, the statement runs there as it is.
    pub(super) pins: Option<Restrictions>,
    /// Whether the time is asked first.
    pub(super) asks_time: bool,
    pub(super) steps: Steps,
    pub(super) made: Instant,
}

/// What runs where.
#[derive(Debug)]
pub(super) enum Steps {
    /// On any one shard, as it is.
    Anywhere,
    /// On one shard or not at all.
    OneShard(Refusal),
    /// On every shard, merged by the client.
    Merge(Merging),
    /// On every shard, gathered, and put together by one node.
    Combine(Combining),
}

/// A query whose rows the client merges.
#[derive(Debug)]
pub(super) struct Merging {
    pub(super) text: Statement,
    pub(super) only: Restrictions,
    pub(super) order: Vec<SortKey>,
    pub(super) limit: Option<Count>,
    pub(super) offset: Option<Count>,
}

/// A query that one node runs over what was gathered.
#[derive(Debug)]
pub(super) struct Combining {
    pub(super) tier: Tier,
    /// What is run before, whose answers are parameters behind the caller's.
    pub(super) firsts: Vec<Before>,
    pub(super) feeds: Vec<Feed>,
    pub(super) text: Statement,
}

/// A subquery that is run first.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) steps: Steps,
    pub(super) answer: AnswerKind,
    /// The type of the parameter.
    pub(super) ty: Type,
}

/// What every shard runs to be gathered.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) text: Statement,
    pub(super) columns: Vec<Carried>,
    pub(super) only: Restrictions,
}

/// A text, and which of the parameters it takes.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: Arc<str>,
    /// From 1; 0 is the time.
    pub(super) params: Vec<usize>,
}

impl From<Text> for Statement {
    fn from(text: Text) -> Self {
        Statement {
            sql: text.sql.into(),
            params: text.params,
        }
    }
}

/// Plans a statement.
pub(super) async fn plan(sql: &str, catalog: &Catalog, describer: &Describer) -> Result<Plan> {
    // PostgreSQL's own errors come first.
    let (types, columns) = describer.describe(sql).await?;
    let statement = parse::statement(sql)?;
    let query = tree::query_of(statement).ok_or_else(|| {
        Refusal::new(
            "the statement",
            "it is no SELECT",
            "run changes by execute()",
        )
    })?;
    let bound = bind::bind(*query, catalog)?;
    let work = Work {
        bound: &bound,
        catalog,
        describer,
        types: &types,
        columns: &columns,
    };
    let (pins, steps) = work.planned().await?;
    Ok(Plan {
        columns: columns
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                ty: column.ty.clone(),
            })
            .collect(),
        types,
        pins,
        asks_time: bound.asks_time,
        steps,
        made: Instant::now(),
    })
}

/// What a plan is made from.
#[derive(Clone, Copy)]
struct Work<'a> {
    bound: &'a Bound,
    catalog: &'a Catalog,
    describer: &'a Describer,
    types: &'a [Type],
    columns: &'a [Described],
}

impl Work<'_> {
    /// The first plan that the servers take. A subquery that is run first has a plan of its own.
    fn planned(&self) -> BoxFuture<'_, Result<(Option<Restrictions>, Steps)>> {
        params::boxed(self.first_of_all())
    }

    async fn first_of_all(&self) -> Result<(Option<Restrictions>, Steps)> {
        let mut answers = Types::new();
        let mut first = None;
        for effort in Effort::ALL {
            match self.steps(effort, &mut answers).await {
                Ok(planned) => return Ok(planned),
                // With less effort there may be a way.
                Err(error) if Refusal::of(&error).is_some() => first = first.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| not_the_same("there is no plan")))
    }

    /// Plans the subqueries that are run first. Yields the types of all parameters with them.
    async fn before(&self, combined: &mut Combined) -> Result<(Vec<Before>, Vec<Type>)> {
        let mut types = self.types.to_vec();
        let mut firsts = Vec::new();
        for First { query, answer } in std::mem::take(&mut combined.firsts) {
            let text = render::text(&query, self.types);
            let columns = self
                .describer
                .in_full(&text.sql, &text.types(self.types))
                .await
                .map_err(own)?;
            let ty = columns
                .first()
                .and_then(|column| parameter_type(column, answer));
            let ty = ty.ok_or_else(|| not_the_same("a subquery's value cannot be a parameter"))?;
            let bound = Bound {
                names: columns.iter().map(|column| column.name.clone()).collect(),
                query,
                scope: self.bound.scope.clone(),
                blocker: None,
                local: None,
                harmless: true,
                asks_time: false,
            };
            let work = Work {
                bound: &bound,
                columns: &columns,
                ..*self
            };
            let (_, steps) = work.planned().await?;
            types.push(ty.clone());
            firsts.push(Before { steps, answer, ty });
        }
        let own = self.types.len();
        let queries = combined
            .fragments
            .iter_mut()
            .map(|fragment| &mut fragment.query);
        for query in queries.chain([&mut combined.query]) {
            tree::change_query(query, &mut |expr| number_first(expr, own));
        }
        Ok((firsts, types))
    }

    async fn steps(
        &self,
        effort: Effort,
        answers: &mut Types,
    ) -> Result<(Option<Restrictions>, Steps)> {
        let Work {
            bound,
            catalog,
            describer,
            types,
            columns,
        } = *self;
        let shape = shaped(bound, catalog, answers, effort, describer, types).await?;
        let steps = match shape.body {
            Body::Anywhere => Steps::Anywhere,
            Body::OneShard(refusal) => Steps::OneShard(refusal),
            Body::Push(push) => pushed(*push, types, columns, catalog, describer).await?,
            Body::Combine(mut combined) => {
                let (firsts, types) = self.before(&mut combined).await?;
                let tier = match combined.only_partials {
                    true => Tier::Split,
                    false => Tier::Pull,
                };
                let combining = combining(tier, *combined, &types, columns, describer).await?;
                Steps::Combine(Combining {
                    firsts,
                    ..combining
                })
            }
        };
        Ok((shape.pins, steps))
    }
}

/// The shape of a statement, after asking the servers for the types that it depends on.
pub(super) async fn shaped(
    bound: &Bound,
    catalog: &Catalog,
    answers: &mut Types,
    effort: Effort,
    describer: &Describer,
    types: &[Type],
) -> Result<Shape> {
    loop {
        match shape::shape(bound, catalog, answers, effort) {
            Ok(shape) => return Ok(shape),
            Err(Stop::Refused(refusal)) => return Err(refusal.into()),
            Err(Stop::Ask(question)) => {
                let key = question.to_string();
                let text = render::text(&question, types);
                let (_, columns) = describer.describe(&text.sql).await.map_err(own)?;
                let names = columns.iter().map(|c| c.ty.name().to_owned()).collect();
                if answers.insert(key, names).is_some() {
                    return Err(Error::refused("the plan asks the same question twice"));
                }
            }
        }
    }
}

async fn pushed(
    push: Push,
    types: &[Type],
    columns: &[Described],
    catalog: &Catalog,
    describer: &Describer,
) -> Result<Steps> {
    let text = render::text(&push.fragment.query, types);
    let described = describer
        .in_full(&text.sql, &text.types(types))
        .await
        .map_err(own)?;
    check(
        columns,
        described.get(..push.visible).unwrap_or_default(),
        false,
    )?;
    let order: Option<Vec<SortKey>> = push
        .order
        .iter()
        .map(|key| {
            let column = described.get(key.column)?;
            let text = is_text(&column.ty);
            let known = text
                && column
                    .collation
                    .as_deref()
                    .is_some_and(|c| catalog.is_bytewise(c))
                || is_ordered(&column.ty);
            known.then(|| {
                let sort = match key.descending {
                    false => SortKey::asc(key.column),
                    true => SortKey::desc(key.column),
                };
                let sort = match key.nulls_first {
                    true => sort.nulls_first(),
                    false => sort.nulls_last(),
                };
                if text { sort.text_c() } else { sort }
            })
        })
        .collect();
    // Of another type the client would not know the number.
    let known = |count: &Option<Count>| match count {
        Some(Count::Param(number)) => matches!(
            number.checked_sub(1).and_then(|at| types.get(at)),
            Some(&(Type::INT2 | Type::INT4 | Type::INT8))
        ),
        _ => true,
    };
    let counted = known(&push.limit) && known(&push.offset);
    match order {
        Some(order) if !push.needs_node && counted => Ok(Steps::Merge(Merging {
            text: text.into(),
            only: push.fragment.only,
            order,
            limit: push.limit,
            offset: push.offset,
        })),
        _ => {
            let combined = Combined {
                firsts: Vec::new(),
                query: push.ordered,
                fragments: vec![push.fragment],
                only_partials: false,
            };
            let combining = combining(Tier::Push, combined, types, columns, describer).await?;
            Ok(Steps::Combine(combining))
        }
    }
}

async fn combining(
    tier: Tier,
    combined: Combined,
    types: &[Type],
    columns: &[Described],
    describer: &Describer,
) -> Result<Combining> {
    let mut feeds = Vec::new();
    for Fragment { query, only, width } in combined.fragments {
        let text = render::text(&query, types);
        let described = describer
            .in_full(&text.sql, &text.types(types))
            .await
            .map_err(own)?;
        if described.len() != width {
            return Err(not_the_same(&format!(
                "a part of it has {} columns and not {width}",
                described.len()
            )));
        }
        let columns = described.iter().map(carry).collect::<Result<Vec<_>>>()?;
        feeds.push(Feed {
            text: render::carried(&text, &columns).into(),
            columns,
            only,
        });
    }
    let text = render::text(&combined.query, types);
    let carried: Vec<Vec<Carried>> = feeds.iter().map(|feed| feed.columns.clone()).collect();
    let sql = render::fed(&text, &carried);
    let (_, described) = describer.describe(&sql).await.map_err(own)?;
    check(columns, &described, true)?;
    Ok(Combining {
        tier,
        firsts: Vec::new(),
        feeds,
        text: Statement {
            sql: sql.into(),
            params: text.params,
        },
    })
}

/// The type of the parameter that a subquery's answer becomes; `None` if it would lose its meaning.
fn parameter_type(column: &Described, answer: AnswerKind) -> Option<Type> {
    if answer == AnswerKind::Exists {
        return Some(Type::BOOL);
    }
    let bare = column.domain.is_none()
        && column
            .collation
            .as_deref()
            .is_none_or(|name| name == "\"default\"");
    let binary = travels_in_binary(&column.ty) && bare;
    match answer {
        AnswerKind::List => binary.then(|| array_of(&column.ty)).flatten(),
        _ => binary.then(|| column.ty.clone()),
    }
}

/// A subquery's answer is a parameter behind the caller's own.
fn number_first(expr: &mut sqlparser::ast::Expr, own: usize) {
    use sqlparser::ast::{Expr, Value};
    if let Expr::Value(value) = expr
        && let Value::Placeholder(name) = &mut value.value
        && let Some(at) = first_number(name)
    {
        *name = format!("${}", own + 1 + at);
    }
}

/// How a column travels to the node that puts the rows together.
pub(super) fn carry(column: &Described) -> Result<Carried> {
    let ty = &column.ty;
    if is_local(ty) || matches!(*ty, Type::RECORD | Type::VOID | Type::RECORD_ARRAY) {
        return Err(Refusal::new(
            format!("a value of type {ty}"),
            "it means something on its own server only",
            "cast it to text, or select its parts",
        )
        .into());
    }
    let binary = travels_in_binary(ty);
    Ok(Carried {
        ty: type_name(ty),
        array: binary
            .then(|| array_of(ty))
            .flatten()
            .unwrap_or(Type::TEXT_ARRAY),
        cast: !binary,
        domain: column.domain.clone(),
        collation: column.collation.clone(),
    })
}

/// What is planned has the columns that the statement itself has.
pub(super) fn check(wanted: &[Described], found: &[Described], names: bool) -> Result<()> {
    if wanted.len() != found.len() {
        return Err(not_the_same(&format!(
            "it would have {} columns and not {}",
            found.len(),
            wanted.len()
        )));
    }
    for (wanted, found) in wanted.iter().zip(found) {
        if wanted.ty != found.ty {
            return Err(not_the_same(&format!(
                "column {} would be {} and not {}",
                wanted.name, found.ty, wanted.ty
            )));
        }
        if names && wanted.name != found.name {
            return Err(not_the_same(&format!(
                "column {} would be called {}",
                wanted.name, found.name
            )));
        }
    }
    Ok(())
}

/// PostgreSQL takes the statement, but not what was made of it.
pub(super) fn own(error: Error) -> Error {
    match error.sqlstate().is_some() {
        true => not_the_same(&format!(
            "PostgreSQL does not take one: {}",
            error.message()
        )),
        false => error,
    }
}

fn not_the_same(why: &str) -> Error {
    Refusal::new(
        "the statement",
        format!("its parts do not make the same query: {why}"),
        "write it in another way, or add a condition on the key",
    )
    .into()
}

fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::TEXT | Type::VARCHAR)
}

/// Types whose order the client knows.
fn is_ordered(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::DATE
            | Type::TIME
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC
            | Type::BOOL
            | Type::UUID
            | Type::BYTEA
    )
}
