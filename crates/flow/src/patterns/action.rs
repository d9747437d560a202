//! Actions: what reaches out of the flow, and how it is called.

use crate::call::ActionFn;
use crate::diagnostic::Diagnostic;
use crate::expr::Env;
use crate::expr::{Names, Reads};
use crate::read::Reading;
use crate::read::compile::{Filling, run_names};
use crate::read::keys::{Faults, Keys};
use crate::read::words;
use crate::spec::{Is, Key};
use crate::template::Template;
use crate::tree::{Kind, Node};
use std::time::Duration;

/// The keys of an action.
pub const KEYS: [Key; 11] = [
    Key::new(
        "exec",
        Is::Program,
        "A program for each item: the item is on its standard input, and what it prints is the result.",
        "exec: [./resize, '{item.path}']",
    ),
    Key::new(
        "pipe",
        Is::Program,
        "Programs that stay: each gets an item a line and answers with a line.",
        "pipe: [./recognise]",
    ),
    Key::new(
        "answers",
        Is::Word(&["in-order", "by-id"]),
        "How the answers of a `pipe` find their items.",
        "answers: by-id",
    )
    .usual("in-order"),
    Key::new("concurrency", Is::Number(1, 1_000), "Calls at once.", "concurrency: 16").usual("4"),
    Key::new("timeout", Is::Duration, "How long a call may take.", "timeout: 60s").usual("30s"),
    Key::new("retry", Is::Map(RETRY), "How often a failed call is made again, and when.", "retry: { attempts: 5 }"),
    Key::new(
        "idempotency-key",
        Is::Expression,
        "Names the work, equal over all attempts.",
        "idempotency-key: string(item.id)",
    )
    .depends("the place of the item"),
    Key::new("env", Is::Settings, "Variables that the program gets beside ours.", "env: { MODE: '{item.mode}' }"),
    Key::new(
        "logs",
        Is::Word(&["failed", "all", "none"]),
        "Of which items it is kept what the calls for them wrote to standard error, and when they were made.",
        "logs: all",
    )
    .usual("failed"),
    Key::new("http", Is::Later, "A request for each item.", "http: { url: 'https://example.org' }"),
    Key::new("rate", Is::Later, "Calls in a time, at most.", "rate: 50/s"),
];

/// A Rust function in the place of an action.
pub const CODE: Key = Key::new("code", Is::Code, "A Rust function.", "");

const RETRY: &[Key] = &[
    Key::new("attempts", Is::Number(1, 1_000), "Calls before an item has failed.", "attempts: 5").usual("3"),
    Key::new(
        "backoff",
        Is::Duration,
        "The pause before the second call; it doubles from call to call.",
        "backoff: 100ms",
    )
    .usual("1s"),
    Key::new("max", Is::Duration, "The longest pause.", "max: 5m").usual("30s"),
];

/// How the answers of a program that answers line by line find their items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// A line is sent when the last one is answered.
    InOrder,
    /// Each answer carries the id of its item.
    ById,
}

/// An action: what reaches out of the flow.
#[derive(Debug, Clone)]
pub enum ActionSpec {
    /// A process for each item.
    Exec(Command),
    /// Processes that answer line by line.
    Pipe(Command),
    /// A Rust function.
    Code(ActionFn),
}

/// A program and its arguments.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program, then its arguments.
    pub args: Vec<Template>,
    /// Variables it gets beside ours.
    pub env: Vec<(String, Template)>,
    /// Which program it is does not depend on the item.
    pub fixed: bool,
}

/// How an action is called.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// Calls at once.
    pub concurrency: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// Calls before an item has failed.
    pub attempts: u32,
    /// The pause before the second call; it doubles from call to call.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// How the answers of a `pipe` find their items.
    pub answers: Answers,
    /// Of which items the calls are logged.
    pub logs: Logs,
}

/// Of which items the calls are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logs {
    /// Of those that failed.
    #[default]
    Failed,
    /// Of all.
    All,
    /// Of none.
    None,
}

