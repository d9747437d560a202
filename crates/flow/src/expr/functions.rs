//! What the functions and operators of expressions do.

use super::compare::find;
use super::func::Func;
use super::growing::fits;
use super::number::TWO_63;
use super::size::Size;
use super::value::Value;
use super::{Fault, convert, regexes, strings, times, write};
use std::cmp::Ordering;

impl Func {
    /// Calls it.
    pub fn call<'a>(self, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
        use Func::*;
        let keeps = matches!(self, Eq | Ne | Lt | Le | Gt | Ge | In | Dyn | Text | Uint | Type | Value | OptionalOf);
        if !keeps && args.iter().any(is_kept) {
            let args = args.iter().map(|v| v.clone().plain()).collect::<Result<Vec<_>, _>>()?;
            return self.call_plain(&args);
        }
        self.call_plain(args)
    }

    fn call_plain<'a>(self, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
        use Func::*;
        if let Some(at) = self.regex_argument()
            && let Some(super::Value::Text(pattern)) = args.get(at)
        {
            let regex = regexes::compile(pattern).map_err(Fault::new)?;
            let rest: Vec<_> = args.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, v)| v.clone()).collect();
            return self.call_regex(&regex, &rest);
        }
        match (self, args) {
            (Eq, [a, b]) => a.same(b).map(super::Value::Bool),
            (Ne, [a, b]) => a.same(b).map(|s| super::Value::Bool(!s)),
            (Lt, [a, b]) => self.order(a, b, Ordering::is_lt),
            (Le, [a, b]) => self.order(a, b, Ordering::is_le),
            (Gt, [a, b]) => self.order(a, b, Ordering::is_gt),
            (Ge, [a, b]) => self.order(a, b, Ordering::is_ge),
            (Add | Sub | Mul | Div | Rem, [a, b]) => self.arithmetic(a, b),
            (Neg, [super::Value::Int(i)]) => i.checked_neg().map(super::Value::Int).ok_or_else(Fault::overflow),
            (Neg, [super::Value::Double(d)]) => Ok(super::Value::Double(-d)),
            (Not, [super::Value::Bool(b)]) => Ok(super::Value::Bool(!b)),
            (NotStrictlyFalse, [v]) => Ok(super::Value::Bool(!matches!(v, super::Value::Bool(false)))),
            (In, [a, b]) => contains(a, b),
            (Size, [v]) => size(v),
            (Int | Uint | Double | Text | Bool | Bytes, [v]) => convert::to(self, v),
            (Type, [v]) => Ok(super::Value::Type(convert::type_of(v))),
            (Dyn, [v]) => Ok(v.clone()),
            (HasValue | Value | OptionalOf | OptionalNone | OptionalOfNonZero, _) => convert::optional(self, args),
            _ => match strings::call(self, args).or_else(|| times::call(self, args)) {
                Some(outcome) => outcome,
                None => Err(self.mismatch(args)),
            },
        }
    }

    /// Calls it with a pattern that was compiled with the flow; `args` are the others.
    pub fn call_regex<'a>(self, regex: &regex::Regex, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
        if args.iter().any(is_kept) {
            let args = args.iter().map(|v| v.clone().plain()).collect::<Result<Vec<_>, _>>()?;
            return self.call_regex(regex, &args);
        }
        regexes::call(self, regex, args).unwrap_or_else(|| Err(self.mismatch(args)))
    }

    fn order<'a>(self, a: &Value<'a>, b: &Value<'a>, holds: fn(Ordering) -> bool) -> Result<Value<'a>, Fault> {
        let order = a.order(b).ok_or_else(|| self.mismatch(&[a.clone(), b.clone()]))?;
        Ok(super::Value::Bool(holds(order)))
    }

    fn arithmetic<'a>(self, a: &Value<'a>, b: &Value<'a>) -> Result<Value<'a>, Fault> {
        use super::Value as V;
        match (a, b) {
            (V::Int(a), V::Int(b)) => self.whole(*a, *b).map(V::Int),
            (V::Int(_) | V::Double(_), V::Int(_) | V::Double(_)) if self != Func::Rem => {
                let number = |v: &V<'_>| {
                    if let V::Double(d) = v {
                        *d
                    } else if let V::Int(i) = v {
                        *i as f64
                    } else {
                        0.0
                    }
                };
                let (a, b) = (number(a), number(b));
                let d = match self {
                    Func::Add => a + b,
                    Func::Sub => a - b,
                    Func::Mul => a * b,
                    _ if b == 0.0 => return Err(Fault::new("division by zero")),
                    _ => a / b,
                };
                if d.is_finite() { Ok(V::Double(d)) } else { Err(Fault::overflow()) }
            }
            (V::Text(a), V::Text(b)) if self == Func::Add => {
                fits(a.len().saturating_add(b.len()))?;
                Ok(V::Text(format!("{a}{b}").into()))
            }
            (V::Bytes(a), V::Bytes(b)) if self == Func::Add => {
                fits(a.len().saturating_add(b.len()))?;
                Ok(V::Bytes([a.as_ref(), b.as_ref()].concat().into()))
            }
            (V::List(_) | V::Json(_), V::List(_) | V::Json(_)) if self == Func::Add => {
                match (a.clone().into_opened()?, b.clone().into_opened()?) {
                    (V::List(a), V::List(b)) => concatenated(a, b),
                    (a, b) => Err(self.mismatch(&[a, b])),
                }
            }
            _ => times::arithmetic(self, a, b).unwrap_or_else(|| Err(self.mismatch(&[a.clone(), b.clone()]))),
        }
    }

    fn whole(self, a: i64, b: i64) -> Result<i64, Fault> {
        if b == 0 && matches!(self, Func::Div | Func::Rem) {
            return Err(Fault::new("division by zero"));
        }
        let out = match self {
            Func::Add => a.checked_add(b),
            Func::Sub => a.checked_sub(b),
            Func::Mul => a.checked_mul(b),
            Func::Div => a.checked_div(b),
            _ => a.checked_rem(b),
        };
        out.ok_or_else(Fault::overflow)
    }
}

