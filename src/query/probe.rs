//! Planning by itself, for the bench that measures it.

use std::collections::HashMap;
use std::sync::Arc;

use super::bind;
use super::catalog::Catalog;
use super::combine::{Stop, Types};
use super::describe::Describer;
use super::params;
use super::parse;
use super::plan;
use super::planner::Planner;
use super::render;
use super::shape::{self, Body, Effort};
use super::sql::Sql;
use super::tree;
use crate::client::{Cluster, deadline};
use crate::error::Result;
use crate::fanout::Reading;

/// What planning new statements needs, once the servers have answered.
#[derive(Debug)]
pub struct Planning {
    catalog: Arc<Catalog>,
    known: HashMap<String, Known>,
}

/// What the servers say of one statement.
#[derive(Debug)]
struct Known {
    types: Vec<tokio_postgres::types::Type>,
    answers: Types,
}

impl Planning {
    /// Reads the catalogue, and asks the servers what these statements' plans need. Statements that they do
    /// not take, or that are refused, are left out.
    ///
    /// # Errors
    ///
    /// Those of connecting.
    pub async fn of(cluster: &Cluster, statements: &[&str]) -> Result<Planning> {
        let core = cluster.core();
        let reading = Reading::new(core);
        let deadline = deadline::after(tokio::time::Instant::now(), reading.within);
        let catalog = Planner::of(core).catalog(core).await?;
        let describer = Describer::open(core, &reading, deadline).await?;
        let mut known = HashMap::new();
        for sql in statements {
            let Ok((types, _)) = describer.describe(sql).await else {
                continue;
            };
            let Some(bound) = bound(sql, &catalog) else {
                continue;
            };
            let mut answers = Types::new();
            let [effort, ..] = Effort::ALL;
            let shape = plan::shaped(&bound, &catalog, &mut answers, effort, &describer, &types);
            if shape.await.is_ok() {
                known.insert((*sql).to_owned(), Known { types, answers });
            }
        }
        Ok(Planning { catalog, known })
    }

    /// The statements that can be planned.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Parses a statement, binds its names, finds its shape, asking and being answered at once, and writes the
    /// shards' texts; their length.
    pub fn plan(&self, sql: &str) -> Option<usize> {
        let known = self.known.get(sql)?;
        let bound = bound(sql, &self.catalog)?;
        let mut answers = Types::new();
        let [effort, ..] = Effort::ALL;
        let shape = loop {
            match shape::shape(&bound, &self.catalog, &answers, effort) {
                Ok(shape) => break shape,
                Err(Stop::Refused(_)) => return None,
                Err(Stop::Ask(question)) => {
                    let key = question.to_string();
                    let answer = known.answers.get(&key)?.clone();
                    answers.insert(key, answer);
                }
            }
        };
        let written = |query| render::text(query, &known.types).sql.len();
        Some(match shape.body {
            Body::Anywhere | Body::OneShard(_) => sql.len(),
            Body::Push(push) => written(&push.fragment.query),
            Body::Combine(combined) => {
                let parts = combined.fragments.iter().map(|part| written(&part.query));
                parts.sum::<usize>() + written(&combined.query)
            }
        })
    }
}

fn bound(sql: &str, catalog: &Catalog) -> Option<bind::Bound> {
    let statement = parse::statement(sql).ok()?;
    bind::bind(*tree::query_of(statement)?, catalog).ok()
}

/// What a known statement costs before anything is sent: its plan is looked up, its parameters are encoded,
/// and its keys located. Whether they are all on one shard.
///
/// # Errors
///
/// As for [`Sql::stream`].
pub async fn located(sql: &Sql<'_>) -> Result<bool> {
    let planner = Planner::of(sql.core);
    let plan = params::boxed(planner.plan(sql.core, &sql.reading, sql.sql)).await?;
    let params = params::encode(sql.params, &plan.types)?;
    Ok(sql.pinned(&plan, &params)?.is_some())
}
