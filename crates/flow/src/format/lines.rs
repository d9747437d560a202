//! Files of lines: each line is an item, its text. Pieces are cut anywhere; a file has neither head nor tail.

use super::jsonl::compact;
use crate::expr::{Fault, json};
use crate::format::Format;

/// Appends an item as one line, without the line end: text as it is, JSON text as its text, other JSON as JSON.
///
/// # Errors
///
/// The text has a line break.
pub fn write(out: &mut Vec<u8>, format: Format, value: &[u8]) -> Result<(), Fault> {
    match format {
        Format::Json if value.first() == Some(&b'"') => {
            let text = json::unescape(json::check(value)?)?;
            one_line(out, text.as_bytes())
        }
        Format::Json => compact(out, value),
        _ => one_line(out, value),
    }
}

fn one_line(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
    if memchr::memchr(b'\n', value).is_some() {
        return Err(Fault::new("a text with a line break cannot be a line of its own; write it to a .jsonl file"));
    }
    out.extend_from_slice(value);
    Ok(())
}
