//! Writing values as JSON.

use super::growing::{fits, too_large};
use super::json::{Kind, Scanner, kind_of};
use super::places::Places;
use super::value::Value;
use super::{Fault, number};

/// Appends the value as compact JSON, as long as it fits an item.
///
/// # Errors
///
/// The value is larger than an item may be, or has no JSON.
pub fn json(out: &mut Vec<u8>, value: &Value<'_>) -> Result<(), Fault> {
    match value {
        Value::Null | Value::Optional(None) => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(i) => serde_json::to_writer(out, i).map_err(|e| Fault::new(e.to_string()))?,
        Value::Double(d) => double(out, *d)?,
        Value::Text(t) => string(out, t)?,
        Value::Type(name) => string(out, name)?,
        Value::Bytes(b) => match std::str::from_utf8(b) {
            Ok(text) => string(out, text)?,
            Err(_) => return Err(Fault::new("bytes that are not UTF-8 cannot be written as JSON")),
        },
        Value::Json(raw) => {
            fits(out.len().saturating_add(raw.len()))?;
            out.extend_from_slice(raw.as_bytes());
        }
        Value::List(list) => between(out, (b'[', b']'), list, json)?,
        Value::Map(map) => between(out, (b'{', b'}'), map, |out, (k, v)| field(out, &text(k)?, v, json))?,
        Value::Timestamp(t) => string(out, &t.to_string())?,
        Value::Duration(d) => string(out, &seconds(*d))?,
        Value::Optional(Some(v)) => json(out, v)?,
    }
    Ok(())
}

/// Appends these, with commas, between brackets.
fn between<T>(
    out: &mut Vec<u8>,
    (open, close): (u8, u8),
    all: &[T],
    write: impl Fn(&mut Vec<u8>, &T) -> Result<(), Fault>,
) -> Result<(), Fault> {
    out.push(open);
    for (i, one) in all.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, one)?;
    }
    out.push(close);
    Ok(())
}

fn field<'v>(
    out: &mut Vec<u8>,
    name: &str,
    value: &Value<'v>,
    write: impl Fn(&mut Vec<u8>, &Value<'v>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    string(out, name)?;
    out.push(b':');
    write(out, value)
}

/// A JSON object with these fields replaced or added. All others keep the bytes of their names and values; of
/// equal names the last one counts.
///
/// # Errors
///
/// The result is larger than an item may be.
pub fn replaced(raw: &str, fields: &[(Value<'_>, Value<'_>)]) -> Result<Vec<u8>, Fault> {
    let mut kept: Vec<(&str, Written<'_, '_>)> = vec![];
    let mut names = Places::default();
    Scanner::new(raw).each_written_field(|name, written, value| {
        match names.place(name) {
            Some(had) => kept[had].1 = Written::Raw(value),
            None => kept.push((written, Written::Raw(value))),
        }
        Ok(())
    })?;
    let mut added = vec![];
    for (name, value) in fields {
        let Value::Text(name) = name else { continue };
        match names.find(name) {
            Some(had) => kept[had].1 = Written::Value(value),
            None => added.push((name, value)),
        }
    }
    let mut out = Vec::with_capacity(raw.len());
    out.push(b'{');
    let comma = |out: &mut Vec<u8>| {
        if out.len() > 1 {
            out.push(b',')
        }
    };
    for (name, value) in kept {
        comma(&mut out);
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match value {
            Written::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
            Written::Value(value) => json(&mut out, value)?,
        }
    }
    for (name, value) in added {
        comma(&mut out);
        field(&mut out, name, value, json)?;
    }
    out.push(b'}');
    Ok(out)
}

