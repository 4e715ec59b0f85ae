//! Checking what was declared against the columns that there are.

use crate::error::{Error, ErrorKind, Phase, Result};

use super::aggregate::{Addend, AggregatePlan, Aggregator, Integer, Output, Trouble};
use super::compare::Comparator;
use super::declare::{Aggregate, ColumnRef, Combine, Kind, Merge, SortKey};
use super::group::{Equality, GroupColumn};
use super::kway::{Kway, Misfit, Step};
use super::order::{Order, OrderKey};
use super::row::{Cells, Column, OwnedRow};
use super::window::Window;

/// A merge whose declaration fits the columns: it cannot give a wrong answer any more.
#[derive(Debug)]
pub(crate) enum Engine<R> {
    /// Rows as they come.
    Concat,
    /// Rows in one order.
    Ordered(OrderedEngine<R>),
    /// Rows combined.
    Combined(CombinedEngine),
}

/// Merges ordered streams.
#[derive(Debug)]
pub(crate) struct OrderedEngine<R> {
    kway: Kway<R>,
    columns: Vec<String>,
}

/// Combines partial aggregates.
#[derive(Debug)]
pub(crate) struct CombinedEngine {
    aggregator: Aggregator,
    columns: Vec<String>,
}

impl Merge {
    /// Checks the declaration against the columns of the result.
    pub(crate) fn engine<R: Cells>(&self, columns: &[Column], shards: usize) -> Result<Engine<R>> {
        let names = || columns.iter().map(|column| column.name.clone()).collect();
        Ok(match &self.kind {
            Kind::Concat => Engine::Concat,
            Kind::Ordered(keys) if keys.is_empty() => {
                return Err(refused("an ordered merge needs a column to order by"));
            }
            Kind::Ordered(keys) => Engine::Ordered(OrderedEngine {
                kway: Kway::new(order(keys, columns)?, shards),
                columns: names(),
            }),
            Kind::Aggregate(aggregate) => Engine::Combined(CombinedEngine {
                aggregator: Aggregator::new(plan(aggregate, columns)?),
                columns: names(),
            }),
        })
    }

    /// LIMIT and OFFSET.
    pub(crate) fn window(&self) -> Window {
        Window::new(self.offset, self.limit)
    }

    /// Whether rows are merged in an order.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.kind, Kind::Ordered(_))
    }

    /// Whether it may have enough before the shards have given all.
    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether rows are combined rather than passed on.
    pub(crate) fn combines(&self) -> bool {
        matches!(self.kind, Kind::Aggregate(_))
    }
}

impl<R: Cells> OrderedEngine<R> {
    /// What to do next.
    pub(crate) fn step(&mut self) -> Step<(usize, R)> {
        self.kway.step()
    }

    /// The shard has no more rows.
    pub(crate) fn end(&mut self, shard: usize) {
        self.kway.end(shard);
    }

    /// Takes a shard's next row.
    pub(crate) fn push(&mut self, shard: usize, row: R) -> Result<()> {
        self.kway.push(shard, row).map_err(|misfit| match misfit {
            Misfit::Malformed => malformed(&self.columns, None),
            Misfit::Unordered => refused(
                "the shard's rows do not come in the declared order: give the statement the same \
                 ORDER BY, with the same directions, NULLS and collations",
            ),
        })
    }
}

impl CombinedEngine {
    /// Takes a row of any shard.
    pub(crate) fn push(&mut self, row: &impl Cells) -> Result<()> {
        self.aggregator
            .push(row)
            .map_err(|trouble| explain(&self.columns, trouble))
    }

    /// The combined rows.
    pub(crate) fn finish(&mut self) -> Result<Vec<OwnedRow>> {
        self.aggregator
            .finish()
            .map_err(|trouble| explain(&self.columns, trouble))
    }
}

fn explain(columns: &[String], trouble: Trouble) -> Error {
    let name = |at: usize| columns.get(at).map_or("?", String::as_str);
    match trouble {
        Trouble::Malformed(at) => malformed(columns, Some(at)),
        Trouble::NullCount(at) => refused(format!(
            "column \"{}\" is declared as a count, but a shard's value is NULL: declare what it is",
            name(at)
        )),
        Trouble::Overflow(at) => refused(format!(
            "the sum of column \"{}\" over all shards does not fit its type: cast it to numeric in \
             the statement",
            name(at)
        )),
        Trouble::TooManyGroups(max) => refused(format!(
            "the answer has more than {max} groups: raise max_groups(), or select fewer"
        )),
    }
}

