//! The flow as written: keys are known and of the right kind, names are not yet resolved.

use super::keys::{Faults, Keys, text, texts};
use super::words;
use crate::diagnostic::{Diagnostic, Span};
use crate::tree::{Kind, Node};

/// A name and where it is written.
pub type Name = (String, Span);

/// The flow as written.
pub struct Draft<'n> {
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub doc: Option<String>,
    /// Variables and their defaults.
    pub env: Vec<(Name, Option<String>)>,
    /// The time zone.
    pub timezone: Name,
    /// Declared streams.
    pub streams: Vec<(Name, Keys<'n>)>,
    /// Steps.
    pub steps: Vec<DraftStep<'n>>,
}

/// A step as written.
pub struct DraftStep<'n> {
    /// Its name.
    pub name: Name,
    /// Its verb.
    pub verb: &'static str,
    /// Where its verb is written.
    pub verb_span: Span,
    /// Its inputs.
    pub inputs: Vec<Name>,
    /// Its other keys.
    pub keys: Keys<'n>,
}

const VERBS: [&str; 8] = ["copy", "filter", "split", "shard", "merge", "join", "reduce", "work"];
/// Of these a later version makes use; a run today does not need them. Each with what is not done meanwhile.
const PARTS_FOR_LATER: [(&str, &str); 3] =
    [("schedule", "`run` runs once, now"), ("batch", "a run is one batch"), ("tests", "they are not run")];

/// Reads the top level. `defaults` are written into the streams and steps that they fit.
pub fn read<'n>(root: &'n Node, faults: &mut Faults) -> Option<Draft<'n>> {
    let mut keys = Keys::of(root, "a flow", faults)?;
    let name = keys.text("flow", faults).map(|(t, s)| (t.to_string(), s));
    if name.is_none() && keys.key_span("flow").is_none() {
        faults.push(
            Diagnostic::error("no-name", root.span, "a flow begins with its name")
                .label("write  flow: NAME  in the first line"),
        );
    }
    let doc = keys.text("doc", faults).map(|(t, _)| t.to_string());
    let timezone = keys.text("timezone", faults).map_or(("UTC".to_string(), root.span), |(t, s)| (t.to_string(), s));
    let env = keys.node("env").map_or_else(Vec::new, |n| env(n, faults));
    let defaults = keys.node("defaults");
    defaults.into_iter().for_each(|d| known_defaults(d, faults));
    for (part, instead) in PARTS_FOR_LATER {
        if let Some(span) = keys.node(part).and(keys.key_span(part)) {
            let what = format!("`{part}` is not in this version");
            faults.push(Diagnostic::warning("not-in-this-version", span, what).label(instead));
        }
    }
    let streams = keys.node("streams");
    let steps = keys.node("steps");
    if streams.is_none() && steps.is_none() {
        faults.push(Diagnostic::error("no-steps", root.span, "a flow has `streams` and `steps`"));
    }
    let streams =
        streams.map_or_else(Vec::new, |n| each(n, "streams", "the stream", defaults, super::streams::KEYS, faults));
    let steps = steps.map_or_else(Vec::new, |n| each(n, "steps", "the step", defaults, super::steps::KEYS, faults));
    let steps = steps.into_iter().filter_map(|(name, keys)| step(name, keys, faults)).collect();
    keys.done(&["secrets"], |_| None, faults);
    Some(Draft { name: name?, doc, env, timezone, streams, steps })
}

/// Each default is a key of a stream or of a step.
fn known_defaults(node: &Node, faults: &mut Faults) {
    let Kind::Map(map) = &node.kind else {
        return faults.push(Diagnostic::error("not-a-map", node.span, "`defaults` is a map from keys to values"));
    };
    let known = || super::streams::KEYS.iter().chain(super::steps::KEYS).copied();
    for (k, _) in map {
        let Some(key) = k.as_str().filter(|key| !known().any(|k| k == *key)) else { continue };
        let label = crate::names::nearest(key, known()).map(|near| format!("did you mean `{near}`?"));
        let what = format!("no stream and no step has a key `{key}`");
        faults.push(Diagnostic::error("unknown-key", k.span, what).label(label.unwrap_or_default()));
    }
}

