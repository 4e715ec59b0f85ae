//! What a caller may ask a merge to do.

/// How the shards' rows become one answer.
///
/// The statement runs as it is on every shard, so it must be one whose answer over all rows follows
/// from its answers over the shards' rows. The merge does not guess: it is told, and refuses what it
/// cannot prove to be what one database would have answered.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    pub(super) kind: Kind,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Kind {
    #[default]
    Concat,
    Ordered(Vec<SortKey>),
    Aggregate(Aggregate),
}

impl Merge {
    /// All rows of all shards, in the order in which they arrive.
    pub fn concat() -> Self {
        Merge::default()
    }

    /// All rows in one order, merged while they stream. The statement must have the same ORDER BY:
    /// a shard whose rows come in another order is an error.
    pub fn ordered(keys: impl IntoIterator<Item = SortKey>) -> Self {
        Merge {
            kind: Kind::Ordered(keys.into_iter().collect()),
            ..Merge::default()
        }
    }

    /// Ends after so many rows, and ends the shards' work with them. Add a LIMIT of offset + limit
    /// to the statement where it can help the servers.
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Leaves out the first rows of the merged answer. The statement itself must not have an
    /// OFFSET.
    pub fn offset(mut self, rows: u64) -> Self {
        self.offset = rows;
        self
    }
}

impl From<Aggregate> for Merge {
    fn from(aggregate: Aggregate) -> Self {
        Merge {
            kind: Kind::Aggregate(aggregate),
            ..Merge::default()
        }
    }
}

/// A column of the result, by name or by position from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnRef {
    /// By name; it must be the name of one column only.
    Name(String),
    /// By position, from 0.
    Position(usize),
}

impl From<&str> for ColumnRef {
    fn from(name: &str) -> Self {
        ColumnRef::Name(name.to_owned())
    }
}

impl From<String> for ColumnRef {
    fn from(name: String) -> Self {
        ColumnRef::Name(name)
    }
}

impl From<usize> for ColumnRef {
    fn from(position: usize) -> Self {
        ColumnRef::Position(position)
    }
}

/// A column to order by.
///
/// Orders that are known to be PostgreSQL's: of bool, integers, floats, numeric, uuid, bytea, date,
/// time, timestamps, and of texts whose collation is "C".
#[derive(Clone, Debug)]
pub struct SortKey {
    pub(super) column: ColumnRef,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
    pub(super) text_c: bool,
}

impl SortKey {
    /// Ascending, NULLs last, as in PostgreSQL.
    pub fn asc(column: impl Into<ColumnRef>) -> Self {
        SortKey {
            column: column.into(),
            descending: false,
            nulls_first: false,
            text_c: false,
        }
    }

    /// Descending, NULLs first, as in PostgreSQL.
    pub fn desc(column: impl Into<ColumnRef>) -> Self {
        SortKey {
            descending: true,
            nulls_first: true,
            ..SortKey::asc(column)
        }
    }

    /// `NULLS FIRST`.
    pub fn nulls_first(mut self) -> Self {
        self.nulls_first = true;
        self
    }

    /// `NULLS LAST`.
    pub fn nulls_last(mut self) -> Self {
        self.nulls_first = false;
        self
    }

    /// States that the statement orders this text by the collation "C": the answer does not tell.
    pub fn text_c(mut self) -> Self {
        self.text_c = true;
        self
    }
}

/// A column whose equal values make a group.
///
/// A text column needs [`deterministic`](GroupKey::deterministic).
#[derive(Clone, Debug)]
pub struct GroupKey {
    pub(super) column: ColumnRef,
    pub(super) deterministic: bool,
}

impl GroupKey {
    /// A column of GROUP BY.
    pub fn new(column: impl Into<ColumnRef>) -> Self {
        GroupKey {
            column: column.into(),
            deterministic: false,
        }
    }

