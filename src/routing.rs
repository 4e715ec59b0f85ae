//! Key → bucket → shard, without I/O, and the same functions as SQL.
//!
//! A key (a customer's UUID, say) is hashed to one of B buckets; the [`ShardMap`] says which shard
//! owns a bucket. The hash is named in the configuration, never implied: see [`HashFunction`].
//! [`sql`] writes the same function as SQL, so that the servers can check where a row belongs.
//!
//! ```
//! use pgshard::CustomerId;
//! use pgshard::id::{Bucket, ShardIndex};
//! use pgshard::routing::{HashFunction, KeyType, ShardMap};
//!
//! let map = ShardMap::builder(HashFunction::Pg, KeyType::Uuid).striped(4).build()?;
//! let customer: CustomerId = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
//! let place = map.locate(&customer)?;
//! assert_eq!((place.bucket, place.shard), (Bucket(901), ShardIndex(1)));
//! # Ok::<(), pgshard::Error>(())
//! ```

mod builder;
mod hash;
mod key;
mod map;
mod pins;
pub mod sql;

pub use builder::{DEFAULT_BUCKETS, MAX_BUCKETS, MAX_PINS, ShardMapBuilder};
pub use hash::{HashFunction, Negative, UnknownNegative};
pub use key::{Key, KeyRef, KeyType, UnknownKeyType};
pub use map::{Location, ShardMap};
pub use pins::Pin;
