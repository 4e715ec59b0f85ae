//! Durations as arguments.

use std::time::Duration;

/// Reads an argument such as `5s` or `500ms`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    pgshard::config::parse_duration(text)
        .ok_or_else(|| "give a number and a unit, such as 500ms, 5s or 2m".to_owned())
}
