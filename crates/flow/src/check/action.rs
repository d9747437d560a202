//! Work: its action and its shape.

use super::compile::{expression, object, template};
use super::keys::{Faults, Keys};
use super::steps::Context;
use crate::diagnostic::Diagnostic;
use crate::expr::{Names, Reads};
use crate::model::{Act, ActionSpec, Answers, Command, Kind};
use crate::patterns::work::{Shape, Work};
use crate::tree::{Kind as NodeKind, Node};
use std::time::Duration;

/// Compiles a work step.
pub fn work(keys: &mut Keys<'_>, context: &Context<'_>, faults: &mut Faults) -> Option<Kind> {
    let names = context.names();
    let mut reads = Reads::default();
    let meant = ["exec", "pipe", "http"].iter().any(|k| keys.key_span(k).is_some());
    let action = action(keys, context, &names, &mut reads, faults);
    let shaping = Names { extra: if action.is_some() { vec!["result"] } else { vec![] }, ..names.clone() };
    let shape = shape(keys, &shaping, &mut reads, faults)?;
    let Some(action) = action else {
        for key in ["concurrency", "timeout", "retry", "idempotency-key", "answers", "env"] {
            if let Some(span) = keys.key_span(key) {
                keys.node(key);
                faults.push(
                    Diagnostic::error("no-action", span, format!("`{key}` belongs to an action"))
                        .label("this work has no `exec` or `pipe`"),
                );
            }
        }
        if matches!(shape, Shape::Result) && !meant {
            faults.push(
                Diagnostic::error("no-work", keys.span, format!("{} does nothing", keys.of))
                    .label("it needs `value`, `set`, `each`, `exec` or `pipe`"),
            );
        }
        return Some(Kind::Work(Box::new(Work { shape, reads, format: context.out })));
    };
    let (attempts, backoff, backoff_max) = retry(keys, faults);
    let concurrency = keys.number("concurrency", 1..=1_000, faults).unwrap_or(4) as usize;
    let timeout = keys.duration("timeout", faults).unwrap_or(Duration::from_secs(30));
    let idempotency_key =
        keys.node("idempotency-key").and_then(|n| expression(n, "idempotency-key", &names, &mut reads, faults));
    let answers = answers(keys, &action, faults);
    reads.item |= context.format != context.out; // an item without a result is written anew
    let work = Work { shape, reads, format: context.out };
    Some(Kind::Act(Box::new(Act {
        work,
        action,
        concurrency,
        timeout,
        attempts,
        backoff,
        backoff_max,
        idempotency_key,
        answers,
    })))
}

/// How the answers of a pipe find their items.
fn answers(keys: &mut Keys<'_>, action: &ActionSpec, faults: &mut Faults) -> Answers {
    let span = keys.key_span("answers");
    let word = keys.word("answers", &["in-order", "by-id"], faults);
    if let (Some(span), false) = (span, matches!(action, ActionSpec::Pipe(_))) {
        let label = "every other action has one answer for each call";
        faults.push(Diagnostic::error("no-pipe", span, "`answers` belongs to `pipe`").label(label));
    }
    if word == Some("by-id") { Answers::ById } else { Answers::InOrder }
}

fn retry(keys: &mut Keys<'_>, faults: &mut Faults) -> (u32, Duration, Duration) {
    let usual = (3, Duration::from_secs(1), Duration::from_secs(30));
    let Some(node) = keys.node("retry") else { return usual };
    if let Some(n) = node.as_str() {
        let n = n.parse::<u32>().ok().filter(|n| *n > 0).unwrap_or(usual.0);
        let fault = Diagnostic::error("not-a-map", node.span, "`retry` is a map");
        faults.push(fault.label(format!("write  retry: {{ attempts: {n} }}")));
        return usual;
    }
    let Some(mut keys) = Keys::of(node, "`retry`", faults) else { return usual };
    let attempts = keys.number("attempts", 1..=1_000, faults).map_or(usual.0, |n| n as u32);
    let backoff = keys.duration("backoff", faults).unwrap_or(usual.1);
    let max = keys.duration("max", faults).unwrap_or(usual.2);
    keys.done(&[], super::words::key, faults);
    (attempts, backoff, max)
}

