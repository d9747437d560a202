//! Sources: what fills a stream.

use super::files::{format_key, format_of, later_kind};
use crate::diagnostic::Diagnostic;
use crate::expr::Env;
use crate::format::{FileFormat, Format};
use crate::model::{Source, SourceAt};
use crate::read::compile::interpolate;
use crate::read::keys::{Faults, Keys, text};
use crate::spec::{Is, Key};
use crate::tree::{Kind, Node};

/// Keys of a source.
pub const KEYS: &[Key] = &[
    Key::new("file", Is::Text, "A file, or all files of a pattern, sorted by name.", "file: in/*.jsonl"),
    Key::new("stdin", Is::Empty, "Standard input.", "stdin: {}"),
    Key::new("items", Is::Values, "The items themselves.", "items: [1, 2, 3]"),
    Key::new(
        "format",
        Is::Word(&["lines", "jsonl"]),
        "How the file holds items: each line is one, or each line is a JSON value.",
        "format: jsonl",
    )
    .depends("the name of the file"),
    Key::new("read", Is::Word(&["all"]), "Which files a run reads.", "read: all").usual("all"),
    Key::new("when-done", Is::Word(&["keep"]), "What becomes of a file that was read.", "when-done: keep")
        .usual("keep"),
    Key::new("url", Is::Later, "An address to read from.", "url: 'https://example.org/in.jsonl'"),
    Key::new("kafka", Is::Later, "A topic of another cluster.", "kafka: { topic: sales }"),
    Key::new("ticks", Is::Later, "An item each time.", "ticks: 1m"),
    Key::new("workqueue", Is::Later, "A list that a server has.", "workqueue: 'http://localhost'"),
];

/// Reads a source.
pub fn source(node: &Node, format: Option<Format>, env: &Env, faults: &mut Faults) -> Option<Source> {
    let plain = format.filter(|f| *f != Format::Json).map(|_| FileFormat::Lines);
    if let Some(path) = node.as_str() {
        if node.is_null() {
            text(node, "source", faults);
            return None;
        }
        if path == "stdin" {
            let holds = if format == Some(Format::Json) { FileFormat::Jsonl } else { FileFormat::Lines };
            return Some(Source { from: SourceAt::Stdin, holds });
        }
        if path.contains("://") {
            faults.push(Diagnostic::error("not-in-this-version", node.span, "a URL as source is not in this version"));
            return None;
        }
        let holds = plain.unwrap_or_else(|| format_of(path, node.span, faults));
        return Some(Source { from: SourceAt::Files(interpolate(path, node.span, env, faults)), holds });
    }
    let mut keys = Keys::of(node, "a source", KEYS, faults)?;
    if later_kind(&mut keys, faults) {
        return None;
    }
    let chosen = format_key(&mut keys, faults).or(plain);
    let from = if let Some((path, span)) = keys.text("file", faults) {
        let holds = chosen.unwrap_or_else(|| format_of(path, span, faults));
        Source { from: SourceAt::Files(interpolate(path, span, env, faults)), holds }
    } else if keys.node("stdin").is_some() {
        Source {
            from: SourceAt::Stdin,
            holds: chosen.unwrap_or(if format == Some(Format::Json) { FileFormat::Jsonl } else { FileFormat::Lines }),
        }
    } else if let Some(items) = keys.node("items") {
        let Kind::List(list) = &items.kind else {
            faults.push(Diagnostic::error("not-a-list", items.span, "`items` is a list of values"));
            return None;
        };
        let text = format.is_some_and(|f| f != Format::Json);
        let items =
            list.iter().map(|n| if text { n.as_str().unwrap_or_default().to_string() } else { n.to_json() }).collect();
        Source { from: SourceAt::Items(items), holds: if text { FileFormat::Lines } else { FileFormat::Jsonl } }
    } else {
        faults.push(
            Diagnostic::error("no-kind", node.span, "a source is a file, stdin or items")
                .label("as in  { file: in.jsonl }"),
        );
        return None;
    };
    keys.word("read", faults);
    keys.word("when-done", faults);
    keys.done(|_| None, faults);
    Some(from)
}
