//! What an expression computes with.

use super::json::{Kind, kind_of};
use super::time::Time;
use std::borrow::Cow;
use std::ops::Range;

/// A value, borrowed from the item where it can be.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// JSON null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits 64 bits.
    Int(i64),
    /// Every other number.
    Double(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A map in order; names are unique.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// JSON that was checked and not yet read: an object, an array, and a number or text that we would write another way.
    Json(Cow<'a, str>),
    /// A point in time.
    Timestamp(Time),
    /// A length of time.
    Duration(jiff::SignedDuration),
    /// `optional` of CEL: what `.?` gives.
    Optional(Option<Box<Value<'a>>>),
    /// What `type(x)` gives.
    Type(&'static str),
}

impl<'a> Value<'a> {
    /// Text without a copy.
    pub fn text(text: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(text))
    }

    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(b) => Value::Bool(b),
            Value::Int(i) => Value::Int(i),
            Value::Double(d) => Value::Double(d),
            Value::Text(t) => Value::Text(Cow::Owned(t.into_owned())),
            Value::Bytes(b) => Value::Bytes(Cow::Owned(b.into_owned())),
            Value::List(l) => Value::List(l.into_iter().map(Value::into_owned).collect()),
            Value::Map(m) => Value::Map(m.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()),
            Value::Json(j) => Value::Json(Cow::Owned(j.into_owned())),
            Value::Timestamp(t) => Value::Timestamp(t),
            Value::Duration(d) => Value::Duration(d),
            Value::Optional(o) => Value::Optional(o.map(|v| Box::new(v.into_owned()))),
            Value::Type(name) => Value::Type(name),
        }
    }

    /// Bytes that it holds beside itself, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Value::Text(t) | Value::Json(t) => t.len(),
            Value::Bytes(b) => b.len(),
            Value::List(l) => l.iter().map(|v| size_of::<Value<'_>>() + v.bytes()).sum(),
            Value::Map(m) => m.iter().map(|(k, v)| 2 * size_of::<Value<'_>>() + k.bytes() + v.bytes()).sum(),
            Value::Optional(Some(v)) => size_of::<Value<'_>>() + v.bytes(),
            _ => 0,
        }
    }

    /// What people call this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Double(_) => "a number",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
            Value::Json(j) => match kind_of(j) {
                Kind::List => "a list",
                Kind::Object => "an object",
                Kind::Text => "text",
                _ => "a number",
            },
            Value::Timestamp(_) => "a timestamp",
            Value::Duration(_) => "a duration",
            Value::Optional(_) => "an optional",
            Value::Type(_) => "a type",
        }
    }
}

/// A part of a text, without a copy where the text is the item's own.
pub fn part<'a>(t: &Cow<'a, str>, at: Range<usize>) -> Value<'a> {
    match t {
        Cow::Borrowed(t) => Value::text(t.get(at).unwrap_or_default()),
        Cow::Owned(t) => Value::Text(t.get(at).unwrap_or_default().to_string().into()),
    }
}
