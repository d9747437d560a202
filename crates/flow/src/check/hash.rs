//! The hash of a flow: of what decides what a run does. A run that is open, and a batch that is held, go on only with
//! a flow of the same hash, so what is for people, or only for the pace, does not count: comments, blank lines, `doc`,
//! parts of later versions, `concurrency`, `timeout` and `retry`.

use crate::expr::{Env, json};
use crate::tree::{Kind, Node};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// Keys of the flow that say nothing about a run; the variables count as they are resolved.
const OF_THE_FLOW: [&str; 7] = ["doc", "env", "schedule", "batch", "tests", "on-end", "stall"];
/// Keys of a stream or step that change nothing that is in a log or a file.
const OF_A_PART: [&str; 5] = ["doc", "concurrency", "timeout", "retry", "logs"];

/// The hash of a flow and its variables.
pub fn of(root: &Node, env: &Env) -> String {
    let mut out = format!("{env:?}");
    for (key, value) in pairs(root, &OF_THE_FLOW) {
        match (key.as_str(), &value.kind) {
            (Some("streams" | "steps"), Kind::Map(parts)) => {
                write(&mut out, key);
                for (name, part) in parts {
                    write(&mut out, name);
                    map(&mut out, part);
                }
            }
            (Some("defaults"), Kind::Map(_)) => {
                for (name, default) in pairs(value, &OF_A_PART) {
                    [key, name, default].into_iter().for_each(|n| write(&mut out, n));
                }
            }
            _ => [key, value].into_iter().for_each(|n| write(&mut out, n)),
        }
    }
    format!("{:016x}", xxh3_64(out.as_bytes()))
}

/// A hash for each part of a flow that decides what a run does, by its path: `steps.checked.exec`. By them two versions of
/// a flow are told apart.
pub fn parts(root: &Node, env: &Env) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut part = |path: String, node: &dyn Fn(&mut String)| {
        let mut text = String::new();
        node(&mut text);
        parts.insert(path, format!("{:016x}", xxh3_64(text.as_bytes())));
    };
    for (name, value) in env {
        part(format!("env.{name}"), &|out| out.push_str(value));
    }
    for (key, value) in pairs(root, &OF_THE_FLOW) {
        let Some(key) = key.as_str() else { continue };
        match &value.kind {
            Kind::Map(named) if ["streams", "steps"].contains(&key) => {
                for (name, of) in named {
                    let name = name.as_str().unwrap_or_default();
                    part(format!("{key}.{name}"), &|_| {});
                    for (k, v) in pairs(of, &OF_A_PART) {
                        part(format!("{key}.{name}.{}", k.as_str().unwrap_or_default()), &|out| write(out, v));
                    }
                }
            }
            Kind::Map(_) if key == "defaults" => {
                for (k, v) in pairs(value, &OF_A_PART) {
                    part(format!("{key}.{}", k.as_str().unwrap_or_default()), &|out| write(out, v));
                }
            }
            _ => part(key.to_string(), &|out| write(out, value)),
        }
    }
    parts
}

/// The same for what may change at any time, as it changes nothing in a log or a file: pauses, attempts, calls at once.
pub fn free(root: &Node) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for (key, value) in pairs(root, &OF_THE_FLOW) {
        let (Some(key @ ("streams" | "steps")), Kind::Map(named)) = (key.as_str(), &value.kind) else { continue };
        for (name, of) in named {
            for (k, v) in pairs(of, &[]) {
                let Some(k) = k.as_str().filter(|k| OF_A_PART.contains(k)) else { continue };
                let mut text = String::new();
                write(&mut text, v);
                let path = format!("{key}.{}.{k}", name.as_str().unwrap_or_default());
                parts.insert(path, format!("{:016x}", xxh3_64(text.as_bytes())));
            }
        }
    }
    parts
}

/// The parts in which two versions of a flow differ.
pub fn differences(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<String> {
    let all: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differ = all.into_iter().filter(|path| was.get(*path) != is.get(*path));
    differ.cloned().collect()
}

/// The pairs of a map, but for those that do not count.
fn pairs<'n>(node: &'n Node, without: &'static [&str]) -> impl Iterator<Item = (&'n Node, &'n Node)> {
    let all = if let Kind::Map(map) = &node.kind { map.as_slice() } else { &[] };
    let counts = move |k: &Node| !k.as_str().is_some_and(|k| without.contains(&k) || k.starts_with("x-"));
    all.iter().filter(move |(k, _)| counts(k)).map(|(k, v)| (k, v))
}

