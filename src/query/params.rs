//! A statement's parameters, encoded once for all shards.

use bytes::BytesMut;
use futures::future::FutureExt;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type};

use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::fanout::Encoded;
use crate::sql::ident;

/// Encodes parameters as the types that the server expects.
pub(super) fn encode(params: &[&(dyn ToSql + Sync)], types: &[Type]) -> Result<Vec<Encoded>> {
    if params.len() != types.len() {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the statement has {} parameters, but {} were given",
                types.len(),
                params.len()
            ),
        )
        .with_label(Label::NOT_SENT));
    }
    params
        .iter()
        .zip(types)
        .enumerate()
        .map(|(at, (param, ty))| {
            let mut bytes = BytesMut::new();
            let is_null = param.to_sql_checked(ty, &mut bytes).map_err(|error| {
                Error::new(
                    ErrorKind::Decode,
                    format!("parameter ${} cannot be sent as {ty}: {error}", at + 1),
                )
                .with_label(Label::NOT_SENT)
                .in_phase(Phase::Prepare)
                .with_source(error)
            })?;
            Ok(Encoded {
                ty: ty.clone(),
                bytes: matches!(is_null, IsNull::No).then(|| bytes.freeze()),
            })
        })
        .collect()
}

/// A type's name in SQL.
pub(super) fn type_name(ty: &Type) -> String {
    match ty.schema() {
        "pg_catalog" => format!("pg_catalog.{}", plain(ty.name())),
        schema => format!("{}.{}", plain(schema), plain(ty.name())),
    }
}

fn plain(name: &str) -> String {
    let simple = name
        .bytes()
        .all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit());
    match simple && !matches!(name, "user" | "char") {
        true => name.to_owned(),
        false => ident(name).to_string(),
    }
}

/// Types whose binary form means the same on every server, so that arrays of them can be sent on.
pub(super) fn travels_in_binary(ty: &Type) -> bool {
    ty.oid() < FIRST_OWN
        && matches!(ty.kind(), Kind::Simple)
        && array_of(ty).is_some()
        && !is_local(ty)
}

/// Types that stand for an object of one server.
pub(super) fn is_local(ty: &Type) -> bool {
    ty.name().starts_with("reg") && ty.schema() == "pg_catalog"
        || matches!(
            *ty,
            Type::XID | Type::CID | Type::TID | Type::REFCURSOR | Type::PG_SNAPSHOT
        )
}

/// The first number of a type that is not PostgreSQL's own.
const FIRST_OWN: u32 = 16384;

/// The array of a type of PostgreSQL's own.
pub(super) fn array_of(ty: &Type) -> Option<Type> {
    Some(match *ty {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::CHAR => Type::CHAR_ARRAY,
        Type::NAME => Type::NAME_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::TEXT => Type::TEXT_ARRAY,
        Type::OID => Type::OID_ARRAY,
        Type::JSON => Type::JSON_ARRAY,
        Type::JSONB => Type::JSONB_ARRAY,
        Type::XML => Type::XML_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::MONEY => Type::MONEY_ARRAY,
        Type::MACADDR => Type::MACADDR_ARRAY,
        Type::MACADDR8 => Type::MACADDR8_ARRAY,
        Type::INET => Type::INET_ARRAY,
        Type::CIDR => Type::CIDR_ARRAY,
        Type::BPCHAR => Type::BPCHAR_ARRAY,
        Type::VARCHAR => Type::VARCHAR_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIME => Type::TIME_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        Type::TIMETZ => Type::TIMETZ_ARRAY,
        Type::BIT => Type::BIT_ARRAY,
        Type::VARBIT => Type::VARBIT_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::UUID => Type::UUID_ARRAY,
        _ => return None,
    })
}

/// Types that have a collation.
pub(super) fn is_collatable(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Array(element) => is_collatable(element),
        Kind::Domain(inner) => is_collatable(inner),
        _ => {
            matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME)
                // An extension's type may, as citext does.
                || (ty.oid() >= FIRST_OWN && matches!(ty.kind(), Kind::Simple))
        }
    }
}

/// Runs a future on the heap: planning is rare, and its state is large.
pub(super) fn boxed<'a, T>(
    future: impl Future<Output = T> + Send + 'a,
) -> futures::future::BoxFuture<'a, T> {
    future.boxed()
}
