//! Figures as people read them at a glance: sizes, bars, sparks, and the colours of states.

use std::io::IsTerminal as _;

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    Good,
    Doubtful,
    Bad,
}

/// Whether standard output is a terminal that wants colours (<https://no-color.org>).
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the locale has the characters that bars are made of.
pub(crate) fn is_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    set.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

/// What a state of a shard or a node, or an operator's mode, says.
pub(crate) fn tint(state: &str) -> Option<Tint> {
    match state {
        "steady" | "primary" | "open" | "yes" => Some(Tint::Good),
        "suspect" | "searching" | "starting" | "unknown" | "read-only" | "drained" => {
            Some(Tint::Doubtful)
        }
        "contested" | "fenced" | "down" | "superseded" | "forked" | "foreign" | "no" => {
            Some(Tint::Bad)
        }
        _ => None,
    }
}

/// Bytes as `0 B`, `1.5 KiB`, `12 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter().peekable();
    while let Some(unit) = units.next() {
        if value < 1000.0 || units.peek().is_none() {
            return match value {
                value if value < 10.0 && unit != "B" => format!("{value:.1} {unit}"),
                value => format!("{value:.0} {unit}"),
            };
        }
        value /= 1024.0;
    }
    String::new()
}

/// Of a lag, how many eighths of a bar: none at nothing, one at a byte, all from 256 MiB on, and the same length more for
/// each doubling from 1 KiB on.
fn eighths(lag: u64, cells: u32) -> u32 {
    const FROM: f64 = 10.0;
    const TO: f64 = 28.0;
    if lag == 0 {
        return 0;
    }
    let share = ((lag as f64).log2() - FROM) / (TO - FROM);
    let all = f64::from(cells * 8);
    let eighths = (share * all).round().clamp(1.0, all);
    // Between one and a few dozens.
    eighths as u32
}

/// A lag as a bar of so many cells at most.
pub(crate) fn bar(lag: u64, cells: u32, unicode: bool) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = eighths(lag, cells);
    if !unicode {
        return "#".repeat(eighths.div_ceil(8) as usize);
    }
    let part = PARTS.get((eighths % 8) as usize).copied();
    "█".repeat((eighths / 8) as usize) + part.unwrap_or_default()
}

/// Lags one after the other, as a line of sparks; a blank where it was not known.
pub(crate) fn sparks(lags: impl IntoIterator<Item = Option<u64>>, unicode: bool) -> String {
    const UNICODE: [char; 9] = ['▁', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 9] = ['_', '.', '.', ':', ':', '-', '=', '+', '#'];
    let parts = if unicode { UNICODE } else { ASCII };
    let spark = |lag: Option<u64>| match lag {
        Some(lag) => parts.get(eighths(lag, 1) as usize).copied().unwrap_or(' '),
        None => ' ',
    };
    lags.into_iter().map(spark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (12 << 20, "12 MiB"),
            (3 << 30, "3.0 GiB"),
            (5000 << 40, "5000 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn bars_and_sparks() {
        assert_eq!(bar(0, 8, true), "");
        assert_eq!(bar(1, 8, true), "▏");
        assert_eq!(bar(512 << 10, 8, true), "████");
        assert_eq!(bar(1 << 40, 8, true), "████████");
        assert_eq!(bar(1, 8, false), "#");
        assert_eq!(bar(1 << 40, 8, false), "########");
        let lags = [Some(0), Some(1), None, Some(1 << 19), Some(1 << 40)];
        assert_eq!(sparks(lags, true), "▁▁ ▄█");
        assert_eq!(sparks(lags, false), "_. :#");
    }
}
