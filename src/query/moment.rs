//! `now()` and its like: asked of one server once, and bound, so that all shards have one time.

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Value,
};

use super::bind::{builtin_name, plain_arguments};

/// The parameter that the time is bound as.
pub(super) const PARAMETER: &str = "$0";

/// What stands for a call that asks for the time of the transaction; `None` for others.
pub(super) fn replacement(function: &Function) -> Option<Expr> {
    if function.over.is_some() || function.filter.is_some() {
        return None;
    }
    let name = builtin_name(function)?;
    let bare = matches!(function.args, FunctionArguments::None);
    let args = plain_arguments(function)?;
    let precision = match args.as_slice() {
        [] => String::new(),
        [Expr::Value(value)] => match &value.value {
            Value::Number(number, _) => format!("({})", number.parse::<u8>().ok()?),
            _ => return None,
        },
        _ => return None,
    };
    let ty = match (name.as_str(), bare, args.is_empty()) {
        ("now" | "transaction_timestamp" | "statement_timestamp", false, true) => {
            return Some(cast(parameter(), "timestamptz"));
        }
        ("current_timestamp", ..) => format!("timestamptz{precision}"),
        ("localtimestamp", ..) => format!("timestamp{precision}"),
        ("current_time", ..) => format!("timetz{precision}"),
        ("localtime", ..) => format!("time{precision}"),
        ("current_date", _, true) => "date".to_owned(),
        _ => return None,
    };
    Some(Expr::Nested(Box::new(cast(
        cast(parameter(), "timestamptz"),
        &ty,
    ))))
}

/// What stands for `'now'` and the like as a constant of a type of time; `None` for others.
pub(super) fn of_text(data_type: &DataType, text: &Expr) -> Option<Expr> {
    let Expr::Value(value) = text else {
        return None;
    };
    let Value::SingleQuotedString(text) = &value.value else {
        return None;
    };
    let dated = matches!(data_type, DataType::Date | DataType::Timestamp(..));
    let now = cast(parameter(), "timestamptz");
    let day = |days: i8| {
        let today = cast(now.clone(), "date");
        let number = Value::Number(days.unsigned_abs().to_string(), false);
        Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(today),
            op: match days < 0 {
                true => BinaryOperator::Minus,
                false => BinaryOperator::Plus,
            },
            right: Box::new(Expr::Value(number.with_empty_span())),
        }))
    };
    let moment = match text.trim().to_ascii_lowercase().as_str() {
        "now" if dated || matches!(data_type, DataType::Time(..)) => now,
        "today" if dated => day(0),
        "tomorrow" if dated => day(1),
        "yesterday" if dated => day(-1),
        _ => return None,
    };
    Some(Expr::Nested(Box::new(Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(moment),
        data_type: data_type.clone(),
        format: None,
    })))
}

fn parameter() -> Expr {
    Expr::Value(Value::Placeholder(PARAMETER.to_owned()).with_empty_span())
}

/// A cast to a type that is written as it is given.
pub(super) fn cast(expr: Expr, ty: &str) -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type: DataType::Custom(
            ObjectName(vec![ObjectNamePart::Identifier(Ident::new(ty))]),
            Vec::new(),
        ),
        format: None,
    }
}
