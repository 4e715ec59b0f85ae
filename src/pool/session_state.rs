//! Refuses, behind a proxy, what would stay in a session that is lent to somebody else next.

use crate::error::{Error, Result};
use crate::sql::Words;

/// Refuses a statement that works on the session: `SET` without `LOCAL`, `LISTEN`, prepared
/// statements, cursors that outlive their transaction, temporary tables, session-wide advisory
/// locks.
///
/// What a function, a procedure or a DO block does inside is not seen.
pub(super) fn refuse_session_state(sql: &str) -> Result<()> {
    match reason(sql) {
        None => Ok(()),
        Some((what, instead)) => Err(Error::refused(format!(
            "{what} cannot go through a proxy, which lends the session to somebody else after the \
             transaction: {instead}"
        ))),
    }
}

fn reason(sql: &str) -> Option<(&'static str, &'static str)> {
    const DIRECT: &str = "use a node that is not behind a proxy";
    let mut words = Words::of(sql);
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    let mut next = || words.next().unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "SET" if !matches!(next().as_str(), "LOCAL" | "TRANSACTION" | "CONSTRAINTS") => {
            return Some(("SET without LOCAL", "write SET LOCAL in a transaction"));
        }
        "RESET" | "DISCARD" => return Some(("RESET", "there is nothing of yours to reset")),
        "LISTEN" | "UNLISTEN" => return Some(("LISTEN", DIRECT)),
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => {
            return Some(("a prepared statement", "send the statement itself"));
        }
        "LOAD" => return Some(("LOAD", "use session_preload_libraries on the server")),
        "DECLARE" if mentions(sql, "with hold") => {
            return Some(("a cursor WITH HOLD", "read it inside the transaction"));
        }
        "CREATE" if matches!(next().as_str(), "TEMP" | "TEMPORARY" | "LOCAL" | "GLOBAL") => {
            return Some(("a temporary table", DIRECT));
        }
        _ => {}
    }
    if mentions(sql, "into temp") {
        return Some(("a temporary table", DIRECT));
    }
    if mentions(sql, "advisory_lock") || mentions(sql, "advisory_unlock") {
        return Some((
            "an advisory lock of the session",
            "use pg_advisory_xact_lock in a transaction",
        ));
    }
    if sets_for_the_session(sql) {
        return Some((
            "set_config for the session",
            "pass true as its last argument",
        ));
    }
    None
}

/// Whether words follow each other, whatever white space is between them. The last may begin a longer
/// one, as in `INTO TEMPORARY` or `pg_advisory_lock_shared`, but for a name such as `advisory_locked`;
/// each place counts for itself. `pg_advisory_xact_lock` does not mention `advisory_lock`.
fn mentions(sql: &str, words: &str) -> bool {
    let folded = sql.to_ascii_lowercase();
    let spaced = folded
        .split_ascii_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let mut places = spaced.split(words);
    places.next();
    places.any(|after| match after.strip_prefix("ed") {
        Some(after) => after.starts_with(in_name),
        None => true,
    })
}

/// Whether a name goes on with it.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// `set_config(…)` whose last argument is not the word true.
fn sets_for_the_session(sql: &str) -> bool {
    let folded = sql.to_ascii_lowercase();
    let mut rest = folded.as_str();
    while let Some((_, after)) = rest.split_once("set_config") {
        rest = after;
        let Some(arguments) = after.trim_start().strip_prefix('(') else {
            continue;
        };
        if !ends_with_true(arguments) {
            return true;
        }
    }
    false
}

/// Whether the last argument, before the parenthesis that closes the call, is the word true.
fn ends_with_true(arguments: &str) -> bool {
    let (mut depth, mut quoted, mut last) = (0_u32, false, 0);
    for (at, byte) in arguments.bytes().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            _ if quoted => {}
            b'(' => depth += 1,
            b',' if depth == 0 => last = at + 1,
            b')' if depth == 0 => {
                return arguments
                    .get(last..at)
                    .is_some_and(|word| word.trim() == "true");
            }
            b')' => depth -= 1,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_session_would_keep_is_refused() {
        for sql in [
            "SET TimeZone = 'UTC'",
            "set session x.y = 1",
            "/* a */ SET ROLE other",
            "RESET ALL",
            "DISCARD ALL",
            "LISTEN c",
            "unlisten *",
            "PREPARE a AS SELECT 1",
            "EXECUTE a",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "CREATE TEMP TABLE t (i int)",
            "SELECT 1 INTO  TEMPORARY t",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_catalog.pg_try_advisory_lock_shared($1)",
            "SELECT pg_try_advisory_lock($1) AS advisory_locked",
            "SELECT 1 AS advisory_locked, pg_advisory_unlock_all()",
            "SELECT pg_advisory_lock(1) -- until advisory_unlocked",
            "SELECT pg_advisory_lock/* advisory_locked */(1)",
            "SELECT x INTO temped, t; SELECT 1 INTO TEMP t",
            "SELECT 1 /* into temped */ INTO TEMP t",
            "SELECT set_config('a.b', 'c', false)",
            "SELECT set_config('a.b', f('x, true)'), $1)",
        ] {
            assert!(refuse_session_state(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn what_ends_with_the_transaction_passes() {
        for sql in [
            "SET LOCAL a.b = 1",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SELECT pg_advisory_xact_lock($1)",
            "SELECT pg_try_advisory_xact_lock_shared($1)",
            "SELECT set_config('a.b', 'c, d', TRUE )",
            "SELECT * FROM settings WHERE set = 1",
            "DECLARE c CURSOR FOR SELECT 1",
            "CREATE TABLE t (i int)",
            "SELECT 1 INTO temped",
            "SELECT advisory_locked, advisory_unlocked FROM t",
            "SELECT 1 /* advisory_locked */",
            "UPDATE t SET a = 1",
            "",
        ] {
            assert!(refuse_session_state(sql).is_ok(), "{sql}");
        }
    }
}
