//! From syntax tree to the small tree that is evaluated: names are resolved,
//! functions are found, the fields of the item that are read get slots.

use super::ParseFault;
use super::aggregates;
use super::func::{self, Func};
use super::parse::{Parsed, parse};
use super::types::{FieldType, protobuf_type};
use super::value::Value;
use super::{convert, number, regexes};
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr as Ast, IdedExpr, LiteralValue, SelectExpr, SourceInfo,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Which names an expression may use.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// `item`, `key`, `headers`, `timestamp`, `stream`, `partition`, `offset`.
    pub item: bool,
    /// The item is text or bytes, so it has no fields.
    pub plain_item: bool,
    /// Names beside it, by their place in `Scope::extra`: `result`, or `a` and `b`.
    pub extra: Vec<&'static str>,
    /// Aggregates (`count()`, `sum(x)`, …) may be called; their results come in `Scope::extra`.
    pub aggregates: bool,
    /// `shard` has a value.
    pub shard: bool,
    /// Names of `env`.
    pub env: Vec<String>,
    /// Types of fields, where `fields` tells them.
    pub types: BTreeMap<String, FieldType>,
}

/// The fields of the item that the expressions of one step read.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// Names of top-level fields; a slot each.
    pub fields: Vec<Box<str>>,
    /// The item is looked into (or wanted whole), so it must be valid.
    pub item: bool,
    /// The headers are looked at.
    pub headers: bool,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(super) node: Node,
    /// The aggregates it calls: name and compiled arguments.
    pub aggregates: Vec<(String, Vec<Compiled>)>,
    /// The text it came from.
    pub text: String,
    /// Whether it can only give true or false, as far as its form tells; `None` if it cannot be told.
    pub gives_bool: Option<bool>,
    /// What can never work, though it can be computed.
    pub warnings: Vec<ParseFault>,
}

/// What is evaluated.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Literal(Value<'static>),
    Item,
    Field(usize, Box<str>),
    Key,
    Headers,
    Timestamp,
    Stream,
    Partition,
    Offset,
    Shard,
    RunId,
    RunDate,
    RunStarted,
    Env(String),
    Extra(usize),
    Local(usize),
    /// What a loop has made so far.
    Accu(usize),
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    OptSelect(Box<Node>, Box<Node>),
    Index(Box<Node>, Box<Node>),
    /// Elements; the mark says that one may be absent.
    List(Vec<(Node, bool)>),
    /// Fields; the mark says that one may be absent.
    Map(Vec<(Node, Node, bool)>),
    /// `orValue` (it gives the value) and `or` (it gives the optional): the second is only computed where it is needed.
    OrElse(Box<Node>, Box<Node>, bool),
    /// `optMap` and `optFlatMap`, whose body gives an optional.
    OptMap(Box<Node>, Box<Node>, bool),
    /// Something that is not there, beside something that may decide.
    Absent(Box<str>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Call(Func, Vec<Node>),
    Regex(Func, regex::Regex, Vec<Node>),
    Loop(Box<Loop>),
    Code(RustFn),
}

/// A comprehension: what `all`, `exists`, `map` and `filter` become.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub range: Node,
    pub init: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
    pub two: bool,
    /// One element can decide, whatever became of the others.
    pub decides: bool,
}

/// A function of the user, from an item's bytes, or from the values that a fold brings together, to a value.
#[derive(Clone)]
pub struct RustFn(pub std::sync::Arc<Code>);

/// What such a function looks like.
pub type Code = dyn Fn(&[u8], &[Value<'_>]) -> Result<Value<'static>, super::Fault> + Send + Sync;

impl std::fmt::Debug for RustFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a Rust function")
    }
}

impl Compiled {
    /// A Rust function in the place of an expression.
    pub fn of_code(code: RustFn) -> Compiled {
        Compiled {
            node: Node::Code(code),
            aggregates: vec![],
            text: "a Rust function".into(),
            gives_bool: None,
            warnings: vec![],
        }
    }
}

