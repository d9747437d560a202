//! Declared streams: what fills them, what stores them, what their items must be.

use super::names::check_name;
use super::sinks::{self, sink};
use super::sources::{self, source};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Env, FieldType};
use crate::format::Format;
use crate::model::{Entry, Field, Stream, Writer};
use crate::read::compile::{expression, source_names};
use crate::read::keys::{Faults, Keys, text};
use crate::read::{Name, words};
use crate::spec::{Is, Key};
use crate::tree::{Kind, Node};
use anabranch_engine::{FlowId, StreamName, limits};
use std::collections::BTreeMap;

/// Keys of a stream.
pub const KEYS: &[Key] = &[
    Key::new("doc", Is::Text, "What the stream is.", "doc: one order a line"),
    Key::new(
        "source",
        Is::TextOr(sources::KEYS),
        "What fills the stream: a file, all files of a pattern, `stdin`, or a list.",
        "source: in/*.jsonl",
    ),
    Key::new("sink", Is::TextOr(sinks::KEYS), "What stores the stream: a file or `stdout`.", "sink: out/counts.jsonl"),
    Key::new("format", Is::Word(&["json", "text", "bytes"]), "What an item is.", "format: text")
        .depends("the file; else `json`"),
    Key::new("keep", Is::Flag, "Whether the items also stay in the log, although a file has them.", "keep: true")
        .usual("false"),
    Key::new(
        "fields",
        Is::Types,
        "Fields that items must have at the source, and their types: `string`, `int`, `double`, `bool`, `timestamp`, `list`, `map`; with `|null` a field may be missing.",
        "fields: { user: string, age: 'int|null' }",
    ),
    Key::new("key", Is::Expression, "The key that an item gets at the source.", "key: item.user"),
    Key::new("time", Is::Expression, "The timestamp that an item gets at the source.", "time: timestamp(item.at)")
        .depends("the start of the run"),
    Key::new("partitions", Is::Number(1, limits::PARTITIONS as u64), "Partitions of the stream.", "partitions: 10")
        .depends("those of the input of its writer; 1 at a source"),
    Key::new(
        "replication-factor",
        Is::Number(1, 32_000),
        "Copies of each partition on Kafka.",
        "replication-factor: 3",
    )
    .depends("the broker"),
    Key::new("config", Is::Settings, "Settings of the topic, by Kafka's names.", "config: { retention.ms: 86400000 }"),
    Key::new("topic", Is::Text, "The name of the stream outside the flow.", "topic: sales.v2")
        .depends("the name of the stream"),
];

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
    check_name(name, *span, faults);
    let topic = keys.text("topic", faults).map_or(name.as_str(), |(t, _)| t);
    let mut stream = bare(name, *span, StreamName::new(topic).ok()?);
    keys.node("doc");
    let written = keys.word("format", faults).map(|w| match w {
        "json" => Format::Json,
        "text" => Format::Text,
        _ => Format::Bytes,
    });
    stream.source = keys.node("source").and_then(|n| source(n, written, env, faults));
    stream.sink = keys.node("sink").and_then(|n| sink(n, env, faults));
    let format = written.or(stream.source.as_ref().map(|s| s.holds.makes()));
    stream.format = format.unwrap_or_default();
    stream.keep = keys.flag("keep", faults).unwrap_or(false);
    stream.partitions = keys.number("partitions", faults).map(|n| n as u32);
    stream.replication_factor = keys.number("replication-factor", faults).map(|n| n as u16);
    stream.config = keys.node("config").map_or_else(BTreeMap::new, |n| config(n, faults));
    if stream.source.is_some() {
        stream.writer = Writer::Source;
    }
    entry(&mut keys, &mut stream, env, faults);
    keys.done(words::key, faults);
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
