//! The orders of types that are provably PostgreSQL's, over its binary format.

use std::cmp::Ordering;

use postgres_types::Type;

use super::numeric::View;

/// How values of a type compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    /// Big-endian two's complement of 2 bytes.
    Int2,
    /// Of 4 bytes: int4 and date.
    Int4,
    /// Of 8 bytes: int8, time and timestamps; ±infinity are the ends of the range.
    Int8,
    Float4,
    Float8,
    Numeric,
    /// By bytes, of this length: bool and uuid.
    Fixed(usize),
    /// By bytes: bytea, and texts under "C".
    Bytes,
}

impl Comparator {
    /// The order of a type; an error says why there is none.
    pub(super) fn of(ty: &Type, text_c: bool) -> Result<Comparator, String> {
        Ok(match *ty {
            Type::INT2 => Comparator::Int2,
            Type::INT4 | Type::DATE => Comparator::Int4,
            Type::INT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => Comparator::Int8,
            Type::FLOAT4 => Comparator::Float4,
            Type::FLOAT8 => Comparator::Float8,
            Type::NUMERIC => Comparator::Numeric,
            Type::BOOL => Comparator::Fixed(1),
            Type::UUID => Comparator::Fixed(16),
            Type::BYTEA => Comparator::Bytes,
            Type::TEXT | Type::VARCHAR if text_c => Comparator::Bytes,
            Type::TEXT | Type::VARCHAR => {
                return Err(format!(
                    "the order of {ty} is its collation's, which the answer does not tell: if the \
                     statement compares by COLLATE \"C\", declare text_c()"
                ));
            }
            _ => {
                return Err(format!(
                    "the order of type {ty} is not known to be the same here as in PostgreSQL: \
                     cast the column in the statement, to bigint, numeric or text COLLATE \"C\", say"
                ));
            }
        })
    }

    /// Whether the bytes are a value of the type. Only such are compared.
    pub(super) fn accepts(self, value: &[u8]) -> bool {
        match self {
            Comparator::Int2 => value.len() == 2,
            Comparator::Int4 | Comparator::Float4 => value.len() == 4,
            Comparator::Int8 | Comparator::Float8 => value.len() == 8,
            Comparator::Fixed(length) => value.len() == length,
            Comparator::Numeric => View::of(value).is_some(),
            Comparator::Bytes => true,
        }
    }

    /// The order of two values that were [accepted](Self::accepts).
    pub(super) fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        fn fixed<const N: usize>(value: &[u8]) -> [u8; N] {
            value.try_into().unwrap_or([0; N])
        }
        match self {
            Comparator::Int2 => i16::from_be_bytes(fixed(a)).cmp(&i16::from_be_bytes(fixed(b))),
            Comparator::Int4 => i32::from_be_bytes(fixed(a)).cmp(&i32::from_be_bytes(fixed(b))),
            Comparator::Int8 => i64::from_be_bytes(fixed(a)).cmp(&i64::from_be_bytes(fixed(b))),
            Comparator::Float4 => float(
                f32::from_be_bytes(fixed(a)).into(),
                f32::from_be_bytes(fixed(b)).into(),
            ),
            Comparator::Float8 => float(f64::from_be_bytes(fixed(a)), f64::from_be_bytes(fixed(b))),
            Comparator::Numeric => match (View::of(a), View::of(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => Ordering::Equal,
            },
            Comparator::Fixed(_) | Comparator::Bytes => a.cmp(b),
        }
    }
}

/// PostgreSQL's order of floats: NaN equals NaN and is greater than all else; -0 equals 0.
fn float(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ascending<T: AsRef<[u8]>>(ty: Type, values: &[T]) {
        let by = Comparator::of(&ty, true).unwrap();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert!(by.accepts(a.as_ref()));
                assert_eq!(
                    by.compare(a.as_ref(), b.as_ref()),
                    i.cmp(&j),
                    "{ty} {i} {j}"
                );
            }
        }
    }

    #[test]
    fn orders() {
        ascending(
            Type::INT2,
            &[i16::MIN, -1, 0, 1, i16::MAX].map(i16::to_be_bytes),
        );
        ascending(
            Type::INT4,
            &[i32::MIN, -1, 0, 1, i32::MAX].map(i32::to_be_bytes),
        );
        ascending(
            Type::DATE,
            &[i32::MIN, -1, 0, 1, i32::MAX].map(i32::to_be_bytes),
        );
        ascending(
            Type::INT8,
            &[i64::MIN, -1, 0, 1, i64::MAX].map(i64::to_be_bytes),
        );
        // Microseconds: .091916 comes before .91916.
        ascending(
            Type::TIMESTAMPTZ,
            &[i64::MIN, -5, 91_916, 919_160].map(i64::to_be_bytes),
        );
        ascending(
            Type::FLOAT8,
            &[
                f64::NEG_INFINITY,
                -1.0,
                0.0,
                1e-300,
                f64::INFINITY,
                f64::NAN,
            ]
            .map(f64::to_be_bytes),
        );
        ascending(Type::BOOL, &[[0], [1]]);
        ascending(Type::BYTEA, &["", "\0", "a", "a\0", "b"]);
        ascending(Type::TEXT, &["", "B", "a", "ab", "é"]);
        let id = |n: u128| *uuid::Uuid::from_u128(n).as_bytes();
        ascending(
            Type::UUID,
            &[id(0), id(1), id(u128::MAX >> 1), id(u128::MAX)],
        );
    }

    #[test]
    fn floats_that_are_equal() {
        let by = Comparator::of(&Type::FLOAT4, false).unwrap();
        let equal = |a: f32, b: f32| {
            assert_eq!(
                by.compare(&a.to_be_bytes(), &b.to_be_bytes()),
                Ordering::Equal
            );
        };
        equal(0.0, -0.0);
        equal(f32::NAN, -f32::NAN);
    }

    #[test]
    fn orders_that_are_not_known() {
        let why = |ty| Comparator::of(&ty, false).unwrap_err();
        assert!(why(Type::TEXT).contains("text_c()"));
        for ty in [
            Type::BPCHAR,
            Type::INTERVAL,
            Type::JSONB,
            Type::INET,
            Type::TIMETZ,
        ] {
            assert!(why(ty).contains("cast the column"));
        }
        let by = Comparator::of(&Type::INT8, false).unwrap();
        assert!(!by.accepts(&[0; 4]));
    }
}
