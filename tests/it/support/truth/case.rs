//! The queries of `tests/sql/*/*.sql`.
//!
//! ```text
//! -- name: totals-by-kind
//! -- construct: group-by, order-by
//! -- compare: ties(1,2) float(3) value(4) elements(5) parts(6 ', ')
//! -- reason: why it is not exact; `ordered` and `multiset` need none
//! -- params: 5::int8; 'x'::text
//! -- refused: why nobody can answer this
//! -- unanswered: why it is not answered, though it could be
//! -- error: 42703 (none: one that is not of PostgreSQL)
//! SELECT …
//! LIMIT 5
//! ```
//!
//! A LIMIT has a line of its own where the comparator has to take it off again.

use std::path::{Path, PathBuf};

use super::{Compare, Looseness, Order};

/// What has to come of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expect {
    /// The oracle's answer.
    Answer,
    /// A typed refusal; the reason is for readers.
    Refused(String),
    /// A typed refusal, or the oracle's answer.
    Unanswered(String),
    /// PostgreSQL's own error of this code.
    Error(String),
}

/// One query.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) constructs: Vec<String>,
    pub(crate) compare: Compare,
    pub(crate) params: String,
    pub(crate) expect: Expect,
    /// The oracle may well find nothing.
    pub(crate) empty: bool,
    pub(crate) sql: String,
    pub(crate) place: String,
}

/// The cases of one schema, in the order of their files.
pub(crate) fn cases(schema: &str) -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sql")
        .join(schema);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "sql"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    let file = file.file_name().unwrap().to_string_lossy().into_owned();
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.starts_with("-- name:") {
            blocks.push((i + 1, Vec::new()));
        }
        match blocks.last_mut() {
            Some((_, lines)) => lines.push(line),
            None => assert!(
                line.is_empty() || line.starts_with("--"),
                "{file}:{}",
                i + 1
            ),
        }
    }
    blocks
        .into_iter()
        .map(|(line, lines)| case(&lines, format!("{file}:{line}")))
        .collect()
}

fn case(lines: &[&str], place: String) -> Case {
    let mut case = Case {
        name: String::new(),
        constructs: Vec::new(),
        compare: Compare::new(Order::Any),
        params: String::new(),
        expect: Expect::Answer,
        empty: false,
        sql: String::new(),
        place,
    };
    let (mut how, mut reason) = (String::new(), String::new());
    let mut body = Vec::new();
    for line in lines {
        let header = line
            .strip_prefix("-- ")
            .and_then(|rest| rest.split_once(':'));
        match header {
            Some((word, rest)) if body.is_empty() => {
                let rest = rest.trim().to_owned();
                match word {
                    "name" => case.name = rest,
                    "construct" => {
                        case.constructs =
                            rest.split(',').map(|word| word.trim().to_owned()).collect();
                    }
                    "compare" => how = rest,
                    "reason" => reason = rest,
                    "params" => case.params = rest,
                    "refused" => case.expect = Expect::Refused(rest),
                    "unanswered" => case.expect = Expect::Unanswered(rest),
                    "error" => case.expect = Expect::Error(rest),
                    "empty" => case.empty = true,
                    other => panic!("{}: what is {other}?", case.place),
                }
            }
            _ => body.push(*line),
        }
    }
    case.sql = body.join("\n").trim().trim_end_matches(';').to_owned();
    case.compare = parse(&how, &case.place);
    let plain = case.compare.loose.is_empty() && !matches!(case.compare.order, Order::Ties(_));
    assert_ne!(
        plain,
        !reason.is_empty(),
        "{}: a reason, if and only if it is not exact",
        case.place
    );
    assert!(
        !case.sql.is_empty() && !case.name.is_empty(),
        "{}",
        case.place
    );
    assert!(!case.constructs.is_empty(), "{}", case.place);
    case
}

fn parse(how: &str, place: &str) -> Compare {
    let mut compare = Compare::new(Order::Any);
    let mut rest = how.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '(']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        let (inside, tail) = match tail.strip_prefix('(') {
            Some(tail) => tail
                .split_once(')')
                .unwrap_or_else(|| panic!("{place}: {how}")),
            None => ("", tail),
        };
        let (numbers, by) = match inside.split_once('\'') {
            Some((numbers, by)) => (numbers, by.trim_end_matches('\'')),
            None => (inside, ""),
        };
        let columns = numbers
            .split(',')
            .map(str::trim)
            .filter(|number| !number.is_empty())
            .map(|number| {
                number
                    .parse::<usize>()
                    .unwrap_or_else(|_| panic!("{place}: {how}"))
                    - 1
            });
        let loose = |looseness: Looseness| columns.clone().map(move |at| (at, looseness.clone()));
        match word {
            "ordered" => compare.order = Order::Exact,
            "multiset" => compare.order = Order::Any,
            "ties" => compare.order = Order::Ties(columns.collect()),
            "float" => compare.loose.extend(loose(Looseness::Float)),
            "value" => compare.loose.extend(loose(Looseness::Value)),
            "elements" => compare.loose.extend(loose(Looseness::Elements)),
            "parts" => compare.loose.extend(loose(Looseness::Parts(by.to_owned()))),
            other => panic!("{place}: {other:?} is no way to compare"),
        }
        rest = tail.trim_start();
    }
    compare
}

/// The query without the LIMIT, OFFSET or FETCH that stands on lines of its own at its end.
pub(crate) fn unlimited(sql: &str) -> String {
    let mut lines: Vec<&str> = sql.lines().collect();
    while lines.last().is_some_and(|line| {
        ["LIMIT", "OFFSET", "FETCH"]
            .iter()
            .any(|word| line.to_ascii_uppercase().starts_with(word))
    }) {
        lines.pop();
    }
    lines.join("\n")
}
