//! Declared streams: what fills them, what stores them, what their items must be.

use super::compile::{expression, source_names};
use super::draft::Name;
use super::keys::{Faults, Keys, text};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Env, FieldType, Reads};
use crate::model::{Entry, Field, Lines, Mode, Sink, SinkAt, Source, SourceAt, Stream, Writer};
use crate::patterns::Format;
use crate::tree::{Kind, Node};
use anabranch_engine::{FlowId, StreamName};
use std::collections::BTreeMap;

/// Keys of a stream.
pub const KEYS: &[&str] = &[
    "doc",
    "source",
    "sink",
    "format",
    "keep",
    "fields",
    "key",
    "time",
    "partitions",
    "replication-factor",
    "config",
    "topic",
];
const LATER_FORMATS: [&str; 3] = ["json", "csv", "tsv"];
const LATER_KINDS: [&str; 4] = ["url", "kafka", "ticks", "workqueue"];

/// A stream that is only named by steps.
pub fn internal(flow: &FlowId, (name, span): &Name) -> Option<Stream> {
    Some(Stream { at: flow.own(name).ok()?, declared: false, ..bare(name, *span, StreamName::new(name).ok()?) })
}

fn bare(name: &str, span: Span, at: StreamName) -> Stream {
    Stream {
        name: name.to_string(),
        at,
        declared: true,
        span,
        writer: Writer::Outside,
        readers: vec![],
        source: None,
        sink: None,
        format: Format::Json,
        keep: false,
        entry: Entry::default(),
        partitions: None,
        replication_factor: None,
        config: BTreeMap::new(),
    }
}

/// Reads a declared stream. The second value is its format, where it is written or told by a file's name.
pub fn declared(
    (name, span): &Name,
    mut keys: Keys<'_>,
    env: &Env,
    faults: &mut Faults,
) -> Option<(Stream, Option<Format>)> {
    super::wire::check_name(name, *span, faults);
    let topic = keys.text("topic", faults).map_or(name.as_str(), |(t, _)| t);
    let mut stream = bare(name, *span, StreamName::new(topic).ok()?);
    keys.node("doc");
    let written = keys.word("format", &["json", "text", "bytes"], faults).map(|w| match w {
        "json" => Format::Json,
        "text" => Format::Text,
        _ => Format::Bytes,
    });
    stream.source = keys.node("source").and_then(|n| source(n, written, env, faults));
    stream.sink = keys.node("sink").and_then(|n| sink(n, env, faults));
    let by_file = |lines: Lines| if lines == Lines::Json { Format::Json } else { Format::Text };
    let format = written.or(stream.source.as_ref().map(|s| by_file(s.lines)));
    stream.format = format.unwrap_or_default();
    stream.keep = keys.flag("keep", faults).unwrap_or(false);
    stream.partitions =
        keys.number("partitions", 1..=u64::from(anabranch_engine::limits::PARTITIONS), faults).map(|n| n as u32);
    stream.replication_factor = keys.number("replication-factor", 1..=32_000, faults).map(|n| n as u16);
    stream.config = keys.node("config").map_or_else(BTreeMap::new, |n| config(n, faults));
    if stream.source.is_some() {
        stream.writer = Writer::Source;
    }
    entry(&mut keys, &mut stream, env, faults);
    keys.done(&[], super::words::key, faults);
    Some((stream, format))
}

fn config(node: &Node, faults: &mut Faults) -> BTreeMap<String, String> {
    let Kind::Map(map) = &node.kind else {
        faults.push(
            Diagnostic::error("not-a-map", node.span, "`config` is a map of settings")
                .label("as in  { retention.ms: 86400000 }"),
        );
        return BTreeMap::new();
    };
    map.iter().filter_map(|(k, v)| Some((k.as_str()?.to_string(), text(v, "config", faults)?.to_string()))).collect()
}

