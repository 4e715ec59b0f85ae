//! Which columns are known to be equal.

use std::collections::HashMap;

use sqlparser::ast::{BinaryOperator, Expr};

use super::keys::{self, Col};
use super::tree::{bare, conjuncts};
use crate::routing::KeyType;

/// A column, or a constant as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Member {
    Col(Col),
    Constant(String),
}

/// Columns and constants that are equal in every row that counts.
///
/// Only columns of the key's type take part: equality is not transitive between types.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    numbers: HashMap<Member, usize>,
    parents: Vec<usize>,
}

impl Classes {
    /// Takes up the equalities of a condition that holds.
    pub(super) fn learn(
        &mut self,
        condition: &Expr,
        key_type: KeyType,
        is_of_key_type: &dyn Fn(&Col) -> bool,
    ) {
        let member = |expr: &Expr| match keys::col(expr) {
            Some(col) => is_of_key_type(&col).then_some(Member::Col(col)),
            None => keys::term(expr, key_type).map(|_| Member::Constant(bare(expr).to_string())),
        };
        for conjunct in conjuncts(condition) {
            if let Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } = conjunct
                && let (Some(left), Some(right)) = (member(left), member(right))
            {
                let (left, right) = (self.number(left), self.number(right));
                let (left, right) = (self.root(left), self.root(right));
                if let Some(parent) = self.parents.get_mut(left) {
                    *parent = right;
                }
            }
        }
    }

    /// Whether two columns are known to be equal.
    pub(super) fn equal(&self, a: &Col, b: &Col) -> bool {
        a == b || matches!((self.class(a), self.class(b)), (Some(a), Some(b)) if a == b)
    }

    fn class(&self, col: &Col) -> Option<usize> {
        let number = self.numbers.get(&Member::Col(col.clone()))?;
        Some(self.root(*number))
    }

    fn number(&mut self, member: Member) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(member).or_insert(next);
        if number == next {
            self.parents.push(next);
        }
        number
    }

    fn root(&self, mut at: usize) -> usize {
        while let Some(parent) = self.parents.get(at).copied()
            && parent != at
        {
            at = parent;
        }
        at
    }
}
