//! `[[routing.pin]]`: keys placed by hand.

use std::collections::HashSet;

use toml::Spanned;

use crate::id::{ShardId, ShardIndex};
use crate::routing::{KeyType, MAX_PINS};

use super::nodes::Shard;
use super::scalar::KeyText;
use super::text::{Section, Text};

/// The pins; each key is of the type.
pub(super) fn pins(
    text: &Text<'_>,
    sections: Vec<Section<'_>>,
    key_type: KeyType,
    shards: &[Shard],
) -> Vec<(String, ShardIndex)> {
    if let Some(section) = sections.get(MAX_PINS) {
        text.error(
            section.span(),
            format!("there are more than {MAX_PINS} pins"),
            "pin the few keys that need it; move whole buckets otherwise",
        );
    }
    let written: Vec<_> = sections
        .into_iter()
        .filter_map(|section| pin(text, section, shards))
        .collect();
    let mut seen = HashSet::new();
    for (key, _) in &written {
        let shown = &key.get_ref().0;
        match key_type.parse(shown) {
            None => text.error(
                key.span(),
                format!("{shown:?} is not a {key_type}"),
                "correct the key, or `key` in [routing]",
            ),
            Some(parsed) if !seen.insert(parsed) => text.error(
                key.span(),
                format!("the key {shown} is pinned already"),
                "keep one of the two pins",
            ),
            Some(_) => {}
        }
    }
    written
        .iter()
        .filter_map(|(key, shard)| Some((key.get_ref().0.clone(), (*shard)?)))
        .collect()
}

fn pin(
    text: &Text<'_>,
    section: Section<'_>,
    shards: &[Shard],
) -> Option<(Spanned<KeyText>, Option<ShardIndex>)> {
    let key = section.require::<KeyText>("key", "name the key that is placed by hand");
    let shard = section.require::<ShardId>("shard", "name the shard that the key lives on");
    section.finish();
    let index = shard.and_then(|shard| {
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
    Some((key?, index))
}
