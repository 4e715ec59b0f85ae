//! Names of clusters, shards and nodes: short ASCII, stored inline, so that copying one is free.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const LONGEST: usize = 32;

/// The text cannot name a cluster, a shard or a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid name: use 1 to 32 characters of a-z, A-Z, 0-9, '_' and '-', \
     starting with a letter or digit"
)]
pub struct InvalidName(pub String);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Name {
    fn new(text: &str) -> Result<Self, InvalidName> {
        let valid = (1..=LONGEST).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if !valid {
            return Err(InvalidName(text.to_owned()));
        }
        let mut bytes = [0; LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Name {
            bytes,
            len: text.len() as u8,
        })
    }

    fn as_str(&self) -> &str {
        // Only ASCII gets in.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $Type:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 32 ASCII letters, digits, `_` and `-`: names end up in the global transaction
        /// identifiers of prepared transactions, which PostgreSQL limits to 199 bytes.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Type(Name);

        impl $Type {
            /// A name from its text.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] if the text is empty, too long or has other characters.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                Name::new(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl AsRef<str> for $Type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl FromStr for $Type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl Serialize for $Type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $Type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// The name of a cluster: all shards that one shard map covers.
    ClusterId
}
name! {
    /// The name of a shard: a primary and its replicas.
    ShardId
}
name! {
    /// The name of a node: one server of a shard. Unique in the cluster.
    NodeId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_ascii() {
        let longest = "x".repeat(32);
        for text in ["s0", "shard-7_b", "0", longest.as_str()] {
            assert_eq!(ShardId::new(text).unwrap().as_str(), text);
        }
        let too_long = "x".repeat(33);
        for text in ["", "-a", "_a", "a b", "é", "a'b", too_long.as_str()] {
            assert!(ShardId::new(text).is_err(), "{text:?}");
        }
    }
}
