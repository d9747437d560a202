//! Taking the keys of a map one by one, with an error for each that does not fit.

use crate::diagnostic::{Diagnostic, Span};
use crate::names::nearest;
use crate::tree::{Kind, Node};
use anabranch_engine::limits;
use std::time::Duration;

/// Where faults are gathered.
pub type Faults = Vec<Diagnostic>;

/// The keys of one map.
pub struct Keys<'n> {
    /// What the map is, for messages: `the step big`.
    pub of: String,
    /// Where it stands.
    pub span: Span,
    entries: Vec<(&'n Node, &'n Node, bool)>,
    asked: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// The keys of a node that must be a map; keys that begin with `x-` are left out.
    pub fn of(node: &'n Node, of: impl Into<String>, faults: &mut Faults) -> Option<Keys<'n>> {
        let of = of.into();
        match &node.kind {
            Kind::Map(map) => {
                let ours = |k: &&Node| !k.as_str().is_some_and(|k| k.starts_with("x-"));
                let entries = map.iter().filter(|(k, _)| ours(&k)).map(|(k, v)| (k, v, false)).collect();
                Some(Keys { of, span: node.span, entries, asked: vec![] })
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

    /// The node of a key, if it is written.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        let found = self.entries.iter_mut().find(|(k, ..)| k.as_str() == Some(key))?;
        found.2 = true;
        Some(found.1)
    }

    /// Where a key is written.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|(k, ..)| k.as_str() == Some(key)).map(|(k, ..)| k.span)
    }

    /// The text of a key.
    pub fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<(&'n str, Span)> {
        let node = self.node(key)?;
        text(node, key, faults).map(|t| (t, node.span))
    }

    /// A key that is one of some words.
    pub fn word(&mut self, key: &'static str, words: &[&'static str], faults: &mut Faults) -> Option<&'static str> {
        let (found, span) = self.text(key, faults)?;
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

    /// A whole number.
    pub fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        faults: &mut Faults,
    ) -> Option<u64> {
        let node = self.node(key)?;
        let number = node.as_str().and_then(|t| t.parse().ok()).filter(|n| range.contains(n));
        if number.is_none() {
            let what = format!("`{key}` is a whole number from {} to {}", range.start(), range.end());
            faults.push(Diagnostic::error("not-a-number", node.span, what));
        }
        number
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        self.word(key, &["true", "false"], faults).map(|w| w == "true")
    }

    /// A length of time.
    pub fn duration(&mut self, key: &'static str, faults: &mut Faults) -> Option<Duration> {
        let (text, span) = self.text(key, faults)?;
        let read =
            text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok()).filter(|d| !d.is_zero());
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

    /// Complains about every key that nobody asked for. `later` are keys of the language that this version does not have.
    pub fn done(self, later: &[&str], hint: impl Fn(&str) -> Option<String>, faults: &mut Faults) {
        for (key, _, used) in &self.entries {
            if *used {
                continue;
            }
            let name = key.as_str().unwrap_or("?");
            if later.contains(&name) {
                faults.push(Diagnostic::error(
                    "not-in-this-version",
                    key.span,
                    format!("`{name}` is not in this version"),
                ));
                continue;
            }
            let dashed = dashed(name);
            let label = match self.asked.iter().find(|a| ***a == dashed) {
                Some(right) => format!("is written `{right}`"),
                None => hint(name)
                    .or_else(|| nearest(name, self.asked.iter().copied()).map(|n| format!("did you mean `{n}`?")))
                    .unwrap_or_else(|| format!("known keys: {}", self.asked.join(", "))),
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
    pub fn empty(of: String, span: Span) -> Keys<'n> {
        Keys { of, span, entries: vec![], asked: vec![] }
    }

    /// Adds keys that are not written.
    pub fn add_defaults(&mut self, defaults: impl Iterator<Item = &'n (Node, Node)>) {
        for (k, v) in defaults {
            if !self.entries.iter().any(|(had, ..)| had.as_str() == k.as_str()) {
                self.entries.push((k, v, true));
            }
        }
    }

    /// The names that are written.
    pub fn names(&self) -> impl Iterator<Item = &'n str> {
        self.entries.iter().filter_map(|(k, ..)| k.as_str())
    }
}
