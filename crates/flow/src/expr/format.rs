//! `text.format([…])`: text with values put into it.

use super::Fault;
use super::growing::{Growing, fits};
use super::value::Value;
use super::{number, write};
use std::fmt::Write;

/// Digits behind the point where none are asked for.
const USUAL: usize = 6;
/// Digits behind the point that may be asked for.
const MOST: usize = 1_000;

/// Puts the values of a list in the place of `%s`, `%d`, `%f`, `%e`, `%b`, `%o`, `%x` and `%X`.
pub fn format<'a>(pattern: &str, list: &Value<'_>) -> Result<Value<'a>, Fault> {
    let Value::List(list) = list.clone().into_opened()? else {
        return Err(Fault::new("`format` needs a list: '%s is %d'.format([a, b])"));
    };
    let mut out = Growing::default();
    let (mut rest, mut next) = (pattern, 0);
    while let Some((before, after)) = rest.split_once('%') {
        out.push(before)?;
        let digits =
            after.strip_prefix('.').map(|d| &d[..d.len() - d.trim_start_matches(|c: char| c.is_ascii_digit()).len()]);
        let precision = digits.map(|d| d.parse().ok().filter(|n| *n <= MOST));
        let Some(precision) = precision.unwrap_or(Some(USUAL)) else {
            return Err(Fault::new(format!("`{pattern}` asks for too many digits, or for none behind `.`")));
        };
        let verb = &after[digits.map_or(0, |d| d.len() + 1)..];
        let Some(c) = verb.chars().next() else { return Err(Fault::new(format!("`{pattern}` ends in `%`"))) };
        rest = &verb[c.len_utf8()..];
        if c == '%' {
            out.push("%")?;
            continue;
        }
        let value = list.get(next).ok_or_else(|| Fault::new(format!("`{pattern}` wants more than {next} values")))?;
        next += 1;
        put(&mut out, c, precision, &if matches!(c, 's' | 'd') { value.clone() } else { value.clone().plain()? })?;
    }
    out.push(rest)?;
    Ok(Value::Text(out.finish().into()))
}

fn put(out: &mut Growing, verb: char, precision: usize, v: &Value<'_>) -> Result<(), Fault> {
    let full = |_| Fault::new("the text that is made is too large");
    match (verb, v) {
        ('s', v) => spoken(out, v),
        ('d', v) if matches!(v.kind(), "a whole number" | "a number") => spoken(out, v),
        ('f', Value::Int(i)) if precision == 0 => write!(out, "{i}").map_err(full),
        ('f', Value::Int(i)) => write!(out, "{i}.{:0<precision$}", "").map_err(full),
        ('f', Value::Double(d)) => write!(out, "{d:.precision$}").map_err(full),
        ('e', Value::Int(i)) => exponent(out, *i as f64, precision),
        ('e', Value::Double(d)) => exponent(out, *d, precision),
        ('b', Value::Bool(b)) => out.push(if *b { "1" } else { "0" }),
        ('b', Value::Int(i)) => signed(out, *i, &format!("{:b}", i.unsigned_abs())),
        ('o', Value::Int(i)) => signed(out, *i, &format!("{:o}", i.unsigned_abs())),
        ('x', Value::Int(i)) => signed(out, *i, &format!("{:x}", i.unsigned_abs())),
        ('X', Value::Int(i)) => signed(out, *i, &format!("{:X}", i.unsigned_abs())),
        ('x' | 'X', Value::Text(t)) => hex(out, t.as_bytes(), verb == 'X'),
        ('x' | 'X', Value::Bytes(b)) => hex(out, b, verb == 'X'),
        ('d' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X', v) => Err(Fault::new(format!("`%{verb}` cannot show {}", v.kind()))),
        (verb, _) => {
            Err(Fault::new(format!("`%{verb}` is not known; there are %s %d %f %e %b %o %x %X, and %% for a %")))
        }
    }
}

fn signed(out: &mut Growing, i: i64, digits: &str) -> Result<(), Fault> {
    out.push(if i < 0 { "-" } else { "" })?;
    out.push(digits)
}

fn hex(out: &mut Growing, bytes: &[u8], upper: bool) -> Result<(), Fault> {
    fits(bytes.len().saturating_mul(2))?;
    bytes.iter().try_for_each(|b| out.push(&if upper { format!("{b:02X}") } else { format!("{b:02x}") }))
}

/// An exponent has a sign and two digits.
fn exponent(out: &mut Growing, d: f64, precision: usize) -> Result<(), Fault> {
    let made = format!("{d:.precision$e}");
    let (digits, exponent) = made.split_once('e').unwrap_or((&made, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    out.push(digits)?;
    out.push(&format!("e{sign}{exponent:0>2}"))
}

/// A value as `%s` shows it: numbers in decimal, texts without quotes, lists and objects with spaces.
fn spoken(out: &mut Growing, v: &Value<'_>) -> Result<(), Fault> {
    if let Value::Json(raw) = v
        && number::is_digits(raw)
    {
        return out.push(raw); // exact, also where it is too large to compute with
    }
    match &*v.open()? {
        Value::Double(d) => out.push(&number::decimal(*d)),
        Value::List(list) => {
            out.push("[")?;
            for (i, v) in list.iter().enumerate() {
                out.push(if i > 0 { ", " } else { "" })?;
                spoken(out, v)?;
            }
            out.push("]")
        }
        Value::Map(map) => {
            let mut fields = vec![];
            for (k, v) in map {
                let mut name = Growing::default();
                spoken(&mut name, k)?;
                fields.push((name.finish(), v));
            }
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            out.push("{")?;
            for (i, (name, v)) in fields.into_iter().enumerate() {
                out.push(if i > 0 { ", " } else { "" })?;
                out.push(&name)?;
                out.push(": ")?;
                spoken(out, v)?;
            }
            out.push("}")
        }
        Value::Optional(_) => Err(Fault::new("`%s` cannot show an optional")),
        other => out.push(&write::text(other)?),
    }
}