impl Calls {
    /// Reads how an action is called.
    pub fn read(keys: &mut Keys<'_>, action: &ActionSpec, faults: &mut Faults) -> Calls {
        let (attempts, backoff, backoff_max) = retry(keys, faults);
        let concurrency = keys.number("concurrency", faults).unwrap_or(4) as usize;
        let timeout = keys.duration("timeout", faults).unwrap_or(Duration::from_secs(30));
        let answers = answers(keys, action, faults);
        let logs = match keys.word("logs", faults) {
            Some("all") => Logs::All,
            Some("none") => Logs::None,
            _ => Logs::Failed,
        };
        Calls { concurrency, timeout, attempts, backoff, backoff_max, answers, logs }
    }

    /// Complains about keys that belong to an action, where there is none.
    pub fn are_unused(keys: &mut Keys<'_>, faults: &mut Faults) {
        for key in ["concurrency", "timeout", "retry", "idempotency-key", "answers", "env", "logs"] {
            if let Some(span) = keys.own_span(key) {
                keys.node(key);
                faults.push(
                    Diagnostic::error("no-action", span, format!("`{key}` belongs to an action"))
                        .label("this work has no `exec` or `pipe`"),
                );
            }
        }
    }
}

/// How the answers of a pipe find their items.
fn answers(keys: &mut Keys<'_>, action: &ActionSpec, faults: &mut Faults) -> Answers {
    let span = keys.own_span("answers");
    let word = keys.word("answers", faults);
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
    let Some(mut keys) = Keys::of(node, "`retry`", RETRY, faults) else { return usual };
    let attempts = keys.number("attempts", faults).map_or(usual.0, |n| n as u32);
    let backoff = keys.duration("backoff", faults).unwrap_or(usual.1);
    let max = keys.duration("max", faults).unwrap_or(usual.2);
    keys.done(words::key, faults);
    (attempts, backoff, max)
}

/// Reads the action of a work, if it has one.
pub fn read(
    keys: &mut Keys<'_>,
    reading: &Reading<'_>,
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
    if let Kind::Action(code) = &node.kind {
        return Some(ActionSpec::Code(code.clone()));
    }
    let variables = keys.node("env");
    let command = command((first, node), variables, (names, reading.env), (reads, faults))?;
    Some(if first == "exec" { ActionSpec::Exec(command) } else { ActionSpec::Pipe(command) })
}

/// Reads the program of `key`, its arguments and its variables.
pub fn command(
    (key, node): (&'static str, &Node),
    variables: Option<&Node>,
    (names, env): (&Names, &Env),
    (reads, faults): (&mut Reads, &mut Faults),
) -> Option<Command> {
    let Kind::List(list) = &node.kind else {
        let text = node.as_str().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let what = format!("`{key}` is a list: the program, then its arguments");
        let label = format!("write  {key}: [{}]   or, for a shell,  [sh, -c, '{text}']", words.join(", "));
        faults.push(Diagnostic::error("not-a-list", node.span, what).label(label));
        return None;
    };
    let of_run = run_names(env);
    // no item is to blame for a program that is the same for all of them
    let fixed = list.first().and_then(Node::as_str).is_some_and(|program| {
        let (reads, faults) = (&mut Reads::default(), &mut vec![]);
        Filling { names: &of_run, env }.filled(program, node.span, reads, faults).is_ok()
    });
    let names = if key == "pipe" { of_run } else { names.clone() };
    let filling = Filling { names: &names, env };
    let args: Vec<_> = list.iter().filter_map(|n| filling.template(n, key, reads, faults)).collect();
    if list.is_empty() {
        faults.push(Diagnostic::error("no-program", node.span, format!("`{key}` names no program")));
    }
    let env = variables.map_or_else(Vec::new, |n| variables_of(n, filling, reads, faults));
    Some(Command { args, env, fixed })
}

fn variables_of(node: &Node, filling: Filling<'_>, reads: &mut Reads, faults: &mut Faults) -> Vec<(String, Template)> {
    let Kind::Map(map) = &node.kind else {
        faults.push(Diagnostic::error("not-a-map", node.span, "`env` is a map from names to values"));
        return vec![];
    };
    let one = |(k, v): &(Node, Node)| Some((k.as_str()?.to_string(), filling.template(v, "env", reads, faults)?));
    map.iter().filter_map(one).collect()
}
