//! Which keys a condition lets through.

use sqlparser::ast::{BinaryOperator, DataType, Expr, InTarget, Value};

use super::tree::bare;
use crate::routing::KeyType;

/// A value that a key is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Term {
    /// A parameter, from 1.
    Param(usize),
    /// All elements of a parameter that is an array.
    Array(usize),
    /// A literal's text.
    Literal(String),
}

/// A key's column: alias and name.
pub(super) type Col = (String, String);

/// The column that an expression is.
pub(super) fn col(expr: &Expr) -> Option<Col> {
    match bare(expr) {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [alias, name] => Some((alias.value.clone(), name.value.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// The keys that a condition allows, of a column that is one: any of these. `None`: it says nothing of
/// the key. An empty list: none can be right.
pub(super) fn allowed(
    condition: &Expr,
    key_type: KeyType,
    is_key: &dyn Fn(&Col) -> bool,
) -> Option<Vec<Term>> {
    let key = |expr: &Expr| col(expr).is_some_and(|col| is_key(&col));
    match bare(condition) {
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Eq if key(left) => term(right, key_type),
            BinaryOperator::Eq if key(right) => term(left, key_type),
            BinaryOperator::And => {
                allowed(left, key_type, is_key).or_else(|| allowed(right, key_type, is_key))
            }
            BinaryOperator::Or => {
                let mut terms = allowed(left, key_type, is_key)?;
                terms.extend(allowed(right, key_type, is_key)?);
                Some(terms)
            }
            _ => None,
        },
        Expr::In {
            expr,
            target: InTarget::List(list),
            negated: false,
            ..
        } if key(expr) => {
            let mut terms = Vec::new();
            for element in list {
                terms.extend(term(element, key_type)?);
            }
            Some(terms)
        }
        Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } if key(left) => array(right, key_type),
        _ => None,
    }
}

/// A constant, and what no key can be equal to.
pub(super) fn term(expr: &Expr, key_type: KeyType) -> Option<Vec<Term>> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(vec![Term::Param(number(name)?)]),
            Value::Null => Some(Vec::new()),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                literal(text, key_type)
            }
            Value::Number(text, false) if key_type == KeyType::BigInt => literal(text, key_type),
            _ => None,
        },
        Expr::UnaryOp {
            op: sqlparser::ast::UnaryOperator::Minus,
            expr,
        } if key_type == KeyType::BigInt => match bare(expr) {
            Expr::Value(value) => match &value.value {
                Value::Number(text, false) => literal(&format!("-{text}"), key_type),
                _ => None,
            },
            _ => None,
        },
        Expr::Cast {
            expr, data_type, ..
        } if is_key_type(data_type, key_type) => term(expr, key_type),
        Expr::TypedString(typed) if is_key_type(&typed.data_type, key_type) => {
            match &typed.value.value {
                Value::SingleQuotedString(text) => literal(text, key_type),
                _ => None,
            }
        }
        _ => None,
    }
}

fn literal(text: &str, key_type: KeyType) -> Option<Vec<Term>> {
    key_type.parse(text)?;
    Some(vec![Term::Literal(text.to_owned())])
}

fn array(expr: &Expr, key_type: KeyType) -> Option<Vec<Term>> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(vec![Term::Array(number(name)?)]),
            _ => None,
        },
        Expr::Array(array) => {
            let mut terms = Vec::new();
            for element in &array.elem {
                terms.extend(term(element, key_type)?);
            }
            Some(terms)
        }
        Expr::Cast {
            expr,
            data_type: DataType::Array(element),
            ..
        } => match element {
            sqlparser::ast::ArrayElemTypeDef::SquareBracket(ty, _) if is_key_type(ty, key_type) => {
                array(expr, key_type)
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_key_type(data_type: &DataType, key_type: KeyType) -> bool {
    match key_type {
        KeyType::Uuid => matches!(data_type, DataType::Uuid),
        KeyType::BigInt => matches!(
            data_type,
            DataType::BigInt(None)
                | DataType::Int8(None)
                | DataType::Int(None)
                | DataType::Integer(None)
                | DataType::Int4(None)
                | DataType::SmallInt(None)
                | DataType::Int2(None)
        ),
        KeyType::Text => matches!(data_type, DataType::Text),
    }
}

/// The number of a parameter's name.
pub(super) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)
}
