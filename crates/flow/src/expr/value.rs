//! What an expression computes with.

use super::Fault;
use super::json::{Kind, Scanner, kind_of};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, hash_map::Entry};

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
    /// A JSON object or array that was checked and not yet read.
    Json(Cow<'a, str>),
    /// A point in time.
    Timestamp(jiff::Timestamp),
    /// A length of time.
    Duration(jiff::SignedDuration),
    /// `optional` of CEL: what `.?` gives.
    Optional(Option<Box<Value<'a>>>),
}

impl<'a> Value<'a> {
    /// Text without a copy.
    pub fn text(text: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(text))
    }

    /// Reads one JSON value whose text was checked. Objects and arrays stay as text until they are looked into.
    pub fn from_json(raw: &'a str) -> Result<Value<'a>, Fault> {
        Ok(match kind_of(raw) {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Text => Value::Text(super::json::unescape(raw)?),
            Kind::Number => number(raw)?,
            Kind::List | Kind::Object => Value::Json(Cow::Borrowed(raw)),
        })
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
            Value::Json(j) if j.starts_with('[') => "a list",
            Value::Json(_) => "an object",
            Value::Timestamp(_) => "a timestamp",
            Value::Duration(_) => "a duration",
            Value::Optional(_) => "an optional",
        }
    }

    /// Equality as in CEL: numbers by value, values of other kinds are never equal.
    pub fn same(&self, other: &Value<'_>) -> Result<bool, Fault> {
        let (a, b) = (self.open()?, other.open()?);
        Ok(match (&*a, &*b) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && all_same(a.iter().zip(b))?,
            (Value::Map(a), Value::Map(b)) => {
                let mut pairs = Vec::with_capacity(a.len());
                for (k, v) in a {
                    match find(b, k)? {
                        Some(w) => pairs.push((v, w)),
                        None => return Ok(false),
                    }
                }
                a.len() == b.len() && all_same(pairs.into_iter())?
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(b)?,
                _ => false,
            },
            (a, b) => numbers(a, b) == Some(Ordering::Equal),
        })
    }

    /// Order, where these two have one.
    pub fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (a, b) => numbers(a, b),
        }
    }
}

/// Looks a name up in a map.
pub fn find<'m, 'a>(map: &'m [(Value<'a>, Value<'a>)], key: &Value<'_>) -> Result<Option<&'m Value<'a>>, Fault> {
    for (k, v) in map {
        if k.same(key)? {
            return Ok(Some(v));
        }
    }
    Ok(None)
}

fn all_same<'x, 'a: 'x, 'b: 'x>(pairs: impl Iterator<Item = (&'x Value<'a>, &'x Value<'b>)>) -> Result<bool, Fault> {
    for (a, b) in pairs {
        if !a.same(b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Numbers by value, exactly, whatever their kinds.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => int_double(*a, *b),
        (Value::Double(a), Value::Int(b)) => int_double(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn int_double(a: i64, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    if b >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if b < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    let whole = b.trunc();
    Some(a.cmp(&(whole as i64)).then_with(|| 0.0f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal)))
}

/// A JSON number: `int` where it is whole and fits, else `double`.
fn number(raw: &str) -> Result<Value<'static>, Fault> {
    let whole = !raw.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
    if let (true, Ok(i)) = (whole, raw.parse::<i64>()) {
        return Ok(Value::Int(i));
    }
    match raw.parse::<f64>() {
        Ok(d) if d.is_finite() => Ok(Value::Double(d)),
        _ => Err(Fault::new(format!("the number {raw} is out of range"))),
    }
}

/// Fields that are looked through one by one.
const FEW_FIELDS: usize = 16;

/// Reads a JSON object or array one level deep.
pub(super) fn open_json(raw: &str) -> Result<Value<'_>, Fault> {
    let mut scanner = Scanner::new(raw);
    if kind_of(raw) == Kind::List {
        let mut list = vec![];
        scanner.each_element(|v| {
            list.push(Value::from_json(v)?);
            Ok(())
        })?;
        return Ok(Value::List(list));
    }
    let mut map: Vec<(Value<'_>, Value<'_>)> = vec![];
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new(); // of an object with many fields
    scanner.each_field(|k, v| {
        let v = Value::from_json(v)?;
        let n = map.len();
        let had = if n < FEW_FIELDS {
            map.iter().position(|(had, _)| matches!(had, Value::Text(had) if *had == k))
        } else {
            if places.is_empty() {
                let names = map.iter().enumerate();
                places.extend(
                    names.filter_map(|(i, (k, _))| if let Value::Text(k) = k { Some((k.clone(), i)) } else { None }),
                );
            }
            match places.entry(k.clone()) {
                Entry::Occupied(had) => Some(*had.get()),
                Entry::Vacant(new) => {
                    new.insert(n);
                    None
                }
            }
        };
        match had {
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
    fn numbers_compare_exactly_over_kinds() {
        let big = i64::MAX;
        assert_eq!(numbers(&Value::Int(big), &Value::Double(big as f64)), Some(Ordering::Less));
        assert_eq!(numbers(&Value::Int(2), &Value::Double(2.5)), Some(Ordering::Less));
        assert_eq!(numbers(&Value::Double(-2.5), &Value::Int(-2)), Some(Ordering::Less));
        assert_eq!(numbers(&Value::Int(1), &Value::Double(1.0)), Some(Ordering::Equal));
    }

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
