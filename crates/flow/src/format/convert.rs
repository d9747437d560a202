//! What an item becomes where a step passes it on into a stream of another format: the one rule for copy, filter, split,
//! shard and merge. JSON text becomes its text, every other JSON value stays as it is written; text becomes a JSON string.

use crate::expr::{Fault, json};
use crate::format::Format;
use crate::patterns::{Body, Making, Origin, Part};
use anabranch_engine::{Record, Result, Rows, limits};
use std::borrow::Cow;
use std::sync::Arc;

/// Whether items change on their way from one format to another.
pub fn is_needed(from: Format, to: Format) -> bool {
    (from == Format::Json) != (to == Format::Json)
}

/// The rows that can be passed on into a stream of another format, and why each other one cannot.
///
/// # Errors
///
/// The batch cannot be unpacked.
pub fn fit(part: &Part, from: Format) -> Result<(Rows, Vec<(usize, Fault)>)> {
    let records = part.body.records()?;
    let (mut good, mut failed) = (Rows::none(records.len()), vec![]);
    for record in records.iter().filter(|r| part.rows.as_ref().is_none_or(|rows| rows.has(r.row()))) {
        match value(&record, from) {
            Ok(_) => good.add(record.row()),
            Err(fault) => failed.push((record.row(), fault)),
        }
    }
    Ok((good, failed))
}

/// What a root takes of a part: a join moves no bytes, so who reads its view converts. Text that is not UTF-8 stays as it is,
/// and is no JSON for whoever looks at it.
///
/// # Errors
///
/// The batch cannot be unpacked, or packed again.
pub fn viewed(part: Part, from: Format, to: Format) -> Result<Vec<Part>> {
    if is_needed(from, to) {
        made(&part, |record| value(record, from).unwrap_or_else(|_| raw(record)))
    } else {
        Ok(vec![part])
    }
}

fn raw<'r>(record: &Record<'r>) -> Cow<'r, [u8]> {
    Cow::Borrowed(record.value().unwrap_or_default())
}

/// The part in another format, in one piece or several.
///
/// # Errors
///
/// The batch cannot be unpacked, or packed again.
pub fn converted(part: &Part, from: Format) -> Result<Vec<Part>> {
    made(part, |record| value(record, from).unwrap_or_default()) // rows that cannot be were left out before
}

fn made<'p>(part: &'p Part, value: impl Fn(&Record<'p>) -> Cow<'p, [u8]>) -> Result<Vec<Part>> {
    let records = part.body.records()?;
    let mut made = Making::with_capacity(records.bytes());
    for record in records.iter().filter(|r| part.rows.as_ref().is_none_or(|rows| rows.has(r.row()))) {
        made.one(&record, &value(&record));
    }
    let parent = Arc::new(part.clone());
    let parts = made.finish().into_iter().map(|(batch, from)| {
        let origin = Origin::Made { parent: parent.clone(), from: Arc::new(from) };
        Part { body: Body::Ready(batch), rows: None, origin, partition: part.partition }
    });
    Ok(parts.collect())
}

/// The value of an item of this format in one of the others.
///
/// # Errors
///
/// Bytes that are not UTF-8 have no JSON.
pub fn value<'r>(record: &Record<'r>, from: Format) -> std::result::Result<Cow<'r, [u8]>, Fault> {
    match from {
        Format::Json => text(record),
        _ => quoted(record).map(Cow::Owned),
    }
}

/// What a JSON string says; anything else, and what is no JSON, as it stands.
fn text<'r>(record: &Record<'r>) -> std::result::Result<Cow<'r, [u8]>, Fault> {
    let value = record.value().unwrap_or(b"null");
    if value.first() != Some(&b'"') {
        return Ok(Cow::Borrowed(value));
    }
    match json::check(value).and_then(json::unescape) {
        Ok(text) => Ok(Cow::Owned(text.into_owned().into_bytes())),
        Err(fault) if json::reads(value).is_some() => Err(fault), // half a surrogate pair is no text
        Err(_) => Ok(Cow::Borrowed(value)),
    }
}

fn quoted(record: &Record<'_>) -> std::result::Result<Vec<u8>, Fault> {
    let value = record.value().unwrap_or_default();
    let text = std::str::from_utf8(value)
        .map_err(|e| Fault::new(format!("not UTF-8: byte {} is wrong; it cannot become JSON", e.valid_up_to() + 1)))?;
    let json = serde_json::to_vec(text).map_err(|e| Fault::new(e.to_string()))?;
    match json.len() > limits::ITEM_BYTES {
        true => Err(crate::patterns::too_large(json.len())),
        false => Ok(json),
    }
}