/// `key`, `time` and `fields`: what is done to an item at the source.
fn entry(keys: &mut Keys<'_>, stream: &mut Stream, env: &Env, faults: &mut Faults) {
    let names = source_names(stream.format, env);
    let entry = &mut stream.entry;
    entry.key = keys.node("key").and_then(|n| expression(n, "key", &names, &mut entry.reads, faults));
    entry.time = keys.node("time").and_then(|n| expression(n, "time", &names, &mut entry.reads, faults));
    if let Some(node) = keys.node("fields") {
        let Kind::Map(map) = &node.kind else {
            faults.push(Diagnostic::error("not-a-map", node.span, "`fields` is a map from names to types"));
            return;
        };
        for (k, v) in map {
            let (Some(name), Some(word)) = (k.as_str(), text(v, "fields", faults)) else { continue };
            let (word, optional) = word.strip_suffix("|null").map_or((word, false), |w| (w.trim(), true));
            let of = match word {
                "string" => FieldType::String,
                "int" => FieldType::Int,
                "double" => FieldType::Double,
                "bool" => FieldType::Bool,
                "timestamp" => FieldType::Timestamp,
                "list" => FieldType::List,
                "map" => FieldType::Map,
                _ => {
                    let what = "a type is string, int, double, bool, timestamp, list or map";
                    faults.push(
                        Diagnostic::error("unknown-type", v.span, what).label("`|null` behind it = may be missing"),
                    );
                    continue;
                }
            };
            entry.reads.item = true;
            let slot = entry.reads.fields.iter().position(|f| **f == *name).unwrap_or_else(|| {
                entry.reads.fields.push(name.into());
                entry.reads.fields.len() - 1
            });
            entry.fields.push(Field { name: name.to_string(), slot, of, optional });
        }
    }
    if !entry.is_plain() && stream.writer != Writer::Source {
        let what = "`key`, `time` and `fields` are given to items at a source, and this stream has none";
        faults.push(Diagnostic::error("no-source", stream.span, what));
    }
}

/// How a file holds items, by its name.
fn lines_of(path: &str, span: Span, faults: &mut Faults) -> Lines {
    let lower = path.to_lowercase();
    for packed in [".gz", ".zst"] {
        if lower.ends_with(packed) {
            faults.push(Diagnostic::error(
                "not-in-this-version",
                span,
                format!("packed files ({packed}) are not read or written in this version"),
            ));
        }
    }
    match lower.rsplit_once('.').map(|(_, e)| e) {
        Some("jsonl" | "ndjson") => Lines::Json,
        Some(e) if LATER_FORMATS.contains(&e) => {
            let what = format!("the format {e} is not in this version; known formats: jsonl, lines");
            faults.push(Diagnostic::error("not-in-this-version", span, what));
            Lines::Text
        }
        _ => Lines::Text,
    }
}

fn lines_key(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<Lines> {
    let (word, span) = keys.text("format", faults)?;
    match word {
        "lines" => Some(Lines::Text),
        "jsonl" => Some(Lines::Json),
        later if LATER_FORMATS.contains(&later) => {
            faults.push(Diagnostic::error(
                "not-in-this-version",
                span,
                format!("the format {later} is not in this version; known formats: jsonl, lines"),
            ));
            None
        }
        _ => {
            faults.push(Diagnostic::error("unknown-word", span, "`format` is one of: lines, jsonl"));
            None
        }
    }
}

/// Says so where a kind is of a later version; `true` if it was.
fn later_kind(keys: &mut Keys<'_>, faults: &mut Faults) -> bool {
    let found = LATER_KINDS.into_iter().find_map(|k| keys.key_span(k).map(|s| (k, s)));
    if let Some((kind, span)) = found {
        faults.push(Diagnostic::error("not-in-this-version", span, format!("`{kind}` is not in this version")));
    }
    found.is_some()
}

/// `${NAME}` filled in.
fn filled(text: &str, span: Span, env: &Env, faults: &mut Faults) -> String {
    super::compile::interpolate(text, span, env, faults)
}

fn source(node: &Node, format: Option<Format>, env: &Env, faults: &mut Faults) -> Option<Source> {
    let plain = format.filter(|f| *f != Format::Json).map(|_| Lines::Text);
    if let Some(path) = node.as_str() {
        if node.is_null() {
            text(node, "source", faults);
            return None;
        }
        if path == "stdin" {
            let lines = if format == Some(Format::Json) { Lines::Json } else { Lines::Text };
            return Some(Source { from: SourceAt::Stdin, lines });
        }
        if path.contains("://") {
            faults.push(Diagnostic::error("not-in-this-version", node.span, "a URL as source is not in this version"));
            return None;
        }
        let lines = plain.unwrap_or_else(|| lines_of(path, node.span, faults));
        return Some(Source { from: SourceAt::Files(filled(path, node.span, env, faults)), lines });
    }
    let mut keys = Keys::of(node, "a source", faults)?;
    if later_kind(&mut keys, faults) {
        return None;
    }
    let chosen = lines_key(&mut keys, faults).or(plain);
    let from = if let Some((path, span)) = keys.text("file", faults) {
        let lines = chosen.unwrap_or_else(|| lines_of(path, span, faults));
        Source { from: SourceAt::Files(filled(path, span, env, faults)), lines }
    } else if keys.node("stdin").is_some() {
        Source {
            from: SourceAt::Stdin,
            lines: chosen.unwrap_or(if format == Some(Format::Json) { Lines::Json } else { Lines::Text }),
        }
    } else if let Some(items) = keys.node("items") {
        let Kind::List(list) = &items.kind else {
            faults.push(Diagnostic::error("not-a-list", items.span, "`items` is a list of values"));
            return None;
        };
        let text = format.is_some_and(|f| f != Format::Json);
        let items =
            list.iter().map(|n| if text { n.as_str().unwrap_or_default().to_string() } else { json_of(n) }).collect();
        Source { from: SourceAt::Items(items), lines: if text { Lines::Text } else { Lines::Json } }
    } else {
        faults.push(
            Diagnostic::error("no-kind", node.span, "a source is a file, stdin or items")
                .label("as in  { file: in.jsonl }"),
        );
        return None;
    };
    keys.word("read", &["all"], faults);
    keys.word("when-done", &["keep"], faults);
    keys.done(&[], |_| None, faults);
    Some(from)
}

/// A node as JSON: what is plain may be a number, true, false or null.
fn json_of(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar { text, plain } => {
            let meant = *plain && crate::expr::json::check(text.as_bytes()).is_ok();
            if node.is_null() {
                "null".into()
            } else if meant {
                text.clone()
            } else {
                serde_json::Value::from(text.as_str()).to_string()
            }
        }
        Kind::List(l) => format!("[{}]", l.iter().map(json_of).collect::<Vec<_>>().join(",")),
        Kind::Map(m) => {
            let pair = |(k, v): &(Node, Node)| {
                format!("{}:{}", serde_json::Value::from(k.as_str().unwrap_or_default()), json_of(v))
            };
            format!("{{{}}}", m.iter().map(pair).collect::<Vec<_>>().join(","))
        }
        Kind::Code(_) | Kind::Action(_) => "null".into(),
    }
}