/// What a field becomes.
enum Written<'r, 'v> {
    Raw(&'r str),
    Value(&'r Value<'v>),
}

/// Appends JSON that is the same text for equal values: for keys. Compact, names in order, a number that is whole
/// in digits (`1.0` is `1`, `1e16` is `10000000000000000`).
///
/// # Errors
///
/// The value is larger than an item may be, or has no JSON.
pub fn canonical(out: &mut Vec<u8>, value: &Value<'_>) -> Result<(), Fault> {
    if let Some(digits) = number::canonical(value) {
        fits(out.len().saturating_add(digits.len()))?;
        out.extend_from_slice(digits.as_bytes());
        return Ok(());
    }
    match value {
        Value::Optional(Some(v)) => canonical(out, v),
        Value::Json(_) => canonical(out, &value.clone().into_opened()?),
        Value::List(list) => between(out, (b'[', b']'), list, canonical),
        Value::Map(map) => {
            let mut fields = map.iter().map(|(k, v)| Ok((text(k)?, v))).collect::<Result<Vec<_>, Fault>>()?;
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            between(out, (b'{', b'}'), &fields, |out, (k, v)| field(out, k, v, canonical))
        }
        other => json(out, other),
    }
}

/// Whether the text of a JSON value is its canonical text: a whole number or a string without escapes. What is not
/// told at a glance is not.
pub fn is_canonical(raw: &str) -> bool {
    match raw.as_bytes() {
        [b'"', .., b'"'] => !raw.contains('\\'),
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The bytes of a key: text, times and bytes as they are, all else as canonical JSON.
///
/// # Errors
///
/// The value has no text.
pub fn key(value: &Value<'_>) -> Result<Vec<u8>, Fault> {
    if let Some(plain) = as_it_is(value)? {
        return Ok(plain);
    }
    let mut out = vec![];
    canonical(&mut out, value)?;
    Ok(out)
}

/// The value as an item's value: text, times and bytes as they are, all else as JSON.
///
/// # Errors
///
/// The value has no text.
pub fn item(value: &Value<'_>) -> Result<Vec<u8>, Fault> {
    if let Some(plain) = as_it_is(value)? {
        return Ok(plain);
    }
    let mut out = vec![];
    json(&mut out, value)?;
    Ok(out)
}

/// What has no quotes outside of JSON.
fn as_it_is(value: &Value<'_>) -> Result<Option<Vec<u8>>, Fault> {
    Ok(match value {
        Value::Text(t) => Some(t.as_bytes().to_vec()),
        Value::Bytes(b) => Some(b.to_vec()),
        Value::Timestamp(t) => Some(t.to_string().into_bytes()),
        Value::Duration(d) => Some(seconds(*d).into_bytes()),
        Value::Type(name) => Some(name.as_bytes().to_vec()),
        Value::Json(raw) if kind_of(raw) == Kind::Text => Some(super::json::unescape(raw)?.into_owned().into_bytes()),
        Value::Optional(Some(v)) => as_it_is(v)?,
        _ => None,
    })
}

/// The value as a person writes it: text as it is, numbers in decimal, all else as compact JSON.
///
/// # Errors
///
/// The value has no text.
pub fn text(value: &Value<'_>) -> Result<String, Fault> {
    let bytes = item(value)?;
    String::from_utf8(bytes).map_err(|_| Fault::new("bytes that are not UTF-8 cannot be made text"))
}

fn double(out: &mut Vec<u8>, d: f64) -> Result<(), Fault> {
    if !d.is_finite() {
        return Err(Fault::new(format!("{d} is not a JSON number")));
    }
    serde_json::to_writer(out, &d).map_err(|e| Fault::new(e.to_string()))
}

fn string(out: &mut Vec<u8>, text: &str) -> Result<(), Fault> {
    fits(out.len().saturating_add(text.len()))?;
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(Bounded(out), text).map_err(|_| too_large())?;
    }
    Ok(())
}

/// Takes bytes up to what a value may have: escapes can make six of one.
struct Bounded<'o>(&'o mut Vec<u8>);

impl std::io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if fits(self.0.len().saturating_add(bytes.len())).is_err() {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A duration as CEL and Protocol Buffers write it: `1.5s`.
pub fn seconds(d: jiff::SignedDuration) -> String {
    let sign = if d.is_negative() { "-" } else { "" };
    let nanos = d.as_nanos().unsigned_abs();
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let part = if part == 0 { String::new() } else { format!(".{part:09}").trim_end_matches('0').to_string() };
    format!("{sign}{whole}{part}s")
}
