//! Steps: from their keys to what they do.

use super::compile::{expression, item_names, object, predicate};
use super::keys::{Faults, Keys};
use super::wire::{Rest, Wired};
use super::{action, words};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Env, FieldType, Names, Reads, Value};
use crate::model::{Kind, OnError};
use crate::patterns::aggregate::{self, Aggregate};
use crate::patterns::join::{Gate, IfFailed, Tolerate};
use crate::patterns::reduce::{Fold, Reduce, Shape as Folded};
use crate::patterns::split::Otherwise;
use crate::patterns::{Format, copy, filter, merge, shard, split};
use crate::tree::{Kind as NodeKind, Node};
use std::collections::BTreeMap;

/// Keys of a step.
pub const KEYS: &[&str] = &[
    "doc",
    "on-error",
    "retry",
    "group",
    "to",
    "where",
    "otherwise",
    "cases",
    "match",
    "by",
    "shards",
    "tolerate",
    "if-failed",
    "done",
    "value",
    "fold",
    "pair",
    "emit",
    "exec",
    "pipe",
    "set",
    "each",
    "concurrency",
    "timeout",
    "idempotency-key",
    "answers",
    "env",
];
const LATER: &[&str] = &["http", "rate", "if-incomplete"];

/// What a step's expressions may use.
pub struct Context<'c> {
    /// How the items of its inputs are read.
    pub format: Format,
    /// How the items of its outputs are written.
    pub out: Format,
    /// The variables.
    pub env: &'c Env,
    /// It is replicated.
    pub shard: bool,
    /// Types of the fields of its items, where they are told.
    pub types: BTreeMap<String, FieldType>,
}

impl Context<'_> {
    /// Names for expressions over an item.
    pub fn names(&self) -> Names {
        Names { types: self.types.clone(), ..item_names(self.format, self.shard, self.env) }
    }
}

/// What every step may say, and what it does.
pub struct Built {
    /// What it does.
    pub kind: Kind,
    /// What becomes of failed items.
    pub on_error: OnError,
    /// Whether the flow says so itself.
    pub on_error_said: bool,
    /// Names of its groups.
    pub groups: Vec<String>,
}

/// Compiles a step.
pub fn build(wired: &mut Wired<'_>, context: &Context<'_>, faults: &mut Faults) -> Option<Built> {
    let mut keys = std::mem::replace(&mut wired.draft.keys, Keys::empty(String::new(), wired.draft.name.1));
    keys.node("doc");
    let on_error_said = keys.key_span("on-error").is_some();
    let on_error = match keys.word("on-error", &["dead-letter", "skip", "fail"], faults) {
        Some("skip") => OnError::Skip,
        Some("fail") => OnError::Fail,
        _ => OnError::DeadLetter,
    };
    let groups = keys.texts("group", faults).unwrap_or_default();
    let n = wired.inputs.len();
    if groups.len() > 1 && groups.len() != n {
        let (text, span) = groups[0];
        faults.push(
            Diagnostic::error("groups", span, format!("{} groups for {n} inputs; `{text}` is the first", groups.len()))
                .label("one for all, or one for each input"),
        );
    }
    let groups = groups.into_iter().map(|(t, _)| t.to_string()).collect();
    let kind = kind(wired, &mut keys, context, faults);
    keys.done(LATER, |k| words::key(k).or_else(|| words::verb(k)), faults);
    Some(Built { kind: kind?, on_error, on_error_said, groups })
}