fn malformed(columns: &[String], at: Option<usize>) -> Error {
    let name = at.and_then(|at| columns.get(at)).map_or("", String::as_str);
    Error::new(
        ErrorKind::Decode,
        format!("a value of a merged column {name:?} is not in its type's binary format"),
    )
    .in_phase(Phase::Merge)
}

/// Refuses columns of a shard that are not those of the others.
pub(crate) fn check_same(first: &[Column], columns: &[Column]) -> Result<()> {
    // A type that is not built in has another number on each server.
    let same = |(a, b): (&Column, &Column)| {
        a.name == b.name && a.ty.name() == b.ty.name() && a.ty.schema() == b.ty.schema()
    };
    if first.len() == columns.len() && first.iter().zip(columns).all(same) {
        return Ok(());
    }
    let list = |columns: &[Column]| {
        let columns = columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.ty));
        columns.collect::<Vec<_>>().join(", ")
    };
    Err(refused(format!(
        "the shards' answers have different columns, ({}) here and ({}) elsewhere: bring their \
         schemas to one version",
        list(columns),
        list(first)
    )))
}

fn refused(message: impl Into<String>) -> Error {
    Error::refused(message).in_phase(Phase::Merge)
}

fn find(column: &ColumnRef, columns: &[Column]) -> Result<usize> {
    let names = || {
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        names.join(", ")
    };
    match column {
        ColumnRef::Position(at) if *at < columns.len() => Ok(*at),
        ColumnRef::Position(at) => Err(refused(format!(
            "there is no column at position {at}: the result has {}, counted from 0",
            names()
        ))),
        ColumnRef::Name(name) => {
            let mut found = (0..)
                .zip(columns)
                .filter(|(_, column)| column.name == *name);
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok(at),
                (None, _) => Err(refused(format!(
                    "there is no column \"{name}\": the result has {}",
                    names()
                ))),
                (Some(_), Some(_)) => Err(refused(format!(
                    "there is more than one column \"{name}\": give them different names"
                ))),
            }
        }
    }
}

fn order(keys: &[SortKey], columns: &[Column]) -> Result<Order> {
    let key = |key: &SortKey| {
        let at = find(&key.column, columns)?;
        Ok(OrderKey {
            column: at,
            by: comparator(columns, at, key.text_c)?,
            descending: key.descending,
            nulls_first: key.nulls_first,
        })
    };
    keys.iter().map(key).collect::<Result<_>>().map(Order)
}

fn comparator(columns: &[Column], at: usize, text_c: bool) -> Result<Comparator> {
    typed(columns, at, |ty| Comparator::of(ty, text_c))
}

fn typed<T>(
    columns: &[Column],
    at: usize,
    of: impl FnOnce(&postgres_types::Type) -> Result<T, String>,
) -> Result<T> {
    match columns.get(at) {
        Some(column) => {
            of(&column.ty).map_err(|why| refused(format!("column \"{}\": {why}", column.name)))
        }
        None => Err(refused("there is no such column")),
    }
}

fn plan(aggregate: &Aggregate, columns: &[Column]) -> Result<AggregatePlan> {
    let mut outputs: Vec<Option<Output>> = vec![None; columns.len()];
    let mut declare = |at: usize, output| match outputs.get_mut(at) {
        Some(slot @ None) => {
            *slot = Some(output);
            Ok(())
        }
        _ => Err(refused(format!(
            "column {} is declared twice: declare it once",
            columns.get(at).map_or("?", |column| column.name.as_str())
        ))),
    };
    let mut groups = Vec::new();
    for key in &aggregate.groups {
        let column = find(&key.column, columns)?;
        let equality = typed(columns, column, |ty| Equality::of(ty, key.deterministic))?;
        declare(column, Output::Group)?;
        groups.push(GroupColumn { column, equality });
    }
    for (column, how) in &aggregate.combined {
        let at = find(column, columns)?;
        declare(at, combined(columns, at, *how, aggregate.text_c)?)?;
    }
    let mut known = Vec::new();
    for (output, column) in outputs.into_iter().zip(columns) {
        known.push(output.ok_or_else(|| undeclared(&column.name))?);
    }
    Ok(AggregatePlan {
        groups,
        columns: known,
        order: order(&aggregate.order, columns)?,
        max_groups: aggregate.max_groups,
    })
}

