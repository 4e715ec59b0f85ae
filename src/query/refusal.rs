//! What is refused, and what to do instead.

use std::error::Error as StdError;
use std::fmt;

use sqlparser::tokenizer::Span;

use crate::error::{Error, Label};

/// Why a statement is not run over many shards: the construct, where it stands, and the way out.
///
/// ```no_run
/// # async fn example(cluster: pgshard::Cluster) {
/// use pgshard::query::Refusal;
///
/// if let Err(error) = cluster.sql("SELECT random() FROM customers", &[]).query::<(f64,)>().await
///     && let Some(refusal) = Refusal::of(&error)
/// {
///     assert_eq!(refusal.construct(), "random()");
///     assert_eq!(refusal.position(), Some((1, 8)));
///     println!("{}", refusal.instead());
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    construct: String,
    position: Option<(u64, u64)>,
    reason: String,
    instead: String,
}

impl Refusal {
    pub(super) fn new(
        construct: impl Into<String>,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Refusal {
            construct: construct.into(),
            position: None,
            reason: reason.into(),
            instead: instead.into(),
        }
    }

    pub(super) fn at(mut self, span: Span) -> Self {
        let start = span.start;
        if self.position.is_none() && start.line > 0 {
            self.position = Some((start.line, start.column));
        }
        self
    }

    /// The refusal in an error, if it is one of a statement's construct.
    pub fn of(error: &Error) -> Option<&Refusal> {
        error.source()?.downcast_ref()
    }

    /// The construct, as it is written or as SQL calls it.
    pub fn construct(&self) -> &str {
        &self.construct
    }

    /// Line and column, from 1, if the parser tells.
    pub fn position(&self) -> Option<(u64, u64)> {
        self.position
    }

    /// Why it cannot be right over many shards.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do instead.
    pub fn instead(&self) -> &str {
        &self.instead
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.construct)?;
        if let Some((line, column)) = self.position {
            write!(f, " (line {line}, column {column})")?;
        }
        write!(f, ": {}; {}", self.reason, self.instead)
    }
}

impl StdError for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::refused(refusal.to_string())
            .with_label(Label::NOT_SENT)
            .with_source(refusal)
    }
}