fn kind(wired: &Wired<'_>, keys: &mut Keys<'_>, context: &Context<'_>, faults: &mut Faults) -> Option<Kind> {
    let names = context.names();
    let mut reads = Reads::default();
    Some(match wired.draft.verb {
        "copy" => Kind::Copy(copy::Copy { outputs: wired.outputs.len() }),
        "merge" => Kind::Merge(merge::Merge),
        "filter" => {
            let keep = needed(keys, "where", "where: item.amount > 10.0", faults)
                .and_then(|n| predicate(n, "where", &names, &mut reads, faults));
            let otherwise = matches!(wired.otherwise, Some(Rest::To(_)));
            if wired.otherwise == Some(Rest::Error) {
                let at = keys.key_span("otherwise").unwrap_or(keys.span);
                faults.push(
                    Diagnostic::error("otherwise", at, "a filter drops the others or sends them to a stream")
                        .label("drop, or a stream"),
                );
            }
            Kind::Filter(Box::new(filter::Filter { keep: keep?, reads, otherwise }))
        }
        "split" => {
            let all = keys.word("match", &["first", "all"], faults) == Some("all");
            let mut compiled =
                |(node, port): &(&Node, usize)| Some((predicate(node, "where", &names, &mut reads, faults)?, *port));
            let cases: Vec<_> = wired.cases.iter().filter_map(&mut compiled).collect();
            let whole = cases.len() == wired.cases.len() && !cases.is_empty();
            whole.then(|| {
                Kind::Split(Box::new(split::Split {
                    cases,
                    reads,
                    all,
                    otherwise: otherwise(wired.otherwise),
                    outputs: wired.outputs.len(),
                }))
            })?
        }
        "shard" => {
            let by = needed(keys, "by", "by: item.user", faults)
                .and_then(|n| expression(n, "by", &names, &mut reads, faults));
            let shards = match (&wired.by_hash, &wired.by_list) {
                (Some(n), _) => shard::Shards::Hash(*n),
                (None, Some(list)) => shard::Shards::List(list.iter().filter_map(|n| constant(n)).collect()),
                (None, None) => return None,
            };
            Kind::Shard(Box::new(shard::Shard {
                by: by?,
                reads,
                shards,
                streams: wired.streams,
                otherwise: otherwise(wired.otherwise),
            }))
        }
        "join" => {
            if let Some(span) = keys.key_span("by") {
                keys.node("by");
                faults.push(Diagnostic::error(
                    "not-in-this-version",
                    span,
                    "a join by key is not in this version; without `by` it is a barrier",
                ));
            }
            Kind::Join(gate(keys, Tolerate::Items(0), faults))
        }
        "reduce" if keys.key_span("pair").is_some() => pair(wired, keys, context, faults)?,
        "reduce" => reduce(keys, context, faults)?,
        _ => action::work(keys, context, faults)?,
    })
}

fn needed<'n>(keys: &mut Keys<'n>, key: &'static str, example: &str, faults: &mut Faults) -> Option<&'n Node> {
    let node = keys.node(key);
    if node.is_none() {
        faults.push(
            Diagnostic::error("missing-key", keys.span, format!("{} needs `{key}`", keys.of))
                .label(format!("as in  {example}")),
        );
    }
    node
}

fn otherwise(rest: Option<Rest>) -> Otherwise {
    match rest {
        Some(Rest::To(port)) => Otherwise::To(port),
        Some(Rest::Error) => Otherwise::Error,
        Some(Rest::Drop) | None => Otherwise::Drop,
    }
}

/// A value in a list of shards: what is plain may be a number or a truth.
fn constant(node: &Node) -> Option<Value<'static>> {
    let NodeKind::Scalar { text, plain } = &node.kind else { return None };
    if *plain && crate::expr::json::check(text.as_bytes()).is_ok() {
        return Value::from_json(text).ok().map(Value::into_owned);
    }
    Some(Value::Text(text.clone().into()))
}

/// `tolerate` and `if-failed`.
fn gate(keys: &mut Keys<'_>, usual: Tolerate, faults: &mut Faults) -> Gate {
    let mut tolerate = usual;
    if let Some((text, span)) = keys.text("tolerate", faults) {
        let percent = text
            .strip_suffix('%')
            .map(|t| t.trim().parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p)).map(Tolerate::Percent));
        match percent.unwrap_or_else(|| text.parse().ok().map(Tolerate::Items)) {
            Some(t) => tolerate = t,
            None => {
                faults.push(Diagnostic::error("tolerate", span, "`tolerate` is a number of items, or a share like 1%"))
            }
        }
    }
    let if_failed = match keys.word("if-failed", &["hold", "fail"], faults) {
        Some("fail") => IfFailed::Fail,
        _ => IfFailed::Hold,
    };
    Gate { tolerate, if_failed }
}

