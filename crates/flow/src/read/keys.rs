//! Taking the keys of a map one by one, with an error for each that does not fit.

use crate::diagnostic::{Diagnostic, Span};
use crate::names::nearest;
use crate::spec::{Is, Key, Spec, Usual, is_known};
use crate::tree::{Kind, Node};
use anabranch_engine::limits;
use std::time::Duration;

/// A name and where it is written.
pub type Name = (String, Span);

/// Where faults are gathered.
pub type Faults = Vec<Diagnostic>;

/// One key of a map.
struct Entry<'n> {
    key: &'n Node,
    value: &'n Node,
    /// It was asked for.
    read: bool,
    /// It is not written here, but under `defaults`.
    is_default: bool,
}

/// The keys of one map.
pub struct Keys<'n> {
    /// What the map is, for messages: `the step big`.
    pub of: String,
    /// Where it stands.
    pub span: Span,
    entries: Vec<Entry<'n>>,
    known: Vec<&'static Key>,
    verb: Option<&'static str>,
}

impl<'n> Keys<'n> {
    /// The keys of a node that must be a map; keys that begin with `x-` are left out.
    pub fn of(node: &'n Node, of: impl Into<String>, known: &'static [Key], faults: &mut Faults) -> Option<Keys<'n>> {
        let of = of.into();
        match &node.kind {
            Kind::Map(map) => {
                let ours = |k: &&Node| !k.as_str().is_some_and(|k| k.starts_with("x-"));
                let entry = |(key, value)| Entry { key, value, read: false, is_default: false };
                let entries = map.iter().filter(|(k, _)| ours(&k)).map(|(k, v)| entry((k, v))).collect();
                Some(Keys { of, span: node.span, entries, known: known.iter().collect(), verb: None })
            }
            _ => {
                faults.push(Diagnostic::error(
                    "not-a-map",
                    node.span,
                    format!("{of} is {}, it must be a map", node.what()),
                ));
                None
            }
        }
    }

    /// What is known of a key. A key that is read and described nowhere is a mistake in this program.
    fn spec(&self, key: &str) -> Option<&'static Key> {
        let found = self.known.iter().find(|k| k.name == key).copied();
        debug_assert!(found.is_some(), "{} reads the key `{key}`, which is not described", self.of);
        found
    }

    /// The node of a key, if it is written.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.spec(key)?;
        self.take(key)
    }

    /// The node of a verb, with the keys that it may have.
    pub fn verb(&mut self, spec: &'static Spec) -> Option<&'n Node> {
        self.known.extend(spec.keys);
        self.verb = Some(spec.name);
        self.take(spec.name)
    }

    fn take(&mut self, key: &str) -> Option<&'n Node> {
        let found = self.entries.iter_mut().find(|e| e.key.as_str() == Some(key))?;
        found.read = true;
        Some(found.value)
    }

    /// The node of a key that must be written.
    pub fn needed(&mut self, key: &'static str, faults: &mut Faults) -> Option<&'n Node> {
        let node = self.node(key);
        if node.is_none() {
            let fault = Diagnostic::error("missing-key", self.span, format!("{} needs `{key}`", self.of));
            faults.push(fault.label(self.as_in(key)));
        }
        node
    }

    /// Says that a verb needs a key.
    pub fn missing(&self, key: &'static str, verb: &str, faults: &mut Faults) {
        let fault = Diagnostic::error("missing-key", self.span, format!("`{verb}` needs `{key}`"));
        faults.push(fault.label(self.as_in(key)));
    }

    /// How a key is used, for a label.
    pub fn as_in(&self, key: &'static str) -> String {
        format!("as in  {}", self.spec(key).map_or("", |key| key.example))
    }

    /// Where a key is written.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|e| e.key.as_str() == Some(key)).map(|e| e.key.span)
    }

    /// Where a key is written, if it is written here and not under `defaults`.
    pub fn own_span(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|e| e.key.as_str() == Some(key) && !e.is_default).map(|e| e.key.span)
    }

    /// The text of a key.
    pub fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<(&'n str, Span)> {
        let node = self.node(key)?;
        text(node, key, faults).map(|t| (t, node.span))
    }

    /// A key that is one of some words: the word that is written, or the usual one.
    pub fn word(&mut self, key: &'static str, faults: &mut Faults) -> Option<&'static str> {
        let spec = self.spec(key)?;
        let usual = if let Usual::Value(word) = spec.usual { Some(word) } else { None };
        let Some((found, span)) = self.text(key, faults) else { return usual };
        let words: &[&'static str] = match spec.is {
            Is::Word(words) => words,
            Is::Flag => &["true", "false"],
            _ => &[],
        };
        let hit = words.iter().find(|w| **w == found).copied();
        if hit.is_none() {
            let near = nearest(found, words.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let list = words.join(", ");
            faults.push(
                Diagnostic::error("unknown-word", span, format!("`{key}` is one of: {list}"))
                    .label(near.unwrap_or_default()),
            );
        }
        hit
    }

    /// A whole number: the one that is written, or the usual one.
    pub fn number(&mut self, key: &'static str, faults: &mut Faults) -> Option<u64> {
        let spec = self.spec(key)?;
        let Is::Number(from, to) = spec.is else { return None };
        let Some(node) = self.node(key) else {
            return if let Usual::Value(usual) = spec.usual { usual.parse().ok() } else { None };
        };
        let number = node.as_str().and_then(|t| t.parse().ok()).filter(|n| (from..=to).contains(n));
        if number.is_none() {
            let what = format!("`{key}` is a whole number from {from} to {to}");
            faults.push(Diagnostic::error("not-a-number", node.span, what));
        }
        number
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        self.word(key, faults).map(|w| w == "true")
    }

    /// A length of time: the one that is written, or the usual one.
    pub fn duration(&mut self, key: &'static str, faults: &mut Faults) -> Option<Duration> {
        let read = |text: &str| {
            let length = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
            length.filter(|d| !d.is_zero())
        };
        let Some((text, span)) = self.text(key, faults) else {
            return if let Usual::Value(usual) = self.spec(key)?.usual { read(usual) } else { None };
        };
        let read = read(text);
        let fault = match read {
            Some(d) if d <= limits::LONGEST_TIME => return read,
            Some(_) => format!("`{key}` is at most {} hours", limits::LONGEST_TIME.as_secs() / 3600),
            None => format!("`{key}` is a length of time like 500ms, 30s or 2m"),
        };
        faults.push(Diagnostic::error("not-a-duration", span, fault));
        None
    }

    /// One text or a list of texts.
    pub fn texts(&mut self, key: &'static str, faults: &mut Faults) -> Option<Vec<(&'n str, Span)>> {
        let node = self.node(key)?;
        Some(texts(node, key, faults))
    }

    /// Complains about every key that nobody read.
    pub fn done(self, hint: impl Fn(&str) -> Option<String>, faults: &mut Faults) {
        let known = || self.known.iter().filter(|k| is_known(k)).map(|k| k.name);
        for Entry { key, .. } in self.entries.iter().filter(|e| !e.read) {
            let name = key.as_str().unwrap_or("?");
            if self.known.iter().any(|k| k.name == name && matches!(k.is, Is::Later)) {
                let what = format!("`{name}` is not in this version");
                faults.push(Diagnostic::error("not-in-this-version", key.span, what));
                continue;
            }
            let dashed = dashed(name);
            let label = match known().find(|k| *k == dashed) {
                Some(right) => format!("is written `{right}`"),
                None => hint(name)
                    .or_else(|| nearest(name, known().chain(self.verb)).map(|n| format!("did you mean `{n}`?")))
                    .unwrap_or_else(|| format!("known keys: {}", known().collect::<Vec<_>>().join(", "))),
            };
            faults.push(
                Diagnostic::error("unknown-key", key.span, format!("{} has no key `{name}`", self.of)).label(label),
            );
        }
    }
}

/// The text of a node that must be a scalar.
pub fn text<'n>(node: &'n Node, key: &str, faults: &mut Faults) -> Option<&'n str> {
    if node.is_null() {
        faults.push(Diagnostic::error("empty", node.span, format!("`{key}` is empty")));
        return None;
    }
    if let Some(text) = node.as_str() {
        return Some(text);
    }
    let fault = Diagnostic::error("not-text", node.span, format!("`{key}` is {}, it must be text", node.what()));
    let braces = matches!(node.kind, Kind::Map(_));
    faults.push(if braces { fault.help("text that begins with `{` goes in quotes") } else { fault });
    None
}