/// A stream, a step or the defaults.
fn map(out: &mut String, node: &Node) {
    if !matches!(node.kind, Kind::Map(_)) {
        return write(out, node);
    }
    out.push('{');
    for (key, value) in pairs(node, &OF_A_PART) {
        write(out, key);
        write(out, value);
    }
    out.push('}');
}

/// A node without its place, each part so that it is told from its neighbours.
fn write(out: &mut String, node: &Node) {
    match &node.kind {
        Kind::Scalar { text, plain } => {
            let meant = *plain && (node.is_null() || json::check(text.as_bytes()).is_ok());
            out.push_str(&format!("{}{}:{text}", if meant { '=' } else { '"' }, text.len()));
        }
        Kind::List(list) => {
            out.push('[');
            list.iter().for_each(|n| write(out, n));
            out.push(']');
        }
        Kind::Map(pairs) => {
            out.push('{');
            pairs.iter().for_each(|(k, v)| (write(out, k), write(out, v)).1);
            out.push('}');
        }
        Kind::Code(_) => out.push('c'),
        Kind::Action(_) => out.push('a'),
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check_text;

    const FLOW: &str = "
flow: a
env: { X: one }
streams: { s: { source: in.txt }, doc: { sink: 'out-${X}.txt' } }
steps: { doc: { work: s, exec: [cat], concurrency: 2 } }
";

    fn hash(text: &str) -> String {
        let checked = check_text(text, &|_| None);
        checked.flow.as_ref().unwrap_or_else(|| panic!("{}", checked.draw("flow.yaml", text))).hash.clone()
    }

    #[test]
    fn what_does_not_decide_what_a_run_does_does_not_count() {
        for (from, to) in [
            ("flow: a\n", "# a comment\nflow: a # another\n\n\n"),
            ("flow: a\n", "flow: a\ndoc: what it is for\nx-mine: { a: 1 }\ntests: {}\n"),
            ("concurrency: 2", "concurrency: 3, timeout: 5s, retry: { attempts: 1 }, doc: words"),
            (", concurrency: 2", ""),
            ("flow: a\n", "flow: a\ndefaults: { timeout: 5s }\n"),
            ("in.txt", "'in.txt'"),
            ("flow: a", "flow:   a"),
            ("env: { X: one }", "env: { X: 'one' }"),
        ] {
            assert_eq!(hash(FLOW), hash(&FLOW.replacen(from, to, 1)), "{from} -> {to}");
        }
    }

    #[test]
    fn the_parts_in_which_two_flows_differ() {
        let parts = |text: &str| check_text(text, &|_| None).flow.map(|flow| flow.parts).unwrap_or_default();
        for (from, to, differ) in [
            ("concurrency: 2", "concurrency: 3", vec![]),
            ("exec: [cat]", "exec: [tac]", vec!["steps.doc.exec"]),
            ("exec: [cat]", "exec: [cat], on-error: skip", vec!["steps.doc.on-error"]),
            ("X: one", "X: two", vec!["env.X"]),
            ("flow: a", "flow: a\ntimezone: Europe/Stockholm", vec!["timezone"]),
            ("'out-${X}.txt'", "out", vec!["streams.doc.sink"]),
            (
                "steps: { doc:",
                "steps: { more: { filter: s, where: 'true' }, doc:",
                vec!["steps.more", "steps.more.filter", "steps.more.where"],
            ),
        ] {
            assert_eq!(super::differences(&parts(FLOW), &parts(&FLOW.replacen(from, to, 1))), differ, "{from} -> {to}");
        }
    }

    #[test]
    fn what_decides_what_a_run_does_counts() {
        for (from, to) in [
            ("in.txt", "in2.txt"),
            ("X: one", "X: two"),
            ("exec: [cat]", "exec: [cat, -u]"),
            ("exec: [cat]", "exec: [cat], on-error: skip"),
            ("doc: {", "doc-2: {"),
            ("[cat]", "[ca, t]"),
            ("[cat]", "[cat, 'true']"),
        ] {
            assert_ne!(hash(FLOW), hash(&FLOW.replace(from, to)), "{from} -> {to}");
        }
    }
}
