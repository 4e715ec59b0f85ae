use super::super::group::Equality;
use super::super::numeric::tests::{decode, encode};
use super::super::order::OrderKey;
use super::*;

type Cell = Option<Vec<u8>>;

fn int(n: i64) -> Cell {
    Some(n.to_be_bytes().to_vec())
}

fn text(text: &str) -> Cell {
    Some(text.as_bytes().to_vec())
}

fn plan(columns: Vec<Output>) -> AggregatePlan {
    let groups = columns
        .iter()
        .enumerate()
        .filter(|(_, c)| matches!(c, Output::Group));
    AggregatePlan {
        groups: groups
            .map(|(column, _)| GroupColumn {
                column,
                equality: Equality::Bytes,
            })
            .collect(),
        columns,
        order: Order(Vec::new()),
        max_groups: 100,
    }
}

fn combine(plan: AggregatePlan, rows: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>, Trouble> {
    let mut aggregator = Aggregator::new(plan);
    for row in rows {
        aggregator.push(&OwnedRow(row.clone()))?;
    }
    Ok(aggregator.finish()?.into_iter().map(|row| row.0).collect())
}

const COUNT: Output = Output::Count(Integer::Int8);
const SUM: Output = Output::Sum(Addend::Integer(Integer::Int8));

fn extreme(ty: &Type, which: Combine) -> Output {
    Output::Extreme(Comparator::of(ty, true).unwrap(), which)
}

#[test]
fn null_groups_are_one_group_and_not_the_empty_text() {
    let rows = [
        vec![None, int(1)],
        vec![text("a"), int(2)],
        vec![text(""), int(4)],
        vec![None, int(8)],
        vec![text("a"), int(16)],
    ];
    let merged = combine(plan(vec![Output::Group, COUNT]), &rows).unwrap();
    assert_eq!(
        merged,
        [
            vec![None, int(9)],
            vec![text("a"), int(18)],
            vec![text(""), int(4)]
        ]
    );
}

#[test]
fn nothing_to_combine() {
    let max = extreme(&Type::INT8, Combine::Max);
    let merged = combine(plan(vec![COUNT, SUM, max]), &[]).unwrap();
    assert_eq!(merged, [vec![int(0), None, None]]);
    // What the shards answer for no rows.
    let empty = vec![int(0), None, None];
    let merged = combine(plan(vec![COUNT, SUM, max]), &[empty.clone(), empty]).unwrap();
    assert_eq!(merged, [vec![int(0), None, None]]);
    assert!(
        combine(plan(vec![Output::Group, COUNT]), &[])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn nulls_do_not_take_part_in_sums_and_extremes() {
    let columns = vec![SUM, extreme(&Type::INT8, Combine::Min)];
    let rows = [
        vec![int(0), int(5)],
        vec![None, None],
        vec![int(-3), int(7)],
    ];
    assert_eq!(
        combine(plan(columns), &rows).unwrap(),
        [vec![int(-3), int(5)]]
    );
}

#[test]
fn min_and_max_of_timestamps_keep_their_microseconds() {
    // 2024-01-01 00:00:00.91916 and .091916, microseconds since 2000.
    let base = 757_382_400_000_000;
    let (later, earlier) = (base + 919_160, base + 91_916);
    let columns = || {
        vec![
            extreme(&Type::TIMESTAMPTZ, Combine::Min),
            extreme(&Type::TIMESTAMP, Combine::Max),
        ]
    };
    let rows = [
        vec![int(later), int(later)],
        vec![int(earlier), int(earlier)],
    ];
    assert_eq!(
        combine(plan(columns()), &rows).unwrap(),
        [vec![int(earlier), int(later)]]
    );
}

#[test]
fn numeric_sums_are_exact() {
    let numeric = |text| Some(encode(text));
    let rows = [
        vec![numeric("0.10")],
        vec![numeric("99999999999999999999.2")],
        vec![None],
        vec![numeric("-0.005")],
    ];
    let merged = combine(plan(vec![Output::Sum(Addend::Numeric)]), &rows).unwrap();
    let sum = merged[0][0].as_deref().map(decode);
    assert_eq!(sum.as_deref(), Some("99999999999999999999.295"));
}

#[test]
fn a_sum_that_does_not_fit_is_refused() {
    let rows = [vec![int(i64::MAX)], vec![int(1)]];
    assert_eq!(combine(plan(vec![SUM]), &rows), Err(Trouble::Overflow(0)));
    assert_eq!(combine(plan(vec![COUNT]), &rows), Err(Trouble::Overflow(0)));
    // Only the total counts.
    let rows = [vec![int(i64::MAX)], vec![int(1)], vec![int(-1)]];
    assert_eq!(
        combine(plan(vec![SUM]), &rows).unwrap(),
        [vec![int(i64::MAX)]]
    );
    let float = |n: f64| vec![Some(n.to_be_bytes().to_vec())];
    let sum = |a, b| {
        combine(
            plan(vec![Output::Sum(Addend::Float8)]),
            &[float(a), float(b)],
        )
    };
    assert_eq!(sum(f64::MAX, f64::MAX), Err(Trouble::Overflow(0)));
    assert_eq!(sum(f64::INFINITY, 1.0).unwrap(), [float(f64::INFINITY)]);
    assert_eq!(sum(0.5, 0.25).unwrap(), [float(0.75)]);
}

#[test]
fn what_is_not_a_value_of_its_type_is_noticed() {
    let short = [vec![Some(vec![1, 2])]];
    for output in [
        COUNT,
        SUM,
        extreme(&Type::INT8, Combine::Max),
        Output::Sum(Addend::Numeric),
    ] {
        assert_eq!(
            combine(plan(vec![output]), &short),
            Err(Trouble::Malformed(0)),
            "{output:?}"
        );
    }
    assert_eq!(
        combine(plan(vec![COUNT]), &[vec![None]]),
        Err(Trouble::NullCount(0))
    );
}

#[test]
fn groups_are_bounded_and_ordered() {
    let rows: Vec<_> = [3, 1, 2, 1].map(|n| vec![int(n), int(1)]).to_vec();
    let by = AggregatePlan {
        max_groups: 3,
        order: Order(vec![OrderKey {
            column: 0,
            by: Comparator::Int8,
            descending: true,
            nulls_first: true,
        }]),
        ..plan(vec![Output::Group, COUNT])
    };
    let merged = combine(by.clone(), &rows).unwrap();
    assert_eq!(
        merged,
        [[int(3), int(1)], [int(2), int(1)], [int(1), int(2)]]
    );
    let tight = AggregatePlan {
        max_groups: 2,
        ..by
    };
    assert_eq!(combine(tight, &rows), Err(Trouble::TooManyGroups(2)));
}
