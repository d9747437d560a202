//! What is done to an item at its source: its fields are checked, it gets its key and its timestamp.

use crate::expr::time::Time;
use crate::expr::{Fault, FieldType, Value, write};
use crate::model::Entry;
use crate::patterns::View;
use anabranch_engine::Record;

/// The key and the timestamp of an item.
///
/// # Errors
///
/// A field does not fit, or an expression fails.
pub fn entered<'a>(
    view: &View<'a>,
    record: &Record<'a>,
    entry: &Entry,
    slots: &mut Vec<Option<&'a str>>,
) -> Result<(Option<Vec<u8>>, i64), Fault> {
    let scope = view.scope(record, &entry.reads, slots)?;
    for field in &entry.fields {
        let value =
            scope.slots.get(field.slot).copied().flatten().map(|raw| Value::from_json(raw)?.plain()).transpose()?;
        let fits = match (&value, field.of) {
            (None | Some(Value::Null), _) => field.optional,
            (Some(Value::Text(_)), FieldType::String)
            | (Some(Value::Int(_)), FieldType::Int | FieldType::Double)
            | (Some(Value::Double(_)), FieldType::Double)
            | (Some(Value::Bool(_)), FieldType::Bool) => true,
            (Some(Value::Text(t)), FieldType::Timestamp) => Time::read(t).is_ok(),
            (Some(Value::Json(j)), FieldType::List) => j.starts_with('['),
            (Some(Value::Json(j)), FieldType::Map) => j.starts_with('{'),
            _ => false,
        };
        if !fits {
            let found = value.as_ref().map_or("missing", Value::kind);
            return Err(Fault::new(format!(
                "the field `{}` is {found}, `fields` wants {}",
                field.name,
                field.of.word()
            )));
        }
    }
    let key = match &entry.key {
        Some(key) => match key.eval(&scope)? {
            Value::Null | Value::Optional(None) => None,
            v => Some(write::key(&v)?),
        },
        None => None,
    };
    let timestamp = match &entry.time {
        Some(time) => match time.eval(&scope)?.plain()? {
            Value::Timestamp(t) => t.millisecond(),
            Value::Int(ms) => ms,
            other => return Err(Fault::new(format!("`time: {}` gave {}, not a timestamp", time.text, other.kind()))),
        },
        None => record.timestamp(),
    };
    Ok((key, timestamp))
}
