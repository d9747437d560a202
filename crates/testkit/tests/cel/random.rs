//! Random expressions over random items, typed so that most of them have a value.

use anabranch_testkit::rng::Rng;
use serde_json::{Value, json};

/// What an expression gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int,
    Double,
    Bool,
    Text,
    Bytes,
    Ints,
    Texts,
    Map,
    Time,
    Span,
    Maybe,
    Any,
}

const TYPES: [Type; 12] = [
    Type::Int,
    Type::Double,
    Type::Bool,
    Type::Text,
    Type::Bytes,
    Type::Ints,
    Type::Texts,
    Type::Map,
    Type::Time,
    Type::Span,
    Type::Maybe,
    Type::Any,
];

/// Forms of each type, with holes for expressions: `I` whole, `D` double, `B` truth, `T` text, `Y` bytes, `L` whole
/// numbers, `S` texts, `M` object, `W` when, `P` span, `O` optional, `A` anything, `N` a small number, `R` a pattern; `#`
/// is the name of a loop.
#[rustfmt::skip]
const FORMS: [(Type, &[&str]); 12] = [
    (Type::Int, &[
        "(I + I)", "(I - I)", "(I * I)", "(I / I)", "(I % I)", "(-I)", "size(T)", "size(L)", "size(M)", "size(S)",
        "size(Y)", "int(D)", "int(T)", "int(W)", "L[N]", "O.orValue(I)", "T.indexOf(T)", "T.lastIndexOf(T)",
        "T.indexOf(T, N)", "T.lastIndexOf(T, N)", "W.getFullYear()", "W.getMonth()", "W.getDayOfYear()",
        "W.getDayOfWeek()", "W.getDate()", "W.getDayOfMonth()", "W.getHours()", "W.getMinutes()", "W.getSeconds()",
        "W.getMilliseconds()", "W.getHours('+05:30')", "W.getDate('Europe/Stockholm')", "P.getHours()",
        "P.getMinutes()", "P.getSeconds()", "timestamp('2024-02-29T12:30:45.123456789+02:00').getHours()",
        "size(A)", "dyn(A).k", "dyn(A)[N]", "M.a", "item.o.x.y", "uint(N)", "size(M.map(#, #))", "int(I)",
    ]),
    (Type::Double, &[
        "(D + D)", "(D - D)", "(D * D)", "(D / D)", "(-D)", "double(I)", "double(T)", "double(D)",
    ]),
    (Type::Bool, &[
        "(B && B)", "(B || B)", "!B", "(I < I)", "(I <= I)", "(D > D)", "(D >= D)", "(T < T)", "(Y <= Y)",
        "(W < W)", "(P >= P)", "(I == I)", "(A == A)", "(A != A)", "(T == T)", "(L == L)", "(M == M)", "(N in L)",
        "(I in L)", "(T in S)", "(T in M)", "has(item.o.x)", "has(item.z)", "has(M.a)", "T.contains(T)",
        "T.startsWith(T)", "T.endsWith(T)", "T.matches(R)", "L.all(#, B)", "L.exists(#, B)", "L.exists_one(#, B)",
        "S.all(#, B)", "S.exists(#, B)", "M.exists(#, B)", "O.hasValue()", "bool(T)", "bool(B)",
        "(type(A) == type(A))", "(I == D)", "(nothing || B)", "(B && nothing)", "(O == O)", "(type(A) == int)",
        "(A < A)", "(timestamp('2024-02-29T12:30:45.125+02:00') < W)", "(A in [A, A])", "has(item.any.k)",
        "has(item.l.k)", "item.any.?k.hasValue()",
    ]),
    (Type::Text, &[
        "(T + T)", "T.lowerAscii()", "T.upperAscii()", "T.trim()", "T.reverse()", "T.replace(T, T)",
        "T.replace(T, T, N)", "T.substring(N)", "T.substring(N, N)", "T.charAt(N)", "S.join(T)", "S.join()",
        "string(I)", "string(D)", "string(B)", "string(W)", "string(P)", "string(Y)", "S[N]", "strings.quote(T)",
        "regex.replace(T, R, T)", "regex.replace(T, R, T, N)", "regex.replace(T, R, r'<\\1>')",
        "regex.extract(T, R).orValue(T)", "'%s|%d'.format([A, I])", "'%s'.format([T])", "'%.2f %e'.format([D, D])",
        "'%x %X %b %o'.format([I, T, B, I])", "'%s %s'.format([T])", "'%d'.format([D])", "string(T)", "T.format([T])",
    ]),
    (Type::Bytes, &[
        "bytes(T)", "(Y + Y)", "bytes(Y)",
    ]),
    (Type::Ints, &[
        "[I, I]", "(L + L)", "L.map(#, I)", "L.filter(#, B)", "L.map(#, B, I)", "[?O, I]", "S.map(#, I)", "[I]",
    ]),
    (Type::Texts, &[
        "[T, T]", "(S + S)", "T.split(T)", "T.split(T, N)", "S.map(#, T)", "S.filter(#, B)",
        "regex.extractAll(T, R)", "L.map(#, T)",
    ]),
    (Type::Map, &[
        "{'a': I, 'b': T}", "{T: A}", "{'a': I, ?'c': O}", "{'b': L, 'a': I}", "item.m", "{T: I, T: I}",
        "{'x': M}.x",
    ]),
    (Type::Time, &[
        "(W + P)", "(W - P)", "timestamp(I)", "timestamp(string(W))", "(P + W)", "timestamp(T)",
    ]),
    (Type::Span, &[
        "(P + P)", "(P - P)", "(W - W)", "duration(string(P))", "duration(T)",
    ]),
    (Type::Maybe, &[
        "item.?i", "item.?z", "item.?o.x.y", "item.?o.?z", "optional.of(I)", "optional.none()",
        "optional.ofNonZeroValue(I)", "O.or(O)", "O.optMap(#, I)", "O.optFlatMap(#, O)", "L[?N]", "M[?'a']",
        "M[?'q']",
    ]),
    (Type::Any, &[
        "item.any", "I", "D", "T", "B", "null", "L", "S", "M", "Y", "[A, A]", "dyn(A)", "W", "P", "dyn(A)[N]",
        "dyn(A).k", "dyn(A).?k", "[A, A][N]",
    ]),
];

