//! Expressions: CEL text, parsed once, compiled to a small tree over the fields
//! it needs, evaluated over lazily read items.
//!
//! The parser is the crate `cel`; the evaluator is ours, because it reads only
//! the fields that an expression names. The language is
//! <https://github.com/google/cel-spec>, with one deviation: `int` with `double`
//! gives `double`, since JSON has one kind of number.

mod compile;
mod eval;
mod functions;
pub mod json;
mod parse;
mod scope;
mod strings;
mod times;
mod value;
pub mod write;

pub use compile::{Compiled, Names, Reads, RustFn, compile};
pub use functions::into_opened as opened;
pub use parse::{ParseFault, parse};
pub use scope::{Content, Env, Place, RunVars, Scope};
pub use value::{Value, find};

use std::fmt;

/// Why an expression could not be computed for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(Box<str>);

impl Fault {
    /// A fault that says `text`.
    pub fn new(text: impl Into<Box<str>>) -> Fault {
        Fault(text.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};

    /// What an expression gives for an item, as JSON; `None` = the item has failed.
    fn value(expression: &str, item: &str) -> Option<String> {
        let expression = serde_json::to_string(expression).expect("text");
        let step = trial::step(&format!("{{ work: all, value: {expression}, to: a }}"));
        let mut made = trial::apply(&step, &[item.to_string()], &mut Scratch::default());
        made.out.remove(&(0, None)).and_then(|mut values| values.pop())
    }

    /// As the specification of CEL and its extensions have it.
    #[test]
    fn expressions_give_what_cel_says() {
        let item = r#"{"n":7,"x":{"y":5},"list":[{"a":1},{"b":2}],"nested":[[1,2],[3]],"t":"5 USD","at":1700000000}"#;
        let table = [
            // errors of other elements do not matter once one has decided
            ("item.list.exists(e, e.b == 2)", Some("true")),
            ("item.list.exists(e, e.b == 3)", None),
            ("item.list.all(e, e.a == 2)", Some("false")),
            ("item.list.all(e, e.a == 1)", None),
            ("item.list.exists_one(e, e.a == 1)", None),
            ("item.list.exists(e, has(e.b))", Some("true")),
            ("item.list.map(e, e.a)", None),
            ("item.nested.map(l, l.map(n, n * 2))", Some("[[2,4],[6]]")),
            ("item.nested.map(l, l.filter(n, n > 1))", Some("[[2],[3]]")),
            ("{1: 'a', 2: 'b'}.map(k, k)", Some("[1,2]")),
            ("{'k': 'a'}.all(k, k == 'k')", Some("true")),
            // what follows an optional is optional too
            ("item.?x.y.orValue(0)", Some("5")),
            ("item.?z.y.orValue(0)", Some("0")),
            ("item.?x.z.orValue(0)", Some("0")),
            ("item.?list[1].b.orValue(0)", Some("2")),
            ("item.?n.orValue(0)", Some("7")),
            ("item.z", None),
            ("has(item.z) && item.z > 1", Some("false")),
            ("item.z > 1 || true", Some("true")),
            // numbers
            ("7 / 2", Some("3")),
            ("-7 % 3", Some("-1")),
            ("7 / 0", None),
            ("9223372036854775807 + 1", None),
            ("1 == 1.0", Some("true")),
            ("string(1.0)", Some("\"1\"")),
            ("string(1.5)", Some("\"1.5\"")),
            ("int(9.22e18)", Some("9220000000000000000")),
            ("int(9.3e18)", None),
            ("int(-2.9)", Some("-2")),
            // text
            ("'hello'.charAt(5)", Some("\"\"")),
            ("'hello'.charAt(6)", None),
            ("'a,b,c'.split(',', 0)", Some("[]")),
            ("'a,b,c'.split(',', 2)", Some("[\"a\",\"b,c\"]")),
            ("'äöü'.substring(1, 2)", Some("\"ö\"")),
            ("regex.replace(item.t, '([0-9]) (USD)', r'\\2_\\1$')", Some("\"USD_5$\"")),
            ("regex.extractAll('a1b2', '[a-z]([0-9])')", Some("[\"1\",\"2\"]")),
            ("regex.extractAll('a1b2', '([a-z])([0-9])')", None),
            ("'ab'.matches('^a')", Some("true")),
            // time
            ("timestamp(item.at).getHours()", Some("22")),
            ("timestamp(item.at).getHours('+02:00')", Some("0")),
            ("timestamp(item.at).getHours('-05:30')", Some("16")),
            ("timestamp(item.at).getHours('Europe/Stockholm')", Some("23")),
            ("timestamp(item.at).getHours('Nowhere')", None),
        ];
        for (expression, want) in table {
            assert_eq!(value(expression, item).as_deref(), want, "{expression}");
        }
    }

    #[test]
    fn loops_are_linear_and_end() {
        let list = (0..200_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let item = format!("{{\"list\":[{list}]}}");
        assert_eq!(value("item.list.map(n, n + 1).filter(n, n % 2 == 0).size()", &item).as_deref(), Some("100000"));
        let ten = r#"{"l":[1,2,3,4,5,6,7,8,9,10]}"#;
        let nested = (0..7).fold("1".to_string(), |inner, i| format!("item.l.map(v{i}, {inner})"));
        assert_eq!(value(&nested, ten), None, "ten million steps are not walked");
    }

    #[test]
    fn equal_values_are_equal_keys() {
        let step = trial::step("{ reduce: all, by: item.k, value: { n: count() }, to: a }");
        let lines = [
            r#"{"k":{"a":1,"b":[1,2]}}"#,
            r#"{"k":{ "b": [1, 2.0], "a": 1.0 }}"#,
            r#"{"k":1}"#,
            r#"{"k":1.0}"#,
            r#"{"k":["x"]}"#,
            "{\"k\":[\"\\u0078\"]}",
            r#"{"k":1.5}"#,
        ];
        let got = trial::finals(&step, &[lines.map(String::from).to_vec()], 10);
        let want =
            [r#"{"k":1,"n":2}"#, r#"{"k":1.5,"n":1}"#, r#"{"k":["x"],"n":2}"#, r#"{"k":{"a":1,"b":[1,2]},"n":2}"#];
        let sorted = |l: Vec<String>| l.into_iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(got), sorted(want.map(String::from).to_vec()));
    }
}
