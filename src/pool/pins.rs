//! What every session, or behind a proxy every transaction, has alike: a value means the same on every
//! node, whatever the server, the database or the role default to.

use crate::sql::literal;

const PINNED: [(&str, &str); 4] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
];

/// As the startup packet's `options`.
pub(super) fn as_options(search_path: &str) -> String {
    let search_path = search_path.replace('\\', "\\\\").replace(' ', "\\ ");
    let pinned = PINNED.map(|(name, value)| format!("-c {name}={value}"));
    format!("{} -c search_path={search_path}", pinned.join(" "))
}

/// As columns of a SELECT, for the length of the transaction.
pub(super) fn as_columns(search_path: &str) -> String {
    PINNED
        .iter()
        .copied()
        .chain([("search_path", search_path)])
        .map(|(name, value)| format!("pg_catalog.set_config('{name}', {}, true)", literal(value)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        assert_eq!(
            as_options("a, \"b\\\""),
            "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=1 \
             -c search_path=a,\\ \"b\\\\\""
        );
        assert!(as_columns("it's").ends_with("set_config('search_path', 'it''s', true)"));
    }
}
