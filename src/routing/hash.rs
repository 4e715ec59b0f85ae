//! The hash functions that a cluster may be sharded by.

use std::fmt;
use std::str::FromStr;

pub(super) mod pg;
pub(super) mod prefix;
pub(super) mod xxh3;

/// How a key becomes a bucket. It cannot be changed while there is data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashFunction {
    /// PostgreSQL's own hash partitioning: bucket b is the remainder b of
    /// `PARTITION BY HASH (key)` with modulus B.
    ///
    /// Its SQL twin is one immutable expression of built-in functions, so that the servers can use
    /// it in CHECK constraints and publication filters. The recommended one. It is what
    /// little-endian servers (x86-64, aarch64) compute.
    Pg,
    /// XXH3-64 over the UUID's 16 bytes, or over a bigint's 8 bytes in network order; not for text.
    ///
    /// The fastest. Its SQL twin is a generated function, which CHECK constraints and audits can
    /// use, publication filters cannot.
    Xxh3,
    /// `('x' || substring(key::text, 1, 8))::bit(32)::int % modulus`, for clusters that are
    /// sharded this way already; for uuid keys only.
    ///
    /// Buckets are 0..modulus. UUIDs that begin with their time (version 7) all go to one bucket
    /// for minutes at a time.
    UuidPrefix {
        /// The divisor, which is the number of buckets. It does not depend on the number of shards.
        modulus: u32,
        /// What a negative remainder means.
        negative: Negative,
    },
}

impl HashFunction {
    /// The name in the configuration: `pg`, `xxh3` or `uuid-prefix`.
    pub fn name(self) -> &'static str {
        match self {
            HashFunction::Pg => "pg",
            HashFunction::Xxh3 => "xxh3",
            HashFunction::UuidPrefix { .. } => "uuid-prefix",
        }
    }
}

impl fmt::Display for HashFunction {
    /// The name with its parameters, such as `uuid-prefix(8, floor)`: equal texts are equal
    /// functions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashFunction::UuidPrefix { modulus, negative } => {
                write!(f, "uuid-prefix({modulus}, {negative})")
            }
            other => f.write_str(other.name()),
        }
    }
}

/// What [`HashFunction::UuidPrefix`] does with the negative remainder that `%` gives for a
/// negative integer, which is the case for nearly half of all UUIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Negative {
    /// The key is refused.
    Error,
    /// The sign is dropped: `abs(x % n)`.
    Abs,
    /// The remainder of a division that rounds down: `((x % n) + n) % n`.
    Floor,
    /// The first 32 bits are read as an unsigned number: `…::bit(32)::bigint % n`. The same as
    /// [`Floor`](Negative::Floor) where the modulus is a power of two.
    Unsigned,
}

/// The text is not a rule for negative remainders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rule for negative remainders: use \"error\", \"abs\", \"floor\" or \"unsigned\""
)]
pub struct UnknownNegative(pub String);

impl fmt::Display for Negative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Negative::Error => "error",
            Negative::Abs => "abs",
            Negative::Floor => "floor",
            Negative::Unsigned => "unsigned",
        })
    }
}

impl FromStr for Negative {
    type Err = UnknownNegative;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Negative::Error),
            "abs" => Ok(Negative::Abs),
            "floor" => Ok(Negative::Floor),
            "unsigned" => Ok(Negative::Unsigned),
            _ => Err(UnknownNegative(text.to_owned())),
        }
    }
}