fn sink(node: &Node, env: &Env, faults: &mut Faults) -> Option<Sink> {
    let run = super::compile::run_names(env);
    let file = |path: &str, span: Span, faults: &mut Faults| match super::compile::filled(
        path,
        span,
        &run,
        env,
        &mut Reads::default(),
        faults,
    ) {
        Ok(t) => Some(SinkAt::File(t)),
        Err(f) => {
            let text = f.text.replace("there is no name `item`", "a path made of item data is not in this version");
            faults.push(Diagnostic::error("bad-template", span, text));
            None
        }
    };
    if let Some(path) = node.as_str() {
        if node.is_null() {
            text(node, "sink", faults);
            return None;
        }
        if path == "stdout" {
            return Some(Sink {
                to: SinkAt::Stdout,
                lines: Lines::Text,
                mode: Mode::Append,
                mode_said: false,
                whole: false,
            });
        }
        if path.contains("://") {
            faults.push(Diagnostic::error("not-in-this-version", node.span, "a URL as sink is not in this version"));
            return None;
        }
        let lines = lines_of(path, node.span, faults);
        return Some(Sink {
            to: file(path, node.span, faults)?,
            lines,
            mode: Mode::Replace,
            mode_said: false,
            whole: false,
        });
    }
    let mut keys = Keys::of(node, "a sink", faults)?;
    if later_kind(&mut keys, faults) {
        return None;
    }
    let chosen = lines_key(&mut keys, faults);
    let (to, lines, usual) = if let Some((path, span)) = keys.text("file", faults) {
        (file(path, span, faults)?, chosen.unwrap_or_else(|| lines_of(path, span, faults)), Mode::Replace)
    } else if keys.node("stdout").is_some() {
        (SinkAt::Stdout, chosen.unwrap_or(Lines::Text), Mode::Append)
    } else {
        faults.push(
            Diagnostic::error("no-kind", node.span, "a sink is a file or stdout")
                .label("as in  { file: out.jsonl, mode: append }"),
        );
        return None;
    };
    let mode = keys.word("mode", &["replace", "append", "fail"], faults);
    let written = keys.word("write", &["value", "item"], faults);
    keys.done(&["roll"], |_| None, faults);
    let mode_said = mode.is_some();
    let mode = match mode {
        Some("append") => Mode::Append,
        Some("fail") => Mode::Fail,
        Some(_) => Mode::Replace,
        None => usual,
    };
    Some(Sink { to, lines, mode, mode_said, whole: written == Some("item") })
}
