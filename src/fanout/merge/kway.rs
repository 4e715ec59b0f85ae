//! Merging ordered streams while they arrive.

use std::cmp::Ordering;

use super::order::Order;
use super::row::{Cells, OwnedRow};

/// Merges the ordered rows of several shards, holding one row of each.
///
/// A heap of the shards' first rows; ties go to the shard with the smaller number, so that the
/// answer is the same whichever shard is faster.
#[derive(Debug)]
pub(crate) struct Kway<R> {
    order: Order,
    heads: Vec<Head<R>>,
    /// Indices into `heads` of those that have a row, least first.
    heap: Vec<usize>,
    awaited: usize,
    /// The ordering columns of the row that was given out last.
    last: Option<OwnedRow>,
}

#[derive(Debug)]
enum Head<R> {
    /// A row has to come before anything can be said.
    Awaited,
    Row(R),
    Ended,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<R> {
    /// The next row of the merged answer.
    Row(R),
    /// The next row of this shard is needed, or the news that there is none.
    Needs(usize),
    /// The answer is complete.
    Done,
}

/// Why a row was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A value of an ordering column is not one of its type.
    Malformed,
    /// It comes before the row that the shard sent before.
    Unordered,
}

impl<R: Cells> Kway<R> {
    pub(super) fn new(order: Order, shards: usize) -> Self {
        Kway {
            order,
            heads: (0..shards).map(|_| Head::Awaited).collect(),
            heap: Vec::with_capacity(shards),
            awaited: shards,
            last: None,
        }
    }

    /// Takes a shard's next row.
    pub(crate) fn push(&mut self, shard: usize, row: R) -> Result<(), Misfit> {
        let Some(head @ Head::Awaited) = self.heads.get_mut(shard) else {
            return Ok(());
        };
        if !self.order.accepts(&row) {
            return Err(Misfit::Malformed);
        }
        // Only the shard whose row was given out last can send a lesser one: all others have a row
        // in the heap, and it was not less.
        if let Some(last) = &self.last
            && self.order.compare(&row, last) == Ordering::Less
        {
            return Err(Misfit::Unordered);
        }
        *head = Head::Row(row);
        self.awaited -= 1;
        self.heap.push(shard);
        self.rise(self.heap.len() - 1);
        Ok(())
    }

    /// The shard has no more rows.
    pub(crate) fn end(&mut self, shard: usize) {
        if let Some(head @ Head::Awaited) = self.heads.get_mut(shard) {
            *head = Head::Ended;
            self.awaited -= 1;
        }
    }

    /// What to do next. After a row its shard's next one is needed.
    pub(crate) fn step(&mut self) -> Step<(usize, R)> {
        if self.awaited > 0 {
            let awaited = |head: &Head<R>| matches!(head, Head::Awaited);
            return Step::Needs(self.heads.iter().position(awaited).unwrap_or_default());
        }
        let Some(&least) = self.heap.first() else {
            return Step::Done;
        };
        let last = self.heap.len() - 1;
        self.heap.swap(0, last);
        self.heap.pop();
        self.sink(0);
        match self
            .heads
            .get_mut(least)
            .map(|head| std::mem::replace(head, Head::Awaited))
        {
            Some(Head::Row(row)) => {
                self.awaited += 1;
                self.order.remember(&row, &mut self.last);
                Step::Row((least, row))
            }
            // The heap holds only shards that have a row.
            _ => Step::Done,
        }
    }

    fn less(&self, a: usize, b: usize) -> bool {
        let at = |i: usize| {
            self.heap
                .get(i)
                .and_then(|shard| Some((*shard, self.heads.get(*shard)?)))
        };
        match (at(a), at(b)) {
            (Some((x, Head::Row(row))), Some((y, Head::Row(other)))) => {
                self.order.compare(row, other).then(x.cmp(&y)) == Ordering::Less
            }
            _ => false,
        }
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.less(at, (at - 1) / 2) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.less(right, left) { right } else { left };
            if !self.less(child, at) {
                return;
            }
            self.heap.swap(child, at);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use postgres_types::Type;
    use proptest::prelude::*;

    use super::super::compare::Comparator;
    use super::super::order::OrderKey;
    use super::super::row::OwnedRow;
    use super::*;

    fn order(descending: bool, nulls_first: bool) -> Order {
        Order(vec![OrderKey {
            column: 0,
            by: Comparator::of(&Type::INT4, false).unwrap(),
            descending,
            nulls_first,
        }])
    }

    fn row(value: Option<i32>, shard: usize) -> OwnedRow {
        OwnedRow(vec![
            value.map(|n| n.to_be_bytes().to_vec()),
            Some(vec![shard as u8]),
        ])
    }

    fn value(row: &OwnedRow) -> Option<i32> {
        row.cell(0)
            .map(|bytes| i32::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// Drives a merge over rows that are at hand.
    fn merge(order: Order, shards: &[Vec<Option<i32>>]) -> Vec<(Option<i32>, usize)> {
        let mut kway = Kway::new(order, shards.len());
        let mut at = vec![0; shards.len()];
        let mut out = Vec::new();
        loop {
            match kway.step() {
                Step::Needs(shard) => match shards[shard].get(at[shard]) {
                    Some(n) => {
                        at[shard] += 1;
                        kway.push(shard, row(*n, shard)).unwrap();
                    }
                    None => kway.end(shard),
                },
                Step::Row((shard, row)) => out.push((value(&row), shard)),
                Step::Done => return out,
            }
        }
    }

    #[test]
    fn nulls_first_is_honoured() {
        let shards = [vec![None, Some(3)], vec![None, Some(1)], vec![]];
        let merged = merge(order(false, true), &shards);
        assert_eq!(merged, [(None, 0), (None, 1), (Some(1), 1), (Some(3), 0)]);
        let shards = [vec![Some(3), None], vec![Some(5)]];
        let merged = merge(order(true, false), &shards);
        assert_eq!(merged, [(Some(5), 1), (Some(3), 0), (None, 0)]);
    }

    #[test]
    fn a_shard_that_is_out_of_order_is_noticed() {
        let mut kway = Kway::new(order(false, false), 2);
        assert_eq!(kway.push(0, row(Some(2), 0)), Ok(()));
        assert_eq!(kway.push(1, row(Some(7), 1)), Ok(()));
        assert!(matches!(kway.step(), Step::Row((0, _))));
        assert_eq!(kway.step(), Step::Needs(0));
        assert_eq!(kway.push(0, row(Some(1), 0)), Err(Misfit::Unordered));
        assert_eq!(
            kway.push(0, OwnedRow(vec![Some(vec![1])])),
            Err(Misfit::Malformed)
        );
        assert_eq!(kway.push(0, row(Some(2), 0)), Ok(()));
    }

    proptest! {
        #[test]
        fn merging_sorted_streams_is_sorting(
            mut shards in prop::collection::vec(
                prop::collection::vec(prop::option::of(-5_i32..5), 0..12), 0..9),
            descending: bool,
            nulls_first: bool,
        ) {
            let by = order(descending, nulls_first);
            for shard in &mut shards {
                shard.sort_by(|a, b| by.compare(&row(*a, 0), &row(*b, 0)));
            }
            let mut expected: Vec<_> = shards
                .iter()
                .enumerate()
                .flat_map(|(shard, rows)| rows.iter().map(move |n| (*n, shard)))
                .collect();
            // A stable sort of the shards in order: ties go to the smaller number.
            expected.sort_by(|a, b| by.compare(&row(a.0, 0), &row(b.0, 0)));
            prop_assert_eq!(merge(by, &shards), expected);
        }
    }
}