fn action(
    keys: &mut Keys<'_>,
    context: &Context<'_>,
    names: &Names,
    reads: &mut Reads,
    faults: &mut Faults,
) -> Option<ActionSpec> {
    let found: Vec<&'static str> =
        ["exec", "pipe", "code"].into_iter().filter(|k| keys.key_span(k).is_some()).collect();
    if let [_, second, ..] = found.as_slice() {
        let at = keys.key_span(second).unwrap_or(keys.span);
        faults.push(Diagnostic::error("two-actions", at, "a work has one action").label("make two steps of it"));
    }
    let first = *found.first()?;
    let node = keys.node(first)?;
    if let NodeKind::Action(code) = &node.kind {
        return Some(ActionSpec::Code(code.clone()));
    }
    let NodeKind::List(list) = &node.kind else {
        let text = node.as_str().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let what = format!("`{first}` is a list: the program, then its arguments");
        let label = format!("write  {first}: [{}]   or, for a shell,  [sh, -c, '{text}']", words.join(", "));
        faults.push(Diagnostic::error("not-a-list", node.span, what).label(label));
        return None;
    };
    let of_run = super::compile::run_names(context.env);
    // no item is to blame for a program that is the same for all of them
    let fixed = list.first().and_then(Node::as_str).is_some_and(|program| {
        let (reads, faults) = (&mut Reads::default(), &mut vec![]);
        super::compile::filled(program, node.span, &of_run, context.env, reads, faults).is_ok()
    });
    let names = if first == "pipe" { of_run } else { names.clone() };
    let args: Vec<_> = list.iter().filter_map(|n| template(n, first, &names, context.env, reads, faults)).collect();
    if list.is_empty() {
        faults.push(Diagnostic::error("no-program", node.span, format!("`{first}` names no program")));
    }
    let env = keys.node("env").map_or_else(Vec::new, |n| variables(n, &names, context, reads, faults));
    let command = Command { args, env, fixed };
    Some(if first == "exec" { ActionSpec::Exec(command) } else { ActionSpec::Pipe(command) })
}

fn variables(
    node: &Node,
    names: &Names,
    context: &Context<'_>,
    reads: &mut Reads,
    faults: &mut Faults,
) -> Vec<(String, crate::template::Template)> {
    let NodeKind::Map(map) = &node.kind else {
        faults.push(Diagnostic::error("not-a-map", node.span, "`env` is a map from names to values"));
        return vec![];
    };
    let one =
        |(k, v): &(Node, Node)| Some((k.as_str()?.to_string(), template(v, "env", names, context.env, reads, faults)?));
    map.iter().filter_map(one).collect()
}

fn shape(keys: &mut Keys<'_>, names: &Names, reads: &mut Reads, faults: &mut Faults) -> Option<Shape> {
    let found: Vec<&'static str> =
        ["value", "set", "each"].into_iter().filter(|k| keys.key_span(k).is_some()).collect();
    if let [_, second, ..] = found.as_slice() {
        let at = keys.key_span(second).unwrap_or(keys.span);
        faults.push(Diagnostic::error("two-shapes", at, "a work has one of `value`, `set` and `each`"));
    }
    let Some(first) = found.first() else { return Some(Shape::Result) };
    let node = keys.node(first)?;
    let fields = object(node, first, names, reads, faults);
    Some(match (*first, fields) {
        ("value", Some(fields)) => Shape::Object(fields),
        ("value", None) => Shape::Value(expression(node, "value", names, reads, faults)?),
        ("set", Some(fields)) => {
            reads.item = true;
            Shape::Set(fields)
        }
        ("set", None) => {
            faults.push(
                Diagnostic::error("not-a-map", node.span, "`set` is a map from fields to expressions")
                    .label("as in  set: { total: 'item.price * item.count' }"),
            );
            return None;
        }
        (_, Some(_)) => {
            faults.push(
                Diagnostic::error("each", node.span, "`each` is an expression that gives a list")
                    .label("as in  each: item.lines"),
            );
            return None;
        }
        (_, None) => Shape::Each(expression(node, "each", names, reads, faults)?),
    })
}
