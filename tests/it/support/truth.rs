//! Cross-shard SQL against the truth: the same rows in one plain database, the oracle.
//!
//! - `world` makes a sharded cluster and its oracle, with one of two schemas;
//! - `answer` is what either of them says, `ask` how they are asked;
//! - `case` reads the queries of `tests/sql`, `params` their parameters;
//! - `compare` says whether two answers are the same, as strictly as the query allows;
//! - `value` decodes what a comparison has to look into;
//! - `grammar` makes queries that nobody wrote;
//! - `run` asks all cases and collects what is wrong; `naive` are planners that have to be found out.

mod answer;
mod ask;
mod case;
mod compare;
mod grammar;
mod naive;
mod params;
mod run;
mod value;
mod world;

pub(crate) use answer::{Answer, Cells, Column, Outcome, Raw};
pub(crate) use ask::Ask;
pub(crate) use case::{Case, Expect, cases, unlimited};
pub(crate) use compare::{Compare, Looseness, Order, compare};
pub(crate) use grammar::Grammar;
pub(crate) use naive::{Fault, Naive};
pub(crate) use params::Params;
pub(crate) use run::{Run, Truth};
pub(crate) use world::{BANK, EVENTS, Schema, World, prepare, world};
