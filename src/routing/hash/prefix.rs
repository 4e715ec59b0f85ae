//! The first 32 bits of a UUID, as an integer, by a modulus.

use uuid::Uuid;

use super::Negative;

/// The bucket; `None` for a negative remainder that the rule refuses.
///
/// The modulus is at least 1 and at most [`MAX_BUCKETS`](crate::routing::MAX_BUCKETS).
#[inline]
pub(in crate::routing) fn uuid(id: Uuid, modulus: u32, negative: Negative) -> Option<u32> {
    let prefix = (id.as_u128() >> 96) as u32;
    if let Negative::Unsigned = negative {
        return prefix.checked_rem(modulus);
    }
    // `int % int` truncates, as in Rust; i64 has room for i32::MIN.
    let remainder = i64::from(prefix as i32).checked_rem(i64::from(modulus))?;
    let bucket = match negative {
        Negative::Error => remainder,
        Negative::Abs => remainder.abs(),
        _ => {
            if remainder < 0 {
                remainder + i64::from(modulus)
            } else {
                remainder
            }
        }
    };
    u32::try_from(bucket).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_remainders() {
        let cases = [
            (0x0000_000f_u32, 8, Some(7), 7, 7, 7),
            (0xffff_ffff, 8, None, 1, 7, 7),
            (0xffff_fff8, 8, Some(0), 0, 0, 0),
            (0x8000_0000, 8, Some(0), 0, 0, 0),
            // 2^32 is not a multiple of 3: floor and unsigned part.
            (0xffff_ffff, 3, None, 1, 2, 0),
            (0x8000_0000, 1, Some(0), 0, 0, 0),
        ];
        for (prefix, modulus, error, abs, floor, unsigned) in cases {
            let id = Uuid::from_u128(u128::from(prefix) << 96 | 0xabcdef);
            let case = format!("{prefix:x} mod {modulus}");
            assert_eq!(uuid(id, modulus, Negative::Error), error, "{case}");
            assert_eq!(uuid(id, modulus, Negative::Abs), Some(abs), "{case}");
            assert_eq!(uuid(id, modulus, Negative::Floor), Some(floor), "{case}");
            assert_eq!(
                uuid(id, modulus, Negative::Unsigned),
                Some(unsigned),
                "{case}"
            );
        }
    }
}
