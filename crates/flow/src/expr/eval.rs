//! Evaluating a compiled expression for one item.

use super::compare::find;
use super::compile::{Compiled, Loop, Node};
use super::func::Func;
use super::functions;
use super::known::Known;
use super::scope::Scope;
use super::size::{Listing, Size};
use super::time::Time;
use super::value::Value;
use super::{Fault, times};
use anabranch_engine::limits;

impl Compiled {
    /// The value for what `scope` shows.
    ///
    /// # Errors
    ///
    /// The expression cannot be computed for what `scope` shows; the item is to blame.
    pub fn eval<'a>(&'a self, scope: &Scope<'a>) -> Result<Value<'a>, Fault> {
        Eval { scope, locals: vec![], steps: 0, handed: 0, known: Known::default() }.node(&self.node)
    }

    /// The text of the field that it is, if it is only that and the item has it.
    pub fn raw<'a>(&self, scope: &Scope<'a>) -> Option<&'a str> {
        match &self.node {
            Node::Field(slot, _) => scope.slots.get(*slot).copied().flatten(),
            _ => None,
        }
    }

    /// Whether it is only `result`.
    pub fn is_result(&self) -> bool {
        matches!(self.node, Node::Extra(_)) && self.aggregates.is_empty()
    }

    /// Whether it holds; anything but true or false is a fault.
    ///
    /// # Errors
    ///
    /// It cannot be computed, or gives neither true nor false.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, Fault> {
        match self.eval(scope)? {
            Value::Bool(b) => Ok(b),
            other => Err(Fault::new(format!("`{}` gave {}, not true or false", self.text, other.kind()))),
        }
    }
}

struct Eval<'s, 'a> {
    scope: &'s Scope<'a>,
    locals: Vec<Value<'a>>,
    /// Steps that loops have taken.
    steps: usize,
    /// Bytes that functions and operators were given.
    handed: usize,
    known: Known<'a>,
}

