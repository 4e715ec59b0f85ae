//! Random SELECTs that PostgreSQL takes, and that have one answer only.
//!
//! Expressions know their types, and whether equal values have equal bytes (*canonical*: not so for
//! numerics of any scale, floats with their two zeros, intervals, text under `nocase`). Only canonical
//! ones are grouped, made distinct, or ordered under a LIMIT, so that an answer needs no tolerance.
//!
//! - `tables` are the schemas' tables; `source` makes FROM clauses, `expression` values, `condition`
//!   truths, `aggregate` what groups are asked, `query` whole statements.

mod aggregate;
mod condition;
mod expression;
mod query;
mod source;
mod tables;

use proptest::test_runner::{RngAlgorithm, TestRng};

use tables::Table;

/// Types, as far as they behave differently here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ty {
    Int,
    Big,
    Num,
    F4,
    /// Text under "C", the default collation, `lexical`: they do not mix.
    Text(&'static str),
    Bool,
    Ts,
    Tz,
    Date,
    Uuid,
    Mood,
    /// Not canonical, whatever is done with them.
    Huge,
    F8,
    Nocase,
    Span,
    /// Not used further.
    Other,
}

impl Ty {
    fn canonical(self) -> bool {
        !matches!(self, Ty::Huge | Ty::F8 | Ty::Nocase | Ty::Span | Ty::Num)
    }
}

/// A source of rows in a FROM clause.
#[derive(Clone, Debug)]
struct Item {
    columns: Vec<Column>,
    /// The column that holds the key, if these are rows of a sharded table.
    key: Option<String>,
    /// Columns that tell its rows apart, if there are any.
    unique: Vec<String>,
}

#[derive(Clone, Debug)]
struct Column {
    /// As it is written, with its table.
    sql: String,
    ty: Ty,
    canonical: bool,
}

/// Makes statements, the same for the same seed.
pub(crate) struct Grammar {
    rng: TestRng,
    tables: &'static [Table],
    keys: &'static [&'static str],
    names: usize,
}

impl Grammar {
    pub(crate) fn new(schema: &str, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let (tables, keys) = tables::of(schema);
        Grammar {
            rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            tables,
            keys,
            names: 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        use proptest::prelude::Rng;
        (self.rng.next_u64() % n.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        let at = self.below(list.len());
        &list[at]
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }
}
