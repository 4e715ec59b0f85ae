//! `[[routing.pin]]`: keys placed by hand.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use uuid::Uuid;

use crate::id::{ShardId, ShardIndex};
use crate::routing::{KeyRef, KeyType, MAX_PINS};

use super::nodes::Shard;
use super::scalar::KeyText;
use super::text::{Section, Text};

/// A key of one of the three types.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum PinnedKey {
    Uuid(Uuid),
    BigInt(i64),
    Text(String),
}

impl PinnedKey {
    fn parse(text: &str, key_type: KeyType) -> Option<Self> {
        Some(match key_type {
            KeyType::Uuid => PinnedKey::Uuid(text.parse().ok()?),
            KeyType::BigInt => PinnedKey::BigInt(text.parse().ok()?),
            KeyType::Text => PinnedKey::Text(text.to_owned()),
        })
    }

    pub(super) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            PinnedKey::Uuid(id) => KeyRef::Uuid(*id),
            PinnedKey::BigInt(value) => KeyRef::BigInt(*value),
            PinnedKey::Text(text) => KeyRef::Text(text),
        }
    }
}

/// The pins whose key and shard are fine.
pub(super) fn pins(
    text: &Text<'_>,
    sections: Vec<Section<'_>>,
    key_type: KeyType,
    shards: &[Shard],
) -> HashMap<PinnedKey, ShardIndex> {
    let mut pins = HashMap::new();
    if let Some(section) = sections.get(MAX_PINS) {
        text.error(
            section.span(),
            format!("there are more than {MAX_PINS} pins"),
            "pin the few keys that need it; move whole buckets otherwise",
        );
    }
    for section in sections {
        let key = section.require::<KeyText>("key", "name the key that is placed by hand");
        let shard = section.require::<ShardId>("shard", "name the shard that the key lives on");
        section.finish();
        let shard = shard.and_then(|shard| {
            let index = shards.iter().position(|s| s.id == Some(*shard.get_ref()));
            if index.is_none() {
                text.error(
                    shard.span(),
                    format!("there is no shard {}", shard.get_ref()),
                    "pin the key to the id of a [[shard]] in this file",
                );
            }
            u16::try_from(index?).ok().map(ShardIndex)
        });
        let Some(key) = key else { continue };
        let Some(parsed) = PinnedKey::parse(&key.get_ref().0, key_type) else {
            text.error(
                key.span(),
                format!("{:?} is not a {key_type}", key.get_ref().0),
                "correct the key, or `key` in [routing]",
            );
            continue;
        };
        match pins.entry(parsed) {
            Entry::Occupied(_) => text.error(
                key.span(),
                format!("the key {} is pinned already", key.get_ref().0),
                "keep one of the two pins",
            ),
            Entry::Vacant(free) => {
                if let Some(shard) = shard {
                    free.insert(shard);
                }
            }
        }
    }
    pins
}
