//! Groups: which values are equal, and bytes that are equal exactly when they are.

use postgres_types::{Kind, Type};

use super::numeric::View;
use super::row::Cells;

/// A column of GROUP BY.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupColumn {
    pub(super) column: usize,
    pub(super) equality: Equality,
}

/// When two values of a type are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equality {
    /// When their bytes are.
    Bytes,
    /// -0 equals 0, NaN equals NaN; 4 bytes.
    Float4,
    /// The same; 8 bytes.
    Float8,
    /// 1.0 equals 1.00.
    Numeric,
}

impl Equality {
    /// The equality of a type; an error says why there is none.
    pub(super) fn of(ty: &Type, deterministic: bool) -> Result<Equality, String> {
        Ok(match *ty {
            Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::UUID
            | Type::DATE
            | Type::TIME
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::BYTEA => Equality::Bytes,
            Type::FLOAT4 => Equality::Float4,
            Type::FLOAT8 => Equality::Float8,
            Type::NUMERIC => Equality::Numeric,
            Type::TEXT | Type::VARCHAR if deterministic => Equality::Bytes,
            Type::TEXT | Type::VARCHAR => {
                return Err(format!(
                    "which values of type {ty} are equal is for their collation to say, which the \
                     answer does not tell: if it is a deterministic one, as all are that were not \
                     created otherwise, declare GroupKey::new(…).deterministic()"
                ));
            }
            // By label.
            _ if matches!(ty.kind(), Kind::Enum(_)) => Equality::Bytes,
            _ => {
                return Err(format!(
                    "which values of type {ty} are equal is not known here as in PostgreSQL: cast \
                     the column in the statement, to text, say"
                ));
            }
        })
    }

    /// Appends bytes that are equal exactly for equal values; false if the value is malformed.
    fn normal(self, value: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Equality::Bytes => out.extend_from_slice(value),
            Equality::Float4 => {
                let Ok(bytes) = value.try_into() else {
                    return false;
                };
                let value = f32::from_be_bytes(bytes);
                out.extend(
                    if value.is_nan() {
                        f32::NAN
                    } else {
                        value + 0.0
                    }
                    .to_be_bytes(),
                );
            }
            Equality::Float8 => {
                let Ok(bytes) = value.try_into() else {
                    return false;
                };
                let value = f64::from_be_bytes(bytes);
                out.extend(
                    if value.is_nan() {
                        f64::NAN
                    } else {
                        value + 0.0
                    }
                    .to_be_bytes(),
                );
            }
            Equality::Numeric => match View::of(value) {
                Some(view) => view.normal(out),
                None => return false,
            },
        }
        true
    }
}

/// Writes a row's group: bytes that are equal exactly for rows of one group. An error names the
/// column whose value is malformed.
pub(super) fn group(
    columns: &[GroupColumn],
    row: &impl Cells,
    out: &mut Vec<u8>,
) -> Result<(), usize> {
    out.clear();
    for GroupColumn { column, equality } in columns {
        let Some(value) = row.cell(*column) else {
            out.push(0);
            continue;
        };
        out.push(1);
        // The length keeps neighbours apart; it is written when it is known.
        let start = out.len();
        out.extend([0; 4]);
        if !equality.normal(value, out) {
            return Err(*column);
        }
        // A value is at most 1 GB.
        let length = (out.len() - start - 4) as u32;
        if let Some(slot) = out.get_mut(start..start + 4) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::numeric::tests::encode;
    use super::super::row::OwnedRow;
    use super::*;

    fn key(ty: &Type, value: Option<&[u8]>) -> Vec<u8> {
        let column = GroupColumn {
            column: 0,
            equality: Equality::of(ty, true).unwrap(),
        };
        let mut out = Vec::new();
        group(
            &[column],
            &OwnedRow(vec![value.map(<[u8]>::to_vec)]),
            &mut out,
        )
        .unwrap();
        out
    }

    #[test]
    fn equal_values_are_one_group() {
        let float = |n: f64| key(&Type::FLOAT8, Some(&n.to_be_bytes()));
        assert_eq!(float(0.0), float(-0.0));
        assert_eq!(float(f64::NAN), float(-f64::NAN));
        assert_ne!(float(1.0), float(-1.0));
        let numeric = |n| key(&Type::NUMERIC, Some(&encode(n)));
        assert_eq!(numeric("1.0"), numeric("1.00"));
        assert_eq!(numeric("NaN"), numeric("NaN"));
        assert_eq!(key(&Type::TEXT, None), key(&Type::TEXT, None));
        assert_ne!(key(&Type::TEXT, None), key(&Type::TEXT, Some(b"")));
        assert_ne!(key(&Type::TEXT, Some(b"a")), key(&Type::TEXT, Some(b"A")));
    }

    #[test]
    fn neighbours_do_not_run_together() {
        let columns = [0, 1].map(|column| GroupColumn {
            column,
            equality: Equality::Bytes,
        });
        let key = |a: &str, b: &str| {
            let mut out = Vec::new();
            let row = [a, b].map(|text| Some(text.as_bytes().to_vec()));
            group(&columns, &OwnedRow(row.to_vec()), &mut out).unwrap();
            out
        };
        assert_ne!(key("ab", "c"), key("a", "bc"));
    }

    #[test]
    fn unknown_equalities_are_refused() {
        let why = |ty| Equality::of(&ty, false).unwrap_err();
        assert!(why(Type::VARCHAR).contains("deterministic()"));
        for ty in [Type::BPCHAR, Type::JSONB, Type::INTERVAL, Type::TIMETZ] {
            assert!(why(ty).contains("cast the column"));
        }
    }
}
