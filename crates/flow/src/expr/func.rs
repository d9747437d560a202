//! The functions and operators that expressions may call, by name: how many values each takes, and how it is written.

use super::value::Value;
use super::{Fault, aggregates};

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
    if !aggregates && aggregates::is_one(name) {
        return format!("`{name}` is an aggregate: it belongs into the `value` of a reduce");
    }
    let known = ALL.iter().map(|(_, text, ..)| *text).filter(|t| !t.starts_with(['_', '@', '-', '!']));
    let near = crate::names::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
    let of_all = aggregates.then(|| format!("; there are the aggregates {}", aggregates::all()));
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

    /// What is said where it cannot be computed with these values.
    pub fn mismatch(self, args: &[Value<'_>]) -> Fault {
        let kinds: Vec<&str> = args.iter().map(Value::kind).collect();
        Fault::new(format!("`{}` cannot be computed with {}", self.usage(), kinds.join(" and ")))
    }
}
