//! Sinks: what stores a stream.

use super::files::{format_key, format_of, later_kind};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Env, Reads};
use crate::format::FileFormat;
use crate::model::{Mode, Sink, SinkAt};
use crate::read::compile::{Filling, run_names};
use crate::read::keys::{Faults, Keys, text};
use crate::spec::{Is, Key};
use crate::tree::Node;

/// Keys of a sink.
pub const KEYS: &[Key] = &[
    Key::new(
        "file",
        Is::Text,
        "A file; `{run.date}` and `{run.id}` may be in its path.",
        "file: 'out/{run.date}.jsonl'",
    ),
    Key::new("stdout", Is::Empty, "Standard output.", "stdout: {}"),
    Key::new("format", Is::Word(&["lines", "jsonl"]), "How the file holds items.", "format: jsonl")
        .depends("the name of the file"),
    Key::new(
        "mode",
        Is::Word(&["replace", "append", "fail"]),
        "What becomes of what the file holds already.",
        "mode: append",
    )
    .depends("`replace`; `append` where the flow goes on from run to run"),
    Key::new(
        "write",
        Is::Word(&["value", "item"]),
        "Whether only the value is written, or the item with its key, headers and timestamp.",
        "write: item",
    )
    .usual("value"),
    Key::new("roll", Is::Later, "When the next file begins.", "roll: 1h"),
    Key::new("url", Is::Later, "An address to write to.", "url: 's3://bucket/out.jsonl'"),
    Key::new("kafka", Is::Later, "A topic of another cluster.", "kafka: { topic: sales }"),
];

/// Reads a sink.
pub fn sink(node: &Node, env: &Env, faults: &mut Faults) -> Option<Sink> {
    let plain = |to, holds, mode| Sink { to, holds, mode, mode_said: false, whole: false };
    let Some(path) = node.as_str() else { return written_out(node, env, faults) };
    if node.is_null() {
        text(node, "sink", faults);
        return None;
    }
    if path == "stdout" {
        return Some(plain(SinkAt::Stdout, FileFormat::Lines, Mode::Append));
    }
    if path.contains("://") {
        faults.push(Diagnostic::error("not-in-this-version", node.span, "a URL as sink is not in this version"));
        return None;
    }
    let holds = format_of(path, node.span, faults);
    Some(plain(file(path, node.span, env, faults)?, holds, Mode::Replace))
}

/// A sink as a map.
fn written_out(node: &Node, env: &Env, faults: &mut Faults) -> Option<Sink> {
    let mut keys = Keys::of(node, "a sink", KEYS, faults)?;
    if later_kind(&mut keys, faults) {
        return None;
    }
    let chosen = format_key(&mut keys, faults);
    let (to, holds, usual) = if let Some((path, span)) = keys.text("file", faults) {
        (file(path, span, env, faults)?, chosen.unwrap_or_else(|| format_of(path, span, faults)), Mode::Replace)
    } else if keys.node("stdout").is_some() {
        (SinkAt::Stdout, chosen.unwrap_or(FileFormat::Lines), Mode::Append)
    } else {
        faults.push(
            Diagnostic::error("no-kind", node.span, "a sink is a file or stdout")
                .label("as in  { file: out.jsonl, mode: append }"),
        );
        return None;
    };
    let mode = keys.word("mode", faults);
    let written = keys.word("write", faults);
    keys.done(|_| None, faults);
    let mode_said = mode.is_some();
    let mode = match mode {
        Some("append") => Mode::Append,
        Some("fail") => Mode::Fail,
        Some(_) => Mode::Replace,
        None => usual,
    };
    Some(Sink { to, holds, mode, mode_said, whole: written == Some("item") })
}

/// A path, in which the run and the variables may stand.
fn file(path: &str, span: Span, env: &Env, faults: &mut Faults) -> Option<SinkAt> {
    let names = run_names(env);
    match (Filling { names: &names, env }).filled(path, span, &mut Reads::default(), faults) {
        Ok(t) => Some(SinkAt::File(t)),
        Err(f) => {
            let text = f.text.replace("there is no name `item`", "a path made of item data is not in this version");
            faults.push(Diagnostic::error("bad-template", span, text));
            None
        }
    }
}
