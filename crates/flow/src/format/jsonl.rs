//! Files of JSON lines: each line that is not blank is a JSON value. Pieces are cut anywhere; a file has neither head nor tail.

use crate::expr::{Fault, json};
use crate::format::Format;
use anabranch_engine::Record;

/// Whether a line is no item.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Appends an item as one line, without the line end: JSON as it is, text as a JSON string.
///
/// # Errors
///
/// The value is no JSON, or no text.
pub fn write(out: &mut Vec<u8>, format: Format, value: &[u8]) -> Result<(), Fault> {
    if format == Format::Json { compact(out, value) } else { quoted(out, value) }
}

/// Appends the whole item as one line: its key, value, headers and timestamp.
///
/// # Errors
///
/// One of them is no JSON, or no text.
pub fn whole(out: &mut Vec<u8>, format: Format, record: &Record<'_>, value: &[u8]) -> Result<(), Fault> {
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

/// JSON that has no line break between its values.
///
/// # Errors
///
/// The value is no JSON.
pub fn compact(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
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
