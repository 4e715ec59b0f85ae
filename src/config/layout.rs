//! `[routing]`: hash, buckets, their owners, pins.

use toml::Spanned;

use crate::id::{MapVersion, ShardIndex};
use crate::routing::{DEFAULT_BUCKETS, HashFunction, KeyType, MAX_BUCKETS, Negative, ShardMap};

use super::advice;
use super::nodes::Shard;
use super::pins;
use super::scalar::{BucketRange, HashName, Scalar as _};
use super::settings::{Origin, Settings};
use super::text::{Section, Text};

/// The shard map; `None` if something about it was refused.
pub(super) fn routing(
    settings: &Settings<'_>,
    root: &Section<'_>,
    shards: &[Shard],
) -> Option<ShardMap> {
    let text = settings.text;
    let Some(section) = root.section("routing") else {
        root.missing(
            "[routing]",
            "add it, with hash = \"pg\" for a new cluster; the hash is never implied",
        );
        return None;
    };
    let hash = section.require::<HashName>(
        "hash",
        "write hash = \"pg\", or the one that the existing rows were placed by; it is never implied",
    );
    let key_type = section.take::<KeyType>("key");
    let version = section.take::<i64>("version");
    let buckets = section.take::<u32>("buckets");
    let modulus = section.take::<u32>("modulus");
    let negative = section.take::<Negative>("negative");
    let pin_sections = section.sections("pin");

    if let Some(version) = version.as_ref().filter(|v| *v.get_ref() < 1) {
        text.error(
            version.span(),
            format!("version is {}", version.get_ref()),
            "start at 1 and add 1 with every change of placement",
        );
    }
    let key = key_type
        .as_ref()
        .map_or(KeyType::Uuid, |key| *key.get_ref());
    let hash_at = hash.as_ref().map_or_else(|| section.span(), Spanned::span);
    let function = hash.and_then(|hash| match hash.into_inner() {
        HashName::UuidPrefix => {
            if let Some(buckets) = &buckets {
                text.error(
                    buckets.span(),
                    "hash \"uuid-prefix\" has as many buckets as its modulus",
                    "remove `buckets`",
                );
            }
            prefix(text, &section, &modulus, negative)
        }
        name => {
            for (field, span) in [
                ("modulus", modulus.as_ref().map(Spanned::span)),
                ("negative", negative.as_ref().map(Spanned::span)),
            ] {
                if let Some(span) = span {
                    text.error(
                        span,
                        format!("`{field}` is for hash \"uuid-prefix\" only"),
                        "remove it, or name that hash",
                    );
                }
            }
            Some(match name {
                HashName::Xxh3 => HashFunction::Xxh3,
                _ => HashFunction::Pg,
            })
        }
    });
    if let Some(function) = function {
        advice::hash(text, hash_at.clone(), function);
    }
    let fits = function.is_none_or(|function| fits(text, hash_at.clone(), function, key));
    let count = match function {
        Some(HashFunction::UuidPrefix { modulus, .. }) => Some(modulus),
        _ => count(text, buckets),
    };
    let owners = count.and_then(|count| owners(text, &section, shards, count));
    let pins = pins::pins(text, pin_sections, key, shards);
    let span = section.span();
    section.finish();

    let (function, count, owners) = (function?, count?, owners?);
    if !fits || !text.usable() {
        return None;
    }
    let shard_count = u16::try_from(shards.len()).ok()?;
    let mut builder = ShardMap::builder(function, key)
        .buckets(count)
        .version(MapVersion(version.map_or(1, Spanned::into_inner)));
    builder = match owners {
        Owners::Striped => builder.striped(shard_count),
        Owners::Named(owners) => builder.owners(shard_count, owners),
    };
    for (pinned, shard) in &pins {
        builder = builder.pin(&key.parse(pinned)?, *shard);
    }
    match builder.build() {
        Ok(map) => {
            list(settings, &Origin::File(text.place(&span)), shards, &map);
            Some(map)
        }
        Err(error) => {
            text.error(
                span,
                "the shard map was refused",
                error.message().to_owned(),
            );
            None
        }
    }
}

/// The placement in effect, for `config show`.
fn list(settings: &Settings<'_>, origin: &Origin, shards: &[Shard], map: &ShardMap) {
    let entry = |field, value: String| settings.list(&["routing", field], value, origin.clone());
    entry("hash", map.hash().to_string());
    entry("key", map.key_type().to_string());
    entry("buckets", map.buckets().to_string());
    entry("version", map.version().to_string());
    for pin in map.pins() {
        let shard = shards.get(pin.shard.index()).map_or("?", Shard::label);
        entry("pin", format!("{} on {shard}", pin.key));
    }
    for (index, shard) in (0..).map(ShardIndex).zip(shards) {
        let place = Origin::File(settings.text.place(&shard.span));
        let buckets = map.buckets_of(index).count();
        let value = match &shard.buckets {
            None => format!("{buckets}: bucket mod {} = {}", map.shards(), index.0),
            Some(ranges) => {
                let ranges: Vec<String> = ranges.iter().map(|r| r.get_ref().show()).collect();
                format!("{buckets}: {}", ranges.join(", "))
            }
        };
        settings.list(&["shard", shard.label(), "buckets"], value, place);
        if let Some(patroni) = &shard.patroni {
            let place = Origin::File(settings.text.place(&shard.span));
            let urls: Vec<_> = patroni.urls.iter().map(ToString::to_string).collect();
            let value = format!("{} at {}", patroni.scope, urls.join(", "));
            settings.list(&["shard", shard.label(), "patroni"], value, place);
        }
        for node in &shard.nodes {
            let place = Origin::File(settings.text.place(&node.host.span()));
            let value = format!("{} port {}", node.host.get_ref(), node.port);
            settings.list(
                &["shard", shard.label(), "node", node.id.as_str()],
                value,
                place,
            );
        }
    }
}

