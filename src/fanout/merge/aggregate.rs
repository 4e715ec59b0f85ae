//! Combining partial aggregates.

use std::collections::HashMap;

use postgres_types::Type;

use super::compare::Comparator;
use super::declare::Combine;
use super::group::{GroupColumn, group};
use super::numeric::{Sum, View};
use super::order::Order;
use super::row::{Cells, OwnedRow};

/// What is known of an aggregation once the columns' types are.
#[derive(Clone, Debug)]
pub(super) struct AggregatePlan {
    pub(super) groups: Vec<GroupColumn>,
    /// What each column of the result is, in order.
    pub(super) columns: Vec<Output>,
    pub(super) order: Order,
    pub(super) max_groups: usize,
}

/// What a column of the result is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Output {
    /// A group key: the value of the group's first row.
    Group,
    /// A count, in this type.
    Count(Integer),
    /// A sum.
    Sum(Addend),
    /// A minimum or maximum.
    Extreme(Comparator, Combine),
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integer {
    Int2,
    Int4,
    Int8,
}

/// A type that can be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addend {
    Integer(Integer),
    Numeric,
    Float4,
    Float8,
}

impl Integer {
    pub(super) fn of(ty: &Type) -> Option<Integer> {
        match *ty {
            Type::INT2 => Some(Integer::Int2),
            Type::INT4 => Some(Integer::Int4),
            Type::INT8 => Some(Integer::Int8),
            _ => None,
        }
    }

    fn read(self, value: &[u8]) -> Option<i128> {
        Some(match self {
            Integer::Int2 => i16::from_be_bytes(value.try_into().ok()?).into(),
            Integer::Int4 => i32::from_be_bytes(value.try_into().ok()?).into(),
            Integer::Int8 => i64::from_be_bytes(value.try_into().ok()?).into(),
        })
    }

    /// `None` if the value does not fit.
    fn write(self, value: i128) -> Option<Vec<u8>> {
        Some(match self {
            Integer::Int2 => i16::try_from(value).ok()?.to_be_bytes().to_vec(),
            Integer::Int4 => i32::try_from(value).ok()?.to_be_bytes().to_vec(),
            Integer::Int8 => i64::try_from(value).ok()?.to_be_bytes().to_vec(),
        })
    }
}

impl Addend {
    pub(super) fn of(ty: &Type) -> Option<Addend> {
        match *ty {
            Type::NUMERIC => Some(Addend::Numeric),
            Type::FLOAT4 => Some(Addend::Float4),
            Type::FLOAT8 => Some(Addend::Float8),
            _ => Integer::of(ty).map(Addend::Integer),
        }
    }
}

/// Why rows could not be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A value of this column is not one of its type.
    Malformed(usize),
    /// This column is declared as a count, but it is NULL.
    NullCount(usize),
    /// The sum does not fit the column's type.
    Overflow(usize),
    /// There are more groups than may be held.
    TooManyGroups(usize),
}

/// The combined value of a column so far.
#[derive(Clone, Debug)]
enum State {
    Group(Option<Vec<u8>>),
    Count(Integer, i128),
    Integer(Integer, Option<i128>),
    Numeric(Option<Sum>),
    Float(Addend, Option<FloatSum>),
    Extreme(Comparator, Combine, Option<Vec<u8>>),
}

#[derive(Clone, Copy, Debug)]
struct FloatSum {
    value: f64,
    /// Whether all that was added is finite: then an infinite sum is an overflow.
    finite: bool,
}

/// Combines rows, a group at a time.
#[derive(Debug)]
pub(super) struct Aggregator {
    plan: AggregatePlan,
    index: HashMap<Box<[u8]>, usize>,
    groups: Vec<Vec<State>>,
    /// A group's bytes, kept for its capacity.
    key: Vec<u8>,
}

