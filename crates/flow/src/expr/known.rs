//! An object or list of the item that is looked into again and again: read once, found by name or place.

use super::Fault;
use super::reading::open_json;
use super::value::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// Shorter JSON is read again.
const LONG: usize = 1 << 10;

/// Of so many the last look is remembered.
const MANY: usize = 4;

/// What was looked into last.
#[derive(Default)]
pub struct Known<'a>(Vec<(&'a str, Option<Read<'a>>)>);

enum Read<'a> {
    List(Vec<Value<'a>>),
    Object(HashMap<Cow<'a, str>, Value<'a>>),
}

impl<'a> Known<'a> {
    /// Looks for an element or field; `None` if this is not a thing to remember.
    ///
    /// The second look at the same text reads it whole: a loop that asks for each field of an object takes no longer
    /// than reading it twice.
    pub fn look_up(&mut self, of: &Value<'a>, at: &Value<'_>) -> Result<Option<Option<Value<'a>>>, Fault> {
        let Value::Json(Cow::Borrowed(raw)) = of else { return Ok(None) };
        if raw.len() < LONG {
            return Ok(None);
        }
        let Some(i) = self.0.iter().position(|(known, _)| std::ptr::eq(*known, *raw)) else {
            self.0.truncate(MANY - 1);
            self.0.insert(0, (raw, None));
            return Ok(None);
        };
        let read = match &mut self.0[i].1 {
            Some(read) => &*read,
            none => none.insert(read(raw)?),
        };
        Ok(match (read, at) {
            (Read::Object(fields), Value::Text(name)) => Some(fields.get(name.as_ref()).cloned()),
            (Read::List(list), Value::Int(i)) => Some(usize::try_from(*i).ok().and_then(|i| list.get(i)).cloned()),
            _ => None,
        })
    }
}

fn read(raw: &str) -> Result<Read<'_>, Fault> {
    Ok(match open_json(raw)? {
        Value::Map(map) => {
            let named = |(k, v)| if let Value::Text(k) = k { Some((k, v)) } else { None };
            Read::Object(map.into_iter().filter_map(named).collect())
        }
        Value::List(list) => Read::List(list),
        _ => Read::List(vec![]),
    })
}
