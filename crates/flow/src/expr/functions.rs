//! The functions and operators that expressions may call.

use super::compare::find;
use super::number::TWO_63;
use super::size::{self, Size};
use super::value::Value;
use super::{Fault, convert, regexes, strings, times, write};
use std::cmp::Ordering;

macro_rules! functions {
    ($($name:ident $text:literal $args:literal..=$most:literal $usage:literal;)*) => {
        /// One function or operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Func { $($name),* }

        const ALL: &[(Func, &str, std::ops::RangeInclusive<usize>, &str)] = &[$((Func::$name, $text, $args..=$most, $usage)),*];
    };
}

functions! {
    Eq "_==_" 2..=2 "a == b"; Ne "_!=_" 2..=2 "a != b"; Lt "_<_" 2..=2 "a < b"; Le "_<=_" 2..=2 "a <= b";
    Gt "_>_" 2..=2 "a > b"; Ge "_>=_" 2..=2 "a >= b"; Add "_+_" 2..=2 "a + b"; Sub "_-_" 2..=2 "a - b";
    Mul "_*_" 2..=2 "a * b"; Div "_/_" 2..=2 "a / b"; Rem "_%_" 2..=2 "a % b"; Neg "-_" 1..=1 "-a"; Not "!_" 1..=1 "!a";
    In "@in" 2..=2 "a in b"; NotStrictlyFalse "@not_strictly_false" 1..=1 "";
    Size "size" 1..=1 "size(x)"; Type "type" 1..=1 "type(x)"; Uint "uint" 1..=1 "uint(x)"; Int "int" 1..=1 "int(x)"; Double "double" 1..=1 "double(x)"; Text "string" 1..=1 "string(x)";
    Bool "bool" 1..=1 "bool(x)"; Bytes "bytes" 1..=1 "bytes(text)"; Dyn "dyn" 1..=1 "dyn(x)";
    OptionalOf "optional.of" 1..=1 "optional.of(x)"; OptionalNone "optional.none" 0..=0 "optional.none()";
    OptionalOfNonZero "optional.ofNonZeroValue" 1..=1 "optional.ofNonZeroValue(x)"; HasValue "hasValue" 1..=1 "item.?x.hasValue()"; Value "value" 1..=1 "item.?x.value()";
    Contains "contains" 2..=2 "text.contains(part)"; StartsWith "startsWith" 2..=2 "text.startsWith(part)";
    EndsWith "endsWith" 2..=2 "text.endsWith(part)"; Matches "matches" 2..=2 "text.matches(regex)";
    LowerAscii "lowerAscii" 1..=1 "text.lowerAscii()"; UpperAscii "upperAscii" 1..=1 "text.upperAscii()";
    Trim "trim" 1..=1 "text.trim()"; Split "split" 2..=3 "text.split(separator)"; Join "join" 1..=2 "list.join(separator)";
    Replace "replace" 3..=4 "text.replace(old, new)"; Substring "substring" 2..=3 "text.substring(from, to)";
    IndexOf "indexOf" 2..=3 "text.indexOf(part)"; LastIndexOf "lastIndexOf" 2..=3 "text.lastIndexOf(part)";
    Quote "strings.quote" 1..=1 "strings.quote(text)"; CharAt "charAt" 2..=2 "text.charAt(i)"; Reverse "reverse" 1..=1 "text.reverse()";
    ExtractAll "regex.extractAll" 2..=2 "regex.extractAll(text, regex)"; Extract "regex.extract" 2..=2 "regex.extract(text, regex)";
    RegexReplace "regex.replace" 3..=4 "regex.replace(text, regex, with)"; Capture "capture" 2..=2 "capture(text, regex)";
    Timestamp "timestamp" 1..=1 "timestamp(text)"; Duration "duration" 1..=1 "duration('1h')";
    Floor "floor" 2..=2 "floor(timestamp, '1h')"; Format "format" 2..=2 "format(timestamp, '%F') or '%s is %d'.format([a, b])";
    FullYear "getFullYear" 1..=2 "t.getFullYear()"; Month "getMonth" 1..=2 "t.getMonth()"; Date "getDate" 1..=2 "t.getDate()";
    DayOfMonth "getDayOfMonth" 1..=2 "t.getDayOfMonth()"; DayOfWeek "getDayOfWeek" 1..=2 "t.getDayOfWeek()";
    DayOfYear "getDayOfYear" 1..=2 "t.getDayOfYear()"; Hours "getHours" 1..=2 "t.getHours()"; Minutes "getMinutes" 1..=2 "t.getMinutes()";
    Seconds "getSeconds" 1..=2 "t.getSeconds()"; Milliseconds "getMilliseconds" 1..=2 "t.getMilliseconds()";
}

