//! Work: user code. What is here only shapes: from an item, and the result of an
//! action if there is one, to the items that go on.

use super::action::{self, ActionSpec, Answers, Calls, Logs};
use super::{Effects, Emit, Kind, Making, Pattern, Scratch, Verb, View, What};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Content, Fault, Names, Reads, Scope, Size, Value, write};
use crate::format::Format;
use crate::read::Reading;
use crate::read::compile::{expression, object};
use crate::read::keys::{Faults, Keys};
use crate::read::ports::Ports;
use crate::spec::{Is, Key, Spec};
use std::time::Duration;

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "work",
        doc: "Your own code for each item: a program, a program that stays, or an expression that makes a new value.",
        many: false,
        keys: &[
            Key::new(
                "value",
                Is::Shape,
                "What goes on for an item, made of `item` and `result`.",
                "value: { id: item.id }",
            ),
            Key::new(
                "set",
                Is::Fields,
                "The item with these fields replaced or added.",
                "set: { total: 'item.price * item.count' }",
            ),
            Key::new("each", Is::Expression, "An item for each element of a list.", "each: item.lines"),
            action::KEYS[0],
            action::KEYS[1],
            action::KEYS[2],
            action::KEYS[3],
            action::KEYS[4],
            action::KEYS[5],
            action::KEYS[6],
            action::KEYS[7],
            action::KEYS[8],
            Key::new("to", Is::Stream, "The output.", "to: tagged").depends("the name of the step"),
            action::KEYS[9],
            action::KEYS[10],
            action::CODE,
        ],
        example: "tagged: { work: photos, exec: [./tag, '{item.path}'], set: { tags: result }, concurrency: 8 }",
    },
    routes: false,
    fans_out: false,
    ports: Ports::only,
    read,
};

/// Work with an action.
#[derive(Debug, Clone)]
pub struct Act {
    /// What goes on.
    pub work: Work,
    /// The action.
    pub action: ActionSpec,
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
    /// Names the work; the item's place where there is none.
    pub idempotency_key: Option<Compiled>,
    /// How the answers of a `pipe` find their items.
    pub answers: Answers,
    /// Of which items the calls are logged.
    pub logs: Logs,
}

fn read(keys: &mut Keys<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Kind> {
    let names = reading.names();
    let mut reads = Reads::default();
    let meant = ["exec", "pipe", "http"].iter().any(|k| keys.key_span(k).is_some());
    let action = action::read(keys, reading, &names, &mut reads, faults);
    let shaping = Names { extra: if action.is_some() { vec!["result"] } else { vec![] }, ..names.clone() };
    let shape = shape(keys, &shaping, &mut reads, faults)?;
    let Some(action) = action else {
        Calls::are_unused(keys, faults);
        if matches!(shape, Shape::Result) && !meant {
            faults.push(
                Diagnostic::error("no-work", keys.span, format!("{} does nothing", keys.of))
                    .label("it needs `value`, `set`, `each`, `exec` or `pipe`"),
            );
        }
        return Some(Kind::Work(Box::new(Work { shape, reads, format: reading.out })));
    };
    let Calls { concurrency, timeout, attempts, backoff, backoff_max, answers, logs } =
        Calls::read(keys, &action, faults);
    let idempotency_key =
        keys.node("idempotency-key").and_then(|n| expression(n, "idempotency-key", &names, &mut reads, faults));
    reads.item |= reading.format != reading.out; // an item without a result is written in the other format
    let work = Work { shape, reads, format: reading.out };
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
        logs,
    })))
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

/// What goes on for an item.
#[derive(Debug, Clone)]
pub struct Work {
    /// How it is made.
    pub shape: Shape,
    /// What the shape reads of the item.
    pub reads: Reads,
    /// How values are written: JSON, or as they are.
    pub format: Format,
}

/// How the value that goes on is made.
#[derive(Debug, Clone)]
pub enum Shape {
    /// The result of the action; the item itself where there is no action or no result.
    Result,
    /// One value.
    Value(Compiled),
    /// An object.
    Object(Vec<(String, Compiled)>),
    /// The item with fields replaced or added.
    Set(Vec<(String, Compiled)>),
    /// An item for each element of a list.
    Each(Compiled),
}