/// Makes expressions.
pub struct Random<'r> {
    pub rng: &'r mut Rng,
    /// Names of loops around, with their types.
    locals: Vec<(String, Type)>,
}

impl<'r> Random<'r> {
    /// Expressions drawn from this source.
    pub fn new(rng: &'r mut Rng) -> Random<'r> {
        Random { rng, locals: vec![] }
    }

    fn one<'x>(&mut self, of: &[&'x str]) -> &'x str {
        of[self.rng.below(of.len() as u64) as usize]
    }

    /// An expression of any type.
    pub fn any(&mut self, depth: u32) -> String {
        let of = TYPES[self.rng.below(TYPES.len() as u64) as usize];
        self.of(of, depth)
    }

    /// An expression of a type.
    pub fn of(&mut self, of: Type, depth: u32) -> String {
        if depth == 0 || self.rng.eighths(1) {
            return self.leaf(of);
        }
        let d = depth - 1;
        if self.rng.eighths(1) {
            return format!("({} ? {} : {})", self.of(Type::Bool, d), self.of(of, d), self.of(of, d));
        }
        let form = self.form(of);
        self.fill(form, d)
    }

    /// A form of a type.
    fn form(&mut self, of: Type) -> &'static str {
        FORMS.iter().find(|(t, _)| *t == of).map_or("null", |(_, forms)| self.one(forms))
    }

    fn fill(&mut self, form: &str, d: u32) -> String {
        let mut out = String::new();
        let mut quoted = false;
        let loop_of = [("L.", Type::Int), ("S.", Type::Text), ("M.", Type::Text), ("O.", Type::Int)];
        let element = loop_of.iter().find(|(start, _)| form.starts_with(start)).map_or(Type::Int, |(_, of)| *of);
        let name = form.contains('#').then(|| format!("v{}", self.locals.len()));
        let mut bound = false;
        let chars: Vec<char> = form.chars().collect();
        for (i, c) in chars.iter().enumerate() {
            let alone = |c: Option<&char>| c.is_none_or(|c| !c.is_alphanumeric() && *c != '.' && *c != '_');
            let hole = !quoted
                && alone(i.checked_sub(1).and_then(|i| chars.get(i)).filter(|c| **c != '?'))
                && chars.get(i + 1).is_none_or(|c| !c.is_alphanumeric() && *c != '_');
            let of = match c {
                '\'' => {
                    quoted = !quoted;
                    None
                }
                '#' => {
                    let name = name.clone().unwrap_or_default();
                    out.push_str(&name);
                    if !bound {
                        self.locals.push((name, element));
                        bound = true;
                    }
                    continue;
                }
                'N' if hole => {
                    let n = self.one(&["0", "1", "2", "3", "5", "-1", "9"]);
                    out.push_str(n);
                    continue;
                }
                'R' if hole => {
                    let r = self.pattern();
                    out.push_str(&r);
                    continue;
                }
                'I' => Some(Type::Int),
                'D' => Some(Type::Double),
                'B' => Some(Type::Bool),
                'T' => Some(Type::Text),
                'Y' => Some(Type::Bytes),
                'L' => Some(Type::Ints),
                'S' => Some(Type::Texts),
                'M' => Some(Type::Map),
                'W' => Some(Type::Time),
                'P' => Some(Type::Span),
                'O' => Some(Type::Maybe),
                'A' => Some(Type::Any),
                _ => None,
            };
            match of.filter(|_| hole) {
                Some(of) => {
                    let made = self.of(of, d);
                    out.push_str(&made);
                }
                None => out.push(*c),
            }
        }
        if bound {
            self.locals.pop();
        }
        out
    }

    fn leaf(&mut self, of: Type) -> String {
        let fitting: Vec<String> = self.locals.iter().filter(|(_, t)| *t == of).map(|(n, _)| n.clone()).collect();
        if !fitting.is_empty() && self.rng.eighths(5) {
            return fitting[self.rng.below(fitting.len() as u64) as usize].clone();
        }
        let leaf = match of {
            Type::Int => {
                self.one(&["item.i", "item.j", "item.i", "1", "2", "7", "-3", "0", "9223372036854775807", "5u"])
            }
            Type::Double => self.one(&["item.d", "item.e", "1.5", "-2.0", "0.1", "1e15", "1e-7", "3.0", "123456.789"]),
            Type::Bool => self.one(&["item.b", "true", "false", "has(item.i)", "item.z == 1"]),
            Type::Text => {
                self.one(&["item.t", "item.u", "'abc'", "'a,b,c'", "''", "' é x '", "'12'", "'1.5'", "','", "'a'"])
            }
            Type::Bytes => self.one(&["b'abc'", "b'\\xff'", "bytes(item.t)", "b''"]),
            Type::Ints => self.one(&["item.l", "[1, 2, 3]", "[]", "[item.i]"]),
            Type::Texts => self.one(&["item.s", "['a', 'b']", "[]", "[item.t, item.u]"]),
            Type::Map => self.one(&["item.m", "{'a': 1}", "{}", "item.o.x"]),
            Type::Time => self.one(&[
                "timestamp(item.at)",
                "timestamp('1969-12-31T23:59:59.5Z')",
                "timestamp(0)",
                "timestamp('9999-12-31T23:59:59Z')",
                "timestamp('2024-02-29T12:30:45.125Z')",
            ]),
            Type::Span => self.one(&[
                "duration(item.span)",
                "duration('1h30m')",
                "duration('-1.5s')",
                "duration('0s')",
                "duration('100ms')",
            ]),
            Type::Maybe => self.one(&["item.?i", "item.?z", "optional.none()", "optional.of(4)"]),
            Type::Any => {
                self.one(&["item.any", "item.i", "item.t", "item.d", "null", "item.n", "item.l", "item.m", "1.0"])
            }
        };
        leaf.to_string()
    }

    fn pattern(&mut self) -> String {
        let piece = |r: &mut Rng| {
            let all =
                [r"\w", r"\d+", "[a-c]", "a", "b?", "(a|b)", ".", r"\s*", "[^a]", "(x*)", r"\b", "é", "[[:digit:]]"];
            all[r.below(all.len() as u64) as usize].to_string()
        };
        let n = 1 + self.rng.below(3);
        let made: String = (0..n).map(|_| piece(self.rng)).collect();
        format!("r'{made}'")
    }
}

