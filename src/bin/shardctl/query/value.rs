//! Values of any common type, as JSON.

use std::error::Error;

use pgshard::raw::{FromSql, Type};
use serde_json::{Value, json};
use tokio_postgres::types::Kind;

use super::{numeric, shapes, time};

type Failure = Box<dyn Error + Sync + Send>;

/// A column's value.
///
/// Numbers that a float cannot hold exactly (numeric, and integers beyond JSON's common range) and
/// all that JSON has no type for are texts, as PostgreSQL writes them.
pub(super) struct Shown(pub(super) Value);

impl<'a> FromSql<'a> for Shown {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        read(ty, raw).map(Shown)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Shown(Value::Null))
    }

    fn accepts(ty: &Type) -> bool {
        is_known(ty)
    }
}

/// Whether a column of the type can be shown.
pub(super) fn is_known(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Enum(_) => true,
        Kind::Array(inner) | Kind::Domain(inner) => is_known(inner),
        _ => matches!(
            *ty,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::OID
                | Type::FLOAT4
                | Type::FLOAT8
                | Type::NUMERIC
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
                | Type::UNKNOWN
                | Type::CHAR
                | Type::UUID
                | Type::BYTEA
                | Type::JSON
                | Type::JSONB
                | Type::XML
                | Type::DATE
                | Type::TIME
                | Type::TIMESTAMP
                | Type::TIMESTAMPTZ
                | Type::PG_LSN
                | Type::INTERVAL
                | Type::TIMETZ
                | Type::INET
                | Type::CIDR
                | Type::MACADDR
                | Type::MACADDR8
                | Type::BIT
                | Type::VARBIT
                | Type::VOID
        ),
    }
}

fn read(ty: &Type, raw: &[u8]) -> Result<Value, Failure> {
    match ty.kind() {
        Kind::Enum(_) => return Ok(json!(std::str::from_utf8(raw)?)),
        Kind::Domain(inner) => return read(inner, raw),
        Kind::Array(_) => {
            let items = Vec::<Option<Shown>>::from_sql(ty, raw)?;
            let items = items
                .into_iter()
                .map(|item| item.map_or(Value::Null, |Shown(v)| v));
            return Ok(Value::Array(items.collect()));
        }
        _ => {}
    }
    Ok(match *ty {
        Type::BOOL => json!(bool::from_sql(ty, raw)?),
        Type::INT2 => json!(i16::from_sql(ty, raw)?),
        Type::INT4 => json!(i32::from_sql(ty, raw)?),
        Type::INT8 => json!(i64::from_sql(ty, raw)?),
        Type::OID => json!(u32::from_sql(ty, raw)?),
        Type::FLOAT4 => float(f32::from_sql(ty, raw)?.into(), f32::from_sql(ty, raw)?),
        Type::FLOAT8 => float(f64::from_sql(ty, raw)?, f64::from_sql(ty, raw)?),
        Type::NUMERIC => json!(numeric::text(raw).ok_or("not a numeric")?),
        Type::UUID => json!(uuid::Uuid::from_slice(raw)?.to_string()),
        Type::BYTEA => json!(hex(raw)),
        Type::JSON => serde_json::from_slice(raw)?,
        // The first byte is the format's version.
        Type::JSONB => serde_json::from_slice(raw.get(1..).unwrap_or_default())?,
        Type::CHAR => json!(char::from(raw.first().copied().unwrap_or_default()).to_string()),
        Type::DATE => json!(time::date(raw.try_into().map(i32::from_be_bytes)?)),
        Type::TIME => json!(time::of_day(raw.try_into().map(i64::from_be_bytes)?)),
        Type::TIMESTAMP => json!(time::timestamp(raw.try_into().map(i64::from_be_bytes)?, "")),
        Type::TIMESTAMPTZ => {
            json!(time::timestamp(
                raw.try_into().map(i64::from_be_bytes)?,
                "+00"
            ))
        }
        Type::PG_LSN => {
            json!(pgshard::id::Lsn(raw.try_into().map(u64::from_be_bytes)?).to_string())
        }
        Type::INTERVAL => json!(shapes::interval(raw).ok_or("not an interval")?),
        Type::TIMETZ => json!(shapes::time_with_zone(raw).ok_or("not a time")?),
        Type::INET | Type::CIDR => json!(shapes::network(raw).ok_or("not an address")?),
        Type::MACADDR | Type::MACADDR8 => json!(shapes::hardware(raw)),
        Type::BIT | Type::VARBIT => json!(shapes::bits(raw).ok_or("not a string of bits")?),
        Type::VOID => Value::Null,
        _ => json!(std::str::from_utf8(raw)?),
    })
}

/// JSON has no NaN and no infinities: those are texts. `shown` has the type's own precision.
fn float(value: f64, shown: impl ToString) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        // The shortest text of a float4 is not that of the float8 of the same value.
        shown
            .to_string()
            .parse()
            .map_or(json!(value), |v: f64| json!(v))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("\\x");
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_json_type_are_texts() {
        let shown = |ty: Type, raw: &[u8]| read(&ty, raw).unwrap();
        assert_eq!(shown(Type::FLOAT8, &f64::NAN.to_be_bytes()), json!("NaN"));
        assert_eq!(shown(Type::FLOAT4, &0.1f32.to_be_bytes()), json!(0.1));
        assert_eq!(shown(Type::BYTEA, &[0, 255]), json!("\\x00ff"));
        assert_eq!(shown(Type::JSONB, b"\x01{\"a\":1}"), json!({"a": 1}));
        assert_eq!(
            shown(Type::PG_LSN, &[0, 0, 0, 1, 0, 0, 0, 16]),
            json!("1/10")
        );
        assert!(read(&Type::INT4, &[1]).is_err());
        assert!(!is_known(&Type::POINT) && is_known(&Type::NUMERIC_ARRAY));
    }
}
