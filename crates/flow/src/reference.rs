//! The reference of the language as a page in Markdown, made of the same descriptions as the check and the schema.

use crate::check::{FLOW_KEYS, SINK_KEYS, SOURCE_KEYS, STREAM_KEYS};
use crate::patterns::{STEP_KEYS, VERBS};
use crate::spec::{Is, Key, Part, Usual};
use crate::suite;
use std::fmt::Write;

/// The reference of the language.
pub fn markdown() -> String {
    let mut out = String::new();
    out += "## A flow\n\nA flow is a YAML file that begins with its name. Keys that begin with `x-` are yours: they are read by nobody.\n\n";
    table(&mut out, FLOW_KEYS);
    out += "\n## Streams\n\nA stream under `streams:` is public: others may read it, and on Kafka it is the topic of that name. \
            A stream that only steps name is the flow's own.\n\n";
    table(&mut out, STREAM_KEYS);
    out += "\n### Sources\n\n`source: PATH`, `source: stdin`, or a map:\n\n";
    table(&mut out, SOURCE_KEYS);
    out += "\n### Sinks\n\n`sink: PATH`, `sink: stdout`, or a map:\n\n";
    table(&mut out, SINK_KEYS);
    out += "\n## Steps\n\nA step has one verb; the verb's value is the stream that it reads, or a list of them where it reads several. \
            `'x-*'` is all streams whose names match. Every step may have:\n\n";
    table(&mut out, STEP_KEYS);
    for verb in VERBS {
        let reads = if verb.spec.many { "several streams" } else { "one stream" };
        let _ = write!(out, "\n### {}\n\n{} It reads {reads}.\n\n", verb.spec.name, verb.spec.doc);
        let _ = write!(out, "```yaml\n{}\n```\n\n", verb.spec.example);
        table(&mut out, verb.spec.keys);
    }
    out += "\n## Tests\n\nA test of the flow, under its name: `anabranch test` runs it with no file, no program and no server. An item is its \
            value, or `{ item: { value, key, headers, timestamp } }` where more is said of it.\n\n";
    table(&mut out, suite::KEYS);
    out
}

/// Keys as a table, and behind it those of maps in it.
fn table(out: &mut String, keys: &[Key]) {
    let later = |k: &&Key| matches!(k.is, Is::Later | Is::Ignored);
    *out += "| key | is | default | |\n|---|---|---|---|\n";
    for key in keys.iter().filter(|k| !later(k) && !matches!(k.is, Is::Code)) {
        let usual = match key.usual {
            Usual::Needed => "**needed**".to_string(),
            Usual::Nothing => "–".to_string(),
            Usual::Value(value) => format!("`{value}`"),
            Usual::Depends(on) => on.to_string(),
        };
        let example = if key.example.contains("  (") { String::new() } else { format!(" `{}`", key.example) };
        let line = format!("| `{}` | {} | {usual} | {}{example} |\n", key.name, kind(&key.is), key.doc);
        *out += &line.replace("|null", "\\|null");
    }
    let names: Vec<String> = keys.iter().filter(later).map(|k| format!("`{}`", k.name)).collect();
    if !names.is_empty() {
        let _ = write!(out, "\nOf a later version: {}.\n", names.join(", "));
    }
    for key in keys {
        if let Is::Map(inner) | Is::Maps(inner) = key.is {
            let _ = write!(out, "\nKeys of `{}`:\n\n", key.name);
            table(out, inner);
        }
    }
}

/// What a value is, in a few words.
fn kind(is: &Is) -> String {
    let words = |words: &[&str]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    match is {
        Is::Text => "text".into(),
        Is::Expression => "expression".into(),
        Is::Condition => "condition".into(),
        Is::Shape => "expression, or a map of them".into(),
        Is::Fields => "map of expressions".into(),
        Is::Stream => "stream".into(),
        Is::StreamOr(others) => format!("stream, {}", words(others)),
        Is::Streams => "stream, or a list".into(),
        Is::Word(all) => words(all),
        Is::Number(from, to) => format!("number, {from} to {to}"),
        Is::Flag => "`true`, `false`".into(),
        Is::Duration => "length of time".into(),
        Is::Tolerance => "number, or N%".into(),
        Is::Texts => "text, or a list".into(),
        Is::Shards => "number, or a list of values".into(),
        Is::Program => "list: program, arguments".into(),
        Is::Settings => "map of texts".into(),
        Is::Types => "map of types".into(),
        Is::Variables => "map of defaults; `null` = must be given".into(),
        Is::Values => "list of values".into(),
        Is::Value => "any value".into(),
        Is::Lists => "map of lists".into(),
        Is::Mocks => "map of answers".into(),
        Is::Counts => "map of counts".into(),
        Is::Empty => "`{}`".into(),
        Is::TextOr(_) => "text, or a map: below".into(),
        Is::Map(_) => "map: below".into(),
        Is::Maps(_) => "list of maps: below".into(),
        Is::Named(Part::Stream) => "map of streams".into(),
        Is::Named(Part::Step) => "map of steps".into(),
        Is::Named(Part::Test) => "map of tests".into(),
        Is::Named(Part::Defaults) => "map of keys".into(),
        Is::Ignored | Is::Later | Is::Code => String::new(),
    }
}
