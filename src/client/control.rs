//! Transaction control inside a transaction's closure is refused before it is sent.

use crate::error::{Error, Phase, Result};

/// Refuses a statement that would begin, end or prepare a transaction.
///
/// The statements of a closure go by the extended protocol, which takes one statement at a time, so
/// that the first word decides. (A procedure that commits fails in a transaction block by itself.)
/// `ROLLBACK TO` a savepoint, `SAVEPOINT` and `RELEASE` stay inside and are allowed.
pub(super) fn refuse(sql: &str) -> Result<()> {
    let mut words = Words(sql);
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

/// The leading words of a statement, without white space, comments and empty statements.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self
                .0
                .trim_start_matches(|c: char| c.is_whitespace() || c == ';');
            if let Some(rest) = self.0.strip_prefix("--") {
                self.0 = rest.split_once(['\n', '\r']).map_or("", |(_, rest)| rest);
            } else if self.0.starts_with("/*") {
                self.0 = skip_comment(self.0);
            } else {
                break;
            }
        }
        let end = self
            .0
            .find(|c: char| !c.is_ascii_alphabetic() && c != '_')
            .unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Block comments nest.
fn skip_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0_u32, text);
    loop {
        if let Some(inner) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, inner);
        } else if let Some(outer) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, outer);
            if depth == 0 {
                return rest;
            }
        } else {
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return "";
            }
            rest = chars.as_str();
        }
    }
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
