//! Which statements leave something in their session: settings, locks, temporary tables, channels.
//!
//! Every connection that ran one is reset before it is lent on. The answer errs on the side of yes,
//! which costs a round trip that nobody waits for. What a function does inside is not seen.

use super::Access;
use crate::sql::Words;

const QUERIES: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "TABLE", "MERGE",
];

/// Of all other statements those that leave nothing behind their transaction.
const PASSING: &[&str] = &[
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK",
    "LOCK",
    "SHOW",
    "NOTIFY",
    "TRUNCATE",
    "FETCH",
    "MOVE",
];

pub(super) fn leaves_traces(sql: &str, access: Access) -> bool {
    let mut words = Words::of(sql);
    match words.next() {
        Some(first) if is_one_of(first, PASSING) => false,
        Some(first) if first.eq_ignore_ascii_case("SET") => !words
            .next()
            .is_some_and(|next| is_one_of(next, &["LOCAL", "TRANSACTION", "CONSTRAINTS"])),
        Some(first) if !is_one_of(first, QUERIES) => true,
        // A query, or one in parentheses.
        _ => {
            calls_for_the_session(sql.as_bytes())
                || access == Access::Write && makes_a_temporary_table(sql.as_bytes())
        }
    }
}

fn is_one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|one| one.eq_ignore_ascii_case(word))
}

/// `set_config`, `pg_advisory_lock`, `pg_try_advisory_lock` and their like; not
/// `pg_advisory_xact_lock`.
fn calls_for_the_session(sql: &[u8]) -> bool {
    let underscores = sql.iter().enumerate().filter(|(_, byte)| **byte == b'_');
    underscores
        .map(|(at, _)| sql.split_at(at))
        .any(|(before, after)| {
            ends_with(before, b"set") && starts_with(after, b"_config")
                || ends_with(before, b"advisory") && starts_with(after, b"_lock")
        })
}

/// `SELECT … INTO TEMP name`.
fn makes_a_temporary_table(sql: &[u8]) -> bool {
    let mentions = |word: &[u8]| {
        sql.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    mentions(b"into") && mentions(b"temp")
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len())
        .is_some_and(|part| part.eq_ignore_ascii_case(start))
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|from| text.get(from..))
        .is_some_and(|part| part.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_the_session() {
        for sql in [
            "SET TimeZone = 'UTC'",
            "set session x.y = 1",
            "SET ROLE other",
            "RESET ALL",
            "LISTEN c",
            "DO $$ $$",
            "CALL p()",
            "CREATE TEMP TABLE t (i int)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SELECT set_config('a.b', 'c', false)",
            "(SELECT pg_try_advisory_lock(1))",
            "WITH x AS (SELECT SET_CONFIG($1, $2, $3)) SELECT 1",
            "SELECT 1 INTO TEMPORARY t",
        ] {
            assert!(leaves_traces(sql, Access::Write), "{sql}");
        }
    }

    #[test]
    fn what_does_not() {
        for sql in [
            "SELECT * FROM customers WHERE customer_id = $1",
            "-- set_config is not called\nSET LOCAL a.b = 1",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET CONSTRAINTS ALL DEFERRED",
            "SELECT pg_advisory_xact_lock(1)",
            "INSERT INTO readings (value) VALUES ($1)",
            "SAVEPOINT a",
            "",
        ] {
            assert!(!leaves_traces(sql, Access::Write), "{sql}");
        }
        assert!(!leaves_traces("SELECT 1 INTO TEMP t", Access::Read));
    }
}