fn by(keys: &mut Keys<'_>, names: &Names, reads: &mut Reads, faults: &mut Faults) -> Option<Vec<(String, Compiled)>> {
    let Some(node) = keys.node("by") else { return Some(vec![]) };
    if let Some(fields) = object(node, "by", names, reads, faults) {
        return Some(fields);
    }
    let compiled = expression(node, "by", names, reads, faults)?;
    let name = compiled.text.rsplit('.').next().unwrap_or_default().to_string();
    let path = compiled.text.starts_with("item.")
        && compiled.text.split('.').all(|p| !p.is_empty() && p.chars().all(|c| c.is_alphanumeric() || c == '_'));
    if !path {
        let what = "this `by` needs a name, under which it stands in the result";
        faults.push(
            Diagnostic::error("by-name", node.span, what).label(format!("as in  by: {{ name: '{}' }}", compiled.text)),
        );
        return None;
    }
    Some(vec![(name, compiled)])
}

fn reduce(keys: &mut Keys<'_>, context: &Context<'_>, faults: &mut Faults) -> Option<Kind> {
    let names = context.names();
    let mut reads = Reads::default();
    if keys.word("emit", &["final"], faults).is_none()
        && let Some(span) = keys.key_span("emit")
    {
        faults.push(Diagnostic::error(
            "not-in-this-version",
            span,
            "`emit: changes` and `emit: 10s` are not in this version",
        ));
    }
    let gate = gate(keys, Tolerate::Percent(100.0), faults);
    let by = by(keys, &names, &mut reads, faults);
    let (value, fold) = (keys.node("value"), keys.node("fold"));
    let (fold, aggregates) = match (value, fold) {
        (Some(value), None) => fold_by_aggregates(value, &names, &mut reads, faults)?,
        (None, Some(fold)) => {
            reads.item = true;
            let names = Names { item: false, extra: vec!["a", "b"], ..names };
            (Fold::Pairs(folded(fold, "fold", &names, faults)?), vec![])
        }
        (both, _) => {
            let what = if both.is_some() { "`value` or `fold`, not both" } else { "`reduce` needs `value` or `fold`" };
            faults.push(
                Diagnostic::error("missing-key", keys.span, what)
                    .label("as in  value: { count: count() }  or  fold: 'a + b'"),
            );
            return None;
        }
    };
    Some(Kind::Reduce(Box::new(Reduce { by: by?, fold, reads, aggregates, format: context.out }), gate))
}

fn fold_by_aggregates(
    node: &Node,
    names: &Names,
    reads: &mut Reads,
    faults: &mut Faults,
) -> Option<(Fold, Vec<Aggregate>)> {
    let names = Names { aggregates: true, ..names.clone() };
    let mut aggregates = vec![];
    if let Some(fields) = object(node, "value", &names, reads, faults) {
        let mut out = vec![];
        for (name, e) in fields {
            let before = aggregates.len();
            aggregates.extend(aggregate::of(&e));
            out.push((name, e, before));
        }
        return Some((Fold::Object(out), aggregates));
    }
    let e = expression(node, "value", &names, reads, faults)?;
    aggregates.extend(aggregate::of(&e));
    Some((Fold::Value(e), aggregates))
}

fn folded(node: &Node, key: &str, names: &Names, faults: &mut Faults) -> Option<Folded> {
    let mut none = Reads::default();
    match object(node, key, names, &mut none, faults) {
        Some(fields) => Some(Folded::Object(fields)),
        None => expression(node, key, names, &mut none, faults).map(Folded::One),
    }
}

fn pair(wired: &Wired<'_>, keys: &mut Keys<'_>, context: &Context<'_>, faults: &mut Faults) -> Option<Kind> {
    keys.word("pair", &["lockstep"], faults)?;
    if wired.inputs.len() != 2 {
        let what = format!("`pair` needs two inputs, {} are given", wired.inputs.len());
        faults
            .push(Diagnostic::error("pair-inputs", wired.draft.verb_span, what).label("as in  reduce: [left, right]"));
    }
    let names = Names { item: false, extra: vec!["a", "b"], ..context.names() };
    let value = needed(keys, "value", "value: { left: a, right: b }", faults)?;
    Some(Kind::Pair(folded(value, "value", &names, faults)?))
}
