//! Writing what came out as what is expected, into the text of a flow: all else stays as it is written.

use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;
use std::ops::Range;

/// A list longer than this goes in lines of its own.
const LINE: usize = 100;

/// Items as JSON, by test and stream.
pub type Found = BTreeMap<(String, String), Vec<String>>;

/// The text with other items expected: by test and stream, each as JSON. What is expected nowhere is not added.
pub fn accepted(text: &str, found: &Found) -> String {
    let mut out = text.to_string();
    for (spot, items) in spots(text, found).into_iter().rev() {
        let line = format!("[{}]", items.join(", "));
        let column = text[..spot.start].chars().rev().take_while(|c| *c != '\n').count();
        let list = match line.chars().count() > LINE {
            true => {
                let pad = " ".repeat(column + 2);
                format!("[\n{pad}{}\n{}]", items.join(&format!(",\n{pad}")), " ".repeat(column))
            }
            false => line,
        };
        let list = if text[..spot.start].ends_with(':') { format!(" {list}") } else { list };
        out.replace_range(spot, &list);
    }
    out
}

/// What a collection around an event is.
enum Around {
    Map(Option<String>),
    List,
}

/// Where the lists stand that are to be replaced, in bytes, with their items.
fn spots<'f>(text: &str, found: &'f BTreeMap<(String, String), Vec<String>>) -> Vec<(Range<usize>, &'f Vec<String>)> {
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let byte = |index: usize| bytes.get(index).copied().unwrap_or(text.len());
    let (mut around, mut out) = (vec![], vec![]);
    let mut open: Option<(usize, usize, &Vec<String>)> = None;
    let mut behind = 0;
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return out };
        let (start, end) = (byte(span.start.index()), byte(span.end.index()));
        match event {
            Event::Scalar(name, ..) => {
                match around.last_mut() {
                    Some(Around::Map(key @ None)) => *key = Some(name.into_owned()),
                    _ => {
                        // where nothing stands, that is told of the place before the colon
                        let gap = text[start..].find(|c: char| c != ' ').unwrap_or(0);
                        let empty = start == end && text[start + gap..].starts_with(':');
                        let at = if empty { start + gap + 1..start + gap + 1 } else { start..end };
                        out.extend(wanted(&around, found).map(|items| (at, items)));
                        value(&mut around);
                    }
                }
                behind = end;
            }
            Event::SequenceStart(..) => {
                if let Some(items) = wanted(&around, found).filter(|_| open.is_none()) {
                    open = Some((around.len(), start, items));
                }
                around.push(Around::List);
            }
            Event::MappingStart(..) => around.push(Around::Map(None)),
            Event::SequenceEnd | Event::MappingEnd => {
                around.pop();
                // a block ends where the next thing begins
                behind = if text[start..].starts_with([']', '}']) { start + 1 } else { behind };
                if let Some((_, from, items)) = open.take_if(|(depth, ..)| *depth == around.len()) {
                    out.push((from..behind, items));
                }
                value(&mut around);
            }
            Event::Alias(_) => value(&mut around),
            _ => {}
        }
    }
    out
}

/// A value has ended: in a map a key comes next.
fn value(around: &mut [Around]) {
    if let Some(Around::Map(key)) = around.last_mut() {
        *key = None;
    }
}

/// The items that are found where this value stands: `tests / TEST / expect / STREAM`.
fn wanted<'f>(around: &[Around], found: &'f Found) -> Option<&'f Vec<String>> {
    let keys: Vec<&str> = around
        .iter()
        .map(|a| match a {
            Around::Map(Some(key)) => key.as_str(),
            _ => "",
        })
        .collect();
    match keys.as_slice() {
        ["tests", test, "expect", stream] => found.get(&(test.to_string(), stream.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_replaced_however_they_are_written() {
        let found: Found = [(("a".into(), "x".into()), vec!["1".into(), "{\"b\":2}".into()])].into();
        let before = "flow: f # ü\ntests:\n  a: { given: { y: [1] }, expect: { x: [3, [4]], y: [5] } } # mine\n  b: { expect: { x: [6] } }\n";
        let after = before.replace("[3, [4]]", "[1, {\"b\":2}]");
        assert_eq!(accepted(before, &found), after);
        let before = "tests:\n  a:\n    expect:\n      x:\n        - 3\n        - { c: 4 } # mine\n      y: []\n  b: { expect: { x: [] } }\n";
        let after = before.replace("- 3\n        - { c: 4 }", "[1, {\"b\":2}]");
        assert_eq!(accepted(before, &found), after);
        let before = "tests:\n  a:\n    expect: { x: }\n    mock: { s: '\"x\"' }\n";
        assert_eq!(accepted(before, &found), before.replace("x: }", "x: [1, {\"b\":2}] }"));
        let before = "tests: { a: { expect: { x: [\n  1,\n  2 ] } } }\n";
        assert_eq!(accepted(before, &found), "tests: { a: { expect: { x: [1, {\"b\":2}] } } }\n");
        assert_eq!(accepted("tests: [", &found), "tests: [");
    }
}