impl Work {
    /// The values that go on for what `scope` shows; `None` = the item as it is.
    ///
    /// # Errors
    ///
    /// An expression cannot be computed, or a value is larger than an item may be.
    pub fn shape(&self, scope: &Scope<'_>) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        Ok(match &self.shape {
            Shape::Result => match scope.extra.first() {
                Some(result) => Some(vec![self.write(result)?]),
                None if self.format == Format::Json
                    && matches!(scope.content, Content::Text(_) | Content::Bytes(_)) =>
                {
                    Some(vec![self.write(&scope.item()?)?])
                }
                None => None,
            },
            Shape::Value(e) => Some(vec![self.write(&e.eval(scope)?)?]),
            Shape::Object(fields) => Some(vec![self.write(&Value::Map(evaluated(fields, scope)?))?]),
            Shape::Set(fields) => Some(vec![set(fields, scope)?]),
            Shape::Each(e) => match e.eval(scope)?.into_opened()? {
                Value::List(list) => Some(list.iter().map(|v| self.write(v)).collect::<Result<_, _>>()?),
                other => return Err(Fault::new(format!("`each: {}` gave {}, not a list", e.text, other.kind()))),
            },
        })
    }

    fn write(&self, value: &Value<'_>) -> Result<Vec<u8>, Fault> {
        self.format.write(value)
    }

    /// Whether what an action printed goes on as it was printed: text that nothing computes with is no JSON.
    pub fn as_printed(&self) -> bool {
        self.format != Format::Json
            && match &self.shape {
                Shape::Result => true,
                Shape::Value(e) => e.is_result(),
                Shape::Object(_) | Shape::Set(_) | Shape::Each(_) => false,
            }
    }

    /// Whether one item may become several, so that each has a number of its own.
    pub fn many(&self) -> bool {
        matches!(self.shape, Shape::Each(_))
    }
}

fn evaluated<'a>(fields: &'a [(String, Compiled)], scope: &Scope<'a>) -> Result<Vec<(Value<'a>, Value<'a>)>, Fault> {
    let mut size = Size::written();
    let one = |(name, e): &'a (String, Compiled)| {
        let value = e.eval(scope)?;
        size.add(&value)?;
        Ok((Value::text(name), value))
    };
    fields.iter().map(one).collect()
}

/// The object of the item with these fields; what is not replaced keeps its bytes.
fn set<'a>(fields: &'a [(String, Compiled)], scope: &Scope<'a>) -> Result<Vec<u8>, Fault> {
    match scope.content {
        Content::Json(raw) if raw.starts_with('{') => write::replaced(raw, &evaluated(fields, scope)?),
        _ => Err(Fault::new(format!("`set` needs an item that is an object, this one is {}", scope.item()?.kind()))),
    }
}

impl Pattern for Work {
    /// Work without an action: only the shape.
    fn apply(&self, _: usize, view: &View<'_>, _: &mut Scratch, out: &mut Effects) {
        if matches!(self.shape, Shape::Result) {
            out.taken = view.part.count();
            out.passed = out.taken;
            return out.whole(0);
        }
        let mut made = Making::with_capacity(view.records.bytes());
        let mut slots = vec![];
        for record in view.items() {
            out.taken += 1;
            let shaped = view.scope(&record, &self.reads, &mut slots).and_then(|scope| {
                let values = self.shape(&scope)?.unwrap_or_default();
                made.children(&record, &values, self.many())?;
                Ok(values.len())
            });
            match shaped {
                Err(fault) => out.failed.push((record.row(), fault)),
                Ok(0) => out.filtered += 1,
                Ok(_) => out.passed += 1,
            }
        }
        let emit = |(batch, from)| Emit { port: 0, partition: None, what: What::New(batch, from) };
        out.emits.extend(made.finish().into_iter().map(emit));
    }
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};
    use proptest::prelude::*;

    fn out(keys: &str, lines: &[String]) -> (Vec<String>, usize) {
        let mut made = trial::apply(&trial::step(keys), lines, &mut Scratch::default());
        (made.out.remove(&(0, None)).unwrap_or_default(), made.failed.len())
    }

    fn numbers(lines: &[String]) -> Vec<(i64, String)> {
        lines.iter().filter_map(|l| Some((trial::read(l)?["n"].as_i64()?, l.clone()))).collect()
    }

    proptest! {
        #[test]
        fn shapes(lines in trial::lines()) {
            let numbers = numbers(&lines);
            let failed = lines.len() - numbers.len();
            let value: Vec<String> = numbers.iter().map(|(n, _)| (n * 2).to_string()).collect();
            prop_assert_eq!(out("{ work: all, value: item.n * 2, to: a }", &lines), (value, failed));
            let object: Vec<String> = numbers.iter().map(|(n, _)| format!("{{\"m\":{n},\"t\":\"x\"}}")).collect();
            prop_assert_eq!(out("{ work: all, value: { m: item.n, t: '\"x\"' }, to: a }", &lines), (object, failed));
            let set: Vec<String> = numbers.iter().map(|(n, l)| format!("{},\"m\":{n}}}", l.trim_end_matches('}'))).collect();
            prop_assert_eq!(out("{ work: all, set: { m: item.n }, to: a }", &lines), (set, failed));
            let each: Vec<String> = numbers.iter().flat_map(|(n, _)| [n.to_string(), "\"y\"".into()]).collect();
            prop_assert_eq!(out("{ work: all, each: '[item.n, \"y\"]', to: a }", &lines), (each, failed));
        }
    }
}