/// Whether a name before a dot is a family of functions, not a value.
pub fn is_space(name: &str) -> bool {
    matches!(name, "regex" | "optional" | "math" | "strings" | "cel")
}

/// The function of a family.
pub fn in_space(space: &str, name: &str) -> Option<&'static str> {
    ALL.iter()
        .map(|(_, text, ..)| *text)
        .find(|text| text.split_once('.').is_some_and(|(s, n)| s == space && n == name))
}

/// What to say of a function that is not there.
pub fn unknown(name: &str, aggregates: bool) -> String {
    if !aggregates && crate::patterns::aggregate::is_one(name) {
        return format!("`{name}` is an aggregate: it belongs into the `value` of a reduce");
    }
    let known = ALL.iter().map(|(_, text, ..)| *text).filter(|t| !t.starts_with(['_', '@', '-', '!']));
    let near = crate::names::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
    let of_all = aggregates.then(|| format!("; there are the aggregates {}", crate::patterns::aggregate::all()));
    format!("there is no function `{name}`{}", near.or(of_all).unwrap_or_default())
}

impl Func {
    /// The function of that name.
    pub fn find(name: &str) -> Option<Func> {
        ALL.iter().find(|(_, text, ..)| *text == name).map(|(f, ..)| *f)
    }

    fn row(self) -> &'static (Func, &'static str, std::ops::RangeInclusive<usize>, &'static str) {
        let i = self as usize;
        ALL.get(i).unwrap_or(&ALL[0])
    }

    /// Whether it can be called with that many values.
    pub fn takes(self, n: usize) -> bool {
        self.row().2.contains(&n)
    }

    /// How it is written.
    pub fn usage(self) -> &'static str {
        self.row().3
    }

    /// Which argument is a regular expression.
    pub fn regex_argument(self) -> Option<usize> {
        matches!(self, Func::Matches | Func::ExtractAll | Func::Extract | Func::RegexReplace | Func::Capture)
            .then_some(1)
    }

    /// Whether it gives true or false; `None` if that depends on its values.
    pub fn gives_bool(self) -> Option<bool> {
        use Func::*;
        match self {
            Eq | Ne | Lt | Le | Gt | Ge | Not | In | NotStrictlyFalse | Bool | HasValue | Contains | StartsWith
            | EndsWith | Matches => Some(true),
            Dyn | Value => None,
            _ => Some(false),
        }
    }

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
            (Neg, [super::Value::Int(i)]) => i.checked_neg().map(super::Value::Int).ok_or_else(overflow),
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

    pub(super) fn mismatch(self, args: &[Value<'_>]) -> Fault {
        let kinds: Vec<&str> = args.iter().map(Value::kind).collect();
        Fault::new(format!("`{}` cannot be computed with {}", self.usage(), kinds.join(" and ")))
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
                if d.is_finite() { Ok(V::Double(d)) } else { Err(overflow()) }
            }
            (V::Text(a), V::Text(b)) if self == Func::Add => {
                size::fits(a.len().saturating_add(b.len()))?;
                Ok(V::Text(format!("{a}{b}").into()))
            }
            (V::Bytes(a), V::Bytes(b)) if self == Func::Add => {
                size::fits(a.len().saturating_add(b.len()))?;
                Ok(V::Bytes([a.as_ref(), b.as_ref()].concat().into()))
            }
            (V::List(_) | V::Json(_), V::List(_) | V::Json(_)) if self == Func::Add => {
                match (into_opened(a.clone())?, into_opened(b.clone())?) {
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
        out.ok_or_else(overflow)
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

pub(super) fn overflow() -> Fault {
    Fault::new("a number is out of range")
}

/// An object or list that can be looked into; JSON text is read one level.
pub fn into_opened(v: Value<'_>) -> Result<Value<'_>, Fault> {
    match v {
        Value::Json(std::borrow::Cow::Borrowed(raw)) => super::value::open_json(raw),
        Value::Json(_) => Ok(v.open()?.into_owned().into_owned()),
        v => Ok(v),
    }
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
    Ok(match into_opened(of.clone())? {
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
    match into_opened(b.clone())? {
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
    let n = match into_opened(v.clone())? {
        Value::Text(t) => t.chars().count(),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.len(),
        Value::Map(m) => m.len(),
        other => return Err(Fault::new(format!("{} has no size", other.kind()))),
    };
    Ok(Value::Int(n as i64))
}
