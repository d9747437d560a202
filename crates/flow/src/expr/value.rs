//! What an expression computes with.

use super::json::{Kind, Scanner, kind_of};
use super::places::Places;
use super::time::Time;
use super::{Fault, number};
use std::borrow::Cow;

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

    /// Reads one JSON value whose text was checked. Objects and arrays stay as text until they are looked into,
    /// and so does what must keep its bytes if nobody computes with it.
    pub fn from_json(raw: &'a str) -> Result<Value<'a>, Fault> {
        Ok(match kind_of(raw) {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Text if memchr::memchr(b'\\', raw.as_bytes()).is_some() => Value::Json(Cow::Borrowed(raw)),
            Kind::Text => Value::text(raw.get(1..raw.len() - 1).unwrap_or_default()),
            Kind::Number => number::read(raw),
            Kind::List | Kind::Object => Value::Json(Cow::Borrowed(raw)),
        })
    }

    /// A number or text that kept its JSON, as one to compute with; all else as it is.
    pub fn plain(self) -> Result<Value<'a>, Fault> {
        let Value::Json(raw) = &self else { return Ok(self) };
        match (kind_of(raw), raw) {
            (Kind::List | Kind::Object, _) => Ok(self),
            (Kind::Text, Cow::Borrowed(raw)) => Ok(Value::Text(super::json::unescape(raw)?)),
            (Kind::Text, Cow::Owned(raw)) => Ok(Value::Text(super::json::unescape(raw)?.into_owned().into())),
            _ => number::computed(raw),
        }
    }

    /// A JSON object or array as a list or map of values, one level deep; others as they are.
    pub fn open(&self) -> Result<Cow<'_, Value<'a>>, Fault> {
        match self {
            Value::Json(Cow::Borrowed(raw)) => Ok(Cow::Owned(open_json(raw)?)),
            Value::Json(Cow::Owned(raw)) => Ok(Cow::Owned(open_json(raw)?.into_owned())),
            other => Ok(Cow::Borrowed(other)),
        }
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

/// Reads a JSON object or array one level deep, and plain JSON whole.
pub(super) fn open_json(raw: &str) -> Result<Value<'_>, Fault> {
    let mut scanner = Scanner::new(raw);
    let kind = kind_of(raw);
    if !matches!(kind, Kind::List | Kind::Object) {
        return Value::Json(Cow::Borrowed(raw)).plain();
    }
    if kind == Kind::List {
        let mut list = vec![];
        scanner.each_element(|v| {
            list.push(Value::from_json(v)?);
            Ok(())
        })?;
        return Ok(Value::List(list));
    }
    let mut map: Vec<(Value<'_>, Value<'_>)> = vec![];
    let mut places = Places::default();
    scanner.each_field(|k, v| {
        let v = Value::from_json(v)?;
        match places.place(k.clone()) {
            Some(i) => map[i].1 = v, // a name that is written twice: the last one wins
            None => map.push((Value::Text(k), v)),
        }
        Ok(())
    })?;
    Ok(Value::Map(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_equal_names_wins() {
        let v = Value::from_json(r#"{"a":1,"b":2,"a":3}"#).expect("json");
        let Value::Map(m) = &*v.open().expect("opens") else { panic!("a map") };
        assert_eq!(m.len(), 2);
        assert!(m[0].1.same(&Value::Int(3)).expect("compares"));
        let many: String = (0..100_000).map(|i| format!("\"f{}\":{i},", i % 50_000)).collect();
        let v = Value::from_json(&format!("{{{}}}", many.trim_end_matches(','))).expect("json").into_owned();
        let Value::Map(m) = v.open().expect("opens").into_owned() else { panic!("a map") };
        assert_eq!(m.len(), 50_000);
        assert!(m[7].1.same(&Value::Int(50_007)).expect("compares"));
    }
}
