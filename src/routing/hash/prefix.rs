//! The first 32 bits of a UUID, as an integer, by a modulus.

use std::num::NonZeroU32;

use uuid::Uuid;

use super::Negative;

/// The bucket; `None` for a negative remainder that the rule refuses.
#[inline(always)]
pub(in crate::routing) fn uuid(id: Uuid, modulus: NonZeroU32, negative: Negative) -> Option<u32> {
    let prefix = (id.as_u128() >> 96) as u32;
    if let Negative::Unsigned = negative {
        return Some(prefix % modulus);
    }
    // `int % int` truncates: the remainder of the absolute value, with the sign of the number.
    let signed = prefix as i32;
    let remainder = signed.unsigned_abs() % modulus;
    if signed >= 0 || remainder == 0 || negative == Negative::Abs {
        Some(remainder)
    } else if negative == Negative::Floor {
        Some(modulus.get() - remainder)
    } else {
        None
    }
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
            let modulus = NonZeroU32::new(modulus).unwrap();
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