/// An item that has the fields of which expressions speak.
pub fn item(rng: &mut Rng) -> Value {
    let ints = [0, 1, -1, 2, 3, 7, 10, -5, 100, 255, 1_700_000_000, 4_611_686_018_427_387_904, i64::MAX, i64::MIN];
    let doubles = [0.5, 1.5, -2.25, 3.0, 0.1, 100.125, 1e10, 123_456.789, 1e-5, 2.0];
    let texts = [
        "",
        "a",
        "abc",
        "a,b,,c",
        "  x ",
        "é",
        "aé b",
        "12",
        "-7",
        "1.5",
        "true",
        "1",
        "F",
        "90s",
        "a1b22",
        "日本語",
        "2024-01-01T00:00:00Z",
        "A-Z_9",
        "no\"te",
    ];
    let mut int = |rng: &mut Rng| json!(ints[rng.below(ints.len() as u64) as usize]);
    let double = |rng: &mut Rng| json!(doubles[rng.below(doubles.len() as u64) as usize]);
    let text = |rng: &mut Rng| json!(texts[rng.below(texts.len() as u64) as usize]);
    let any = match rng.below(8) {
        0 => Value::Null,
        1 => json!(rng.eighths(4)),
        2 => int(rng),
        3 => double(rng),
        4 => json!([int(rng), text(rng)]),
        5 => json!({"k": int(rng), "n": null}),
        _ => text(rng),
    };
    let list =
        |rng: &mut Rng, f: &mut dyn FnMut(&mut Rng) -> Value| (0..rng.below(5)).map(|_| f(rng)).collect::<Vec<_>>();
    let (l, s) = (list(rng, &mut int), list(rng, &mut |r| text(r)));
    let at = ["2024-05-06T07:08:09Z", "1970-01-01T00:00:00Z", "2023-12-31T23:59:59.999Z", "1900-03-01T00:00:00Z"];
    let span = ["90s", "1h", "-3m", "1.000000001s", "36h"];
    json!({
        "i": int(rng), "j": int(rng), "d": double(rng), "e": double(rng), "t": text(rng), "u": text(rng),
        "b": rng.eighths(4), "n": null, "l": l, "s": s, "m": {"a": int(rng), "b": text(rng)},
        "o": {"x": {"y": int(rng)}}, "any": any, "at": at[rng.below(4) as usize], "span": span[rng.below(5) as usize],
    })
}
