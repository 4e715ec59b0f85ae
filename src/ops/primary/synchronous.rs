//! `synchronous_standby_names` when the primary changes: the promise stays the same.

use crate::error::{Error, Result};

/// `FIRST n (…)`, `ANY n (…)` or a list, as PostgreSQL reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// `FIRST` or `ANY`.
    method: &'static str,
    /// How many have to confirm.
    pub(super) count: usize,
    /// Who may; `*` is anybody.
    pub(super) names: Vec<String>,
}

impl Names {
    /// `None` if COMMIT waits for nobody.
    ///
    /// # Errors
    ///
    /// `Refused` if the value is not understood: a guess could break its promise.
    pub(super) fn parse(value: &str) -> Result<Option<Names>> {
        let text = value.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let unknown = || {
            Error::refused(format!(
                "synchronous_standby_names = {value:?} is not understood: write it as \
                 'ANY n (a, b)' or 'FIRST n (a, b)'"
            ))
        };
        let (head, list) = match text.split_once('(') {
            Some((head, rest)) => (
                head.trim(),
                rest.trim_end().strip_suffix(')').ok_or_else(unknown)?,
            ),
            None => ("1", text),
        };
        let mut words = head.split_whitespace();
        let (method, count) = match (words.next(), words.next(), words.next()) {
            (Some(word), Some(count), None) if word.eq_ignore_ascii_case("any") => ("ANY", count),
            (Some(word), Some(count), None) if word.eq_ignore_ascii_case("first") => {
                ("FIRST", count)
            }
            (Some(count), None, None) => ("FIRST", count),
            _ => return Err(unknown()),
        };
        let names = list
            .split(',')
            .map(|name| {
                let name = name.trim();
                match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
                    Some(quoted) => quoted.replace("\"\"", "\""),
                    None => name.to_owned(),
                }
            })
            .collect();
        Ok(Some(Names {
            method,
            count: count.parse().map_err(|_| unknown())?,
            names,
        }))
    }

    /// With another name in the place of one.
    pub(super) fn replace(&mut self, old: &str, new: &str) {
        for name in &mut self.names {
            // PostgreSQL compares them so.
            if name.eq_ignore_ascii_case(old) {
                new.clone_into(name);
            }
        }
    }

    /// Without a name.
    pub(super) fn remove(&mut self, gone: &str) {
        self.names.retain(|name| !name.eq_ignore_ascii_case(gone));
    }

    /// Whether these standbys are enough for a COMMIT.
    pub(super) fn satisfied_by<'a>(&self, standbys: impl Iterator<Item = &'a str>) -> bool {
        let any = self.names.iter().any(|name| name == "*");
        let able = standbys
            .filter(|standby| {
                any || self
                    .names
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(standby))
            })
            .count();
        able >= self.count
    }

    pub(super) fn text(&self) -> String {
        let names: Vec<String> = self
            .names
            .iter()
            .map(|name| match name.as_str() {
                "*" => "*".to_owned(),
                name => crate::sql::ident(name).to_string(),
            })
            .collect();
        format!("{} {} ({})", self.method, self.count, names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parse = |text: &str| Names::parse(text).unwrap().unwrap();
        let any = parse("ANY 1 (\"s0b\", s0c)");
        assert_eq!(any.text(), "ANY 1 (\"s0b\", \"s0c\")");
        assert_eq!(
            parse("any 2(a,b , c)").text(),
            "ANY 2 (\"a\", \"b\", \"c\")"
        );
        assert_eq!(parse("a, b").text(), "FIRST 1 (\"a\", \"b\")");
        assert_eq!(parse("2 (a, b)").text(), "FIRST 2 (\"a\", \"b\")");
        assert_eq!(parse("*").text(), "FIRST 1 (*)");
        assert_eq!(Names::parse(" ").unwrap(), None);
        assert!(Names::parse("MOST 1 (a)").is_err());
        assert!(Names::parse("ANY x (a)").is_err());
    }

    #[test]
    fn who_is_enough() {
        let mut names = Names::parse("ANY 1 (s0b, s0c)").unwrap().unwrap();
        names.replace("S0B", "s0a");
        assert_eq!(names.text(), "ANY 1 (\"s0a\", \"s0c\")");
        assert!(names.satisfied_by(["s0c"].into_iter()));
        assert!(!names.satisfied_by(["s0d"].into_iter()));
        names.remove("s0c");
        assert!(names.satisfied_by(["s0a"].into_iter()));
        let all = Names::parse("2 (*)").unwrap().unwrap();
        assert!(!all.satisfied_by(["x"].into_iter()));
        assert!(all.satisfied_by(["x", "y"].into_iter()));
    }
}
