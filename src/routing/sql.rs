//! The routing function as SQL: what the servers check placement by.
//!
//! For [`HashFunction::Pg`] and [`HashFunction::UuidPrefix`] the [bucket of a column](
//! Twin::bucket_expression) is an expression of built-in immutable functions; for
//! [`HashFunction::Xxh3`] it calls functions that [`Twin::functions`] creates.
//!
//! ```
//! use pgshard::id::ShardIndex;
//! use pgshard::routing::{HashFunction, KeyType, ShardMap, sql};
//!
//! let map = ShardMap::builder(HashFunction::Pg, KeyType::Uuid).striped(4).build()?;
//! let twin = sql::twin(&map);
//! assert_eq!(
//!     twin.bucket_expression("customer_id"),
//!     r#"(((uuid_hash_extended("customer_id", 8816678312871386365) & 4095) + 2275) & 4095)::int"#,
//! );
//! let check = twin.placement_check("customer_id", ShardIndex(1))?;
//! assert!(check.ends_with("% 4 = 1"));
//! # Ok::<(), pgshard::Error>(())
//! ```

mod check;

use crate::sql::ident;

use super::hash::pg::{COMBINE, SEED};
use super::{HashFunction, KeyType, Negative, ShardMap};

/// The SQL twin of a shard map's hash.
pub fn twin(map: &ShardMap) -> Twin<'_> {
    Twin { map }
}

/// The SQL twin of a shard map; made by [`twin`].
///
/// Its SQL names built-in functions without their schema: `pg_catalog` is searched first unless a
/// `search_path` says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Twin<'a> {
    map: &'a ShardMap,
}

impl Twin<'_> {
    /// DDL that creates or replaces `pgshard.bucket(key) returns int`, and what it needs, in the
    /// existing schema `pgshard`. All are immutable, strict and parallel safe.
    ///
    /// Where Rust refuses a key, `pgshard.bucket` answers a negative number, which no shard owns.
    /// It does not know about pins.
    pub fn functions(&self) -> String {
        let key_type = self.map.key_type;
        let bucket = match self.map.hash {
            HashFunction::Xxh3 => format!("(pgshard.xxh3_64(key) & {})::int", self.mask()),
            _ => self.bucket_of("key"),
        };
        let needed = match (self.map.hash, key_type) {
            (HashFunction::Xxh3, KeyType::Uuid) => {
                concat!(
                    include_str!("sql/xxh3_int.sql"),
                    include_str!("sql/xxh3_uuid.sql")
                )
            }
            (HashFunction::Xxh3, _) => {
                concat!(
                    include_str!("sql/xxh3_int.sql"),
                    include_str!("sql/xxh3_bigint.sql")
                )
            }
            _ => "",
        };
        format!(
            "{needed}CREATE OR REPLACE FUNCTION pgshard.bucket(key {key_type}) RETURNS int\n    \
             LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE\n    \
             RETURN {bucket};\n"
        )
    }

    /// The bucket of a column, as an expression of type int. NULL for NULL.
    pub fn bucket_expression(&self, column: &str) -> String {
        self.bucket_of(&ident(column).to_string())
    }

    /// The bucket of an SQL expression of the key's type, such as `t."customer_id"` or
    /// `$1::uuid`. The text goes into the SQL as it is.
    pub fn bucket_of(&self, key: &str) -> String {
        let hash = match (self.map.hash, self.map.key_type) {
            (HashFunction::Pg, KeyType::Uuid) => format!("uuid_hash_extended({key}, {SEED})"),
            (HashFunction::Pg, KeyType::BigInt) => format!("hashint8extended({key}, {SEED})"),
            // Under a deterministic collation the hash is that of the bytes, as under "C".
            (HashFunction::Pg, KeyType::Text) => {
                format!("hashtextextended({key} COLLATE \"C\", {SEED})")
            }
            (HashFunction::Xxh3, _) => return format!("pgshard.bucket({key})"),
            (HashFunction::UuidPrefix { modulus, negative }, _) => {
                return prefix(key, modulus, negative);
            }
        };
        let mask = self.mask();
        // Masked before the addition, so that it cannot overflow.
        format!(
            "((({hash} & {mask}) + {}) & {mask})::int",
            COMBINE & u64::from(mask)
        )
    }

    fn mask(&self) -> u32 {
        self.map.buckets() - 1
    }
}

fn prefix(key: &str, modulus: u32, negative: Negative) -> String {
    let bits = format!("('x' || substring({key}::text, 1, 8))::bit(32)");
    match negative {
        Negative::Error => format!("({bits}::int % {modulus})"),
        Negative::Abs => format!("abs({bits}::int % {modulus})"),
        Negative::Floor => format!("((({bits}::int % {modulus}) + {modulus}) % {modulus})"),
        Negative::Unsigned => format!("({bits}::bigint % {modulus})::int"),
    }
}
