//! The shards that keys come to.

use std::collections::BTreeSet;

use tokio_postgres::types::{FromSql, Kind, Type};
use uuid::Uuid;

use super::keys::Term;
use super::spread::Restrictions;
use crate::error::Result;
use crate::fanout::Encoded;
use crate::id::ShardIndex;
use crate::routing::{KeyRef, KeyType, ShardMap};

/// The shards that have rows under all of these restrictions; `None`: any may have.
///
/// # Errors
///
/// A key that the map's hash refuses.
pub(super) fn shards(
    only: &Restrictions,
    params: &[Encoded],
    map: &ShardMap,
) -> Result<Option<BTreeSet<ShardIndex>>> {
    let mut all: Option<BTreeSet<ShardIndex>> = None;
    for terms in only {
        let Some(found) = any_of(terms, params, map)? else {
            continue;
        };
        all = Some(match all {
            None => found,
            Some(known) => known.intersection(&found).copied().collect(),
        });
    }
    Ok(all)
}

/// The shards of any of these keys. `None`: one of them is not understood.
pub(super) fn any_of(
    terms: &[Term],
    params: &[Encoded],
    map: &ShardMap,
) -> Result<Option<BTreeSet<ShardIndex>>> {
    let mut shards = BTreeSet::new();
    for term in terms {
        match term {
            Term::Literal(text) => match map.key_type().parse(text) {
                Some(key) => {
                    shards.insert(map.locate(&key)?.shard);
                }
                None => return Ok(None),
            },
            Term::Param(number) => {
                let Some(param) = number.checked_sub(1).and_then(|at| params.get(at)) else {
                    return Ok(None);
                };
                let Some(bytes) = &param.bytes else { continue };
                if !locate(&param.ty, bytes, map, &mut shards)? {
                    return Ok(None);
                }
            }
            Term::Array(number) => {
                let Some(param) = number.checked_sub(1).and_then(|at| params.get(at)) else {
                    return Ok(None);
                };
                let Kind::Array(element) = param.ty.kind() else {
                    return Ok(None);
                };
                let Some(bytes) = &param.bytes else { continue };
                let Some(elements) = elements(bytes) else {
                    return Ok(None);
                };
                for bytes in elements.into_iter().flatten() {
                    if !locate(element, bytes, map, &mut shards)? {
                        return Ok(None);
                    }
                }
            }
        }
    }
    Ok(Some(shards))
}

/// Adds the shard of a key in PostgreSQL's binary format; `false` if it is none of the key's type.
fn locate(
    ty: &Type,
    bytes: &[u8],
    map: &ShardMap,
    shards: &mut BTreeSet<ShardIndex>,
) -> Result<bool> {
    let key = match (map.key_type(), ty) {
        (KeyType::Uuid, &Type::UUID) => Uuid::from_slice(bytes).ok().map(KeyRef::Uuid),
        (KeyType::BigInt, &Type::INT8) => bytes
            .try_into()
            .ok()
            .map(|b| KeyRef::BigInt(i64::from_be_bytes(b))),
        (KeyType::BigInt, &Type::INT4) => bytes
            .try_into()
            .ok()
            .map(|b| KeyRef::BigInt(i32::from_be_bytes(b).into())),
        (KeyType::BigInt, &Type::INT2) => bytes
            .try_into()
            .ok()
            .map(|b| KeyRef::BigInt(i16::from_be_bytes(b).into())),
        (KeyType::Text, &Type::TEXT | &Type::VARCHAR) => {
            std::str::from_utf8(bytes).ok().map(KeyRef::Text)
        }
        _ => None,
    };
    match key {
        Some(key) => {
            shards.insert(map.locate(&key)?.shard);
            Ok(true)
        }
        None => Ok(false),
    }
}

/// The elements of an array in PostgreSQL's binary format.
fn elements(bytes: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    struct Any<'a>(&'a [u8]);
    impl<'a> FromSql<'a> for Any<'a> {
        fn from_sql(
            _: &Type,
            raw: &'a [u8],
        ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
            Ok(Any(raw))
        }
        fn accepts(_: &Type) -> bool {
            true
        }
    }
    let list = Vec::<Option<Any<'_>>>::from_sql(&Type::BYTEA_ARRAY, bytes).ok()?;
    Some(
        list.into_iter()
            .map(|element| element.map(|Any(raw)| raw))
            .collect(),
    )
}
