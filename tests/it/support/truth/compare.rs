//! Whether two answers are the same, as strictly as the query allows.

use super::value::{self, base};
use super::{Answer, Cells, Raw};

/// What is known about the order of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// Every row has its place.
    Exact,
    /// No row has.
    Any,
    /// Rows that are equal in these columns, by position from 0, may change places; which of them
    /// fall inside a LIMIT is open.
    Ties(Vec<usize>),
}

/// What may differ in a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Looseness {
    /// The last digits of a float, whose terms were added in another order.
    Float,
    /// A numeric's trailing zeros; a float zero's sign.
    Value,
    /// The order of an array's elements.
    Elements,
    /// The order of the parts of a text.
    Parts(String),
}

/// How a query's answers are compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compare {
    pub(crate) order: Order,
    /// Columns, by position from 0.
    pub(crate) loose: Vec<(usize, Looseness)>,
}

impl Compare {
    pub(crate) fn new(order: Order) -> Self {
        Compare {
            order,
            loose: Vec::new(),
        }
    }
}

/// The first difference, if there is one. `all` is the oracle's answer without the LIMIT, and is
/// needed where rows tie.
pub(crate) fn compare(
    got: &Answer,
    expected: &Answer,
    all: Option<&Answer>,
    how: &Compare,
) -> Result<(), String> {
    let names = |answer: &Answer| -> Vec<String> {
        answer.columns.iter().map(|c| c.name.clone()).collect()
    };
    if names(got) != names(expected) {
        return Err(format!(
            "columns are named {:?}, not {:?}",
            names(got),
            names(expected)
        ));
    }
    for (a, b) in got.columns.iter().zip(&expected.columns) {
        if a.ty != b.ty {
            return Err(format!(
                "column {} is of type {}, not {}",
                a.name, a.ty, b.ty
            ));
        }
    }
    if got.rows.len() != expected.rows.len() {
        return Err(format!(
            "{} rows, not {}",
            got.rows.len(),
            expected.rows.len()
        ));
    }
    let keys: &[usize] = match &how.order {
        Order::Ties(keys) => keys,
        _ => &[],
    };
    let looked_at = how.loose.iter().map(|(at, _)| at).chain(keys);
    if let Some(at) = looked_at.max().filter(|at| **at >= expected.columns.len()) {
        return Err(format!("there is no column {at} to compare by"));
    }
    let types: Vec<&str> = expected.columns.iter().map(|c| base(&c.ty)).collect();
    let canonical = |answer: &Answer| -> Vec<Cells> {
        answer
            .rows
            .iter()
            .map(|row| loosen(row, &types, how))
            .collect()
    };
    let (got, expected) = (canonical(got), canonical(expected));
    match &how.order {
        Order::Exact => pairs(&got, &expected, &types, how),
        Order::Any => pairs(&sorted(got, how), &sorted(expected, how), &types, how),
        Order::Ties(keys) => {
            let all = all.map_or_else(|| expected.clone(), canonical);
            ties(&got, &expected, &all, keys, &types, how)
        }
    }
}

/// A row with what may differ made equal; floats are left to [`same`].
fn loosen(row: &Cells, types: &[&str], how: &Compare) -> Cells {
    let mut row = row.clone();
    for (cell, ty) in row.iter_mut().zip(types) {
        if let Some(Raw(bytes)) = cell
            && ty.contains('_')
        {
            *bytes = value::without_oid(bytes);
        }
    }
    for (at, loose) in &how.loose {
        let (Some(Some(Raw(bytes))), ty) = (row.get_mut(*at), types[*at]) else {
            continue;
        };
        match loose {
            Looseness::Float => {}
            Looseness::Value => {
                if let Some(plain) = plain(bytes, ty) {
                    *bytes = plain;
                }
            }
            Looseness::Elements => *bytes = shuffled(bytes, ty),
            Looseness::Parts(by) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let mut parts: Vec<&str> = text.split(by.as_str()).collect();
                parts.sort_unstable();
                *bytes = parts.join(by).into_bytes();
            }
        }
    }
    row
}

/// The same bytes for the same value.
fn plain(bytes: &[u8], ty: &str) -> Option<Vec<u8>> {
    match ty {
        "numeric" => value::numeric_value(bytes),
        "float4" | "float8" => {
            let zero = value::float(bytes) == Some(0.0);
            zero.then(|| vec![0; bytes.len()])
        }
        _ => None,
    }
}

