//! `eq`, `ne`, `lt` and their kin: Go compares only values of the same basic kind.

use std::cmp::Ordering;

use super::value::Value;

/// What a comparison asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Compares the first argument with the second; `eq` with any of the others.
pub(super) fn compare(comparison: Comparison, arguments: &[Value]) -> Result<Value, String> {
    let [first, rest @ ..] = arguments else {
        return Err("missing argument for comparison".to_owned());
    };
    if rest.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    if comparison != Comparison::Equal && rest.len() > 1 {
        return Err("wrong number of args: want 2".to_owned());
    }
    for second in rest {
        if holds(comparison, first, second)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn holds(comparison: Comparison, a: &Value, b: &Value) -> Result<bool, String> {
    match comparison {
        Comparison::Equal => equal(a, b),
        Comparison::NotEqual => equal(a, b).map(|is_equal| !is_equal),
        Comparison::Less => Ok(order(a, b)? == Some(Ordering::Less)),
        Comparison::LessOrEqual => {
            Ok(matches!(order(a, b)?, Some(Ordering::Less | Ordering::Equal)))
        }
        Comparison::Greater => Ok(order(a, b)? == Some(Ordering::Greater)),
        Comparison::GreaterOrEqual => {
            Ok(matches!(order(a, b)?, Some(Ordering::Greater | Ordering::Equal)))
        }
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ => Ok(order(a, b)? == Some(Ordering::Equal)),
    }
}

/// The order of two values of the same kind; nothing where one is not a number.
fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => {
            Ok(Some(a.cmp(b)))
        }
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
        (a, b) if is_basic(a) && is_basic(b) => Err("incompatible types for comparison".to_owned()),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn is_basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_))
}
