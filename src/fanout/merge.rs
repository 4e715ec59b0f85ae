//! Merging the rows of many shards into one answer, as one database would have given it.
//!
//! Pure: rows are bytes in PostgreSQL's binary format (`row`), so that everything here is tested
//! without a server.
//!
//! - `declare` is what a caller asks for; `resolve` checks it against the columns' types;
//! - `compare` knows the orders that are provably PostgreSQL's own; `order` applies them to rows;
//! - `kway` merges ordered streams while they arrive; `window` is LIMIT and OFFSET;
//! - `aggregate` combines partial aggregates, by groups (`group`), with `numeric` for exact sums;
//! - `lint` refuses statements whose words cannot be right on each shard separately.

mod aggregate;
mod compare;
mod declare;
mod group;
mod kway;
mod lint;
mod numeric;
mod order;
mod resolve;
mod row;
mod window;

pub use declare::{Aggregate, ColumnRef, GroupKey, Merge, SortKey};
pub(crate) use kway::Step;
pub(crate) use resolve::{Engine, check_same};
pub(crate) use row::{Cells, Column, OwnedRow};
pub(crate) use window::Window;