/// Compiles a text that may use `names`; the fields that it reads are added to `reads`.
///
/// # Errors
///
/// The text is no expression, or names what is not there: what, and at which character.
pub fn compile(text: &str, names: &Names, reads: &mut Reads) -> Result<Compiled, ParseFault> {
    let Parsed { tree, source } = parse(text)?;
    let mut c = Compiler {
        names,
        reads,
        source: &source,
        locals: vec![],
        aggregates: vec![],
        in_aggregate: false,
        absent: false,
        warnings: vec![],
    };
    let node = c.node(&tree)?;
    let (aggregates, warnings) = (c.aggregates, c.warnings);
    let gives_bool = gives_bool(&node);
    Ok(Compiled { node, aggregates, text: text.to_string(), gives_bool, warnings })
}

pub(super) struct Compiler<'c> {
    pub(super) names: &'c Names,
    reads: &'c mut Reads,
    source: &'c SourceInfo,
    pub(super) locals: Vec<String>,
    aggregates: Vec<(String, Vec<Compiled>)>,
    in_aggregate: bool,
    /// The last fault is that something is not there.
    pub(super) absent: bool,
    pub(super) warnings: Vec<ParseFault>,
}

pub(super) type Outcome = Result<Node, ParseFault>;

impl Compiler<'_> {
    pub(super) fn fault(&self, id: u64, text: impl Into<String>) -> ParseFault {
        let at = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        ParseFault { text: text.into(), at }
    }

    pub(super) fn node(&mut self, e: &IdedExpr) -> Outcome {
        match &e.expr {
            Ast::Literal(l) => Ok(Self::literal(l)),
            Ast::Ident(name) => self.name(e.id, name),
            Ast::Select(s) => self.select(e.id, s),
            Ast::Call(c) => self.call(e.id, c),
            Ast::List(l) => {
                let nodes = self.nodes(&l.elements)?.into_iter().enumerate();
                Ok(Node::List(nodes.map(|(i, node)| (node, l.optional_indices.contains(&i))).collect()))
            }
            Ast::Map(m) => {
                let mut entries = vec![];
                for entry in &m.entries {
                    let EntryExpr::MapEntry(pair) = &entry.expr else {
                        return Err(self.fault(entry.id, "this form of an object is not supported"));
                    };
                    entries.push((self.node(&pair.key)?, self.node(&pair.value)?, pair.optional));
                }
                Ok(Node::Map(entries))
            }
            Ast::Comprehension(c) => self.comprehension(c),
            Ast::Struct(s) => Err(self.fault(
                e.id,
                format!("`{}{{…}}` makes a typed message; here an object is `{{'name': value}}`", s.type_name),
            )),
            Ast::Unspecified => Err(self.fault(e.id, "this form is not supported")),
        }
    }

    fn nodes(&mut self, list: &[IdedExpr]) -> Result<Vec<Node>, ParseFault> {
        list.iter().map(|e| self.node(e)).collect()
    }

    fn literal(l: &LiteralValue) -> Node {
        Node::Literal(match l {
            LiteralValue::Boolean(b) => Value::Bool(*b.inner()),
            LiteralValue::Int(i) => Value::Int(*i.inner()),
            LiteralValue::Double(d) => Value::Double(*d.inner()),
            LiteralValue::String(s) => Value::Text(Cow::Owned(s.inner().to_string())),
            LiteralValue::Bytes(b) => Value::Bytes(Cow::Owned(b.inner().to_vec())),
            LiteralValue::Null => Value::Null,
            LiteralValue::UInt(u) => number::unsigned(*u.inner()),
        })
    }

    fn name(&mut self, id: u64, name: &str) -> Outcome {
        if let Some(i) = self.locals.iter().rposition(|l| l == name) {
            return Ok(if name.starts_with('@') { Node::Accu(i) } else { Node::Local(i) });
        }
        if let Some(i) = self.names.extra.iter().position(|n| *n == name) {
            return Ok(Node::Extra(i));
        }
        let of_item = match name {
            "item" => Some(Node::Item),
            "key" => Some(Node::Key),
            "headers" => Some(Node::Headers),
            "timestamp" => Some(Node::Timestamp),
            "stream" => Some(Node::Stream),
            "partition" => Some(Node::Partition),
            "offset" => Some(Node::Offset),
            "shard" if self.names.shard => Some(Node::Shard),
            _ => None,
        };
        if of_item.is_none()
            && let Some(name) = convert::type_named(name)
        {
            return Ok(Node::Literal(Value::Type(name)));
        }
        match of_item {
            Some(_) if self.names.aggregates && !self.in_aggregate => Err(self
                .fault(id, format!("`{name}` has many values here: choose one, as in first({name}) or max({name})"))),
            Some(node) if self.names.item => {
                self.reads.item |= matches!(node, Node::Item);
                self.reads.headers |= matches!(node, Node::Headers);
                Ok(node)
            }
            _ => Err(self.unknown(id, name)),
        }
    }

    fn unknown(&mut self, id: u64, name: &str) -> ParseFault {
        self.absent = true;
        if name == "shard" {
            return self.fault(id, "`shard` has a value only where the step reads 'x-{shard}'");
        }
        let mut known: Vec<&str> = self.names.extra.clone();
        known.extend(["run", "env"]);
        if self.names.item {
            known.extend(["item", "key", "headers", "timestamp", "stream", "partition", "offset"]);
        }
        let near = crate::names::nearest(name, known.iter().copied());
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.names.item && !self.names.plain_item => {
                format!("a field is `item.{name}`, text is in quotes: '{name}'")
            }
            None => format!("known names: {}", known.join(", ")),
        };
        self.fault(id, format!("there is no name `{name}`; {hint}"))
    }

    fn select(&mut self, id: u64, s: &SelectExpr) -> Outcome {
        if let Some(name) = protobuf_type(s) {
            return Ok(Node::Literal(Value::Type(name)));
        }
        if let Ast::Ident(root) = &s.operand.expr
            && !self.locals.contains(root)
        {
            match root.as_str() {
                "run" => {
                    return match s.field.as_str() {
                        "id" => Ok(Node::RunId),
                        "date" => Ok(Node::RunDate),
                        "started" => Ok(Node::RunStarted),
                        "status" if let Some(i) = self.names.extra.iter().position(|n| *n == "run.status") => {
                            Ok(Node::Extra(i))
                        }
                        other => Err(self.fault(id, format!("the run has no `{other}`: it has id, date, started"))),
                    };
                }
                "env" => {
                    if self.names.env.contains(&s.field) {
                        return Ok(Node::Env(s.field.clone()));
                    }
                    return Err(self.fault(id, format!("`{}` is not listed under env", s.field)));
                }
                "item" if self.names.plain_item => {
                    return Err(self.fault(id, format!("`item` is text here and has no field `{}`", s.field)));
                }
                "item" if self.names.item && !s.test && (!self.names.aggregates || self.in_aggregate) => {
                    return Ok(self.field(&s.field));
                }
                _ => {}
            }
        }
        let of = Box::new(self.node(&s.operand)?);
        let field = s.field.as_str().into();
        Ok(if s.test { Node::Has(of, field) } else { Node::Select(of, field) })
    }

    fn field(&mut self, name: &str) -> Node {
        self.reads.item = true;
        let slot = self.reads.fields.iter().position(|f| **f == *name).unwrap_or_else(|| {
            self.reads.fields.push(name.into());
            self.reads.fields.len() - 1
        });
        Node::Field(slot, name.into())
    }

    fn call(&mut self, id: u64, c: &CallExpr) -> Outcome {
        if self.names.aggregates && c.target.is_none() && aggregates::is_one(&c.func_name) {
            return self.aggregate(id, c);
        }
        if let Some(node) = self.special(id, c)? {
            return Ok(node);
        }
        let aside = self.names.aggregates && !self.in_aggregate && c.target.is_none();
        if aside && !c.func_name.starts_with(['_', '@', '-', '!']) && Func::find(&c.func_name).is_none() {
            return Err(self.fault(id, func::unknown(&c.func_name, true)));
        }
        let mut args = vec![];
        let mut name = c.func_name.as_str();
        match &c.target {
            Some(target) if matches!(&target.expr, Ast::Ident(space) if func::is_space(space)) => {
                name = match (&target.expr, name) {
                    (Ast::Ident(space), f) => func::in_space(space, f).unwrap_or(f),
                    (_, f) => f,
                };
            }
            Some(target) => args.push(self.node(target)?),
            None => {}
        }
        args.extend(self.nodes(&c.args)?);
        let Some(func) = Func::find(name) else {
            self.absent = true;
            return Err(self.fault(id, func::unknown(name, self.names.aggregates)));
        };
        if !func.takes(args.len()) {
            return Err(
                self.fault(id, format!("`{name}` is called with {} values; write  {}", args.len(), func.usage()))
            );
        }
        self.compared(id, func, &args);
        if let Some(at) = func.regex_argument()
            && let Some(Node::Literal(Value::Text(pattern))) = args.get(at)
        {
            let regex = regexes::compile(pattern).map_err(|e| self.fault(id, e))?;
            args.remove(at);
            return Ok(Node::Regex(func, regex, args));
        }
        self.times(id, func, &mut args)?;
        Ok(Node::Call(func, args))
    }

    /// Warns where text is compared with a number: that fails, or is never true.
    fn compared(&mut self, id: u64, func: Func, args: &[Node]) {
        let ([Node::Field(_, name), Node::Literal(literal)] | [Node::Literal(literal), Node::Field(_, name)]) = args
        else {
            return;
        };
        let Some(of) = self.names.types.get(&**name) else { return };
        let number = matches!(literal, Value::Int(_) | Value::Double(_));
        let text = matches!(literal, Value::Text(_));
        let (is, with) = match of {
            FieldType::String if number => ("text", "a number"),
            FieldType::Int | FieldType::Double if text => ("a number", "text"),
            _ => return,
        };
        let then = match func {
            Func::Eq => "it is never equal",
            Func::Ne => "it is never equal",
            Func::Lt | Func::Le | Func::Gt | Func::Ge => "every item would become a dead letter",
            _ => return,
        };
        let fault =
            self.fault(id, format!("`item.{name}` is {is} (`fields` says so) and is compared with {with}: {then}"));
        self.warnings.push(fault);
    }

    fn aggregate(&mut self, id: u64, c: &CallExpr) -> Outcome {
        if self.in_aggregate {
            return Err(self.fault(id, format!("`{}` inside another aggregate has no meaning", c.func_name)));
        }
        aggregates::check(&c.func_name, c.args.len()).map_err(|e| self.fault(id, e))?;
        self.in_aggregate = true;
        let args = self.nodes(&c.args);
        self.in_aggregate = false;
        let args = args?.into_iter().map(|node| {
            let gives_bool = gives_bool(&node);
            Compiled { node, aggregates: vec![], text: String::new(), gives_bool, warnings: vec![] }
        });
        self.aggregates.push((c.func_name.clone(), args.collect()));
        Ok(Node::Extra(self.aggregates.len() - 1))
    }

    fn comprehension(&mut self, c: &ComprehensionExpr) -> Outcome {
        let range = self.node(&c.iter_range)?;
        let init = self.node(&c.accu_init)?;
        self.locals.push(c.accu_var.clone());
        self.locals.push(c.iter_var.clone());
        self.locals.extend(c.iter_var2.clone());
        let condition = self.node(&c.loop_cond);
        let step = self.node(&c.loop_step);
        self.locals.truncate(self.locals.len() - 1 - usize::from(c.iter_var2.is_some()));
        let result = self.node(&c.result);
        self.locals.pop();
        let (condition, step, result) = (condition?, step?, result?);
        let decides = matches!(step, Node::And(..) | Node::Or(..));
        Ok(Node::Loop(Box::new(Loop { range, init, condition, step, result, two: c.iter_var2.is_some(), decides })))
    }
}

/// Whether a node can only give true or false; `None` if its form does not tell.
fn gives_bool(node: &Node) -> Option<bool> {
    match node {
        Node::Literal(v) => Some(matches!(v, Value::Bool(_))),
        Node::And(..) | Node::Or(..) | Node::Has(..) => Some(true),
        Node::Call(f, _) | Node::Regex(f, ..) => f.gives_bool(),
        Node::If(_, a, b) => (gives_bool(a) == gives_bool(b)).then(|| gives_bool(a)).flatten(),
        Node::List(_) | Node::Map(_) | Node::Timestamp | Node::Partition | Node::Offset | Node::Headers => Some(false),
        _ => None,
    }
}
