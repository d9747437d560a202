//! From JSON to values, as far as somebody looks.

use super::json::{Kind, Scanner, kind_of};
use super::places::Places;
use super::value::Value;
use super::{Fault, number};
use std::borrow::Cow;

impl<'a> Value<'a> {
    /// Reads one JSON value whose text was checked. Objects and arrays stay as text until they are looked into,
    /// and so does what must keep its bytes if nobody computes with it.
    ///
    /// # Errors
    ///
    /// A number is out of range.
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
    ///
    /// # Errors
    ///
    /// A number is out of range, or an escape means nothing.
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
    ///
    /// # Errors
    ///
    /// A number in it is out of range.
    pub fn open(&self) -> Result<Cow<'_, Value<'a>>, Fault> {
        match self {
            Value::Json(Cow::Borrowed(raw)) => Ok(Cow::Owned(open_json(raw)?)),
            Value::Json(Cow::Owned(raw)) => Ok(Cow::Owned(open_json(raw)?.into_owned())),
            other => Ok(Cow::Borrowed(other)),
        }
    }

    /// An object or list that can be looked into; JSON text is read one level.
    ///
    /// # Errors
    ///
    /// A number in it is out of range, or a text in it is no text.
    pub fn into_opened(self) -> Result<Value<'a>, Fault> {
        match self {
            Value::Json(Cow::Borrowed(raw)) => open_json(raw),
            Value::Json(_) => Ok(self.open()?.into_owned().into_owned()),
            v => Ok(v),
        }
    }
}

/// Reads a JSON object or array one level deep, and plain JSON whole.
pub fn open_json(raw: &str) -> Result<Value<'_>, Fault> {
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