impl<'a> Eval<'_, 'a> {
    fn node(&mut self, node: &'a Node) -> Result<Value<'a>, Fault> {
        let scope = self.scope;
        Ok(match node {
            Node::Literal(v) => borrow(v),
            Node::Field(slot, name) => match scope.slots.get(*slot).copied().flatten() {
                Some(raw) => Value::from_json(raw)?,
                None => return Err(self.no_field(name)),
            },
            Node::Item => scope.item()?,
            Node::Key => scope.key(),
            Node::Headers => scope.headers(),
            Node::Timestamp => scope.timestamp()?,
            Node::Stream => Value::text(scope.place.stream),
            Node::Partition => Value::Int(i64::from(scope.place.partition)),
            Node::Offset => Value::Int(scope.place.offset),
            Node::Shard => scope.place.shard.map_or(Value::Null, Value::text),
            Node::RunId => Value::text(&scope.run.id),
            Node::RunDate => Value::text(&scope.run.date),
            Node::RunStarted => Value::Timestamp(Time::of(scope.run.started).ok_or_else(Fault::overflow)?),
            Node::Env(name) => scope.env.get(name).map_or(Value::Null, |v| Value::text(v)),
            Node::Extra(i) => scope.extra.get(*i).cloned().unwrap_or(Value::Null),
            Node::Local(i) => self.locals.get(*i).cloned().unwrap_or(Value::Null),
            Node::Accu(i) => match self.locals.get_mut(*i) {
                Some(Value::List(list)) => Value::List(std::mem::take(list)), // a step uses it once: no copy
                other => other.cloned().unwrap_or(Value::Null),
            },
            Node::Select(of, field) => {
                let of = self.node(of)?;
                if let Value::Optional(of) = of {
                    let found = of.map(|of| self.look_up(&of, &Value::text(field))).transpose()?.flatten();
                    return Ok(Value::Optional(found.map(Box::new)));
                }
                if of.kind() != "an object" {
                    return Err(Fault::new(format!("{} has no fields; `{field}` was asked for", of.kind())));
                }
                return self.look_up(&of, &Value::text(field))?.ok_or_else(|| missing(&of, field));
            }
            Node::Has(of, field) => {
                let of = match self.node(of)? {
                    Value::Optional(None) => return Ok(Value::Bool(false)),
                    Value::Optional(Some(v)) => *v,
                    v => v,
                };
                Value::Bool(self.look_up(&of, &Value::text(field))?.is_some())
            }
            Node::OptSelect(of, field) => {
                let (of, field) = (self.node(of)?, self.node(field)?);
                let of = match of {
                    Value::Optional(None) => return Ok(Value::Optional(None)),
                    Value::Optional(Some(v)) => *v,
                    v => v,
                };
                Value::Optional(self.look_up(&of, &field)?.map(Box::new))
            }
            Node::Index(of, at) => {
                let (of, at) = (self.node(of)?, self.node(at)?);
                match of {
                    Value::Optional(of) => {
                        let found = of.map(|of| self.look_up(&of, &at)).transpose()?.flatten();
                        Value::Optional(found.map(Box::new))
                    }
                    of => match self.look_up(&of, &at)? {
                        Some(found) => found,
                        None => return Err(functions::no_element(&of, &at)),
                    },
                }
            }
            Node::OrElse(of, default, value) => match (self.node(of)?, value) {
                (Value::Optional(Some(v)), true) => *v,
                (found @ Value::Optional(Some(_)), false) => found,
                (Value::Optional(None), _) => self.node(default)?, // only now: its fault is none where it is not needed
                (other, _) => return Err(Fault::new(format!("`orValue` of {}, not of an optional", other.kind()))),
            },
            Node::OptMap(of, body, flat) => match self.node(of)? {
                Value::Optional(None) => Value::Optional(None),
                Value::Optional(Some(v)) => {
                    self.locals.push(*v);
                    let made = self.node(body);
                    self.locals.pop();
                    match (made?, flat) {
                        (v, false) => Value::Optional(Some(Box::new(v))),
                        (v @ Value::Optional(_), true) => v,
                        (v, true) => {
                            return Err(Fault::new(format!("`optFlatMap` needs an optional, not {}", v.kind())));
                        }
                    }
                }
                other => return Err(Fault::new(format!("`optMap` of {}, not of an optional", other.kind()))),
            },
            Node::Absent(why) => return Err(Fault::new(&**why)),
            Node::List(list) => {
                let mut out = Listing::written();
                for (node, optional) in list {
                    let v = self.node(node)?;
                    self.entry(v, *optional)?.map_or(Ok(()), |v| out.push(v))?;
                }
                out.finish()
            }
            Node::Map(map) => self.object(map)?,
            Node::And(a, b) => Value::Bool(self.both(a, b, false)?),
            Node::Or(a, b) => Value::Bool(self.both(a, b, true)?),
            Node::If(c, a, b) => match self.node(c)? {
                Value::Bool(true) => self.node(a)?,
                Value::Bool(false) => self.node(b)?,
                other => return Err(Fault::new(format!("the condition of `?:` is {}", other.kind()))),
            },
            Node::Call(func @ (Func::Floor | Func::Format), args) => {
                let args = args.iter().map(|n| self.node(n)?.plain()).collect::<Result<Vec<_>, _>>()?;
                match times::in_zone(*func, &args, &scope.run.zone.0) {
                    Some(outcome) => outcome?,
                    None => func.call(&args)?,
                }
            }
            Node::Call(func, args) => match args.as_slice() {
                [a] => {
                    let a = self.node(a)?;
                    self.charge(&[&a])?;
                    func.call(&[a])?
                }
                [a, b] => match (func, self.node(a)?, self.node(b)?) {
                    (Func::Add, Value::List(mut made), Value::List(b)) => {
                        if !matches!(a, Node::Accu(_)) {
                            return functions::concatenated(made, b);
                        }
                        made.extend(b); // the loop counts what it makes
                        Value::List(made)
                    }
                    (Func::In, a @ Value::Text(_), b) if b.kind() == "an object" => {
                        Value::Bool(self.look_up(&b, &a)?.is_some())
                    }
                    (func, a, b) => {
                        self.charge(&[&a, &b])?;
                        func.call(&[a, b])?
                    }
                },
                args => func.call(&args.iter().map(|n| self.node(n)).collect::<Result<Vec<_>, _>>()?)?,
            },
            Node::Regex(func, regex, args) => {
                let args = args.iter().map(|n| self.node(n)).collect::<Result<Vec<_>, _>>()?;
                self.charge(&args.iter().collect::<Vec<_>>())?;
                func.call_regex(regex, &args)?
            }
            Node::Loop(l) => self.each(l)?,
            Node::Code(code) => (code.0)(scope.bytes(), scope.extra)?,
        })
    }

    fn look_up(&mut self, of: &Value<'a>, at: &Value<'_>) -> Result<Option<Value<'a>>, Fault> {
        if let Some(found) = self.known.look_up(of, at)? {
            return Ok(found);
        }
        self.charge(&[of])?;
        functions::look_up(of, at)
    }

    /// An element or field, if it is there.
    fn entry(&self, v: Value<'a>, optional: bool) -> Result<Option<Value<'a>>, Fault> {
        match v {
            Value::Optional(v) if optional => Ok(v.map(|v| *v)),
            v if optional => Err(Fault::new(format!("`?` stands before {}, not before an optional", v.kind()))),
            v => Ok(Some(v)),
        }
    }

    fn object(&mut self, fields: &'a [(Node, Node, bool)]) -> Result<Value<'a>, Fault> {
        let mut out: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(fields.len());
        let mut size = Size::written();
        for (k, v, optional) in fields {
            let k = self.node(k)?.plain()?;
            let v = self.node(v)?;
            let Some(v) = self.entry(v, *optional)? else { continue };
            if find(&out, &k)?.is_some() {
                return Err(Fault::new("an object has the same name twice"));
            }
            size.add(&k)?;
            size.add(&v)?;
            out.push((k, v));
        }
        Ok(Value::Map(out))
    }

    /// Counts what a function is given, so that loops over large values end.
    fn charge(&mut self, args: &[&Value<'_>]) -> Result<(), Fault> {
        let bytes = |v: &&Value<'_>| match v {
            Value::Text(t) | Value::Json(t) => t.len(),
            Value::Bytes(b) => b.len(),
            Value::List(l) => std::mem::size_of_val::<[Value<'_>]>(l),
            Value::Map(m) => std::mem::size_of_val::<[(Value<'_>, Value<'_>)]>(m),
            _ => 0,
        };
        self.handed = self.handed.saturating_add(args.iter().map(bytes).sum());
        if self.spent() {
            return Err(Fault::new("it looks through large values too often: it would take minutes for this item"));
        }
        Ok(())
    }

    /// Whether it has had its share of loops and bytes: then nothing decides any more, the evaluation ends.
    fn spent(&self) -> bool {
        self.handed > limits::EVALUATION_BYTES || self.steps > limits::LOOP_STEPS
    }

    /// `&&` and `||` of CEL: the deciding side decides even if the other one fails.
    fn both(&mut self, a: &'a Node, b: &'a Node, decides: bool) -> Result<bool, Fault> {
        let truth = |v: Value<'_>| match v {
            Value::Bool(b) => Ok(b),
            other => Err(Fault::new(format!("{} is used where true or false is needed", other.kind()))),
        };
        let first = self.node(a).and_then(truth);
        if first == Ok(decides) {
            return first;
        }
        if first.is_err() && self.spent() {
            return first;
        }
        let second = self.node(b).and_then(truth)?;
        if second == decides { Ok(second) } else { first.map(|_| second) }
    }

    fn each(&mut self, l: &'a Loop) -> Result<Value<'a>, Fault> {
        let range = self.node(&l.range)?;
        let (pairs, is_map): (Vec<(Value<'a>, Value<'a>)>, bool) = match range.into_opened()? {
            Value::List(list) => {
                (list.into_iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v)).collect(), false)
            }
            Value::Map(map) => (map, true),
            other => return Err(Fault::new(format!("{} has no elements", other.kind()))),
        };
        let mut fault = None;
        let accu = self.locals.len();
        let init = self.node(&l.init)?;
        self.locals.push(init);
        let (mut counted, mut size) = (0, Size::default());
        for (k, v) in pairs {
            self.steps += 1;
            if self.steps > limits::LOOP_STEPS {
                self.locals.truncate(accu);
                return Err(Fault::new(format!("its loops take more than {} steps", limits::LOOP_STEPS)));
            }
            match (l.two, is_map) {
                (true, _) => self.locals.extend([k, v]),
                (false, true) => self.locals.push(k),
                (false, false) => self.locals.push(v),
            }
            let go = self.node(&l.condition);
            let next = match go {
                Ok(Value::Bool(false)) => None,
                _ => Some(self.node(&l.step)),
            };
            self.locals.truncate(accu + 1);
            match next {
                None => break,
                // `exists` and `all` go on: another element may decide
                Some(Err(f)) if l.decides && !self.spent() => fault = fault.or(Some(f)),
                Some(v) => {
                    let v = v.inspect_err(|_| self.locals.truncate(accu))?;
                    if let Value::List(made) = &v {
                        let more = made.get(counted..).unwrap_or_default();
                        let fits = more.iter().try_for_each(|v| size.add(v));
                        fits.inspect_err(|_| self.locals.truncate(accu))?;
                        counted = made.len();
                    }
                    if let Some(a) = self.locals.get_mut(accu) {
                        *a = v;
                    }
                }
            }
        }
        let undecided = fault.is_some() && !matches!(self.node(&l.condition), Ok(Value::Bool(false)));
        let result = match fault.filter(|_| undecided) {
            Some(fault) => Err(fault),
            None => self.node(&l.result),
        };
        self.locals.truncate(accu);
        result
    }

    fn no_field(&self, name: &str) -> Fault {
        match self.scope.item() {
            Ok(item) if item.kind() == "an object" => Fault::new(format!(
                "the item has no field `{name}` (if it may be missing: has(item.{name}) or item.?{name}.orValue(…))"
            )),
            Ok(item) => Fault::new(format!("the item is {}, it has no field `{name}`", item.kind())),
            Err(fault) => fault,
        }
    }
}

fn missing(of: &Value<'_>, field: &str) -> Fault {
    Fault::new(format!("{} without a field `{field}`", of.kind()))
}

/// A literal of the tree, without a copy where it is text or a plain value.
fn borrow<'a>(v: &'a Value<'static>) -> Value<'a> {
    match v {
        Value::Text(t) => Value::text(t),
        Value::Json(raw) => Value::Json(raw.as_ref().into()),
        other => other.clone(),
    }
}
