//! Making one kind of value of another.

use super::Fault;
use super::func::Func;
use super::json::{Kind, kind_of};
use super::value::Value;
use super::{number, write};
use jiff::SignedDuration;

/// `int(x)`, `uint(x)`, `double(x)`, `string(x)`, `bool(x)`, `bytes(x)`.
pub fn to<'a>(f: Func, v: &Value<'a>) -> Result<Value<'a>, Fault> {
    let bad = |t: &str| Fault::new(format!("`{}` of {t:?} is not possible", f.usage()));
    match (f, v) {
        (Func::Int, Value::Int(i)) => Ok(Value::Int(*i)),
        (Func::Int, Value::Double(d)) if d.abs() < number::TWO_63 => Ok(Value::Int(*d as i64)),
        (Func::Int, Value::Double(_)) => Err(Fault::overflow()),
        (Func::Int, Value::Text(t)) => t.parse().map(Value::Int).map_err(|_| bad(t)),
        (Func::Int, Value::Timestamp(t)) => Ok(Value::Int(t.second())),
        // an unsigned number is a whole number that is not below zero
        (Func::Uint, Value::Int(i)) if *i >= 0 => Ok(Value::Int(*i)),
        (Func::Uint, Value::Double(d)) if (0.0..number::TWO_63 * 2.0).contains(d) => Ok(number::unsigned(*d as u64)),
        (Func::Uint, Value::Json(raw)) if number::is_digits(raw) => {
            raw.parse().map(number::unsigned).map_err(|_| Fault::overflow())
        }
        (Func::Uint, Value::Json(raw)) if !raw.starts_with(['[', '{']) => to(f, &v.clone().plain()?),
        (Func::Uint, Value::Int(_) | Value::Double(_)) => Err(Fault::overflow()),
        (Func::Uint, Value::Text(t)) => {
            let digits = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            t.parse().ok().filter(|_| digits).map(number::unsigned).ok_or_else(|| bad(t))
        }
        (Func::Double, Value::Double(d)) => Ok(Value::Double(*d)),
        (Func::Double, Value::Int(i)) => Ok(Value::Double(*i as f64)),
        (Func::Double, Value::Text(t)) => {
            t.parse().ok().filter(|d: &f64| d.is_finite()).map(Value::Double).ok_or_else(|| bad(t))
        }
        (Func::Bool, Value::Bool(b)) => Ok(Value::Bool(*b)),
        (Func::Bool, Value::Text(t)) => match t.as_ref() {
            "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(Value::Bool(false)),
            other => Err(bad(other)),
        },
        (Func::Bytes, Value::Text(t)) => Ok(Value::Bytes(t.as_bytes().to_vec().into())),
        (Func::Bytes, Value::Bytes(b)) => Ok(Value::Bytes(b.clone())),
        (Func::Text, Value::Text(t)) => Ok(Value::Text(t.clone())),
        (Func::Text, Value::Double(d)) => Ok(Value::Text(number::double_text(*d).into())),
        (Func::Text, Value::Json(raw)) if number::is_digits(raw) => {
            let digits = number::canonical(v).unwrap_or_default();
            Ok(Value::Text(digits.into())) // what is too large to compute with can be said
        }
        (Func::Text, Value::Json(raw)) if !raw.starts_with(['[', '{']) => to(f, &v.clone().plain()?),
        (Func::Text, Value::Optional(_)) => Err(f.mismatch(std::slice::from_ref(v))),
        (Func::Text, v) => write::text(v).map(|t| Value::Text(t.into())),
        (f, v) => Err(f.mismatch(std::slice::from_ref(v))),
    }
}

/// The name of a type, as CEL has it.
pub fn type_of(v: &Value<'_>) -> &'static str {
    match v {
        Value::Null => "null_type",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Double(_) => "double",
        Value::Text(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Json(raw) => match kind_of(raw) {
            Kind::List => "list",
            Kind::Object => "map",
            Kind::Text => "string",
            _ if number::is_digits(raw) => "int",
            _ => "double",
        },
        Value::Timestamp(_) => "google.protobuf.Timestamp",
        Value::Duration(_) => "google.protobuf.Duration",
        Value::Optional(_) => "optional_type",
        Value::Type(_) => "type",
    }
}

/// Types that an expression may name.
pub fn type_named(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 11] =
        ["null_type", "bool", "int", "uint", "double", "string", "bytes", "list", "map", "optional_type", "type"];
    NAMES.into_iter().find(|n| *n == name)
}

/// What there is of an optional.
pub fn optional<'a>(f: Func, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    match (f, args) {
        (Func::HasValue, [Value::Optional(o)]) => Ok(Value::Bool(o.is_some())),
        (Func::Value, [Value::Optional(o)]) => {
            o.as_ref().map(|v| (**v).clone()).ok_or_else(|| Fault::new("value() of something that is not there"))
        }
        (Func::OptionalOf, [v]) => Ok(Value::Optional(Some(Box::new(v.clone())))),
        (Func::OptionalOfNonZero, [v]) => Ok(Value::Optional((!is_zero(v)?).then(|| Box::new(v.clone())))),
        (Func::OptionalNone, []) => Ok(Value::Optional(None)),
        _ => Err(f.mismatch(args)),
    }
}

/// Whether a value is the one that says nothing of its kind.
fn is_zero(v: &Value<'_>) -> Result<bool, Fault> {
    Ok(match &*v.open()? {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::Double(d) => *d == 0.0,
        Value::Text(t) => t.is_empty(),
        Value::Bytes(b) => b.is_empty(),
        Value::List(l) => l.is_empty(),
        Value::Map(m) => m.is_empty(),
        Value::Duration(d) => *d == SignedDuration::ZERO,
        Value::Timestamp(t) => *t == super::time::range().0,
        _ => false,
    })
}