fn prefix(
    text: &Text<'_>,
    section: &Section<'_>,
    modulus: &Option<Spanned<u32>>,
    negative: Option<Spanned<Negative>>,
) -> Option<HashFunction> {
    match modulus {
        None => section.missing(
            "modulus",
            "write the one that the existing rows were placed by; it does not follow the number \
             of shards",
        ),
        Some(modulus) => {
            if !(1..=MAX_BUCKETS).contains(modulus.get_ref()) {
                text.error(
                    modulus.span(),
                    format!("modulus is {}", modulus.get_ref()),
                    format!("it must be from 1 to {MAX_BUCKETS}"),
                );
                return None;
            }
        }
    }
    if negative.is_none() {
        section.missing(
            "negative",
            "half of all UUIDs give a negative remainder: write what the existing rows were \
             placed by, \"error\", \"abs\", \"floor\" or \"unsigned\"",
        );
    }
    Some(HashFunction::UuidPrefix {
        modulus: *modulus.as_ref()?.get_ref(),
        negative: negative?.into_inner(),
    })
}

fn fits(text: &Text<'_>, at: std::ops::Range<usize>, function: HashFunction, key: KeyType) -> bool {
    let fits = match function {
        HashFunction::Pg => true,
        HashFunction::Xxh3 => key != KeyType::Text,
        _ => key == KeyType::Uuid,
    };
    if !fits {
        text.error(
            at,
            format!(
                "hash \"{}\" does not take keys of type {key}",
                function.name()
            ),
            "use hash \"pg\", which takes uuid, bigint and text",
        );
    }
    fits
}

fn count(text: &Text<'_>, buckets: Option<Spanned<u32>>) -> Option<u32> {
    let Some(buckets) = buckets else {
        return Some(DEFAULT_BUCKETS);
    };
    let count = *buckets.get_ref();
    if count.is_power_of_two() && count <= MAX_BUCKETS {
        return Some(count);
    }
    text.error(
        buckets.span(),
        format!("buckets is {count}"),
        format!(
            "it must be a power of two, at most {MAX_BUCKETS}; {DEFAULT_BUCKETS} suits up to \
             some hundred shards, and it cannot be changed while there is data"
        ),
    );
    None
}

enum Owners {
    Striped,
    Named(Vec<ShardIndex>),
}

fn owners(text: &Text<'_>, section: &Section<'_>, shards: &[Shard], count: u32) -> Option<Owners> {
    if shards.len() > count as usize {
        text.error(
            section.span(),
            format!("there are {} shards but only {count} buckets", shards.len()),
            "a shard without a bucket gets no keys; use more buckets or fewer shards",
        );
        return None;
    }
    let silent: Vec<&Shard> = shards.iter().filter(|s| s.buckets.is_none()).collect();
    if silent.len() == shards.len() {
        return Some(Owners::Striped);
    }
    if !silent.is_empty() {
        for shard in silent {
            text.error(
                shard.span.clone(),
                format!(
                    "the shard {} does not say which buckets it owns",
                    shard.label()
                ),
                "give `buckets` to all shards, or to none for bucket mod number of shards",
            );
        }
        return None;
    }
    named(text, section, shards, count)
}

fn named(text: &Text<'_>, section: &Section<'_>, shards: &[Shard], count: u32) -> Option<Owners> {
    let mut owners = vec![None; count as usize];
    let mut fine = true;
    for (index, shard) in (0u16..).zip(shards) {
        for range in shard.buckets.iter().flatten() {
            let refusal = claim(&mut owners, *range.get_ref(), ShardIndex(index), shards);
            if let Some((what, advice)) = refusal {
                text.error(range.span(), what, advice);
                fine = false;
            }
        }
    }
    let free = unowned(shards, count);
    if !free.is_empty() {
        text.error(
            section.span(),
            format!("no shard owns the buckets {free}"),
            "add them to the `buckets` of a shard: every key must have a place",
        );
        fine = false;
    }
    let owners: Vec<ShardIndex> = owners.into_iter().flatten().collect();
    fine.then_some(Owners::Named(owners))
}

fn claim(
    owners: &mut [Option<ShardIndex>],
    range: BucketRange,
    shard: ShardIndex,
    shards: &[Shard],
) -> Option<(String, String)> {
    let last = owners.len().saturating_sub(1);
    for bucket in range.first..=range.last {
        let Some(owner) = owners.get_mut(bucket as usize) else {
            return Some((
                format!("there is no bucket {bucket}"),
                format!("the buckets are numbered 0 to {last}"),
            ));
        };
        if let Some(first) = owner {
            let first = shards.get(first.index()).map_or("?", Shard::label);
            return Some((
                format!("the shard {first} owns bucket {bucket} already"),
                "a bucket has one owner; correct one of the ranges".to_owned(),
            ));
        }
        *owner = Some(shard);
    }
    None
}

/// The buckets that no range covers, as a list of at most five ranges.
fn unowned(shards: &[Shard], count: u32) -> String {
    let mut claims: Vec<BucketRange> = shards
        .iter()
        .flat_map(|shard| shard.buckets.iter().flatten())
        .map(|range| *range.get_ref())
        .collect();
    claims.sort_by_key(|range| range.first);
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    let mut next = 0;
    for claim in claims {
        if claim.first.min(count) > next {
            ranges.push((next, claim.first.min(count) - 1));
        }
        next = next.max(claim.last.saturating_add(1));
    }
    if next < count {
        ranges.push((next, count - 1));
    }
    let more = ranges.len() > 5;
    let mut texts: Vec<String> = ranges
        .into_iter()
        .take(5)
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    if more {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}
