//! Evaluating a compiled expression for one item.

use super::compile::{Compiled, Loop, Node};
use super::scope::Scope;
use super::value::{Value, find};
use super::{Fault, functions};

impl Compiled {
    /// The value for what `scope` shows.
    pub fn eval<'a>(&'a self, scope: &Scope<'a>) -> Result<Value<'a>, Fault> {
        Eval { scope, locals: vec![], steps: 0 }.node(&self.node)
    }

    /// The text of the field that it is, if it is only that and the item has it.
    pub fn raw<'a>(&self, scope: &Scope<'a>) -> Option<&'a str> {
        match &self.node {
            Node::Field(slot, _) => scope.slots.get(*slot).copied().flatten(),
            _ => None,
        }
    }

    /// Whether it holds; anything but true or false is a fault.
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
}

/// Steps that all loops of one evaluation may take together.
const LOOP_STEPS: usize = 1_000_000;

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
            Node::RunStarted => Value::Timestamp(scope.run.started),
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
                    let found = of.map(|of| select(&of, field)).transpose()?.flatten();
                    return Ok(Value::Optional(found.map(Box::new)));
                }
                return select(&of, field)?.ok_or_else(|| missing(&of, field));
            }
            Node::Has(of, field) => {
                let of = self.node(of)?;
                Value::Bool(select(&of, field)?.is_some())
            }
            Node::OptSelect(of, field) => {
                let (of, field) = (self.node(of)?, self.node(field)?);
                let of = match of {
                    Value::Optional(None) => return Ok(Value::Optional(None)),
                    Value::Optional(Some(v)) => *v,
                    v => v,
                };
                Value::Optional(functions::index(&of, &field).ok().map(Box::new))
            }
            Node::Index(of, at) => {
                let (of, at) = (self.node(of)?, self.node(at)?);
                match of {
                    Value::Optional(of) => {
                        Value::Optional(of.and_then(|of| functions::index(&of, &at).ok().map(Box::new)))
                    }
                    of => functions::index(&of, &at)?,
                }
            }
            Node::List(list) => Value::List(list.iter().map(|n| self.node(n)).collect::<Result<_, _>>()?),
            Node::Map(map) => {
                let mut out: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(map.len());
                for (k, v) in map {
                    let (k, v) = (self.node(k)?, self.node(v)?);
                    if find(&out, &k)?.is_some() {
                        return Err(Fault::new("an object has the same name twice"));
                    }
                    out.push((k, v));
                }
                Value::Map(out)
            }
            Node::And(a, b) => Value::Bool(self.both(a, b, false)?),
            Node::Or(a, b) => Value::Bool(self.both(a, b, true)?),
            Node::If(c, a, b) => match self.node(c)? {
                Value::Bool(true) => self.node(a)?,
                Value::Bool(false) => self.node(b)?,
                other => return Err(Fault::new(format!("the condition of `?:` is {}", other.kind()))),
            },
            Node::Call(func, args) => match args.as_slice() {
                [a] => func.call(&[self.node(a)?])?,
                [a, b] => match (func, self.node(a)?, self.node(b)?) {
                    (functions::Func::Add, Value::List(mut a), Value::List(b)) => {
                        a.extend(b);
                        Value::List(a)
                    }
                    (func, a, b) => func.call(&[a, b])?,
                },
                args => func.call(&args.iter().map(|n| self.node(n)).collect::<Result<Vec<_>, _>>()?)?,
            },
            Node::Regex(func, regex, args) => {
                let args = args.iter().map(|n| self.node(n)).collect::<Result<Vec<_>, _>>()?;
                func.call_regex(regex, &args)?
            }
            Node::Loop(l) => self.each(l)?,
            Node::Code(code) => (code.0)(scope.bytes())?,
        })
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
        let second = self.node(b).and_then(truth)?;
        if second == decides { Ok(second) } else { first.map(|_| second) }
    }

    fn each(&mut self, l: &'a Loop) -> Result<Value<'a>, Fault> {
        let range = self.node(&l.range)?;
        let (pairs, is_map): (Vec<(Value<'a>, Value<'a>)>, bool) = match functions::into_opened(range)? {
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
        for (k, v) in pairs {
            self.steps += 1;
            if self.steps > LOOP_STEPS {
                self.locals.truncate(accu);
                return Err(Fault::new(format!("its loops take more than {LOOP_STEPS} steps")));
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
                Some(Err(f)) if l.decides => fault = fault.or(Some(f)),
                Some(v) => {
                    let v = v.inspect_err(|_| self.locals.truncate(accu))?;
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

fn select<'a>(of: &Value<'a>, field: &str) -> Result<Option<Value<'a>>, Fault> {
    match functions::into_opened(of.clone())? {
        Value::Map(map) => Ok(find(&map, &Value::text(field))?.cloned()),
        Value::Optional(None) => Ok(None),
        Value::Optional(Some(v)) => select(&v, field),
        other => Err(Fault::new(format!("{} has no fields; `{field}` was asked for", other.kind()))),
    }
}

/// A literal of the tree, without a copy where it is text or a plain value.
fn borrow<'a>(v: &'a Value<'static>) -> Value<'a> {
    match v {
        Value::Text(t) => Value::text(t),
        other => other.clone(),
    }
}
