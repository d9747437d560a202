//! Reading the tests of a flow.

use super::named::named_step;
use super::{Answer, COUNTS, Gives, Item, Test, after};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::Reads;
use crate::model::{Flow, Writer};
use crate::names::nearest;
use crate::number::{StepNo, StreamNo};
use crate::patterns::Kind as StepKind;
use crate::read::compile::{expression, item_names};
use crate::read::keys::{Faults, Keys};
use crate::spec::{Is, Key};
use crate::tree::{self, Kind, Node};
use std::collections::BTreeMap;
use std::time::Duration;

/// Keys of a test.
pub const KEYS: &[Key] = &[
    Key::new("doc", Is::Text, "What the test shows.", "doc: a photo that cannot be tagged holds the rest"),
    Key::new("given", Is::Lists, "Items that streams have from outside.", "given: { photos: [{ id: 1 }, { id: 2 }] }"),
    Key::new(
        "mock",
        Is::Mocks,
        "What the action of a step gives: an expression over `item`, `{ error: TEXT }`, or a list of them, one for each attempt; \
         with `delay`, after so long.",
        "mock: { tag: '\"cat\"', store: [{ error: busy }, { value: item, delay: 2s }] }",
    ),
    Key::new("expect", Is::Lists, "Items that streams must have then.", "expect: { tagged: [{ id: 1, tag: cat }] }"),
    Key::new("in-order", Is::Flag, "Whether they must come in this order.", "in-order: true").usual("false"),
    Key::new("dead", Is::Lists, "Items that must have failed, by step.", "dead: { tag: [{ id: 3 }] }"),
    Key::new("report", Is::Counts, "What the report must count, by step.", "report: { tag: { taken: 3, dead: 1 } }"),
    Key::new("held", Is::Texts, "Gates that must stay shut.", "held: all-tagged"),
    Key::new("env", Is::Settings, "Values of variables of the flow.", "env: { REGION: eu }"),
    Key::new(
        "after",
        Is::Maps(after::KEYS),
        "What is done when the run has ended, in order; the rest of the test is about what there is then.",
        "after: [{ retry: tag, mock: { tag: '\"cat\"' } }]",
    ),
];

/// Keys of an item that says more than its value.
const OF_ITEM: &[Key] = &[
    Key::new("value", Is::Values, "Its value.", "value: { id: 1 }"),
    Key::new("key", Is::Text, "Its key; null is none.", "key: a"),
    Key::new("headers", Is::Settings, "Its headers.", "headers: { from: shop }"),
    Key::new("timestamp", Is::Text, "Its timestamp.", "timestamp: 2026-01-31T12:00:00Z"),
];

/// Keys of an answer.
const OF_ANSWER: &[Key] = &[
    Key::new("value", Is::Expression, "What the call gives.", "value: '{\"tag\": item.id}'"),
    Key::new("error", Is::Text, "It fails, with this text.", "error: not found"),
    Key::new("delay", Is::Duration, "After so long.", "delay: 2s"),
];

/// The tests of a flow, and what is wrong with them. `flow` is what the same text was checked to be.
pub fn of_text(text: &str, flow: &Flow) -> (Vec<Test>, Vec<Diagnostic>) {
    let mut faults = vec![];
    let root = tree::parse(text, &mut vec![]); // what is wrong with the text the check has said
    let tests = root.as_ref().and_then(|root| match &root.kind {
        Kind::Map(map) => map.iter().find(|(k, _)| k.as_str() == Some("tests")).map(|(_, tests)| tests),
        _ => None,
    });
    let read = match tests.map(|tests| (&tests.kind, tests)) {
        None => vec![],
        Some((Kind::Map(map), _)) => {
            let named = map.iter().filter_map(|(k, v)| Some((k.as_str()?, k.span, v)));
            let ours = named.filter(|(name, ..)| !name.starts_with("x-"));
            ours.filter_map(|(name, span, node)| test((name, span), node, flow, &mut faults)).collect()
        }
        Some((_, node)) => {
            if !node.is_null() {
                let fault = Diagnostic::error("not-a-map", node.span, "`tests` is a map from names to tests");
                faults.push(fault.label("as in  tests: { NAME: { given: …, expect: … } }"));
            }
            vec![]
        }
    };
    faults.sort_by_key(|d| (d.span, d.severity));
    (read, faults)
}

