//! Writing values as JSON.

use super::Fault;
use super::value::Value;

/// Appends the value as compact JSON.
pub fn json(out: &mut Vec<u8>, value: &Value<'_>) -> Result<(), Fault> {
    match value {
        Value::Null | Value::Optional(None) => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(i) => serde_json::to_writer(out, i).map_err(|e| Fault::new(e.to_string()))?,
        Value::Double(d) => double(out, *d)?,
        Value::Text(t) => string(out, t),
        Value::Bytes(b) => match std::str::from_utf8(b) {
            Ok(text) => string(out, text),
            Err(_) => return Err(Fault::new("bytes that are not UTF-8 cannot be written as JSON")),
        },
        Value::Json(raw) => out.extend_from_slice(raw.as_bytes()),
        Value::List(list) => between(out, (b'[', b']'), list, json)?,
        Value::Map(map) => between(out, (b'{', b'}'), map, |out, (k, v)| field(out, &text(k)?, v, json))?,
        Value::Timestamp(t) => string(out, &t.to_string()),
        Value::Duration(d) => string(out, &seconds(*d)),
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
    string(out, name);
    out.push(b':');
    write(out, value)
}

/// Appends JSON that is the same text for equal values: for keys. Compact, names in order, a number that is whole
/// as one (`1.0` is `1`).
pub fn canonical(out: &mut Vec<u8>, value: &Value<'_>) -> Result<(), Fault> {
    match value {
        Value::Double(d) if d.fract() == 0.0 && d.abs() < WHOLE => json(out, &Value::Int(*d as i64)),
        Value::Optional(Some(v)) => canonical(out, v),
        Value::Json(_) => canonical(out, &super::opened(value.clone())?),
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

/// Doubles below this are whole numbers that a whole number can be.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// The bytes of a key: text and bytes as they are, all else as canonical JSON.
pub fn key(value: &Value<'_>) -> Result<Vec<u8>, Fault> {
    match value {
        Value::Text(_) | Value::Bytes(_) => item(value),
        other => {
            let mut out = vec![];
            canonical(&mut out, other)?;
            Ok(out)
        }
    }
}

/// The value as an item's value: text and bytes as they are, all else as JSON.
pub fn item(value: &Value<'_>) -> Result<Vec<u8>, Fault> {
    match value {
        Value::Text(t) => Ok(t.as_bytes().to_vec()),
        Value::Bytes(b) => Ok(b.to_vec()),
        other => {
            let mut out = vec![];
            json(&mut out, other)?;
            Ok(out)
        }
    }
}

/// The value as a person writes it: text as it is, numbers in decimal, all else as compact JSON.
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

fn string(out: &mut Vec<u8>, text: &str) {
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let _ = serde_json::to_writer(out, text); // a Vec takes everything
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
