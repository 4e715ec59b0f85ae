//! Types with a form of their own, as text as PostgreSQL writes it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::time;

fn number<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
    raw.get(at..at + N)?.try_into().ok()
}

/// An interval, in PostgreSQL's own style.
pub(super) fn interval(raw: &[u8]) -> Option<String> {
    let micros = i64::from_be_bytes(number(raw, 0)?);
    let days = i32::from_be_bytes(number(raw, 8)?);
    let months = i32::from_be_bytes(number(raw, 12)?);
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return Some("infinity".to_owned()),
        (i64::MIN, i32::MIN, i32::MIN) => return Some("-infinity".to_owned()),
        _ => {}
    }
    let mut text = String::new();
    // After what is negative, what is not says so.
    let mut negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let sign = if negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        text.push_str(&format!("{space}{sign}{value} {unit}{plural}"));
        negative = value < 0;
    }
    if micros != 0 || text.is_empty() {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match micros < 0 {
            true => "-",
            false if negative => "+",
            false => "",
        };
        let time = time::of_day_unsigned(micros.unsigned_abs());
        text.push_str(&format!("{space}{sign}{time}"));
    }
    Some(text)
}

/// A time with the offset of its zone.
pub(super) fn time_with_zone(raw: &[u8]) -> Option<String> {
    let micros = i64::from_be_bytes(number(raw, 0)?);
    let west = i32::from_be_bytes(number(raw, 8)?);
    let sign = if west <= 0 { '+' } else { '-' };
    let (minutes, seconds) = (west.unsigned_abs() / 60, west.unsigned_abs() % 60);
    let mut text = format!("{}{sign}{:02}", time::of_day(micros), minutes / 60);
    if minutes % 60 != 0 || seconds != 0 {
        text.push_str(&format!(":{:02}", minutes % 60));
    }
    if seconds != 0 {
        text.push_str(&format!(":{seconds:02}"));
    }
    Some(text)
}

/// An inet or a cidr.
pub(super) fn network(raw: &[u8]) -> Option<String> {
    let [_family, bits, is_cidr, _] = number(raw, 0)?;
    let address = raw.get(4..)?;
    let (text, all) = match address.len() {
        4 => (Ipv4Addr::from(number::<4>(address, 0)?).to_string(), 32),
        16 => (Ipv6Addr::from(number::<16>(address, 0)?).to_string(), 128),
        _ => return None,
    };
    Some(match is_cidr == 0 && bits == all {
        true => text,
        false => format!("{text}/{bits}"),
    })
}

/// A hardware address.
pub(super) fn hardware(raw: &[u8]) -> String {
    let bytes: Vec<String> = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// A string of bits.
pub(super) fn bits(raw: &[u8]) -> Option<String> {
    let length = usize::try_from(i32::from_be_bytes(number(raw, 0)?)).ok()?;
    let bytes = raw.get(4..)?;
    (0..length)
        .map(|at| {
            let byte = bytes.get(at / 8)?;
            Some(if byte >> (7 - at % 8) & 1 == 1 {
                '1'
            } else {
                '0'
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(months: i32, days: i32, micros: i64) -> String {
        let raw = [
            &micros.to_be_bytes()[..],
            &days.to_be_bytes(),
            &months.to_be_bytes(),
        ];
        interval(&raw.concat()).unwrap()
    }

    #[test]
    fn as_postgresql_writes_them() {
        assert_eq!(span(0, 0, 0), "00:00:00");
        assert_eq!(
            span(14, 3, 14_706_789_000),
            "1 year 2 mons 3 days 04:05:06.789"
        );
        assert_eq!(span(-1, 1, -1), "-1 mons +1 day -00:00:00.000001");
        assert_eq!(span(0, -1, 1_000_000), "-1 days +00:00:01");
        assert_eq!(span(0, 0, 360_000_000_000), "100:00:00");
        assert_eq!(bits(&[0, 0, 0, 5, 0b1011_0000]).unwrap(), "10110");
        assert_eq!(network(&[2, 24, 0, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1/24");
        assert_eq!(network(&[2, 32, 0, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1");
        assert!(interval(&[0]).is_none());
    }
}
