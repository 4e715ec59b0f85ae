//! The order of rows.

use std::cmp::Ordering;

use super::compare::Comparator;
use super::row::{Cells, OwnedRow};

/// An order by some columns, the first first.
#[derive(Clone, Debug)]
pub(super) struct Order(pub(super) Vec<OrderKey>);

#[derive(Clone, Debug)]
pub(super) struct OrderKey {
    pub(super) column: usize,
    pub(super) by: Comparator,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

impl Order {
    /// Whether the row's values can be compared.
    pub(super) fn accepts(&self, row: &impl Cells) -> bool {
        self.0.iter().all(|key| {
            row.cell(key.column)
                .is_none_or(|value| key.by.accepts(value))
        })
    }

    /// Copies the row's ordering columns, into the place of those before.
    pub(super) fn remember(&self, row: &impl Cells, last: &mut Option<OwnedRow>) {
        let width = self.0.iter().map(|key| key.column + 1).max().unwrap_or(0);
        let last = last.get_or_insert_with(|| OwnedRow(vec![None; width]));
        for key in &self.0 {
            let Some(slot) = last.0.get_mut(key.column) else {
                continue;
            };
            match (row.cell(key.column), slot.as_mut()) {
                (None, _) => *slot = None,
                (Some(value), None) => *slot = Some(value.to_vec()),
                (Some(value), Some(buffer)) => {
                    buffer.clear();
                    buffer.extend_from_slice(value);
                }
            }
        }
    }

    pub(super) fn compare(&self, a: &impl Cells, b: &impl Cells) -> Ordering {
        for key in &self.0 {
            let order = match (a.cell(key.column), b.cell(key.column)) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) if key.nulls_first => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) if key.nulls_first => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(a), Some(b)) if key.descending => key.by.compare(b, a),
                (Some(a), Some(b)) => key.by.compare(a, b),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}
