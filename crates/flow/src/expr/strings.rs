//! Functions on text.

use super::Fault;
use super::func::Func;
use super::growing::Growing;
use super::size::Listing;
use super::value::{Value, part};
use std::borrow::Cow;

type Outcome<'a> = Option<Result<Value<'a>, Fault>>;

fn text<'a>(t: impl Into<Cow<'a, str>>) -> Value<'a> {
    Value::Text(t.into())
}

/// Calls a function on text; `None` if it is not one, or the values do not fit.
pub fn call<'a>(f: Func, args: &[Value<'a>]) -> Outcome<'a> {
    use Value::{Bool, Int, Text};
    Some(match (f, args) {
        (Func::Contains, [Text(t), Text(p)]) => Ok(Bool(t.contains(p.as_ref()))),
        (Func::StartsWith, [Text(t), Text(p)]) => Ok(Bool(t.starts_with(p.as_ref()))),
        (Func::EndsWith, [Text(t), Text(p)]) => Ok(Bool(t.ends_with(p.as_ref()))),
        (Func::LowerAscii, [Text(t)]) => Ok(text(t.to_ascii_lowercase())),
        (Func::UpperAscii, [Text(t)]) => Ok(text(t.to_ascii_uppercase())),
        (Func::Trim, [Text(t)]) => Ok(text(t.trim().to_string())),
        (Func::Reverse, [Text(t)]) => Ok(text(t.chars().rev().collect::<String>())),
        (Func::Quote, [Text(t)]) => quote(t),
        (Func::Split, [Text(t), Text(s)]) => split(t, s, usize::MAX),
        (Func::Split, [Text(t), Text(s), Int(n)]) => split(t, s, limit(*n)),
        (Func::Join, [list]) => join(list, ""),
        (Func::Join, [list, Text(s)]) => join(list, s),
        (Func::Replace, [Text(t), Text(a), Text(b)]) => replace(t, a, b, usize::MAX),
        (Func::Replace, [Text(t), Text(a), Text(b), Int(n)]) => replace(t, a, b, limit(*n)),
        (Func::Substring, [Text(t), Int(from)]) => substring(t, *from, None),
        (Func::Substring, [Text(t), Int(from), Int(to)]) => substring(t, *from, Some(*to)),
        (Func::CharAt, [Text(t), Int(i)]) if *i == t.chars().count() as i64 => Ok(text("")),
        (Func::CharAt, [Text(t), Int(i)]) => substring(t, *i, i.checked_add(1)),
        (Func::IndexOf, [Text(t), Text(p)]) => Ok(Int(position(t, t.find(p.as_ref())))),
        (Func::IndexOf, [Text(t), Text(p), Int(from)]) => index_of(t, p, *from),
        (Func::LastIndexOf, [Text(t), Text(p)]) => Ok(Int(position(t, t.rfind(p.as_ref())))),
        (Func::LastIndexOf, [Text(t), Text(p), Int(from)]) => last_index_of(t, p, *from),
        (Func::Format, [Text(t), list @ (Value::List(_) | Value::Json(_))]) => super::format::format(t, list),
        _ => return None,
    })
}

/// How many at most; less than zero is all.
fn limit(n: i64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn split<'a>(t: &Cow<'a, str>, separator: &str, n: usize) -> Result<Value<'a>, Fault> {
    let mut list = Listing::default();
    let mut from = 0;
    if n == 0 || (t.is_empty() && separator.is_empty()) {
        return Ok(list.finish());
    }
    for made in 1..n {
        let rest = &t[from..];
        let (end, next) = match (separator.is_empty(), rest.chars().next()) {
            (true, Some(c)) if made < n && c.len_utf8() < rest.len() => (from + c.len_utf8(), from + c.len_utf8()),
            (true, _) => break,
            (false, _) => match rest.find(separator) {
                Some(at) => (from + at, from + at + separator.len()),
                None => break,
            },
        };
        list.push(part(t, from..end))?;
        from = next;
    }
    list.push(part(t, from..t.len()))?;
    Ok(list.finish())
}

fn join<'a>(list: &Value<'a>, separator: &str) -> Result<Value<'a>, Fault> {
    let wrong = || Fault::new("`join` needs a list of texts");
    let Value::List(list) = list.clone().into_opened()? else { return Err(wrong()) };
    let mut out = Growing::default();
    for (i, v) in list.into_iter().enumerate() {
        let Value::Text(t) = v.plain()? else { return Err(wrong()) };
        if i > 0 {
            out.push(separator)?;
        }
        out.push(&t)?;
    }
    Ok(text(out.finish()))
}

fn replace<'a>(t: &str, old: &str, new: &str, n: usize) -> Result<Value<'a>, Fault> {
    let mut out = Growing::default();
    let mut from = 0;
    for (at, found) in t.match_indices(old).take(n) {
        out.push(&t[from..at])?;
        out.push(new)?;
        from = at + found.len();
    }
    out.push(&t[from..])?;
    Ok(text(out.finish()))
}

fn substring<'a>(t: &Cow<'a, str>, from: i64, to: Option<i64>) -> Result<Value<'a>, Fault> {
    let len = t.chars().count() as i64;
    let to = to.unwrap_or(len);
    if from < 0 || to < from || to > len {
        return Err(Fault::new(format!("a text of {len} characters has no part {from}..{to}")));
    }
    let start = byte_of(t, from as usize);
    let end = start + byte_of(&t[start..], (to - from) as usize);
    Ok(part(t, start..end))
}

/// The byte at which a character begins.
fn byte_of(t: &str, character: usize) -> usize {
    t.char_indices().nth(character).map_or(t.len(), |(at, _)| at)
}

fn position(t: &str, byte: Option<usize>) -> i64 {
    byte.map_or(-1, |b| t[..b].chars().count() as i64)
}

/// A start that can be one; where nothing is looked for, it is the answer.
fn start(part: &str, from: i64) -> Result<Result<usize, i64>, Fault> {
    if part.is_empty() {
        return Ok(Err(from));
    }
    usize::try_from(from).map(Ok).map_err(|_| Fault::new(format!("a text has no character {from}")))
}

fn index_of<'a>(t: &str, part: &str, from: i64) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(match start(part, from)? {
        Err(from) => from,
        Ok(from) => {
            let skipped = byte_of(t, from);
            position(t, t[skipped..].find(part).map(|at| skipped + at))
        }
    }))
}

/// The last place that begins at `from` or before it.
fn last_index_of<'a>(t: &str, part: &str, from: i64) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(match start(part, from)? {
        Err(from) => from,
        Ok(from) if from >= t.chars().count() => -1,
        Ok(from) => {
            let mut end = (byte_of(t, from) + part.len()).min(t.len());
            while !t.is_char_boundary(end) {
                end += 1;
            }
            let found = t[..end].rfind(part);
            let found = match found {
                Some(at) if at > byte_of(t, from) => t[..at].rfind(part),
                found => found,
            };
            position(t, found)
        }
    }))
}

/// Text in quotes, as an expression would write it.
fn quote<'a>(t: &str) -> Result<Value<'a>, Fault> {
    let mut out = Growing::default();
    let mut buffer = [0; 4];
    out.push("\"")?;
    for c in t.chars() {
        out.push(match c {
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{b}' => "\\v",
            '\\' => "\\\\",
            '"' => "\\\"",
            c => c.encode_utf8(&mut buffer),
        })?;
    }
    out.push("\"")?;
    Ok(text(out.finish()))
}
