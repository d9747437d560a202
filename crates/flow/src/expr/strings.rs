//! Functions on text.

use super::Fault;
use super::functions::{Func, into_opened};
use super::value::Value;
use regex::Regex;
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
        (Func::Split, [Text(t), Text(s)]) => Ok(split(t, s, usize::MAX)),
        (Func::Split, [_, _, Int(0)]) => Ok(Value::List(vec![])),
        (Func::Split, [Text(t), Text(s), Int(n)]) => Ok(split(t, s, usize::try_from(*n).unwrap_or(usize::MAX))),
        (Func::Join, [list]) => join(list, ""),
        (Func::Join, [list, Text(s)]) => join(list, s),
        (Func::Replace, [Text(t), Text(a), Text(b)]) => Ok(text(t.replace(a.as_ref(), b))),
        (Func::Replace, [Text(t), Text(a), Text(b), Int(n)]) => {
            Ok(text(t.replacen(a.as_ref(), b, usize::try_from(*n).unwrap_or(usize::MAX))))
        }
        (Func::Substring, [Text(t), Int(from)]) => substring(t, *from, None),
        (Func::Substring, [Text(t), Int(from), Int(to)]) => substring(t, *from, Some(*to)),
        (Func::CharAt, [Text(t), Int(i)]) if *i == t.chars().count() as i64 => Ok(text("")),
        (Func::CharAt, [Text(t), Int(i)]) => substring(t, *i, Some(i + 1)),
        (Func::IndexOf, [Text(t), Text(p)]) => Ok(Int(position(t, t.find(p.as_ref())))),
        (Func::LastIndexOf, [Text(t), Text(p)]) => Ok(Int(position(t, t.rfind(p.as_ref())))),
        _ => return None,
    })
}

/// Calls a function on text with a compiled pattern.
pub fn call_regex<'a>(f: Func, regex: &Regex, args: &[Value<'a>]) -> Outcome<'a> {
    let owned = |t: &str| text(t.to_string());
    Some(match (f, args) {
        (Func::Matches, [Value::Text(t)]) => Ok(Value::Bool(regex.is_match(t))),
        (Func::ExtractAll | Func::Extract, [Value::Text(_)]) if regex.captures_len() > 2 => {
            Err(Fault::new(format!("{} has more than one group: which one is meant?", regex.as_str())))
        }
        (Func::ExtractAll, [Value::Text(t)]) => Ok(Value::List(
            regex.captures_iter(t).filter_map(|c| c.get(1).or_else(|| c.get(0)).map(|m| owned(m.as_str()))).collect(),
        )),
        (Func::Extract, [Value::Text(t)]) => Ok(Value::Optional(
            regex.captures(t).and_then(|c| c.get(1).or_else(|| c.get(0)).map(|m| Box::new(owned(m.as_str())))),
        )),
        (Func::RegexReplace, [Value::Text(t), Value::Text(with)]) => {
            replacement(with).map(|with| text(regex.replace_all(t, with.as_str()).into_owned()))
        }
        (Func::Capture, [Value::Text(t)]) => match regex.captures(t) {
            Some(c) => Ok(Value::Map(
                regex
                    .capture_names()
                    .flatten()
                    .map(|n| (owned(n), c.name(n).map_or(Value::Null, |m| owned(m.as_str()))))
                    .collect(),
            )),
            None => Err(Fault::new(format!("the text does not match {}", regex.as_str()))),
        },
        _ => return None,
    })
}

/// CEL names groups `\1`; the library names them `${1}`.
fn replacement(with: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(with.len());
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some(n)) if n.is_ascii_digit() => out.push_str(&format!("${{{n}}}")),
            ('\\', Some('\\')) => out.push('\\'),
            ('\\', _) => {
                return Err(Fault::new("in a replacement, `\\` is followed by the number of a group or by `\\`"));
            }
            ('$', _) => out.push_str("$$"),
            (c, _) => out.push(c),
        }
    }
    Ok(out)
}

fn split<'a>(t: &str, separator: &str, n: usize) -> Value<'a> {
    let part = |p: &str| text(p.to_string());
    if separator.is_empty() {
        return Value::List(t.chars().map(|c| part(&c.to_string())).collect());
    }
    Value::List(t.splitn(n.max(1), separator).map(part).collect())
}

fn join<'a>(list: &Value<'a>, separator: &str) -> Result<Value<'a>, Fault> {
    let Value::List(list) = into_opened(list.clone())? else { return Err(Fault::new("`join` needs a list of texts")) };
    let parts: Option<Vec<&str>> =
        list.iter().map(|v| if let Value::Text(t) = v { Some(t.as_ref()) } else { None }).collect();
    parts.map(|p| text(p.join(separator))).ok_or_else(|| Fault::new("`join` needs a list of texts"))
}

fn substring<'a>(t: &str, from: i64, to: Option<i64>) -> Result<Value<'a>, Fault> {
    let len = t.chars().count() as i64;
    let to = to.unwrap_or(len);
    if from < 0 || to < from || to > len {
        return Err(Fault::new(format!("a text of {len} characters has no part {from}..{to}")));
    }
    Ok(text(t.chars().skip(from as usize).take((to - from) as usize).collect::<String>()))
}

fn position(t: &str, byte: Option<usize>) -> i64 {
    byte.map_or(-1, |b| t[..b].chars().count() as i64)
}
