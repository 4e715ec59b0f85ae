//! Words of a statement that cannot be right when it runs on each shard separately.
//!
//! It is not a parser, and it does not see everything: views and functions hide theirs. It reads
//! the words outside of strings, comments and quoted names, with their depth of parentheses, and
//! refuses the mistakes that are made most.

use crate::error::{Error, Phase, Result};

use super::declare::{Kind, Merge};

impl Merge {
    /// Refuses a statement that cannot be right under this merge.
    pub(crate) fn lint(&self, sql: &str) -> Result<()> {
        let aggregate = matches!(self.kind, Kind::Aggregate(_));
        let words = words(sql);
        // The open parentheses: their depth, and whether a query of its own is in them; and how many
        // of these there are. Each is looked at twice, however deep they are nested.
        let mut open: Vec<(usize, bool)> = Vec::new();
        let mut queries = 0_usize;
        for (i, word) in words.iter().enumerate() {
            let next = words.get(i + 1);
            while let Some((_, query)) = open.pop_if(|(depth, _)| *depth >= word.depth) {
                queries -= usize::from(query);
            }
            if word.text == "(" {
                let query = next.is_some_and(starts_a_query);
                queries += usize::from(query);
                open.push((word.depth, query));
            }
            let outermost = queries == 0;
            let called = next.is_some_and(|next| next.text == "(");
            let why = match word.text.as_str() {
                "offset" if word.depth == 0 => {
                    "OFFSET would leave out rows of every shard: take it out, and declare \
                     .offset(n) on the merge"
                }
                "having" if aggregate && word.depth == 0 => {
                    "HAVING would judge each shard's part of a group: take it out, and filter the \
                     merged rows"
                }
                "limit" | "fetch" if aggregate && word.depth == 0 => {
                    "LIMIT would cut groups before they are complete: take it out, and declare \
                     .limit(n) on the merge"
                }
                "limit" | "fetch"
                    if word.depth == 0
                        && self.limit.is_none()
                        && matches!(self.kind, Kind::Ordered(_))
                        && word.number().is_some() =>
                {
                    "each shard stops at its own LIMIT, and behind the first of them to do so rows \
                     would be missing: declare .limit(n) on the merge as well (shardctl query: --limit)"
                }
                "limit" | "fetch" if word.depth == 0 && self.needs_more_than(word) => {
                    return Err(refused(format!(
                        "{} gives the merge fewer rows of each shard than its limit and offset \
                         need: let the statement's be the sum of both",
                        word.text.to_uppercase()
                    )));
                }
                "distinct" if aggregate && i > 0 && is_open(&words, i - 1) => {
                    "an aggregate over DISTINCT values does not add up over shards: the same value \
                     may be on several; select the distinct values themselves"
                }
                name if aggregate && called && outermost && is_holistic(name) => {
                    return Err(refused(format!(
                        "{name}(…) of all rows does not follow from that of the shards: for an \
                         average select sum(x) and count(x), declare them, and divide"
                    )));
                }
                _ => continue,
            };
            return Err(refused(why.to_owned()));
        }
        Ok(())
    }

    /// Whether a shard that has to stop there may hold back rows of the merged answer.
    fn needs_more_than(&self, limit: &Word<'_>) -> bool {
        let needed = match self.limit {
            Some(rows) => self.offset.saturating_add(rows),
            // All rows that the shards give are wanted, but for the first.
            None if self.offset == 0 => return false,
            None => u64::MAX,
        };
        limit.number().is_some_and(|rows| rows < needed)
    }
}

fn refused(message: String) -> Error {
    Error::refused(message)
        .with_label(crate::error::Label::NOT_SENT)
        .in_phase(Phase::Prepare)
}