fn test((name, span): (&str, Span), node: &Node, flow: &Flow, faults: &mut Faults) -> Option<Test> {
    let before = faults.len();
    let mut keys = Keys::of(node, format!("the test {name}"), KEYS, faults)?;
    keys.span = span;
    keys.node("doc");
    let given = keys.node("given").map(|n| items(n, "given", &|n, f| stream(n, flow, f), faults)).unwrap_or_default();
    let expect = keys.node("expect").map(|n| items(n, "expect", &|n, f| stream(n, flow, f), faults));
    let dead = keys.node("dead").map(|n| items(n, "dead", &|n, f| step(n, flow, f), faults)).unwrap_or_default();
    let mock = keys.node("mock").map(|n| mocks(n, flow, faults)).unwrap_or_default();
    let report = keys.node("report").map(|n| counts(n, flow, faults)).unwrap_or_default();
    let in_order = keys.flag("in-order", faults).unwrap_or(false);
    let held = keys.texts("held", faults).unwrap_or_default();
    let held = held.into_iter().filter_map(|(gate, at)| self::gate(gate, at, flow, faults)).collect();
    let env = keys.node("env").map(|n| settings(n, flow, faults)).unwrap_or_default();
    let after = keys.node("after").map(|n| after::read(n, flow, mocks, faults)).unwrap_or_default();
    keys.done(|_| None, faults);
    for of in given.keys().filter(|s| !matches!(flow.streams[**s].writer, Writer::Outside | Writer::Source)) {
        let name = &flow.streams[*of].name;
        let fault = Diagnostic::error("given", span, format!("`{name}` is made by a step, it cannot be given"));
        faults.push(fault.label("give what that step reads"));
    }
    for (no, of) in flow.numbered_steps() {
        if matches!(of.kind, StepKind::Act(_)) && !mock.contains_key(&no) {
            let what = format!("the test {name} says nothing of the action of `{}`", of.name);
            let label = format!("nothing is called in a test: write  mock: {{ {}: EXPRESSION }}", of.name);
            faults.push(Diagnostic::error("no-mock", span, what).label(label));
        }
    }
    let expect = expect.unwrap_or_default();
    let test = Test { name: name.into(), span, given, mock, expect, dead, in_order, report, held, env, after };
    (faults.len() == before).then_some(test)
}

/// The parts of a map by the names of its keys.
fn by_name<'n>(node: &'n Node, key: &str, faults: &mut Faults) -> Vec<(&'n str, &'n Node, &'n Node)> {
    let Kind::Map(map) = &node.kind else {
        faults.push(Diagnostic::error("not-a-map", node.span, format!("`{key}` is {}, it must be a map", node.what())));
        return vec![];
    };
    map.iter().filter_map(|(k, v)| Some((k.as_str()?, k, v))).collect()
}

fn stream(name: &Node, flow: &Flow, faults: &mut Faults) -> Option<StreamNo> {
    let text = name.as_str()?;
    let found = flow.stream_no(text);
    if found.is_none() {
        let near = nearest(text, flow.streams.iter().map(|s| s.name.as_str()));
        let made = flow.step_no(text).map(|_| format!("nobody reads what `{text}` makes, so there is no such stream"));
        let label = made.or(near.map(|n| format!("did you mean `{n}`?"))).unwrap_or_default();
        faults
            .push(Diagnostic::error("unknown-stream", name.span, format!("there is no stream `{text}`")).label(label));
    }
    found
}

fn step(name: &Node, flow: &Flow, faults: &mut Faults) -> Option<StepNo> {
    named_step(name.as_str()?, name.span, flow, faults)
}

fn gate(text: &str, span: Span, flow: &Flow, faults: &mut Faults) -> Option<StepNo> {
    let found = named_step(text, span, flow, faults)?;
    if flow.steps[found].gate().is_none() {
        let fault = Diagnostic::error("no-gate", span, format!("`{text}` has no gate, so nothing is held there"));
        faults.push(fault.label("a join has one, and a reduce with `tolerate`"));
    }
    Some(found)
}

/// Lists of items, by what `of` makes of their names.
fn items<N: Ord>(
    node: &Node,
    key: &str,
    of: &dyn Fn(&Node, &mut Faults) -> Option<N>,
    faults: &mut Faults,
) -> BTreeMap<N, Vec<Item>> {
    let mut all = BTreeMap::new();
    for (_, name, list) in by_name(node, key, faults) {
        let Some(no) = of(name, faults) else { continue };
        match &list.kind {
            Kind::List(list) => drop(all.insert(no, list.iter().filter_map(|n| item(n, faults)).collect())),
            _ if list.is_null() => drop(all.insert(no, vec![])),
            _ => faults.push(
                Diagnostic::error("not-a-list", list.span, "items are a list").label("as in  [{ id: 1 }, { id: 2 }]"),
            ),
        }
    }
    all
}

fn item(node: &Node, faults: &mut Faults) -> Option<Item> {
    let Some(more) = says_more(node) else {
        return Some(Item { value: Some(node.to_json()), ..Item::default() });
    };
    let mut keys = Keys::of(more, "an item", OF_ITEM, faults)?;
    let value = keys.node("value").map(Node::to_json);
    let key = keys.node("key").map(|n| if n.is_null() { None } else { n.as_str().map(str::to_string) });
    let headers = keys.node("headers").map(|n| by_name(n, "headers", faults)).unwrap_or_default();
    let headers = headers.into_iter().map(|(name, _, v)| (name.to_string(), v.as_str().unwrap_or("").to_string()));
    let headers = headers.collect();
    let timestamp = keys.text("timestamp", faults).and_then(|(text, span)| {
        let ms = text.parse::<i64>().ok().or_else(|| text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond()));
        if ms.is_none() {
            let fault = Diagnostic::error("not-a-time", span, format!("`{text}` is no timestamp"));
            faults.push(fault.label("as in  2026-01-31T12:00:00Z, or milliseconds since 1970"));
        }
        ms
    });
    keys.done(|_| None, faults);
    Some(Item { value, key, headers, timestamp })
}

