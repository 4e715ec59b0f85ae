//! Queries over many shards, with a merge that is declared, and either right or refused.

pub(crate) mod merge;

pub use merge::{Aggregate, Column, ColumnRef, GroupKey, Merge, SortKey};