/// Aggregates whose value over all rows is not a function of their values over parts.
fn is_holistic(name: &str) -> bool {
    matches!(
        name,
        "avg" | "mode" | "percentile_cont" | "percentile_disc" | "corr" | "variance" | "regr_slope"
    ) || ["stddev", "var_", "covar_", "regr_"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// Whether a subquery begins with the word.
fn starts_a_query(word: &Word<'_>) -> bool {
    matches!(word.text.as_str(), "select" | "with" | "values" | "table")
}

/// Whether the word is the parenthesis of a function's arguments.
fn is_open(words: &[Word<'_>], at: usize) -> bool {
    words.get(at).is_some_and(|word| word.text == "(")
}

#[derive(Debug, PartialEq, Eq)]
struct Word<'a> {
    /// In lower case; or a parenthesis.
    text: String,
    depth: usize,
    /// What follows it.
    after: &'a str,
}

impl Word<'_> {
    /// The number of `LIMIT n`, `FETCH FIRST n ROWS` and `FETCH FIRST ROW`, if it is one and no more
    /// than that.
    fn number(&self) -> Option<u64> {
        let mut words = self.after.split([' ', '\t', '\r', '\n', ';']);
        let mut next = || words.find(|word| !word.is_empty());
        let mut number = next()?;
        if self.text == "fetch" {
            number = next()?;
            if number.eq_ignore_ascii_case("row") || number.eq_ignore_ascii_case("rows") {
                return Some(1);
            }
        }
        let operator = |word: &str| !word.starts_with(|c: char| c.is_alphabetic() || c == '-');
        if next().is_some_and(operator) {
            return None;
        }
        number.parse().ok()
    }
}

/// The words and parentheses of a statement, without strings, comments and quoted names.
fn words(sql: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut depth = 0;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if c == '\'' || c == '"' {
            quoted(rest, c, false)
        } else if c == '$' {
            dollar(rest)
        } else if c.is_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            let text = word.to_lowercase();
            if text == "e" && after.starts_with('\'') {
                word.len() + quoted(after, '\'', true)
            } else {
                words.push(Word { text, depth, after });
                word.len()
            }
        } else {
            match c {
                '(' => {
                    words.push(Word {
                        text: "(".into(),
                        depth,
                        after: "",
                    });
                    depth += 1;
                }
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c.len_utf8()
        };
        rest = rest.get(skipped..).unwrap_or_default();
    }
    words
}

/// The length of a quoted text, quotes included.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a comment; comments nest.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a dollar-quoted text; of the sign alone where it does not start one ($1).
fn dollar(text: &str) -> usize {
    let tag = |c: char| c.is_alphanumeric() || c == '_';
    let Some(end) = text.get(1..).and_then(|rest| rest.find(|c| !tag(c))) else {
        return 1;
    };
    let Some(open) = text.get(..end + 2).filter(|open| open.ends_with('$')) else {
        return 1;
    };
    if open.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) {
        return 1;
    }
    let body = text.get(open.len()..).unwrap_or_default();
    body.find(open).map_or(text.len(), |at| 2 * open.len() + at)
}

#[cfg(test)]
mod tests {
    use super::super::{Aggregate, SortKey};
    use super::*;