    /// States that the collation of this text is deterministic, as all are that were not created
    /// with `deterministic = false`: then only equal bytes are equal. The answer does not tell.
    pub fn deterministic(mut self) -> Self {
        self.deterministic = true;
        self
    }
}

impl<C: Into<ColumnRef>> From<C> for GroupKey {
    fn from(column: C) -> Self {
        GroupKey::new(column)
    }
}

/// Combines partial aggregates: says of every column of the result what it is.
///
/// Each column keeps its type. A sum that does not fit its integer type is refused; sums of numeric
/// are exact; sums of floats depend on the order of addition in the last digits, as they do in
/// PostgreSQL. An average is not a combination of averages: select `sum(x)` and `count(x)`.
///
/// ```
/// use pgshard::fanout::{Aggregate, GroupKey, SortKey};
///
/// // SELECT segment, count(*) AS n, sum(balance) AS total FROM … GROUP BY segment
/// let report = Aggregate::new()
///     .group_by(GroupKey::new("segment").deterministic())
///     .count("n")
///     .sum("total")
///     .order_by([SortKey::desc("total")])
///     .limit(10);
/// ```
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub(super) groups: Vec<GroupKey>,
    pub(super) combined: Vec<(ColumnRef, Combine)>,
    pub(super) order: Vec<SortKey>,
    pub(super) max_groups: usize,
    pub(super) text_c: bool,
}

/// How the partial values of a column become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combine {
    Count,
    Sum,
    Min,
    Max,
}

impl Combine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Combine::Count => "count",
            Combine::Sum => "sum",
            Combine::Min => "min",
            Combine::Max => "max",
        }
    }
}

impl Default for Aggregate {
    fn default() -> Self {
        Aggregate {
            groups: Vec::new(),
            combined: Vec::new(),
            order: Vec::new(),
            max_groups: 100_000,
            text_c: false,
        }
    }
}

impl Aggregate {
    /// Nothing declared yet. Without a group key the answer is one row.
    pub fn new() -> Self {
        Aggregate::default()
    }

    /// The column is one of GROUP BY. NULLs make one group.
    pub fn group_by(mut self, key: impl Into<GroupKey>) -> Self {
        self.groups.push(key.into());
        self
    }

    /// The column is a `count(…)`: added up, 0 if there are no rows.
    pub fn count(self, column: impl Into<ColumnRef>) -> Self {
        self.combine(column, Combine::Count)
    }

    /// The column is a `sum(…)`: added up, NULL if there is nothing to add.
    pub fn sum(self, column: impl Into<ColumnRef>) -> Self {
        self.combine(column, Combine::Sum)
    }

    /// The column is a `min(…)`: the least, NULL if there is none.
    pub fn min(self, column: impl Into<ColumnRef>) -> Self {
        self.combine(column, Combine::Min)
    }

    /// The column is a `max(…)`: the greatest, NULL if there is none.
    pub fn max(self, column: impl Into<ColumnRef>) -> Self {
        self.combine(column, Combine::Max)
    }

    fn combine(mut self, column: impl Into<ColumnRef>, how: Combine) -> Self {
        self.combined.push((column.into(), how));
        self
    }

    /// States that every text of a `min` or `max` is compared by the collation "C": the answer does
    /// not tell.
    pub fn text_c(mut self) -> Self {
        self.text_c = true;
        self
    }

    /// The order of the merged rows; any if it is not given.
    pub fn order_by(mut self, keys: impl IntoIterator<Item = SortKey>) -> Self {
        self.order = keys.into_iter().collect();
        self
    }

    /// The most groups to hold in memory, 100,000 if it is not set; more are refused.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.max_groups = groups;
        self
    }

    /// The first rows of the order only. It cuts the merged answer: the statement itself must not
    /// have a LIMIT, which would cut groups before they are complete.
    pub fn limit(self, rows: u64) -> Merge {
        Merge::from(self).limit(rows)
    }
}
