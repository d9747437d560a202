//! Items as lines of a sink.

use crate::expr::{Fault, json};
use crate::format::Format;
use crate::model::{Lines, Sink};
use anabranch_engine::Record;

/// Appends an item as one line, without the line end.
pub fn line(out: &mut Vec<u8>, sink: &Sink, format: Format, record: &Record<'_>) -> Result<(), Fault> {
    let value = record.value().unwrap_or(b"null");
    if sink.whole {
        return whole(out, format, record, value);
    }
    match (sink.lines, format) {
        (Lines::Json, Format::Json) => compact(out, value),
        (Lines::Json, _) => quoted(out, value),
        (Lines::Text, Format::Json) if value.first() == Some(&b'"') => {
            let text = json::unescape(json::check(value)?)?;
            one_line(out, text.as_bytes())
        }
        (Lines::Text, Format::Json) => compact(out, value),
        (Lines::Text, _) => one_line(out, value),
    }
}

/// JSON that has no line break between its values.
fn compact(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        out.extend_from_slice(value);
        return Ok(());
    }
    let text = json::check(value)?; // line breaks can only stand between values: in text they are escaped
    out.extend(text.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
    Ok(())
}

fn quoted(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
    let text =
        std::str::from_utf8(value).map_err(|_| Fault::new("bytes that are not UTF-8 cannot be written as JSON"))?;
    serde_json::to_writer(out, text).map_err(|e| Fault::new(e.to_string()))
}

fn one_line(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
    if memchr::memchr(b'\n', value).is_some() {
        return Err(Fault::new("a text with a line break cannot be a line of its own; write it to a .jsonl file"));
    }
    out.extend_from_slice(value);
    Ok(())
}

fn whole(out: &mut Vec<u8>, format: Format, record: &Record<'_>, value: &[u8]) -> Result<(), Fault> {
    out.extend_from_slice(b"{\"key\":");
    match record.key() {
        Some(key) => quoted(out, key)?,
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"value\":");
    if format == Format::Json {
        compact(out, value)?
    } else {
        quoted(out, value)?
    }
    out.extend_from_slice(b",\"headers\":{");
    for (i, (name, value)) in record.headers().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        quoted(out, name.as_bytes())?;
        out.push(b':');
        match value {
            Some(v) => quoted(out, v)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(format!("}},\"timestamp\":{}}}", record.timestamp()).as_bytes());
    Ok(())
}
