//! The questions.

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Sums by a column with five values.
    Aggregate,
    /// The newest hundred, by an index.
    Top,
    /// All rows in the order of an index.
    Ordered,
    /// One row by its key.
    Point,
}

impl Shape {
    pub(crate) const ALL: [Shape; 4] = [Shape::Aggregate, Shape::Top, Shape::Ordered, Shape::Point];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Shape::Aggregate => "aggregate",
            Shape::Top => "top",
            Shape::Ordered => "ordered",
            Shape::Point => "point",
        }
    }

    /// How many answers make one measurement.
    pub(crate) fn repeats(self) -> usize {
        match self {
            Shape::Aggregate | Shape::Ordered => 1,
            Shape::Top => 10,
            Shape::Point => 100,
        }
    }

    /// The statement over the tables of a schema: of one shard, or the views over all. What it answers
    /// for a shard is its part of the whole.
    pub(crate) fn sql(self, schema: &str) -> String {
        match self {
            Shape::Aggregate => format!(
                "SELECT kind, count(*) AS n, sum(amount) AS total FROM {schema}.transactions \
                 GROUP BY kind"
            ),
            Shape::Top => format!(
                "SELECT booked_at, transaction_id, amount FROM {schema}.transactions \
                 ORDER BY booked_at DESC LIMIT 100"
            ),
            Shape::Ordered => format!(
                "SELECT booked_at, transaction_id, amount FROM {schema}.transactions \
                 ORDER BY booked_at"
            ),
            Shape::Point => {
                format!("SELECT full_name FROM {schema}.customers WHERE customer_id = $1")
            }
        }
    }

    /// The statement that a report view is made from, over the tables as the cluster knows them; a point
    /// read has a parameter and is none.
    pub(crate) fn reported(self) -> Option<String> {
        (self != Shape::Point).then(|| self.sql("public"))
    }

    /// The statement that reads the report view.
    pub(crate) fn report_sql(self) -> Option<String> {
        self.reported()?;
        Some(format!("SELECT * FROM reporting.{}", self.view()))
    }

    /// The report view's name.
    pub(crate) fn view(self) -> String {
        format!("report_{}", self.name())
    }
}