/// The texts of a node that is a scalar or a list of scalars.
pub fn texts<'n>(node: &'n Node, key: &str, faults: &mut Faults) -> Vec<(&'n str, Span)> {
    match &node.kind {
        Kind::List(list) => list.iter().filter_map(|n| text(n, key, faults).map(|t| (t, n.span))).collect(),
        _ => text(node, key, faults).map(|t| (t, node.span)).into_iter().collect(),
    }
}

/// `replicationFactor` and `replication_factor` as this language writes them.
fn dashed(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            '_' => out.push('-'),
            c if c.is_ascii_uppercase() => {
                if !out.is_empty() {
                    out.push('-');
                }
                out.push(c.to_ascii_lowercase());
            }
            c => out.push(c),
        }
    }
    out
}

impl<'n> Keys<'n> {
    /// A map without keys.
    pub fn empty(of: String, span: Span, known: &'static [Key]) -> Keys<'n> {
        Keys { of, span, entries: vec![], known: known.iter().collect(), verb: None }
    }

    /// Adds keys that are not written.
    pub fn add_defaults(&mut self, defaults: impl Iterator<Item = &'n (Node, Node)>) {
        for (k, v) in defaults {
            if !self.entries.iter().any(|had| had.key.as_str() == k.as_str()) {
                self.entries.push(Entry { key: k, value: v, read: true, is_default: true });
            }
        }
    }

    /// The names that are written.
    pub fn names(&self) -> impl Iterator<Item = &'n str> {
        self.entries.iter().filter_map(|e| e.key.as_str())
    }
}
