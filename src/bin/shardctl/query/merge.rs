//! How the shards' rows become one answer, as arguments.

use std::str::FromStr;

use pgshard::fanout::{Aggregate, GroupKey, Merge, SortKey};

use crate::exit::Usage;

/// How the shards' rows become one answer.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Merging")]
pub(super) struct Merging {
    /// Merge in this order, which the statement must have too, such as total:desc:nulls-last.
    ///
    /// After the column, each behind a colon: asc or desc; nulls-first or nulls-last; c, which says
    /// that the statement orders this text by COLLATE "C".
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    order_by: Vec<Order>,

    /// Only so many of the merged rows.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Add up these columns, which are sums.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    sum: Vec<String>,

    /// Add up these columns, which are counts.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    count: Vec<String>,

    /// Take the least of these columns, which are minima.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    min: Vec<String>,

    /// Take the greatest of these columns, which are maxima.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    max: Vec<String>,

    /// Combine rows that are equal in these columns, by which the statement groups.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    group_by: Vec<String>,
}

/// A column to order by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Order {
    column: String,
    descending: bool,
    nulls_first: Option<bool>,
    text_c: bool,
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(':');
        let mut order = Order {
            column: words.next().unwrap_or_default().to_owned(),
            ..Order::default()
        };
        if order.column.is_empty() {
            return Err("name a column, such as balance:desc".to_owned());
        }
        for word in words {
            match word {
                "asc" => order.descending = false,
                "desc" => order.descending = true,
                "nulls-first" => order.nulls_first = Some(true),
                "nulls-last" => order.nulls_first = Some(false),
                "c" => order.text_c = true,
                other => {
                    return Err(format!(
                        "{other:?} is none of asc, desc, nulls-first, nulls-last, c"
                    ));
                }
            }
        }
        Ok(order)
    }
}

impl Order {
    fn key(&self) -> SortKey {
        let column = self.column.as_str();
        let key = match self.descending {
            true => SortKey::desc(column),
            false => SortKey::asc(column),
        };
        let key = match self.nulls_first {
            Some(true) => key.nulls_first(),
            Some(false) => key.nulls_last(),
            None => key,
        };
        if self.text_c { key.text_c() } else { key }
    }
}

impl Merging {
    /// Whether texts are compared for equality: the servers are then asked about their collations.
    pub(super) fn groups(&self) -> bool {
        !self.group_by.is_empty()
    }

    /// Refuses `--group-by` without anything to combine.
    pub(super) fn check(&self) -> Result<(), Usage> {
        if self.groups() && !self.combines() {
            return Err(Usage(
                "--group-by needs --count, --sum, --min or --max: say what the other columns are"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether any merge is asked for.
    pub(super) fn is_given(&self) -> bool {
        self.groups() || self.combines() || !self.order_by.is_empty() || self.limit.is_some()
    }

    pub(super) fn merge(&self) -> Merge {
        let keys: Vec<SortKey> = self.order_by.iter().map(Order::key).collect();
        let merge = if self.combines() {
            let mut aggregate = Aggregate::new();
            for column in &self.group_by {
                aggregate = aggregate.group_by(GroupKey::new(column.as_str()).deterministic());
            }
            let each =
                |columns: &[String], start: Aggregate, add: fn(Aggregate, &str) -> Aggregate| {
                    columns
                        .iter()
                        .fold(start, |aggregate, column| add(aggregate, column))
                };
            aggregate = each(&self.count, aggregate, |a, column| a.count(column));
            aggregate = each(&self.sum, aggregate, |a, column| a.sum(column));
            aggregate = each(&self.min, aggregate, |a, column| a.min(column));
            aggregate = each(&self.max, aggregate, |a, column| a.max(column));
            aggregate.order_by(keys).into()
        } else if keys.is_empty() {
            Merge::concat()
        } else {
            Merge::ordered(keys)
        };
        match self.limit {
            Some(rows) => merge.limit(rows),
            None => merge,
        }
    }

    /// Whether rows of several shards become one.
    pub(super) fn combines(&self) -> bool {
        [&self.sum, &self.count, &self.min, &self.max]
            .iter()
            .any(|columns| !columns.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        let order: Order = "balance:desc:nulls-last:c".parse().unwrap();
        assert_eq!(
            order,
            Order {
                column: "balance".into(),
                descending: true,
                nulls_first: Some(false),
                text_c: true
            }
        );
        assert!("".parse::<Order>().is_err());
        assert!("a:up".parse::<Order>().unwrap_err().contains("none of asc"));
    }

    #[test]
    fn groups_need_something_to_combine() {
        let mut merging = Merging {
            group_by: vec!["currency".into()],
            ..Merging::default()
        };
        assert!(merging.check().is_err());
        merging.count.push("n".into());
        assert!(merging.check().is_ok());
    }
}