/// What stands in `{ item: { value, key, headers, timestamp } }`.
fn says_more(node: &Node) -> Option<&Node> {
    let Kind::Map(map) = &node.kind else { return None };
    let [(name, inner)] = map.as_slice() else { return None };
    let Kind::Map(keys) = &inner.kind else { return None };
    let ours = |k: &Node| OF_ITEM.iter().any(|of| k.as_str() == Some(of.name));
    (name.as_str() == Some("item") && !keys.is_empty() && keys.iter().all(|(k, _)| ours(k))).then_some(inner)
}

fn mocks(node: &Node, flow: &Flow, faults: &mut Faults) -> BTreeMap<StepNo, Vec<Answer>> {
    let mut all = BTreeMap::new();
    for (text, name, answers) in by_name(node, "mock", faults) {
        let Some(no) = step(name, flow, faults) else { continue };
        if !matches!(flow.steps[no].kind, StepKind::Act(_)) {
            let what = format!("`{text}` calls nothing, so there is nothing to answer");
            faults.push(Diagnostic::error("no-action", name.span, what).label("a test runs it as it is"));
            continue;
        }
        let list = if let Kind::List(list) = &answers.kind { list.iter().collect() } else { vec![answers] };
        let nothing = list.is_empty();
        let read: Vec<Answer> = list.into_iter().filter_map(|n| answer(n, no, flow, faults)).collect();
        if nothing {
            faults.push(Diagnostic::error("empty", answers.span, "there is no answer here"));
        }
        all.insert(no, read);
    }
    all
}

fn answer(node: &Node, of: StepNo, flow: &Flow, faults: &mut Faults) -> Option<Answer> {
    let format = flow.steps[of].inputs.first().map(|s| flow.streams[*s].format).unwrap_or_default();
    let names = item_names(format, false, &flow.env);
    let mut reads = Reads::default();
    if !matches!(node.kind, Kind::Map(_)) {
        let value = expression(node, "mock", &names, &mut reads, faults)?;
        return Some(Answer { gives: Gives::Value(Box::new(value), reads), delay: Duration::ZERO });
    }
    let mut keys = Keys::of(node, "an answer", OF_ANSWER, faults)?;
    let error = keys.text("error", faults).map(|(text, _)| text.to_string());
    let value = keys.node("value");
    let delay = keys.duration("delay", faults).unwrap_or(Duration::ZERO);
    keys.done(|_| None, faults);
    let gives = match (value, error) {
        (None, Some(error)) => Gives::Error(error),
        (Some(value), None) => {
            let value = expression(value, "value", &names, &mut reads, faults)?;
            Gives::Value(Box::new(value), reads)
        }
        _ => {
            let fault = Diagnostic::error("one-answer", node.span, "an answer is a `value` or an `error`");
            faults.push(fault.label("an expression that makes a map goes in quotes"));
            return None;
        }
    };
    Some(Answer { gives, delay })
}

fn counts(node: &Node, flow: &Flow, faults: &mut Faults) -> BTreeMap<StepNo, BTreeMap<&'static str, u64>> {
    let mut all = BTreeMap::new();
    for (_, name, of) in by_name(node, "report", faults) {
        let Some(no) = step(name, flow, faults) else { continue };
        let mut wanted = BTreeMap::new();
        for (word, key, number) in by_name(of, "report", faults) {
            let Some(count) = COUNTS.iter().find(|c| **c == word) else {
                let near = nearest(word, COUNTS).map(|n| format!("did you mean `{n}`?"));
                let fault = Diagnostic::error("unknown-key", key.span, format!("a report counts no `{word}`"));
                faults.push(fault.label(near.unwrap_or_else(|| format!("it counts {}", COUNTS.join(", ")))));
                continue;
            };
            match number.as_str().and_then(|n| n.parse().ok()) {
                Some(n) => drop(wanted.insert(*count, n)),
                None => faults.push(Diagnostic::error("not-a-number", number.span, "a count is a whole number")),
            }
        }
        all.insert(no, wanted);
    }
    all
}

fn settings(node: &Node, flow: &Flow, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, key, value) in by_name(node, "env", faults) {
        if !flow.env.contains_key(name) {
            let near = nearest(name, flow.env.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
            let fault = Diagnostic::error("unknown-env", key.span, format!("the flow has no variable `{name}`"));
            faults.push(fault.label(near.unwrap_or_default()));
        }
        all.insert(name.to_string(), value.as_str().unwrap_or_default().to_string());
    }
    all
}
