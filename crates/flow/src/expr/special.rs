//! What is compiled in its own way: operators and functions that do not compute all that they are given, and
//! times and types that are written in the expression.

use super::ParseFault;
use super::compile::{Compiler, Node, Outcome};
use super::func::Func;
use super::time::Time;
use super::times;
use super::value::Value;
use cel::common::ast::{CallExpr, Expr as Ast, IdedExpr};

impl Compiler<'_> {
    /// Operators and functions that do not compute all that they are given.
    pub(super) fn special(&mut self, id: u64, c: &CallExpr) -> Result<Option<Node>, ParseFault> {
        let boxed = |n: Node| Box::new(n);
        Ok(Some(match (c.func_name.as_str(), &c.target, c.args.as_slice()) {
            ("_&&_", None, [a, b]) => {
                let (a, b) = self.sides(a, b)?;
                Node::And(boxed(a), boxed(b))
            }
            ("_||_", None, [a, b]) => {
                let (a, b) = self.sides(a, b)?;
                Node::Or(boxed(a), boxed(b))
            }
            ("_[_]", None, [a, b]) => Node::Index(boxed(self.node(a)?), boxed(self.node(b)?)),
            ("_?._" | "_[?_]", None, [a, b]) => Node::OptSelect(boxed(self.node(a)?), boxed(self.node(b)?)),
            ("_?_:_", None, [c, a, b]) => Node::If(boxed(self.node(c)?), boxed(self.node(a)?), boxed(self.node(b)?)),
            (name @ ("orValue" | "or"), Some(of), [default]) => {
                Node::OrElse(boxed(self.node(of)?), boxed(self.node(default)?), name == "orValue")
            }
            (name @ ("optMap" | "optFlatMap"), Some(of), [var, body]) => {
                let Ast::Ident(var) = &var.expr else {
                    return Err(self.fault(id, format!("write  item.?x.{name}(x, x + 1)")));
                };
                let of = self.node(of)?;
                self.locals.push(var.clone());
                let body = self.node(body);
                self.locals.pop();
                Node::OptMap(boxed(of), boxed(body?), name == "optFlatMap")
            }
            _ => return Ok(None),
        }))
    }

    /// The sides of `&&` and `||`: one of them may name what is not there, for the other one may decide.
    fn sides(&mut self, a: &IdedExpr, b: &IdedExpr) -> Result<(Node, Node), ParseFault> {
        let of_loop = matches!(&a.expr, Ast::Ident(name) if name.starts_with('@'));
        let strict = of_loop || self.names.aggregates;
        let (first, second) = (self.side(a, strict)?, self.side(b, strict)?);
        Ok(match (first, second) {
            (Err(fault), Err(_)) => return Err(fault),
            (a, b) => (self.beside(a), self.beside(b)),
        })
    }

    fn side(&mut self, e: &IdedExpr, strict: bool) -> Result<Outcome, ParseFault> {
        self.absent = false;
        let made = self.node(e);
        if strict || !self.absent { made.map(Ok) } else { Ok(made) }
    }

    fn beside(&mut self, side: Outcome) -> Node {
        side.unwrap_or_else(|fault| {
            let node = Node::Absent(fault.text.as_str().into());
            let text = format!("{} (where the other side does not decide, the item fails)", fault.text);
            self.warnings.push(ParseFault { text, ..fault });
            node
        })
    }

    /// Times that are written in the expression are read now.
    pub(super) fn times(&self, id: u64, func: Func, args: &mut [Node]) -> Result<(), ParseFault> {
        let at = match func {
            Func::Timestamp | Func::Duration => 0,
            Func::Floor => 1,
            _ => return Ok(()),
        };
        let Some(node @ Node::Literal(Value::Text(_))) = args.get_mut(at) else { return Ok(()) };
        let Node::Literal(Value::Text(text)) = &*node else { return Ok(()) };
        let read = match func {
            Func::Timestamp => Time::read(text).map(Value::Timestamp),
            Func::Duration => times::duration(text).map(Value::Duration),
            _ => times::step(text).map(Value::Duration),
        };
        *node = Node::Literal(read.map_err(|f| self.fault(id, f.to_string()))?);
        Ok(())
    }
}
