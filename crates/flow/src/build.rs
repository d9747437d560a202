//! Flows made in Rust: the same tree as that of a file, through the same check, with closures where
//! a file has expressions.
//!
//! ```
//! use anabranch_flow::build::{FlowBuilder, filter, reduce, stream, work};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Sale { product: String, amount: f64 }
//! #[derive(Serialize)]
//! struct Receipt { product: String, cents: u64 }
//!
//! let flow = FlowBuilder::new("sales")
//!     .stream("sales", stream().source("sales.jsonl"))
//!     .stream("per-product", stream().sink("out/per-product.jsonl"))
//!     .step("big", filter("sales", |s: Sale| s.amount >= 10.0))
//!     .step("receipts", work("big", |s: Sale| Receipt { product: s.product, cents: (s.amount * 100.0) as u64 }))
//!     .step("per-product", reduce("receipts").by("item.product").value([("cents", "sum(item.cents)")]))
//!     .build()
//!     .expect("it can run");
//! assert_eq!(flow.steps.len(), 3);
//! ```
//!
//! A closure sees items as JSON. The runner cannot see that a closure changed: a run that is open goes on with the new one.

use crate::call::{ActionFn, Attempt, Call};
use crate::check::check_tree;
use crate::diagnostic::{Invalid, Span};
use crate::expr::{Fault, RustFn, Value, write};
use crate::model::{Flow, OnError};
use crate::tree::{Kind, Node};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Makes a flow step by step.
#[derive(Debug, Clone)]
pub struct FlowBuilder {
    top: Vec<(String, Node)>,
    streams: Vec<(String, Node)>,
    steps: Vec<(String, Node)>,
}

/// Keys of a stream or step, as in the language.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<(String, Node)>);

impl FlowBuilder {
    /// A flow of that name.
    pub fn new(name: &str) -> FlowBuilder {
        FlowBuilder { top: vec![("flow".into(), Node::text(name))], streams: vec![], steps: vec![] }
    }

    /// A key of the top level, such as `timezone`.
    pub fn key(mut self, key: &str, value: &str) -> FlowBuilder {
        self.top.push((key.into(), Node::text(value)));
        self
    }

    /// Declares a stream.
    pub fn stream(mut self, name: &str, keys: Keys) -> FlowBuilder {
        self.streams.push((name.into(), Node::map(keys.0)));
        self
    }

    /// Adds a step.
    pub fn step(mut self, name: &str, keys: Keys) -> FlowBuilder {
        self.steps.push((name.into(), Node::map(keys.0)));
        self
    }

    /// Checks the flow, as a file is checked.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it. It has no place, but names the step.
    pub fn build(mut self) -> Result<Flow, Invalid> {
        self.top.push(("streams".into(), Node::map(self.streams)));
        self.top.push(("steps".into(), Node::map(self.steps)));
        let checked = check_tree(&Node::map(self.top), &|name| std::env::var(name).ok());
        checked.flow.ok_or(Invalid(checked.diagnostics))
    }
}

impl Keys {
    /// Any key of the language with a text, a number or an expression.
    pub fn key(mut self, key: &str, value: impl ToString) -> Keys {
        self.0.push((key.into(), Node::plain(value)));
        self
    }

    /// Any key of the language with a list.
    pub fn list(mut self, key: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Keys {
        self.0.push((key.into(), Node::list(values.into_iter().map(Node::text))));
        self
    }

    /// The file or pattern that fills a stream.
    pub fn source(self, path: &str) -> Keys {
        self.key("source", path)
    }

    /// The file that stores a stream.
    pub fn sink(self, path: &str) -> Keys {
        self.key("sink", path)
    }

    /// The one output.
    pub fn to(self, stream: &str) -> Keys {
        self.key("to", stream)
    }

    /// Where the rest goes: a stream, `drop` or `error`.
    pub fn otherwise(self, stream: &str) -> Keys {
        self.key("otherwise", stream)
    }

    /// The key, as an expression.
    pub fn by(self, expression: &str) -> Keys {
        self.key("by", expression)
    }

    /// The value of a reduce: fields and their expressions.
    pub fn value<'a>(mut self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Keys {
        let fields = fields.into_iter().map(|(name, e)| (name, Node::text(e)));
        self.0.push(("value".into(), Node::map(fields)));
        self
    }

