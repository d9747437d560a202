//! Equality and order of values, as CEL has them.

use super::Fault;
use super::number;
use super::value::Value;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Objects with more fields are compared by a table of their names.
const FEW_FIELDS: usize = 16;

impl<'a> Value<'a> {
    /// Equality as in CEL: numbers by value, values of other kinds are never equal.
    ///
    /// # Errors
    ///
    /// A number in one of them is out of range.
    pub fn same(&self, other: &Value<'_>) -> Result<bool, Fault> {
        if let Some(order) = number::compare(self, other) {
            return Ok(order.is_eq());
        }
        let (a, b) = (self.open()?, other.open()?);
        Ok(match (&*a, &*b) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && all_same(a.iter().zip(b))?,
            (Value::Map(a), Value::Map(b)) => a.len() == b.len() && same_fields(a, b)?,
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(b)?,
                _ => false,
            },
            _ => false,
        })
    }

    /// Order, where these two have one.
    pub fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        if let Some(order) = number::compare(self, other) {
            return Some(order);
        }
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Json(_), Value::Text(_) | Value::Json(_)) | (Value::Text(_), Value::Json(_)) => {
                match (self.clone().plain().ok()?, other.clone().plain().ok()?) {
                    (Value::Text(a), Value::Text(b)) => Some(a.cmp(&b)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

type Fields<'a> = [(Value<'a>, Value<'a>)];

/// Looks a name up in a map.
///
/// # Errors
///
/// A number in a key is out of range.
pub fn find<'m, 'a>(map: &'m Fields<'a>, key: &Value<'_>) -> Result<Option<&'m Value<'a>>, Fault> {
    for (k, v) in map {
        if k.same(key)? {
            return Ok(Some(v));
        }
    }
    Ok(None)
}

/// Whether objects of one size have the same fields.
fn same_fields(a: &Fields<'_>, b: &Fields<'_>) -> Result<bool, Fault> {
    if a.len() <= FEW_FIELDS {
        return each_same(a, |k| find(b, k));
    }
    // objects with many fields: each name looked for through all the others would take minutes
    let (mut names, mut others) = (HashMap::with_capacity(b.len()), vec![]);
    for (k, v) in b {
        match k {
            Value::Text(name) => drop(names.insert(name.as_ref(), v)),
            _ => others.push((k, v)),
        }
    }
    each_same(a, |k| match k {
        Value::Text(name) => Ok(names.get(name.as_ref()).copied()),
        _ => {
            for (other, v) in &others {
                if other.same(k)? {
                    return Ok(Some(*v));
                }
            }
            Ok(None)
        }
    })
}

fn each_same<'b, 'v: 'b>(
    a: &Fields<'_>,
    find: impl Fn(&Value<'_>) -> Result<Option<&'b Value<'v>>, Fault>,
) -> Result<bool, Fault> {
    for (k, v) in a {
        match find(k)? {
            Some(w) if v.same(w)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn all_same<'x, 'a: 'x, 'b: 'x>(pairs: impl Iterator<Item = (&'x Value<'a>, &'x Value<'b>)>) -> Result<bool, Fault> {
    for (a, b) in pairs {
        if !a.same(b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_are_compared_by_their_names_in_any_order() {
        let object = |names: &mut dyn Iterator<Item = u32>| {
            let fields: Vec<String> = names.map(|i| format!("\"k{i}\":{i}")).collect();
            Value::from_json(&format!("{{{}}}", fields.join(","))).expect("json").into_owned()
        };
        let (a, b) = (object(&mut (0..200_000)), object(&mut (0..200_000).rev()));
        assert!(a.same(&b).expect("compares"), "200,000 fields the other way round, before anybody gets impatient");
        let c = object(&mut (0..200_000).map(|i| i + u32::from(i == 7) * 1_000_000));
        assert!(!a.same(&c).expect("compares"));
    }
}