    fn aggregate(sql: &str) -> Option<String> {
        Merge::from(Aggregate::new())
            .lint(sql)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn mistakes_of_aggregates() {
        for (sql, why) in [
            (
                "SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > 1",
                "HAVING",
            ),
            (
                "SELECT a, sum(b) FROM t GROUP BY a ORDER BY 2 LIMIT 10",
                "LIMIT",
            ),
            (
                "SELECT a, sum(b) FROM t GROUP BY a FETCH FIRST 5 ROWS ONLY",
                "LIMIT",
            ),
            ("select count(distinct a) from t", "DISTINCT"),
            ("SELECT Avg (b) FROM t", "sum(x) and count(x)"),
            ("SELECT stddev_samp(b) AS s FROM t", "sum(x) and count(x)"),
            ("SELECT sum(b) FROM t OFFSET 3", "OFFSET"),
            ("SELECT round(avg(b), 2) AS s FROM t", "sum(x) and count(x)"),
            (
                "SELECT coalesce((stddev(b)), 0) AS s FROM t",
                "sum(x) and count(x)",
            ),
        ] {
            let error = aggregate(sql).unwrap_or_else(|| panic!("{sql}"));
            assert!(error.contains(why), "{sql}: {error}");
        }
    }

    #[test]
    fn what_only_looks_like_a_mistake() {
        for sql in [
            "SELECT count(*) FROM (SELECT a FROM t GROUP BY a HAVING true LIMIT 3 OFFSET 2) s",
            "SELECT \"having\", sum(a) FROM t -- limit offset\nWHERE b = 'limit it''s' GROUP BY 1",
            "SELECT sum(a) /* having /* limit */ avg(b) */ FROM t WHERE c = $1",
            "SELECT sum(a) FROM t WHERE c = $x$ having $$ limit $x$ AND d = E'\\' having'",
            "SELECT sum(a) AS limits, max(average) FROM t",
            "SELECT sum(x) FROM (SELECT avg(y) AS x FROM t GROUP BY customer_id) s",
            "SELECT count(*) FROM t WHERE (b > (SELECT round(avg(y)) FROM u)) AND (c)",
        ] {
            assert_eq!(aggregate(sql), None, "{sql}");
        }
        assert_eq!(words("a$1 $1 $2").len(), 1);
        for unfinished in [
            "'a", "\"a", "$$a", "$a$", "/* a", "-- a", "E'\\", "$", "((", "))",
        ] {
            words(unfinished);
        }
    }

    #[test]
    fn an_offset_of_each_shard_is_refused_for_every_merge() {
        let sql = "SELECT a FROM t ORDER BY a LIMIT 10 OFFSET 5";
        assert!(Merge::ordered([SortKey::asc("a")]).lint(sql).is_err());
        assert!(Merge::concat().lint(sql).is_err());
        assert!(
            Merge::concat()
                .lint("SELECT a FROM t ORDER BY a LIMIT 10")
                .is_ok()
        );
    }

    #[test]
    fn a_limit_of_each_shard_below_the_merges_is_refused() {
        let page = |offset, limit| {
            Merge::ordered([SortKey::asc("a")])
                .offset(offset)
                .limit(limit)
        };
        let sql = "SELECT a FROM t ORDER BY a LIMIT 10";
        assert!(page(0, 10).lint(sql).is_ok());
        assert!(page(0, 11).lint(sql).is_err());
        assert!(page(90, 10).lint(sql).is_err());
        assert!(Merge::concat().offset(1).lint(sql).is_err());
        assert!(Merge::concat().lint(sql).is_ok());
        let refused = |sql: &str| page(90, 10).lint(sql).is_err();
        assert!(refused(
            "SELECT a FROM t ORDER BY a FETCH FIRST 10 ROWS ONLY"
        ));
        assert!(refused("SELECT a FROM t ORDER BY a LIMIT 10; -- a page"));
        assert!(refused("SELECT a FROM t ORDER BY a FETCH FIRST ROW ONLY"));
        assert!(refused("SELECT a FROM t ORDER BY a FETCH NEXT ROW ONLY"));
        // Behind the first ten the answer would have gaps.
        assert!(Merge::ordered([SortKey::asc("a")]).lint(sql).is_err());
        for right in [
            "SELECT a FROM t ORDER BY a LIMIT 100",
            "SELECT a FROM t ORDER BY a LIMIT $1",
            "SELECT a FROM t ORDER BY a LIMIT 10 * 10",
            "SELECT a FROM t ORDER BY a FETCH FIRST 100 ROWS ONLY",
            "SELECT a FROM (SELECT a FROM t LIMIT 10) s ORDER BY a",
        ] {
            assert!(!refused(right), "{right}");
        }
    }
}