/// An array or a JSON array with its elements in an order that depends on nothing but them.
fn shuffled(bytes: &[u8], ty: &str) -> Vec<u8> {
    if ty == "json" || ty == "jsonb" {
        let text = if ty == "jsonb" { &bytes[1..] } else { bytes };
        let Ok(serde_json::Value::Array(values)) = serde_json::from_slice(text) else {
            return bytes.to_vec();
        };
        // Numbers keep their digits only as text; the whole text's length holds them to it.
        let mut parts: Vec<String> = values.iter().map(ToString::to_string).collect();
        parts.sort();
        parts.push(text.len().to_string());
        return parts.join("\u{1}").into_bytes();
    }
    let Some(mut elements) = value::elements(bytes) else {
        return bytes.to_vec();
    };
    elements.sort();
    let mut out = bytes.get(..20).unwrap_or(bytes).to_vec();
    for element in elements {
        match element {
            None => out.extend([255; 4]),
            Some(element) => {
                out.extend((element.len() as u32).to_be_bytes());
                out.extend(element);
            }
        }
    }
    out
}

fn is_float(how: &Compare, at: usize) -> bool {
    how.loose.contains(&(at, Looseness::Float))
}

fn same(a: &Option<Raw>, b: &Option<Raw>, float: bool) -> bool {
    match (a, b) {
        (Some(Raw(a)), Some(Raw(b))) if float => match (value::float(a), value::float(b)) {
            (Some(a), Some(b)) => value::close(a, b),
            _ => a == b,
        },
        (a, b) => a == b,
    }
}

fn same_row(a: &Cells, b: &Cells, how: &Compare) -> Option<usize> {
    (0..a.len()).find(|&at| !same(&a[at], &b[at], is_float(how, at)))
}

fn pairs(got: &[Cells], expected: &[Cells], types: &[&str], how: &Compare) -> Result<(), String> {
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        if let Some(at) = same_row(a, b, how) {
            return Err(format!(
                "row {i}, column {at}: {}, not {}",
                value::show(a[at].as_ref(), types[at]),
                value::show(b[at].as_ref(), types[at])
            ));
        }
    }
    Ok(())
}

/// By the columns that are exact, then by the floats, so that nearly equal rows meet.
fn sorted(mut rows: Vec<Cells>, how: &Compare) -> Vec<Cells> {
    rows.sort_by(|a, b| {
        let exact = (0..a.len())
            .filter(|at| !is_float(how, *at))
            .map(|at| a[at].cmp(&b[at]));
        let exact = exact.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
        let floats = (0..a.len()).filter(|at| is_float(how, *at)).map(|at| {
            let of = |cell: &Option<Raw>| cell.as_ref().and_then(|Raw(bytes)| value::float(bytes));
            match (of(&a[at]), of(&b[at])) {
                (Some(a), Some(b)) => value::order(a, b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            }
        });
        floats.fold(exact, std::cmp::Ordering::then)
    });
    rows
}

/// The keys come in the same order, and each row is one of the oracle's with that key, none oftener
/// than there.
fn ties(
    got: &[Cells],
    expected: &[Cells],
    all: &[Cells],
    keys: &[usize],
    types: &[&str],
    how: &Compare,
) -> Result<(), String> {
    let key = |row: &Cells| -> Vec<Option<Raw>> {
        keys.iter()
            .map(|&at| {
                let cell = row[at].as_ref();
                cell.map(|Raw(bytes)| Raw(plain(bytes, types[at]).unwrap_or_else(|| bytes.clone())))
            })
            .collect()
    };
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        if key(a) != key(b) {
            let show = |row: &Cells| -> Vec<String> {
                keys.iter()
                    .map(|&at| value::show(row[at].as_ref(), types[at]))
                    .collect()
            };
            return Err(format!(
                "row {i}: the sort key is {:?}, not {:?}",
                show(a),
                show(b)
            ));
        }
    }
    let mut left: Vec<Option<&Cells>> = all.iter().map(Some).collect();
    for (i, row) in got.iter().enumerate() {
        let found = left.iter_mut().find(|candidate| {
            candidate.is_some_and(|b| key(b) == key(row) && same_row(row, b, how).is_none())
        });
        match found {
            Some(found) => *found = None,
            None => {
                let shown: Vec<String> = row
                    .iter()
                    .zip(types)
                    .map(|(cell, ty)| value::show(cell.as_ref(), ty))
                    .collect();
                return Err(format!(
                    "row {i} is not among those that tie: ({})",
                    shown.join(", ")
                ));
            }
        }
    }
    Ok(())
}
