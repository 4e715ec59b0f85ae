//! Durations as text: a whole number and a unit.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration as the configuration has it: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// ```
/// use std::time::Duration;
/// use pgshard::config::parse_duration;
/// assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
/// assert_eq!(parse_duration("10"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let number: u64 = number.parse().ok()?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.checked_mul(*millis).map(Duration::from_millis)
}

/// In the largest unit that loses nothing, down to milliseconds.
pub(super) fn show(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| millis >= *size && millis.is_multiple_of(*size))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", millis / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["0ms", "500ms", "30s", "10m", "36h", "7d", "1001ms"] {
            assert_eq!(show(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("60s"), parse_duration("1m"));
        assert_eq!(parse_duration("5 s"), parse_duration("5s"));
        for text in [
            "",
            "s",
            "30",
            "-1s",
            "1.5s",
            "3 fortnights",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration(&format!("{}d", u64::MAX)), None);
    }
}