    /// Makes one result of two, until one is left. In which order they meet is not told: it must not matter.
    pub fn fold<T>(mut self, f: impl Fn(T, T) -> T + Send + Sync + 'static) -> Keys
    where
        T: DeserializeOwned + Serialize,
    {
        let call = move |_: &[u8], two: &[Value<'_>]| {
            let [a, b] = two else { return Err(Fault::new("a fold brings two values together")) };
            result(&f(read(a)?, read(b)?))
        };
        self.0.push(("fold".into(), Node { span: Span::default(), kind: Kind::Code(RustFn(Arc::new(call))) }));
        self
    }

    /// Calls of an action at once.
    pub fn concurrency(self, calls: usize) -> Keys {
        self.key("concurrency", calls)
    }

    /// How long a call of a program may take.
    pub fn timeout(self, timeout: Duration) -> Keys {
        self.key("timeout", length(timeout))
    }

    /// How often a program is called for an item before that has failed, and the pause before the second call.
    pub fn retry(mut self, attempts: u32, backoff: Duration) -> Keys {
        let retry = [("attempts", Node::plain(attempts)), ("backoff", Node::plain(length(backoff)))];
        self.0.push(("retry".into(), Node::map(retry)));
        self
    }

    /// What becomes of an item that fails.
    pub fn on_error(self, policy: OnError) -> Keys {
        let word = match policy {
            OnError::DeadLetter => "dead-letter",
            OnError::Skip => "skip",
            OnError::Fail => "fail",
        };
        self.key("on-error", word)
    }

    /// Failed items that a join or reduce accepts.
    pub fn tolerate(self, items: u64) -> Keys {
        self.key("tolerate", items)
    }

    /// A case of a split: items for which `holds` is true go to `to`.
    pub fn case<T: DeserializeOwned>(mut self, holds: impl Fn(T) -> bool + Send + Sync + 'static, to: &str) -> Keys {
        let case = Node::map([("where", code(holds)), ("to", Node::text(to))]);
        match self.0.iter_mut().find(|(k, _)| k == "cases") {
            Some((_, Node { kind: Kind::List(cases), .. })) => cases.push(case),
            _ => self.0.push(("cases".into(), Node::list([case]))),
        }
        self
    }
}

fn step(verb: &str, input: &str) -> Keys {
    Keys::default().key(verb, input)
}

/// A declared stream.
pub fn stream() -> Keys {
    Keys::default()
}

/// Sends each item to every one of these streams.
pub fn copy<'a>(input: &str, to: impl IntoIterator<Item = &'a str>) -> Keys {
    step("copy", input).list("to", to)
}

/// Keeps the items for which `keep` is true.
pub fn filter<T: DeserializeOwned>(input: &str, keep: impl Fn(T) -> bool + Send + Sync + 'static) -> Keys {
    let mut keys = step("filter", input);
    keys.0.push(("where".into(), code(keep)));
    keys
}

/// Sends each item to the first of its cases that holds.
pub fn split(input: &str) -> Keys {
    step("split", input)
}

/// Spreads items over `shards` streams, or partitions, by the hash of a key.
pub fn shard<T, K>(input: &str, by: impl Fn(T) -> K + Send + Sync + 'static, shards: u32) -> Keys
where
    T: DeserializeOwned,
    K: Serialize,
{
    let mut keys = step("shard", input).key("shards", shards);
    keys.0.push(("by".into(), code(by)));
    keys
}

/// The union of streams.
pub fn merge<'a>(inputs: impl IntoIterator<Item = &'a str>) -> Keys {
    Keys::default().list("merge", inputs)
}

/// A barrier: silent until the whole batch is settled.
pub fn join<'a>(inputs: impl IntoIterator<Item = &'a str>) -> Keys {
    Keys::default().list("join", inputs)
}

/// Folds items into one, or one for each key.
pub fn reduce(input: &str) -> Keys {
    step("reduce", input)
}

/// A pure function on each item. It runs ahead of the commits, on all cores, and again after a crash.
pub fn work<T, R>(input: &str, f: impl Fn(T) -> R + Send + Sync + 'static) -> Keys
where
    T: DeserializeOwned,
    R: Serialize,
{
    let mut keys = step("work", input);
    keys.0.push(("value".into(), code(f)));
    keys
}

/// A function that acts outside: called at most `concurrency` times at once, told which attempt for which item it is; an
/// error fails the item.
pub fn act<T, R>(input: &str, f: impl Fn(T, &Attempt<'_>) -> Result<R, String> + Send + Sync + 'static) -> Keys
where
    T: DeserializeOwned,
    R: Serialize,
{
    let call = move |call: &Call| {
        let item = serde_json::from_slice(&call.value).map_err(|e| e.to_string())?;
        serde_json::to_value(f(item, &Attempt::of(call))?).map_err(|e| e.to_string())
    };
    let mut keys = step("work", input);
    keys.0.push(("code".into(), Node { span: Span::default(), kind: Kind::Action(ActionFn(Arc::new(call))) }));
    keys
}

/// A function in the place of an expression.
fn code<T: DeserializeOwned, R: Serialize>(f: impl Fn(T) -> R + Send + Sync + 'static) -> Node {
    let call = move |item: &[u8], _: &[Value<'_>]| {
        let item = serde_json::from_slice(item).map_err(|e| Fault::new(format!("the item cannot be read: {e}")))?;
        result(&f(item))
    };
    Node { span: Span::default(), kind: Kind::Code(RustFn(Arc::new(call))) }
}

/// A value as the function of a user wants it.
fn read<T: DeserializeOwned>(value: &Value<'_>) -> Result<T, Fault> {
    let mut json = vec![];
    write::json(&mut json, value)?;
    serde_json::from_slice(&json).map_err(|e| Fault::new(format!("the item cannot be read: {e}")))
}

/// What a function of a user gave.
fn result(given: &impl Serialize) -> Result<Value<'static>, Fault> {
    let json = serde_json::to_string(given).map_err(|e| Fault::new(format!("the result cannot be written: {e}")))?;
    Ok(Value::from_json(&json)?.into_owned())
}

fn length(of: Duration) -> String {
    format!("{}us", of.as_micros())
}
