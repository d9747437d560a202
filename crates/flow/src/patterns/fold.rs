//! How items become a value: `by`, `value` and `fold` of a reduce, and the shape of a pair.

use super::aggregate::{self, Aggregate};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Fault, Names, Reads, Scope, Size, Value};
use crate::read::compile::{expression, object};
use crate::read::keys::{Faults, Keys};
use crate::tree::Node;

/// How items become a value.
#[derive(Debug, Clone)]
pub enum Fold {
    /// One expression over aggregates.
    Value(Compiled),
    /// An object of expressions over aggregates; the number says how many aggregates come before each.
    Object(Vec<(String, Compiled, usize)>),
    /// An expression over `a` and `b`, applied again and again; a lone item passes unchanged.
    Pairs(Shape),
}

/// One expression, or an object of them.
#[derive(Debug, Clone)]
pub enum Shape {
    /// One.
    One(Compiled),
    /// An object.
    Object(Vec<(String, Compiled)>),
}

impl Shape {
    /// The value for what `scope` shows.
    ///
    /// # Errors
    ///
    /// An expression cannot be computed.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value<'static>, Fault> {
        match self {
            Shape::One(e) => Ok(e.eval(scope)?.into_owned()),
            Shape::Object(fields) => {
                let mut size = Size::written();
                let mut object = Vec::with_capacity(fields.len());
                for (name, e) in fields {
                    let value = e.eval(scope)?;
                    size.add(&value)?;
                    object.push((Value::Text(name.clone().into()), value.into_owned()));
                }
                Ok(Value::Map(object))
            }
        }
    }
}

/// Reads `by`: the fields of the key, in order; none = one result.
pub fn by(
    keys: &mut Keys<'_>,
    names: &Names,
    reads: &mut Reads,
    faults: &mut Faults,
) -> Option<Vec<(String, Compiled)>> {
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

/// Reads `value`, an expression over aggregates or an object of them.
pub fn by_aggregates(
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

/// Reads one expression, or an object of them, that is computed from what was folded.
pub fn folded(node: &Node, key: &str, names: &Names, faults: &mut Faults) -> Option<Shape> {
    let mut none = Reads::default();
    match object(node, key, names, &mut none, faults) {
        Some(fields) => Some(Shape::Object(fields)),
        None => expression(node, key, names, &mut none, faults).map(Shape::One),
    }
}