fn env(node: &Node, faults: &mut Faults) -> Vec<(Name, Option<String>)> {
    let Kind::Map(map) = &node.kind else {
        faults.push(Diagnostic::error("not-a-map", node.span, "`env` is a map from names to defaults"));
        return vec![];
    };
    let mut out = vec![];
    for (k, v) in map {
        let Some(name) = text(k, "env", faults) else { continue };
        let default = if v.is_null() { None } else { text(v, name, faults).map(str::to_string) };
        out.push(((name.to_string(), k.span), default));
    }
    out
}

fn each<'n>(
    node: &'n Node,
    part: &str,
    of: &str,
    defaults: Option<&'n Node>,
    known: &[&str],
    faults: &mut Faults,
) -> Vec<(Name, Keys<'n>)> {
    let Kind::Map(map) = &node.kind else {
        if !node.is_null() {
            let fault = Diagnostic::error("not-a-map", node.span, format!("`{part}` is a map from names to {part}"));
            let example = if part == "steps" { "NAME: { copy: …, to: … }" } else { "NAME: { source: … }" };
            faults.push(match node.kind {
                Kind::List(_) => fault.label(format!("write  {example}  for each, without `-`")),
                _ => fault.label(format!("as in  {example}")),
            });
        }
        return vec![];
    };
    let mut out = vec![];
    for (k, v) in map {
        let Some(name) = k.as_str() else { continue };
        if name.starts_with("x-") && !matches!(v.kind, Kind::Map(_)) {
            continue;
        }
        if v.is_null() && part == "streams" {
            out.push(((name.to_string(), k.span), Keys::empty(format!("{of} {name}"), k.span)));
            continue;
        }
        let Some(mut keys) = Keys::of(v, format!("{of} {name}"), faults) else { continue };
        keys.span = k.span;
        if let Some(Node { kind: Kind::Map(defaults), .. }) = defaults {
            keys.add_defaults(defaults.iter().filter(|(k, _)| k.as_str().is_some_and(|k| known.contains(&k))));
        }
        out.push(((name.to_string(), k.span), keys));
    }
    out
}

fn step<'n>(name: Name, mut keys: Keys<'n>, faults: &mut Faults) -> Option<DraftStep<'n>> {
    let found: Vec<&'static str> = VERBS.into_iter().filter(|v| keys.key_span(v).is_some()).collect();
    match found.as_slice() {
        [] => {
            let label = keys.names().find_map(words::verb).unwrap_or_else(|| format!("one of {}", VERBS.join(", ")));
            faults.push(Diagnostic::error("no-verb", name.1, format!("the step {} has no verb", name.0)).label(label));
            None
        }
        [verb] => {
            let verb_span = keys.key_span(verb).unwrap_or(name.1);
            let node = keys.node(verb)?;
            let many = matches!(*verb, "merge" | "join" | "reduce");
            if !many && matches!(node.kind, Kind::List(_)) {
                faults.push(
                    Diagnostic::error("one-input", node.span, format!("`{verb}` reads one stream"))
                        .help("put a merge before it:  all: { merge: [a, b] }"),
                );
            }
            let inputs = texts(node, verb, faults).into_iter().map(|(t, s)| (t.to_string(), s)).collect();
            Some(DraftStep { name, verb, verb_span, inputs, keys })
        }
        [one, two, ..] => {
            let at = keys.key_span(two).unwrap_or(name.1);
            faults.push(
                Diagnostic::error("two-verbs", at, format!("the step {} has two verbs, {one} and {two}", name.0))
                    .label("make two steps of it"),
            );
            None
        }
    }
}
