//! What is done in a test when its run has ended: failed items are taken up again, a gate is opened.

use super::Answer;
use super::named::{AnswersOf, named_step};
use crate::diagnostic::Diagnostic;
use crate::expr::Reads;
use crate::model::Flow;
use crate::number::StepNo;
use crate::read::compile::{expression, item_names};
use crate::read::keys::{Faults, Keys};
use crate::spec::{Is, Key};
use crate::tree::{Kind, Node};
use std::collections::BTreeMap;

/// Keys of what is done.
pub const KEYS: &[Key] = &[
    Key::new("retry", Is::Texts, "Items that failed at these steps, or `all`, are tried again.", "retry: tag"),
    Key::new("skip", Is::Texts, "They are given up.", "skip: all"),
    Key::new("edit", Is::Texts, "They are tried again with another value: `set` or `value`.", "edit: tag"),
    Key::new("settle", Is::Texts, "Their work was done by hand; with `result`, if it gave something.", "settle: tag"),
    Key::new("open", Is::Text, "A join with `open: by-hand` is opened.", "open: approved"),
    Key::new("set", Is::Expression, "A map: these fields are replaced or added.", "set: '{\"zip\": 1}'"),
    Key::new("value", Is::Expression, "The whole new value.", "value: item.trim()"),
    Key::new("result", Is::Value, "What the action would have given.", "result: { id: 7 }"),
    Key::new("late", Is::Flag, "Results that were written without them stay.", "late: true").usual("false"),
    Key::new("mock", Is::Mocks, "What actions give from now on.", "mock: { tag: '\"cat\"' }"),
];

/// What is done when the run has ended.
#[derive(Debug, Clone)]
pub struct After {
    /// With which items: those that failed at these steps; none are all.
    pub steps: Vec<StepNo>,
    /// What.
    pub way: Deed,
    /// Results that were written without them stay.
    pub late: bool,
    /// What the calls of steps give from now on.
    pub mock: BTreeMap<StepNo, Vec<Answer>>,
}

/// What is done with failed items, or at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// They are tried again.
    Retry,
    /// They are given up.
    Skip,
    /// They are tried again with what this expression makes of them: some fields, or the whole value.
    Edit {
        /// The expression.
        text: String,
        /// It makes fields.
        fields: bool,
    },
    /// Their action is not called; this is its result.
    Settle(Option<String>),
    /// The gate is opened.
    Open,
}

/// The deeds of a test, in order.
pub fn read(node: &Node, flow: &Flow, mocks: AnswersOf, faults: &mut Faults) -> Vec<After> {
    let list = if let Kind::List(list) = &node.kind { list.iter().collect() } else { vec![node] };
    list.into_iter().filter_map(|node| one(node, flow, mocks, faults)).collect()
}

fn one(node: &Node, flow: &Flow, mocks: AnswersOf, faults: &mut Faults) -> Option<After> {
    let mut keys = Keys::of(node, "a step of `after`", KEYS, faults)?;
    let named: Vec<&str> =
        ["retry", "skip", "edit", "settle", "open"].into_iter().filter(|k| keys.key_span(k).is_some()).collect();
    let [deed] = named.as_slice() else {
        let fault = Diagnostic::error("one-deed", node.span, "a step of `after` does one thing");
        faults.push(fault.label("one of  retry, skip, edit, settle, open"));
        return None;
    };
    let deed: &'static str = KEYS.iter().find(|k| k.name == *deed).map(|k| k.name)?;
    let texts = keys.texts(deed, faults).unwrap_or_default();
    let is_all = |text: &str| text == "all" && deed != "open" && flow.step_no("all").is_none();
    let steps = texts.iter().filter(|(text, _)| !is_all(text));
    let steps: Vec<StepNo> = steps.filter_map(|(text, at)| named_step(text, *at, flow, faults)).collect();
    let by = |key: &'static str, keys: &mut Keys<'_>, faults: &mut Faults| {
        let node = keys.node(key)?;
        let format = steps.first().and_then(|s| flow.steps[*s].inputs.first());
        let format = format.map(|s| flow.streams[*s].format).unwrap_or_default();
        expression(node, key, &item_names(format, false, &flow.env), &mut Reads::default(), faults)?;
        node.as_str().map(str::to_string)
    };
    let (set, value) = (by("set", &mut keys, faults), by("value", &mut keys, faults));
    let result = keys.node("result").map(Node::to_json);
    let late = keys.flag("late", faults).unwrap_or(false);
    let mock = keys.node("mock").map(|n| mocks(n, flow, faults)).unwrap_or_default();
    keys.done(|_| None, faults);
    let way = match (deed, set, value) {
        ("retry", ..) => Deed::Retry,
        ("skip", ..) => Deed::Skip,
        ("settle", ..) => Deed::Settle(result),
        ("edit", Some(text), None) => Deed::Edit { text, fields: true },
        ("edit", None, Some(text)) => Deed::Edit { text, fields: false },
        ("edit", ..) => {
            let fault = Diagnostic::error("no-value", node.span, "`edit` has one of `set` and `value`");
            faults.push(fault.label("as in  { edit: tag, set: '{\"zip\": 1}' }"));
            return None;
        }
        _ => Deed::Open,
    };
    Some(After { steps, way, late, mock })
}
