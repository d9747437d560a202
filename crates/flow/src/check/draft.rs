//! The flow as written: keys are known and of the right kind, names are not yet resolved.

use super::streams;
use crate::diagnostic::{Diagnostic, Span};
use crate::ends::{ON_END, STALL};
use crate::patterns::{STEP_KEYS, VERBS, Verb};
use crate::read::keys::{Faults, Keys, text, texts};
use crate::read::{Name, words};
use crate::spec::{Is, Key, Part};
use crate::tree::{Kind, Node};

/// Keys of a flow.
pub const KEYS: &[Key] = &[
    Key::new("flow", Is::Text, "The name of the flow: `a-z`, `0-9` and `-`.", "flow: word-count").needed(),
    Key::new("doc", Is::Text, "What the flow is for.", "doc: counts the words of a book"),
    Key::new(
        "env",
        Is::Variables,
        "Variables that the flow may use, with their defaults: `${NAME}` in paths and arguments, `env.NAME` in expressions.",
        "env: { DIR: in, TOKEN: null }",
    ),
    Key::new("timezone", Is::Text, "Time zone of `run.date`, `floor` and `format`.", "timezone: Europe/Stockholm")
        .usual("UTC"),
    Key::new(
        "defaults",
        Is::Named(Part::Defaults),
        "Keys for every stream and step that may have them.",
        "defaults: { partitions: 10, on-error: fail }",
    ),
    Key::new(
        "streams",
        Is::Named(Part::Stream),
        "The public streams of the flow.",
        "streams: { sales: { source: sales.jsonl } }",
    ),
    Key::new(
        "steps",
        Is::Named(Part::Step),
        "The steps of the flow.",
        "steps: { big: { filter: sales, where: item.amount > 10.0 } }",
    ),
    Key::new(
        "on-end",
        Is::Map(ON_END),
        "Who is told when a run has ended.",
        "on-end: { exec: [./tell.sh, '{run.status}'] }",
    ),
    Key::new(
        "stall",
        Is::Map(STALL),
        "What a run means in which nothing comes on.",
        "stall: { after: 1h, then: fail }",
    ),
    Key::new("schedule", Is::Ignored, "When the flow runs.", "schedule: { cron: '15 2 * * *' }"),
    Key::new("batch", Is::Ignored, "What is a batch where the flow follows its input.", "batch: { every: 1h }"),
    Key::new(
        "tests",
        Is::Named(Part::Test),
        "Tests of the flow: `anabranch test` runs them.",
        "tests: { big-ones: { given: { sales: [{ amount: 20.0 }] }, expect: { big: [{ amount: 20.0 }] } } }",
    ),
    Key::new("secrets", Is::Later, "Variables that are never shown.", "secrets: [TOKEN]"),
];

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
    /// Who is told when a run has ended.
    pub on_end: Option<&'n Node>,
    /// What a run means in which nothing comes on.
    pub stall: Option<&'n Node>,
}

/// A step as written.
pub struct DraftStep<'n> {
    /// Its name.
    pub name: Name,
    /// Its verb.
    pub verb: &'static Verb,
    /// Where its verb is written.
    pub verb_span: Span,
    /// Its inputs.
    pub inputs: Vec<Name>,
    /// Its other keys.
    pub keys: Keys<'n>,
}

/// Of these a later version makes use; a run today does not need them. Each with what is not done meanwhile.
const PARTS_FOR_LATER: [(&str, &str); 2] = [("schedule", "`run` runs once, now"), ("batch", "a run is one batch")];

/// Reads the top level. `defaults` are written into the streams and steps that they fit.
pub fn read<'n>(root: &'n Node, faults: &mut Faults) -> Option<Draft<'n>> {
    let mut keys = Keys::of(root, "a flow", KEYS, faults)?;
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
    keys.node("tests"); // `suite` reads them
    let (on_end, stall) = (keys.node("on-end"), keys.node("stall"));
    let streams = keys.node("streams");
    let steps = keys.node("steps");
    if streams.is_none() && steps.is_none() {
        faults.push(Diagnostic::error("no-steps", root.span, "a flow has `streams` and `steps`"));
    }
    let streams = streams.map_or_else(Vec::new, |n| each(n, &STREAMS, defaults, faults));
    let steps = steps.map_or_else(Vec::new, |n| each(n, &STEPS, defaults, faults));
    let steps = steps.into_iter().filter_map(|(name, keys)| step(name, keys, faults)).collect();
    keys.done(|_| None, faults);
    Some(Draft { name: name?, doc, env, timezone, streams, steps, on_end, stall })
}

