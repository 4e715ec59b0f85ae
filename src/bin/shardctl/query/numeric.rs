//! `numeric` as text, exactly.

/// What PostgreSQL would print; `None` if the bytes are no numeric.
///
/// The format: four 16-bit numbers (digits, weight, sign, decimals), then digits of base 10000.
pub(super) fn text(raw: &[u8]) -> Option<String> {
    let word = |at: usize| {
        let bytes = raw.get(at * 2..at * 2 + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    let (count, weight, sign) = (word(0)?, i32::from(word(1)? as i16), word(2)?);
    let decimals = usize::from(word(3)?);
    match sign {
        0x0000 | 0x4000 => {}
        0xC000 => return Some("NaN".into()),
        0xD000 => return Some("Infinity".into()),
        0xF000 => return Some("-Infinity".into()),
        _ => return None,
    }
    if raw.len() != 8 + usize::from(count) * 2 {
        return None;
    }
    // The digit that stands for 10000^power; zero beyond those that are stored.
    let digit = |power: i32| {
        usize::try_from(weight - power)
            .ok()
            .filter(|at| *at < usize::from(count))
            .and_then(|at| word(4 + at))
            .unwrap_or(0)
    };
    let mut text = String::from(if sign == 0x4000 { "-" } else { "" });
    if weight < 0 {
        text.push('0');
    }
    for power in (0..=weight).rev() {
        let digit = digit(power);
        text.push_str(&if power == weight {
            digit.to_string()
        } else {
            format!("{digit:04}")
        });
    }
    if decimals > 0 {
        let groups = i32::try_from(decimals.div_ceil(4)).ok()?;
        let fraction: String = (1..=groups)
            .map(|at| format!("{:04}", digit(-at)))
            .collect();
        text.push('.');
        text.push_str(fraction.get(..decimals)?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::text;

    fn numeric(words: &[u16]) -> Option<String> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        text(&bytes)
    }

    #[test]
    fn as_postgresql_prints_them() {
        let shown = |words: &[u16]| numeric(words).unwrap();
        assert_eq!(shown(&[0, 0, 0, 2]), "0.00");
        assert_eq!(shown(&[1, 0, 0, 0, 7]), "7");
        assert_eq!(shown(&[2, 0, 0x4000, 2, 12, 3400]), "-12.34");
        assert_eq!(shown(&[3, 1, 0, 2, 1, 2345, 600]), "12345.06");
        assert_eq!(shown(&[1, 1, 0, 0, 5]), "50000");
        assert_eq!(shown(&[1, 0xFFFF, 0, 3, 50]), "0.005");
        assert_eq!(shown(&[1, 0xFFFE, 0, 8, 1]), "0.00000001");
        assert_eq!(shown(&[0, 0, 0xC000, 0]), "NaN");
        assert_eq!(numeric(&[2, 0, 0, 0, 1]), None);
        assert_eq!(numeric(&[1, 0]), None);
    }
}