impl Aggregator {
    pub(super) fn new(plan: AggregatePlan) -> Self {
        Aggregator {
            plan,
            index: HashMap::new(),
            groups: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Takes a row of any shard.
    pub(super) fn push(&mut self, row: &impl Cells) -> Result<(), Trouble> {
        group(&self.plan.groups, row, &mut self.key).map_err(Trouble::Malformed)?;
        let at = match self.index.get(self.key.as_slice()) {
            Some(at) => *at,
            None => {
                if self.groups.len() >= self.plan.max_groups {
                    return Err(Trouble::TooManyGroups(self.plan.max_groups));
                }
                self.index
                    .insert(self.key.as_slice().into(), self.groups.len());
                self.groups.push(start(&self.plan.columns, Some(row)));
                self.groups.len() - 1
            }
        };
        let states = self.groups.get_mut(at).into_iter().flatten();
        for (column, state) in states.enumerate() {
            state.add(column, row.cell(column))?;
        }
        Ok(())
    }

    /// The combined rows, in the order that was asked for. There are none after that.
    pub(super) fn finish(&mut self) -> Result<Vec<OwnedRow>, Trouble> {
        if self.groups.is_empty() && self.plan.groups.is_empty() {
            // Without GROUP BY there is always one row.
            self.groups
                .push(start(&self.plan.columns, None::<&OwnedRow>));
        }
        let row = |states: Vec<State>| {
            let cells = states.into_iter().enumerate();
            let cells = cells.map(|(column, state)| state.finish(column));
            cells.collect::<Result<_, _>>().map(OwnedRow)
        };
        let groups = std::mem::take(&mut self.groups);
        let mut rows: Vec<OwnedRow> = groups.into_iter().map(row).collect::<Result<_, _>>()?;
        rows.sort_by(|a, b| self.plan.order.compare(a, b));
        Ok(rows)
    }
}

fn start(columns: &[Output], first: Option<&impl Cells>) -> Vec<State> {
    let state = |(column, output): (usize, &Output)| match *output {
        Output::Group => State::Group(first.and_then(|row| row.cell(column)).map(<[u8]>::to_vec)),
        Output::Count(integer) => State::Count(integer, 0),
        Output::Sum(Addend::Integer(integer)) => State::Integer(integer, None),
        Output::Sum(Addend::Numeric) => State::Numeric(None),
        Output::Sum(float) => State::Float(float, None),
        Output::Extreme(by, which) => State::Extreme(by, which, None),
    };
    columns.iter().enumerate().map(state).collect()
}

impl State {
    fn add(&mut self, column: usize, value: Option<&[u8]>) -> Result<(), Trouble> {
        let malformed = Trouble::Malformed(column);
        match (self, value) {
            (State::Group(_), _) => {}
            (State::Count(..), None) => return Err(Trouble::NullCount(column)),
            (_, None) => {}
            (State::Count(integer, count), Some(value)) => {
                *count += integer.read(value).ok_or(malformed)?;
            }
            (State::Integer(integer, sum), Some(value)) => {
                // 2^64 addends of 64 bits fit.
                *sum = Some(sum.unwrap_or(0) + integer.read(value).ok_or(malformed)?);
            }
            (State::Numeric(sum), Some(value)) => {
                let value = View::of(value).ok_or(malformed)?;
                match sum {
                    Some(sum) => sum.add(value),
                    None => *sum = Some(Sum::of(value)),
                }
            }
            (State::Float(float, sum), Some(value)) => {
                let value = match float {
                    Addend::Float4 => {
                        f32::from_be_bytes(value.try_into().map_err(|_| malformed)?).into()
                    }
                    _ => f64::from_be_bytes(value.try_into().map_err(|_| malformed)?),
                };
                let finite = value.is_finite();
                *sum = Some(match sum {
                    None => FloatSum { value, finite },
                    Some(sum) => FloatSum {
                        value: sum.value + value,
                        finite: sum.finite && finite,
                    },
                });
            }
            (State::Extreme(by, which, best), Some(value)) => {
                if !by.accepts(value) {
                    return Err(malformed);
                }
                let wins = best.as_deref().is_none_or(|best| match which {
                    Combine::Min => by.compare(value, best).is_lt(),
                    _ => by.compare(value, best).is_gt(),
                });
                if wins {
                    *best = Some(value.to_vec());
                }
            }
        }
        Ok(())
    }

    fn finish(self, column: usize) -> Result<Option<Vec<u8>>, Trouble> {
        let overflow = Trouble::Overflow(column);
        Ok(match self {
            State::Group(value) | State::Extreme(_, _, value) => value,
            State::Count(integer, count) => Some(integer.write(count).ok_or(overflow)?),
            State::Integer(integer, sum) => sum
                .map(|sum| integer.write(sum).ok_or(overflow))
                .transpose()?,
            State::Numeric(sum) => sum
                .map(|sum| sum.encode().map_err(|_| overflow))
                .transpose()?,
            State::Float(Addend::Float4, Some(FloatSum { value, finite })) => {
                let value = value as f32;
                if finite && value.is_infinite() {
                    return Err(overflow);
                }
                Some(value.to_be_bytes().to_vec())
            }
            State::Float(_, Some(FloatSum { value, finite })) => {
                if finite && value.is_infinite() {
                    return Err(overflow);
                }
                Some(value.to_be_bytes().to_vec())
            }
            State::Float(_, None) => None,
        })
    }
}

#[cfg(test)]
mod tests;