fn combined(columns: &[Column], at: usize, how: Combine, text_c: bool) -> Result<Output> {
    typed(columns, at, |ty| {
        // PostgreSQL names a column after its aggregate.
        if columns
            .get(at)
            .is_some_and(|column| is_average(&column.name))
        {
            return Err(AVERAGE.to_owned());
        }
        match how {
            Combine::Count => Integer::of(ty)
                .map(Output::Count)
                .ok_or_else(|| format!("a count is a bigint, not {ty}")),
            Combine::Sum => Addend::of(ty).map(Output::Sum).ok_or_else(|| {
                format!("values of type {ty} are not added up here: cast the sum to numeric")
            }),
            Combine::Min | Combine::Max => {
                let by = Comparator::of(ty, text_c).map_err(|why| format!("{}: {why}", how.name()));
                Ok(Output::Extreme(by?, how))
            }
        }
    })
}

const AVERAGE: &str = "an average, deviation or variance of all rows does not follow from those of \
                       the shards: select sum(x) and count(x), declare them, and divide";

fn is_average(name: &str) -> bool {
    name == "avg"
        || ["stddev", "var_", "variance"]
            .iter()
            .any(|start| name.starts_with(start))
}

fn undeclared(name: &str) -> Error {
    if is_average(name) {
        return refused(format!("column \"{name}\": {AVERAGE}"));
    }
    refused(format!(
        "column \"{name}\" is not declared: say whether it is a group key, a count, a sum, a \
         minimum or a maximum"
    ))
}

#[cfg(test)]
mod tests {
    use postgres_types::Type;

    use super::super::{GroupKey, SortKey};
    use super::*;

    fn columns(columns: &[(&str, Type)]) -> Vec<Column> {
        let column = |(name, ty): &(&str, Type)| Column {
            name: (*name).to_owned(),
            ty: ty.clone(),
        };
        columns.iter().map(column).collect()
    }

    fn refusal(merge: impl Into<Merge>, of: &[(&str, Type)]) -> String {
        let error = merge
            .into()
            .engine::<OwnedRow>(&columns(of), 2)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_not_declared_is_refused() {
        let of = [
            ("segment", Type::TEXT),
            ("n", Type::INT8),
            ("total", Type::NUMERIC),
        ];
        let by = Aggregate::new()
            .group_by(GroupKey::new("segment").deterministic())
            .count("n");
        assert!(refusal(by.clone(), &of).contains("\"total\" is not declared"));
        assert!(refusal(by.clone().sum("total").max("n"), &of).contains("declared twice"));
        assert!(
            refusal(by.clone().sum("totals"), &of).contains("the result has segment, n, total")
        );
        assert!(refusal(by.clone().sum(3), &of).contains("no column at position 3"));
        assert!(
            by.clone()
                .sum(2)
                .limit(1)
                .engine::<OwnedRow>(&columns(&of), 2)
                .is_ok()
        );
        let undetermined = Aggregate::new().group_by("segment").count("n").sum("total");
        assert!(refusal(undetermined, &of).contains("deterministic()"));
        let twice = [("n", Type::INT8), ("n", Type::INT8)];
        assert!(refusal(Aggregate::new().count("n"), &twice).contains("more than one column"));
    }

    #[test]
    fn averages_are_refused_with_advice() {
        let of = [("avg", Type::NUMERIC)];
        assert!(refusal(Aggregate::new(), &of).contains("sum(x) and count(x)"));
        assert!(refusal(Aggregate::new().sum("avg"), &of).contains("sum(x) and count(x)"));
        assert!(
            refusal(Aggregate::new().max(0), &[("stddev_pop", Type::FLOAT8)]).contains("sum(x)")
        );
    }

    #[test]
    fn types_that_do_not_combine_are_refused() {
        assert!(
            refusal(Aggregate::new().sum(0), &[("t", Type::INTERVAL)]).contains("cast the sum")
        );
        assert!(refusal(Aggregate::new().count(0), &[("t", Type::TEXT)]).contains("bigint"));
        assert!(refusal(Aggregate::new().min(0), &[("t", Type::TEXT)]).contains("text_c()"));
        assert!(refusal(Aggregate::new().group_by(0), &[("t", Type::JSONB)]).contains("cast"));
        let ordered = |key| Merge::ordered([key]);
        assert!(refusal(ordered(SortKey::asc(0)), &[("t", Type::TEXT)]).contains("text_c()"));
        assert!(
            refusal(ordered(SortKey::asc(0)), &[("t", Type::JSON)]).contains("cast the column")
        );
        assert!(refusal(Merge::ordered([]), &[("t", Type::INT4)]).contains("needs a column"));
    }
}
