//! Regular expressions: the syntax of RE2, which CEL has, for the library `regex`.

use super::Fault;
use super::func::Func;
use super::growing::Growing;
use super::size::{Listing, Size};
use super::value::{Value, part};
use regex::{Captures, Regex};
use std::borrow::Cow;

/// Compiles a pattern; the error says what is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&ascii(pattern)).map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("`{pattern}` is not a regular expression: {why}")
    })
}

/// The same pattern where `\d \w \s \b` are ASCII, and a bracket or `&&` in a class is a character, as RE2 has it.
fn ascii(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let (mut class, mut first) = (false, false);
    while let Some(c) = chars.next() {
        let begins = std::mem::take(&mut first);
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[\t\n\f\r\x20]"),
                Some('S') => out.push_str(r"[^\t\n\f\r\x20]"),
                Some('Q') => {
                    let rest: String = chars.by_ref().collect();
                    let (quoted, behind) = rest.split_once(r"\E").unwrap_or((&rest, ""));
                    return out + &regex::escape(quoted) + &ascii(behind);
                }
                Some(b @ ('b' | 'B')) if !class => out.push_str(&format!(r"(?-u:\{b})")),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !class => {
                (class, first) = (true, true);
                out.push('[');
            }
            '[' if chars.peek() != Some(&':') => out.push_str("\\["),
            '^' if begins => {
                first = true;
                out.push('^');
            }
            ']' if begins => out.push_str("\\]"),
            ']' => {
                class = false;
                out.push(']');
            }
            '[' => {
                // `[:alpha:]` stays as it is
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            c @ ('&' | '~') if class => out.extend(['\\', c]),
            '-' if class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    out
}

/// Calls a function on text with a compiled pattern; `None` if it is not one, or the values do not fit.
pub fn call<'a>(f: Func, regex: &Regex, args: &[Value<'a>]) -> Option<Result<Value<'a>, Fault>> {
    Some(match (f, args) {
        (Func::Matches, [Value::Text(t)]) => Ok(Value::Bool(regex.is_match(t))),
        (Func::ExtractAll | Func::Extract, [Value::Text(_)]) if regex.captures_len() > 2 => {
            Err(Fault::new(format!("{} has more than one group: which one is meant?", regex.as_str())))
        }
        (Func::ExtractAll, [Value::Text(t)]) => extract_all(regex, t),
        (Func::Extract, [Value::Text(t)]) => {
            Ok(Value::Optional(regex.captures(t).and_then(|c| wanted(regex, t, &c)).map(Box::new)))
        }
        (Func::RegexReplace, [Value::Text(t), Value::Text(with)]) => replace(regex, t, with, -1),
        (Func::RegexReplace, [Value::Text(t), Value::Text(with), Value::Int(n)]) => replace(regex, t, with, *n),
        (Func::Capture, [Value::Text(t)]) => capture(regex, t),
        _ => return None,
    })
}

/// The group, or the whole match where there is no group; a group that caught nothing is none.
fn wanted<'a>(regex: &Regex, t: &Cow<'a, str>, c: &Captures<'_>) -> Option<Value<'a>> {
    if regex.captures_len() > 1 {
        return c.get(1).filter(|m| !m.is_empty()).map(|m| part(t, m.range()));
    }
    c.get(0).map(|m| part(t, m.range()))
}

fn extract_all<'a>(regex: &Regex, t: &Cow<'a, str>) -> Result<Value<'a>, Fault> {
    let mut list = Listing::default();
    for c in regex.captures_iter(t) {
        wanted(regex, t, &c).map_or(Ok(()), |v| list.push(v))?;
    }
    Ok(list.finish())
}

fn capture<'a>(regex: &Regex, t: &Cow<'a, str>) -> Result<Value<'a>, Fault> {
    let Some(c) = regex.captures(t) else {
        return Err(Fault::new(format!("the text does not match {}", regex.as_str())));
    };
    let (mut map, mut size) = (vec![], Size::default());
    for name in regex.capture_names().flatten() {
        let caught = c.name(name).map_or(Value::Null, |m| part(t, m.range()));
        size.add(&caught)?;
        map.push((Value::Text(name.to_string().into()), caught));
    }
    Ok(Value::Map(map))
}

fn replace<'a>(regex: &Regex, t: &str, with: &str, n: i64) -> Result<Value<'a>, Fault> {
    let mut out = Growing::default();
    let (mut from, mut pieces) = (0, None);
    for c in regex.captures_iter(t).take(usize::try_from(n).unwrap_or(usize::MAX)) {
        let pieces = match &pieces {
            Some(pieces) => pieces,
            None => pieces.insert(replacement(with, regex.captures_len())?),
        };
        let whole = c.get(0).map_or(from..from, |m| m.range());
        out.push(&t[from..whole.start])?;
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push(text)?,
                Piece::Group(i) => out.push(c.get(*i).map_or("", |m| m.as_str()))?,
            }
        }
        from = whole.end;
    }
    out.push(&t[from..])?;
    Ok(Value::Text(out.finish().into()))
}

/// Text, or what a group caught.
enum Piece {
    Text(String),
    Group(usize),
}

/// CEL names groups `\1`.
fn replacement(with: &str, groups: usize) -> Result<Vec<Piece>, Fault> {
    let mut out = vec![];
    let mut plain = String::new();
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('\\')) => plain.push('\\'),
            ('\\', Some(n)) if n.is_ascii_digit() => {
                let n = n as usize - '0' as usize;
                if n >= groups {
                    return Err(Fault::new(format!(
                        r"the replacement names group \{n}, the pattern has {}",
                        groups - 1
                    )));
                }
                out.push(Piece::Text(std::mem::take(&mut plain)));
                out.push(Piece::Group(n));
            }
            ('\\', _) => {
                return Err(Fault::new("in a replacement, `\\` is followed by the number of a group or by `\\`"));
            }
            (c, _) => plain.push(c),
        }
    }
    out.push(Piece::Text(plain));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_and_brackets_in_them_are_characters() {
        for (pattern, text, matches) in [
            (r"^\w$", "é", false),
            (r"^\W$", "é", true),
            (r"^\d$", "٣", false),
            (r"^[\d.]+$", "1.5", true),
            (r"^[^\s]+$", "a\u{a0}b", true),
            (r"^\S+$", "a b", false),
            (r"a\b", "aé", true),
            (r"\Ba", "éa", false),
            (r"^[[a]+$", "[a", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "b", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[[:alpha:]_]+$", "a_", true),
            (r"\[x\]", "[x]", true),
            (r"^[\]x]+$", "]x", true),
            (r"^\\d$", r"\d", true),
            (r"^\Qa.b\E\d$", "a.b1", true),
            (r"^\Qa.b", "axb", false),
        ] {
            let regex = compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(regex.is_match(text), matches, "{pattern} {text}");
        }
        assert!(compile("(").expect_err("open").contains("unclosed group"));
    }
}