/// Whether a value is a number or text that kept its JSON.
fn is_kept(v: &Value<'_>) -> bool {
    matches!(v, Value::Json(raw) if !raw.starts_with(['[', '{']))
}

/// Two lists as one.
pub fn concatenated<'a>(mut a: Vec<Value<'a>>, b: Vec<Value<'a>>) -> Result<Value<'a>, Fault> {
    let mut size = Size::default();
    a.iter().chain(&b).try_for_each(|v| size.add(v))?;
    a.extend(b);
    Ok(Value::List(a))
}

/// What is said where `of[at]` is not there.
pub fn no_element(of: &Value<'_>, at: &Value<'_>) -> Fault {
    match (of.kind(), size(of)) {
        ("a list", Ok(Value::Int(n))) => Fault::new(format!("a list of {n} has no such element")),
        ("an object", _) => Fault::new(format!("an object without a field {}", write::text(at).unwrap_or_default())),
        (kind, _) => Fault::new(format!("{kind} has no elements")),
    }
}

/// The element or field, if it is there. What is neither list nor object has none.
pub fn look_up<'a>(of: &Value<'a>, at: &Value<'_>) -> Result<Option<Value<'a>>, Fault> {
    Ok(match of.clone().into_opened()? {
        Value::Map(map) => find(&map, at)?.cloned(),
        Value::List(list) => {
            let i = match at.clone().plain()? {
                Value::Int(i) => usize::try_from(i).ok(),
                Value::Double(d) if d.fract() == 0.0 => (0.0..TWO_63).contains(&d).then_some(d as usize),
                _ => return Err(Fault::new(format!("a list is asked for element {}", at.kind()))),
            };
            i.and_then(|i| list.into_iter().nth(i))
        }
        _ => None,
    })
}

fn contains<'a>(a: &Value<'a>, b: &Value<'a>) -> Result<Value<'a>, Fault> {
    match b.clone().into_opened()? {
        Value::List(list) => {
            for v in &list {
                if v.same(a)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        Value::Map(map) => Ok(Value::Bool(find(&map, a)?.is_some())),
        other => Err(Fault::new(format!("`in` needs a list or an object, not {}", other.kind()))),
    }
}

fn size<'a>(v: &Value<'a>) -> Result<Value<'a>, Fault> {
    let n = match v.clone().into_opened()? {
        Value::Text(t) => t.chars().count(),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.len(),
        Value::Map(m) => m.len(),
        other => return Err(Fault::new(format!("{} has no size", other.kind()))),
    };
    Ok(Value::Int(n as i64))
}
