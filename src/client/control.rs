//! Transaction control inside a transaction's closure is refused before it is sent.

use crate::error::{Error, Phase, Result};
use crate::sql::Words;

/// Refuses a statement that would begin, end or prepare a transaction.
///
/// The statements of a closure go by the extended protocol, which takes one statement at a time, so
/// that the first word decides. (A procedure that commits fails in a transaction block by itself.)
/// `ROLLBACK TO` a savepoint, `SAVEPOINT` and `RELEASE` stay inside and are allowed.
pub(crate) fn refuse(sql: &str) -> Result<()> {
    let mut words = Words::of(sql);
    let Some(first) = words.next() else {
        return Ok(());
    };
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let control = ["BEGIN", "START", "COMMIT", "END", "ABORT"]
        .iter()
        .any(|w| is(first, w))
        || (is(first, "ROLLBACK") && !rolls_back_to_savepoint(&mut words))
        || (is(first, "PREPARE") && words.next().is_some_and(|w| is(w, "TRANSACTION")));
    if control {
        return Err(Error::refused(format!(
            "{} inside a transaction's closure: return Ok to commit and Err to roll back",
            first.to_ascii_uppercase()
        ))
        .in_phase(Phase::Execute));
    }
    Ok(())
}

/// `ROLLBACK [WORK | TRANSACTION] TO …`.
fn rolls_back_to_savepoint(words: &mut Words<'_>) -> bool {
    let is =
        |word: Option<&str>, wanted: &str| word.is_some_and(|w| w.eq_ignore_ascii_case(wanted));
    let mut next = words.next();
    if is(next, "WORK") || is(next, "TRANSACTION") {
        next = words.next();
    }
    is(next, "TO")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_refused() {
        for sql in [
            "COMMIT",
            " commit work",
            "-- x\nCOMMIT",
            "/* a /* nested */ b */ rollback",
            ";END",
            "ROLLBACK AND CHAIN",
            "begin",
            "START TRANSACTION",
            "ABORT;",
            "PREPARE TRANSACTION 'x'",
        ] {
            assert!(refuse(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn everything_else_passes() {
        for sql in [
            "SELECT 1",
            "",
            "-- only a comment",
            "/* open",
            "ROLLBACK TO SAVEPOINT a",
            "ROLLBACK TRANSACTION TO a",
            "SAVEPOINT a",
            "PREPARE x AS SELECT 1",
            "(SELECT 1)",
            "commitments",
            "UPDATE t SET a = 'COMMIT'",
        ] {
            assert!(refuse(sql).is_ok(), "{sql}");
        }
    }
}
