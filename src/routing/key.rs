//! What a key is.

use uuid::Uuid;

use crate::id::CustomerId;

/// A value that a cluster is sharded by.
///
/// ```
/// use pgshard::routing::{Key, KeyRef};
/// let id = pgshard::CustomerId(uuid::Uuid::nil());
/// assert_eq!(id.key(), KeyRef::Uuid(uuid::Uuid::nil()));
/// ```
pub trait Key {
    /// The value, as the type that PostgreSQL hashes.
    fn key(&self) -> KeyRef<'_>;
}

/// A key's value, as the type of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyRef<'a> {
    /// A `uuid` column.
    Uuid(Uuid),
    /// A `bigint` column.
    BigInt(i64),
    /// A `text` column with a deterministic collation.
    Text(&'a str),
}

impl Key for CustomerId {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        KeyRef::Uuid(self.0)
    }
}

impl Key for Uuid {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        KeyRef::Uuid(*self)
    }
}

impl Key for i64 {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        KeyRef::BigInt(*self)
    }
}

impl Key for str {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        KeyRef::Text(self)
    }
}

impl Key for String {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        KeyRef::Text(self)
    }
}

impl Key for KeyRef<'_> {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        *self
    }
}

impl<K: Key + ?Sized> Key for &K {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        (**self).key()
    }
}
