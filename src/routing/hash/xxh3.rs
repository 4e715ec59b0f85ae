//! XXH3-64 with the default secret and seed 0, over a key's bytes as the server sends them.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// The hash of a uuid's 16 bytes.
#[inline(always)]
pub(in crate::routing) fn uuid(id: Uuid) -> u64 {
    xxh3_64(id.as_bytes())
}

/// The hash of a bigint's 8 bytes in network order.
#[inline(always)]
pub(in crate::routing) fn bigint(value: i64) -> u64 {
    xxh3_64(&value.to_be_bytes())
}