/// Each default is a key of a stream or of a step.
fn known_defaults(node: &Node, faults: &mut Faults) {
    let Kind::Map(map) = &node.kind else {
        return faults.push(Diagnostic::error("not-a-map", node.span, "`defaults` is a map from keys to values"));
    };
    let known = || keys_of_streams().chain(keys_of_steps());
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

/// Names of the keys that a stream may have.
fn keys_of_streams() -> impl Iterator<Item = &'static str> {
    streams::KEYS.iter().map(|k| k.name)
}

/// Names of the keys that a step may have, whatever its verb is.
fn keys_of_steps() -> impl Iterator<Item = &'static str> {
    STEP_KEYS.iter().chain(VERBS.iter().flat_map(|v| v.spec.keys)).map(|k| k.name)
}

/// A part of a flow that is a map from names.
struct Section {
    part: &'static str,
    of: &'static str,
    keys: &'static [Key],
    has: fn(&str) -> bool,
}

const STREAMS: Section = Section {
    part: "streams",
    of: "the stream",
    keys: streams::KEYS,
    has: |k| keys_of_streams().any(|known| known == k),
};
const STEPS: Section =
    Section { part: "steps", of: "the step", keys: STEP_KEYS, has: |k| keys_of_steps().any(|known| known == k) };

fn each<'n>(
    node: &'n Node,
    section: &Section,
    defaults: Option<&'n Node>,
    faults: &mut Faults,
) -> Vec<(Name, Keys<'n>)> {
    let Section { part, of, keys: spec, has } = section;
    let Kind::Map(map) = &node.kind else {
        if !node.is_null() {
            let fault = Diagnostic::error("not-a-map", node.span, format!("`{part}` is a map from names to {part}"));
            let example = if *part == "steps" { "NAME: { copy: …, to: … }" } else { "NAME: { source: … }" };
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
        if v.is_null() && *part == "streams" {
            out.push(((name.to_string(), k.span), Keys::empty(format!("{of} {name}"), k.span, spec)));
            continue;
        }
        let Some(mut keys) = Keys::of(v, format!("{of} {name}"), spec, faults) else { continue };
        keys.span = k.span;
        if let Some(Node { kind: Kind::Map(defaults), .. }) = defaults {
            keys.add_defaults(defaults.iter().filter(|(k, _)| k.as_str().is_some_and(has)));
        }
        out.push(((name.to_string(), k.span), keys));
    }
    out
}

fn step<'n>(name: Name, mut keys: Keys<'n>, faults: &mut Faults) -> Option<DraftStep<'n>> {
    let found: Vec<&'static Verb> = VERBS.into_iter().filter(|v| keys.key_span(v.spec.name).is_some()).collect();
    match found.as_slice() {
        [] => {
            let label = keys
                .names()
                .find_map(words::verb)
                .unwrap_or_else(|| format!("one of {}", VERBS.map(|v| v.spec.name).join(", ")));
            faults.push(Diagnostic::error("no-verb", name.1, format!("the step {} has no verb", name.0)).label(label));
            None
        }
        [verb] => {
            let word = verb.spec.name;
            let verb_span = keys.key_span(word).unwrap_or(name.1);
            let node = keys.verb(&verb.spec)?;
            if !verb.spec.many && matches!(node.kind, Kind::List(_)) {
                faults.push(
                    Diagnostic::error("one-input", node.span, format!("`{word}` reads one stream"))
                        .help("put a merge before it:  all: { merge: [a, b] }"),
                );
            }
            let inputs = texts(node, word, faults).into_iter().map(|(t, s)| (t.to_string(), s)).collect();
            Some(DraftStep { name, verb, verb_span, inputs, keys })
        }
        [one, two, ..] => {
            let (one, two) = (one.spec.name, two.spec.name);
            let at = keys.key_span(two).unwrap_or(name.1);
            faults.push(
                Diagnostic::error("two-verbs", at, format!("the step {} has two verbs, {one} and {two}", name.0))
                    .label("make two steps of it"),
            );
            None
        }
    }
}
