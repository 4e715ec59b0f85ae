//! The comparator finds every fault that is planted, and no more.

use pgshard::raw::Type;

use crate::support::truth::{Answer, Cells, Column, Compare, Looseness, Order, Raw, compare};

/// A value with its type, in PostgreSQL's binary form.
trait Cell {
    const TYPE: Type;
    fn bytes(&self) -> Vec<u8>;
}

impl Cell for i32 {
    const TYPE: Type = Type::INT4;
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

impl Cell for f64 {
    const TYPE: Type = Type::FLOAT8;
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

impl Cell for &str {
    const TYPE: Type = Type::TEXT;
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

fn some(cell: &impl Cell) -> Option<Raw> {
    Some(Raw(cell.bytes()))
}

fn column<T: Cell>(name: &str) -> Column {
    Column::new(name, &T::TYPE)
}

/// Numbered rows with a text.
fn table(rows: &[(i32, &str)]) -> Answer {
    let row = |(n, text): &(i32, &str)| -> Cells { vec![some(n), some(text)] };
    Answer {
        columns: vec![column::<i32>("n"), column::<&str>("t")],
        rows: rows.iter().map(row).collect(),
    }
}

fn one<T: Cell>(cell: T) -> Answer {
    Answer {
        columns: vec![column::<T>("v")],
        rows: vec![vec![some(&cell)]],
    }
}

fn raw(ty: &Type, bytes: &[u8]) -> Answer {
    Answer {
        columns: vec![Column::new("v", ty)],
        rows: vec![vec![Some(Raw(bytes.to_vec()))]],
    }
}

/// A numeric of base-10000 digits.
fn numeric(weight: i16, scale: u16, digits: &[u16]) -> Answer {
    let head = [digits.len() as u16, weight as u16, 0, scale];
    let words = head
        .iter()
        .chain(digits)
        .flat_map(|word| word.to_be_bytes());
    raw(&Type::NUMERIC, &words.collect::<Vec<u8>>())
}

fn ints(values: &[Option<i32>]) -> Vec<u8> {
    let has_null = i32::from(values.contains(&None));
    let mut out = Vec::new();
    for word in [1, has_null, 23, values.len() as i32, 1] {
        out.extend(word.to_be_bytes());
    }
    for value in values {
        match value {
            None => out.extend((-1i32).to_be_bytes()),
            Some(value) => {
                out.extend(4i32.to_be_bytes());
                out.extend(value.to_be_bytes());
            }
        }
    }
    out
}

fn exact() -> Compare {
    Compare::new(Order::Exact)
}

fn multiset() -> Compare {
    Compare::new(Order::Any)
}

fn ties(keys: &[usize]) -> Compare {
    Compare::new(Order::Ties(keys.to_vec()))
}

fn loose(looseness: Looseness) -> Compare {
    Compare {
        order: Order::Any,
        loose: vec![(0, looseness)],
    }
}

fn same(a: &Answer, b: &Answer, how: &Compare) -> bool {
    compare(a, b, None, how).is_ok()
}

const ROWS: [(i32, &str); 4] = [(1, "a"), (1, "b"), (2, "a"), (3, "c")];

#[test]
fn equal_answers_are_the_same() {
    let all = table(&ROWS);
    for how in [exact(), multiset(), ties(&[0]), ties(&[])] {
        assert!(same(&all, &all, &how), "{how:?}");
    }
    let swapped = table(&[ROWS[3], ROWS[1], ROWS[0], ROWS[2]]);
    assert!(same(&swapped, &all, &multiset()));
    // Only rows that tie may change places.
    let tied = table(&[ROWS[1], ROWS[0], ROWS[2], ROWS[3]]);
    assert!(same(&tied, &all, &ties(&[0])));
}

#[test]
fn planted_faults_are_found_whatever_the_order() {
    let all = table(&ROWS);
    let faults = [
        (
            "a wrong value",
            table(&[(1, "a"), (1, "x"), (2, "a"), (3, "c")]),
        ),
        ("a missing row", table(&ROWS[..3])),
        (
            "a row too many",
            table(&[ROWS[0], ROWS[1], ROWS[2], ROWS[3], ROWS[3]]),
        ),
        (
            "one row twice, another not",
            table(&[ROWS[0], ROWS[0], ROWS[2], ROWS[3]]),
        ),
        (
            "values of two rows mixed",
            table(&[(1, "a"), (1, "a"), (2, "b"), (3, "c")]),
        ),
        ("no rows", table(&[])),
        ("NULL for a value", {
            let mut answer = all.clone();
            answer.rows[3][1] = None;
            answer
        }),
        ("a wrong name", {
            let mut answer = all.clone();
            answer.columns[1].name = "T".to_owned();
            answer
        }),
        ("a wrong type of the same bytes", {
            let mut answer = all.clone();
            answer.columns[1] = Column::new("t", &Type::VARCHAR);
            answer
        }),
        ("a column too many", {
            let mut answer = all.clone();
            answer.columns.push(column::<i32>("more"));
            answer.rows.iter_mut().for_each(|row| row.push(None));
            answer
        }),
        ("columns that changed places", {
            let mut answer = all.clone();
            answer.columns.swap(0, 1);
            answer.rows.iter_mut().for_each(|row| row.swap(0, 1));
            answer
        }),
    ];
    for (what, wrong) in faults {
        for how in [exact(), multiset(), ties(&[0]), ties(&[])] {
            assert!(!same(&wrong, &all, &how), "{what}: {how:?}");
            assert!(!same(&all, &wrong, &how), "{what}, the other way: {how:?}");
        }
    }
}

#[test]
fn an_order_is_held_to() {
    let all = table(&ROWS);
    let tied = table(&[ROWS[1], ROWS[0], ROWS[2], ROWS[3]]);
    assert!(!same(&tied, &all, &exact()));
    let swapped = table(&[ROWS[0], ROWS[1], ROWS[3], ROWS[2]]);
    assert!(!same(&swapped, &all, &exact()));
    assert!(!same(&swapped, &all, &ties(&[0])));
}

#[test]
fn under_a_limit_any_of_the_rows_that_tie_may_be_inside() {
    let all = table(&[(1, "a"), (2, "b"), (2, "c"), (2, "d"), (3, "e")]);
    let expected = table(&[(1, "a"), (2, "b"), (2, "c")]);
    let how = ties(&[0]);
    let cut = |rows: &[(i32, &str)]| compare(&table(rows), &expected, Some(&all), &how);
    assert!(cut(&[(1, "a"), (2, "d"), (2, "b")]).is_ok());
    // A row that is not there, one of another key, one twice, one too few of those strictly inside.
    assert!(cut(&[(1, "a"), (2, "d"), (2, "x")]).is_err());
    assert!(cut(&[(1, "a"), (2, "d"), (3, "e")]).is_err());
    assert!(cut(&[(1, "a"), (2, "d"), (2, "d")]).is_err());
    assert!(cut(&[(2, "b"), (2, "c"), (2, "d")]).is_err());
    assert!(cut(&[(1, "b"), (2, "c"), (2, "d")]).is_err());
    assert!(cut(&[(2, "c"), (1, "a"), (2, "d")]).is_err());
    // Without a key any rows will do, but of those that there are.
    let any = ties(&[]);
    assert!(
        compare(
            &table(&[(3, "e"), (2, "d"), (1, "a")]),
            &expected,
            Some(&all),
            &any
        )
        .is_ok()
    );
    assert!(
        compare(
            &table(&[(3, "e"), (3, "e"), (1, "a")]),
            &expected,
            Some(&all),
            &any
        )
        .is_err()
    );
}

#[test]
fn floats_are_compared_by_their_bits_unless_the_order_of_addition_shows() {
    let (a, b) = (0.1 + 0.2, 0.3);
    assert!(!same(&one(a), &one(b), &exact()));
    assert!(!same(&one(-0.0), &one(0.0), &exact()));
    assert!(same(&one(f64::NAN), &one(f64::NAN), &exact()));
    assert!(!same(&one(f64::NAN), &one(1.0), &exact()));

    let close = loose(Looseness::Float);
    assert!(same(&one(a), &one(b), &close));
    assert!(same(&one(f64::NAN), &one(f64::NAN), &close));
    assert!(same(&one(f64::INFINITY), &one(f64::INFINITY), &close));
    for (a, b) in [
        (1.0, 1.0 + 1e-11),
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (f64::INFINITY, f64::NEG_INFINITY),
        (f64::INFINITY, f64::MAX),
        (1.0, -1.0),
        (0.0, 1e-300),
    ] {
        assert!(!same(&one(a), &one(b), &close), "{a} {b}");
    }
    // Rows whose floats are nearly equal meet, wherever they stand.
    let two = |x: f64, y: f64| Answer {
        columns: vec![column::<f64>("v")],
        rows: vec![vec![some(&x)], vec![some(&y)]],
    };
    assert!(same(&two(5.0, a), &two(b, 5.0), &close));
    assert!(!same(&two(5.0, a), &two(b, 5.1), &close));
    // A float's looseness is no other column's.
    let other = Compare {
        order: Order::Any,
        loose: vec![(1, Looseness::Float)],
    };
    assert!(!same(&one(a), &one(b), &other));
}

#[test]
fn numerics_differ_by_their_scale_unless_the_value_counts() {
    let (short, long, other) = (
        numeric(0, 1, &[1, 5000]),
        numeric(0, 4, &[1, 5000]),
        numeric(0, 4, &[1, 5001]),
    );
    assert!(!same(&short, &long, &exact()));
    let value = loose(Looseness::Value);
    assert!(same(&short, &long, &value));
    assert!(!same(&short, &other, &value));
    // 100 is not 1, nor 10000; 0.0 is 0; NaN is nothing else.
    assert!(!same(&numeric(0, 0, &[100]), &numeric(0, 0, &[1]), &value));
    assert!(!same(&numeric(1, 0, &[1]), &numeric(0, 0, &[1]), &value));
    assert!(same(&numeric(0, 1, &[]), &numeric(0, 0, &[]), &value));
    let nan = raw(&Type::NUMERIC, &[0, 0, 0, 0, 0xC0, 0, 0, 0]);
    assert!(same(&nan, &nan, &value));
    assert!(!same(&nan, &numeric(0, 0, &[]), &value));
    // The same for the sign of a zero.
    assert!(same(&one(-0.0), &one(0.0), &value));
    assert!(!same(&one(0.1 + 0.2), &one(0.3), &value));
}

#[test]
fn arrays_and_lists_may_be_in_any_order_where_the_query_says_none() {
    let array = |values: &[Option<i32>]| raw(&Type::INT4_ARRAY, &ints(values));
    let (a, b) = (
        array(&[Some(1), None, Some(2)]),
        array(&[Some(2), Some(1), None]),
    );
    assert!(!same(&a, &b, &exact()));
    let elements = loose(Looseness::Elements);
    assert!(same(&a, &b, &elements));
    assert!(!same(&a, &array(&[Some(1), Some(1), Some(2)]), &elements));
    assert!(!same(&a, &array(&[Some(1), Some(2)]), &elements));
    assert!(!same(&a, &array(&[Some(1), None, None]), &elements));
    assert!(!same(&a, &array(&[]), &elements));

    let json = |text: &str| raw(&Type::JSONB, &[b"\x01", text.as_bytes()].concat());
    assert!(same(
        &json("[1, null, \"x\"]"),
        &json("[\"x\", 1, null]"),
        &elements
    ));
    assert!(!same(
        &json("[1, null, \"x\"]"),
        &json("[\"x\", 1, 1]"),
        &elements
    ));
    assert!(!same(&json("[1.50]"), &json("[1.5]"), &elements));

    let parts = loose(Looseness::Parts(",".to_owned()));
    assert!(same(&one("a,b,,c"), &one(",c,b,a"), &parts));
    assert!(!same(&one("a,b,c"), &one("a,b"), &parts));
    assert!(!same(&one("a,b,b"), &one("a,a,b"), &parts));
}

#[test]
fn an_enums_number_does_not_count_but_its_name_does() {
    let mood = |oid: u32, name: &str| {
        let kind = tokio_postgres::types::Kind::Enum(Vec::new());
        let ty = Type::new(name.to_owned(), oid, kind, "public".to_owned());
        raw(&ty, b"sad")
    };
    assert!(same(&mood(20000, "mood"), &mood(20001, "mood"), &exact()));
    assert!(!same(&mood(20000, "mood"), &mood(20000, "other"), &exact()));
    // So too inside an array.
    let array = |oid: u32, label: &str| {
        let head = [1u32, 0, oid, 1, 1, label.len() as u32];
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(label.as_bytes());
        let kind = tokio_postgres::types::Kind::Array(Type::TEXT);
        let ty = Type::new("_mood".to_owned(), oid + 1, kind, "public".to_owned());
        raw(&ty, &bytes)
    };
    assert!(same(&array(20000, "sad"), &array(30000, "sad"), &exact()));
    assert!(!same(&array(20000, "sad"), &array(30000, "bad"), &exact()));
}
