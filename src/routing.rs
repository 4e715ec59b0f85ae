//! Key → bucket → shard, without I/O, and the same functions as SQL.

mod key;
mod map;

pub use key::{Key, KeyRef};
pub use map::{Location, ShardMap};
