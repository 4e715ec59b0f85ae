//! Subqueries that are run first, so that the shards can judge the condition that they stand in.
//!
//! A subquery that names nothing outside of it has one answer for all rows. Where its rows are on several
//! shards, a condition with it could only be judged where all rows are gathered; with its answer as a
//! parameter it goes to the shards.

use sqlparser::ast::{BinaryOperator, Expr, InTarget, Query, SetExpr, UnaryOperator, Value};

use super::{Work, output_names};
use crate::query::bind::position;
use crate::query::closed;
use crate::query::keys::Col;
use crate::query::shape::limit_of;
use crate::query::spread::Spread;
use crate::query::tree::{self, NodeMut};

/// A subquery whose answer becomes a parameter.
#[derive(Clone, Debug)]
pub(in crate::query) struct First {
    pub(in crate::query) query: Query,
    pub(in crate::query) answer: AnswerKind,
}

/// What of the answer is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::query) enum AnswerKind {
    /// The only value, NULL for no row.
    Value,
    /// All values of the only column.
    List,
    /// Whether there is a row.
    Exists,
}

/// The parameter that stands for an answer.
pub(in crate::query) fn parameter(at: usize) -> String {
    format!("$f{at}")
}

/// The number of such a parameter.
pub(in crate::query) fn number(name: &str) -> Option<usize> {
    name.strip_prefix("$f")?.parse().ok()
}

fn placeholder(at: usize) -> Expr {
    Expr::Value(Value::Placeholder(parameter(at)).with_empty_span())
}

impl Work<'_> {
    /// The condition with parameters in the place of subqueries, if the shards can judge it then.
    pub(super) fn with_firsts(&mut self, condition: &Expr, keys: &[Col]) -> Option<Expr> {
        if !self.splits {
            return None;
        }
        let known = self.firsts.len();
        let mut changed = condition.clone();
        self.put_firsts(&mut changed);
        if self.firsts.len() > known && self.analysis.is_near(&changed, keys) {
            return Some(changed);
        }
        self.firsts.truncate(known);
        None
    }

    fn put_firsts(&mut self, expr: &mut Expr) {
        let replacement = match expr {
            Expr::Subquery(query) => self.first(query, AnswerKind::Value).map(placeholder),
            Expr::Exists { subquery, negated } => {
                let negated = *negated;
                self.first(subquery, AnswerKind::Exists)
                    .map(|at| match negated {
                        false => placeholder(at),
                        true => Expr::UnaryOp {
                            op: UnaryOperator::Not,
                            expr: Box::new(placeholder(at)),
                        },
                    })
            }
            Expr::In {
                expr: left,
                target: InTarget::Subquery(query),
                negated,
                ..
            } if !matches!(tree::bare(left), Expr::Tuple(_)) => {
                let (left, negated) = (left.clone(), *negated);
                self.first(query, AnswerKind::List).map(|at| match negated {
                    false => Expr::AnyOp {
                        left,
                        compare_op: BinaryOperator::Eq,
                        right: Box::new(placeholder(at)),
                        is_some: false,
                    },
                    true => Expr::AllOp {
                        left,
                        compare_op: BinaryOperator::NotEq,
                        right: Box::new(placeholder(at)),
                    },
                })
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            *expr = Expr::Nested(Box::new(replacement));
        }
        tree::children_mut(expr, &mut |node| {
            if let NodeMut::Expr(inner) = node {
                self.put_firsts(inner);
            }
        });
    }

    /// Notes a subquery to be run first; `None` if it depends on the row, or needs not be.
    fn first(&mut self, query: &Query, answer: AnswerKind) -> Option<usize> {
        // A CTE is one set of rows wherever it is named; run twice, it might be two.
        if !closed::free(query).is_empty() || !closed::free_ctes(query).is_empty() {
            return None;
        }
        if self.analysis.query(query, &[]) == Spread::Same {
            return None;
        }
        let mut query = query.clone();
        let width = output_names(&query).len();
        if answer == AnswerKind::Exists {
            if width == 0
                && let SetExpr::Select(select) = query.body.as_mut()
            {
                let one = sqlparser::ast::SelectItem::UnnamedExpr(position(0));
                select.projection.push(one);
            }
            if query.limit_clause.is_none() && query.fetch.is_none() {
                query.limit_clause = Some(limit_of(Some(position(0)), None));
            }
        } else if width != 1 {
            return None;
        }
        self.firsts.push(First { query, answer });
        Some(self.firsts.len() - 1)
    }
}
