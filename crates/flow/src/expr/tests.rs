//! What expressions give for items, seen through a step.

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
    let want = [r#"{"k":1,"n":2}"#, r#"{"k":1.5,"n":1}"#, r#"{"k":["x"],"n":2}"#, r#"{"k":{"a":1,"b":[1,2]},"n":2}"#];
    let sorted = |l: Vec<String>| l.into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(got), sorted(want.map(String::from).to_vec()));
}

/// What a step makes of one item; `None` = the item has failed.
fn made(keys: &str, item: &str) -> Option<String> {
    let step = trial::step(keys);
    let mut made = trial::apply(&step, &[item.to_string()], &mut Scratch::default());
    made.out.remove(&(0, None)).map(|values| values.join(" "))
}

/// As cel-go gives it.
const OF_CEL_GO: &[(&str, Option<&str>)] = &[
    // a default is computed only where it is needed
    ("item.?a.orValue(item.missing)", Some("1")),
    ("item.?b.orValue(item.a)", Some("1")),
    ("item.?b.orValue(item.missing)", None),
    ("optional.of(1).or(item.missing).value()", Some("1")),
    ("optional.none().or(optional.of(2)).value()", Some("2")),
    ("item.?a.optMap(x, x + 1).orValue(0)", Some("2")),
    ("item.?b.optMap(x, x + 1).orValue(0)", Some("0")),
    ("item.?a.optFlatMap(x, optional.ofNonZeroValue(x - 1)).hasValue()", Some("false")),
    ("optional.ofNonZeroValue('').hasValue()", Some("false")),
    ("[?item.?a, ?item.?b, 3]", Some("[1,3]")),
    ("{?'a': item.?a, ?'b': item.?b}", Some("{\"a\":1}")),
    ("[1, 2][?5].orValue(9)", Some("9")),
    ("[7, 8][dyn(1.0)]", Some("8")),
    // unsigned numbers are whole numbers
    ("5u + 1u", Some("6")),
    ("uint('7')", Some("7")),
    ("uint(-1)", None),
    ("uint(1.9)", Some("1")),
    (
        "[18446744073709551615u, uint(item.big), uint('18446744073709551615')]",
        Some("[18446744073709551615,18446744073709551615,18446744073709551615]"),
    ),
    ("uint('18446744073709551616')", None),
    ("18446744073709551615u > 9223372036854775807 && type(item.big) == int", Some("true")),
    // truth
    ("bool('1') && bool('t') && bool('TRUE') && bool('True') && bool('T')", Some("true")),
    ("bool('0') || bool('f') || bool('FALSE') || bool('F')", Some("false")),
    ("bool('yes')", None),
    // text
    ("'abc'.split('', 2)", Some("[\"a\",\"bc\"]")),
    ("'abc'.split('', 1)", Some("[\"abc\"]")),
    ("'abc'.split('', -1)", Some("[\"a\",\"b\",\"c\"]")),
    ("'a,b,c'.split(',', 1)", Some("[\"a,b,c\"]")),
    ("''.split('')", Some("[]")),
    ("''.split(',')", Some("[\"\"]")),
    ("'tacocat'.indexOf('a', 2)", Some("5")),
    ("'tacocat'.indexOf('', 3)", Some("3")),
    ("'tacocat'.indexOf('a', -1)", None),
    ("'tacocat'.lastIndexOf('a', 3)", Some("1")),
    ("'tacocat'.lastIndexOf('at', 5)", Some("5")),
    ("'äxäx'.lastIndexOf('x', 2)", Some("1")),
    ("'tacocat'.lastIndexOf('t', 99)", Some("-1")),
    ("strings.quote('a\"b\\n\\u00e9')", Some(r#""\"a\\\"b\\né\"""#)),
    ("'%s is %d, %.2f, %x, %e'.format(['a', 7, 1.005, 255, 12345.678])", Some("\"a is 7, 1.00, ff, 1.234568e+04\"")),
    ("'%s'.format([[1, 'a', {'k': null}]])", Some("\"[1, a, {k: null}]\"")),
    ("'%d%%'.format([5])", Some("\"5%\"")),
    ("'%s %s'.format([1])", None),
    ("'%b %o %X'.format([5, 8, 'az'])", Some("\"101 10 617A\"")),
    // regular expressions
    ("regex.extractAll('a=1,b=,c=3', '=([^,]*)')", Some("[\"1\",\"3\"]")),
    ("regex.extract('b=', '=([^,]*)').hasValue()", Some("false")),
    ("regex.replace('test', '(.)', r'\\2')", None),
    ("regex.replace('banana', 'a', 'x', 2)", Some("\"bxnxna\"")),
    ("regex.replace('banana', 'a', 'x', 0)", Some("\"banana\"")),
    ("regex.replace('banana', 'a', 'x', -1)", Some("\"bxnxnx\"")),
    ("'é'.matches(r'^\\w$')", Some("false")),
    ("'٣'.matches(r'^\\d$')", Some("false")),
    // types
    ("type(1) == int && type(1.5) == double && type('') == string && type(item) == map", Some("true")),
    ("type(item.list) == list && type(item.old) == null_type && type(type(1)) == type", Some("true")),
    ("type(timestamp(item.t)) == google.protobuf.Timestamp", Some("true")),
    // numbers as text
    ("string(1e14)", Some("\"1e+14\"")),
    ("string(1e15)", Some("\"1e+15\"")),
    ("string(100000.0)", Some("\"100000\"")),
    ("string(0.00001)", Some("\"1e-05\"")),
    ("string(item.big)", Some("\"18446744073709551615\"")),
    ("int(item.big)", None),
    // a side that names nothing
    ("nothing || item.a == 1", Some("true")),
    ("item.a == 1 || nothing(item)", Some("true")),
    ("nothing && item.a == 2", Some("false")),
    ("nothing || item.a == 2", None),
    // times
    ("string(timestamp(item.t))", Some("\"2024-01-01T00:00:00Z\"")),
    ("size(string(timestamp(item.t)))", Some("20")),
    ("timestamp(string(timestamp(item.t))) == timestamp(item.t)", Some("true")),
    ("string(duration('90s'))", Some("\"90s\"")),
    ("{timestamp(item.t): duration('1.5s')}", Some("{\"2024-01-01T00:00:00Z\":\"1.5s\"}")),
    ("int(timestamp('1969-12-31T23:59:59.5Z'))", Some("-1")),
    ("timestamp('9999-12-31T23:59:59.999999999Z') > timestamp(item.t)", Some("true")),
    ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", None),
    ("timestamp('0001-01-01T00:00:00Z') - duration('1s')", None),
    ("duration('315576000000s') + duration('1s')", None),
    ("timestamp('9999-12-31T23:59:59Z').getFullYear()", Some("9999")),
    ("timestamp(item.t).getHours('02:00')", Some("2")),
    ("floor(timestamp(item.t) + duration('30h'), '1d')", Some("\"2024-01-02T00:00:00Z\"")),
];

#[test]
fn more_of_what_cel_says() {
    let item = r#"{"a":1,"old":null,"t":"2024-01-01T00:00:00Z","list":["x"],"big":18446744073709551615}"#;
    for (expression, want) in OF_CEL_GO {
        assert_eq!(value(expression, item).as_deref(), *want, "{expression}");
    }
}

/// Whatever can grow is told before it is there.
#[test]
fn no_value_grows_beyond_what_an_item_may_have() {
    let long = "a".repeat(10_000);
    let item = format!(r#"{{"a":"{long}","b":"{long}","l":[{}]}}"#, vec!["1"; 10_000].join(","));
    for expression in [
        "size(item.a.replace('a', item.b))",
        "size(item.a.replace('', item.b))",
        "size(item.l.map(x, item.a).join(''))",
        "size(item.l.map(x, ''+'').join(item.a))",
        "size(regex.replace(item.a, 'a', item.b))",
        "size(item.l.map(x, item.a))",
        "size(item.l.map(x, item.a + item.b))",
        "size(item.l.map(x, [item.a]))",
        "size(item.l.map(x, {'a': item.a}))",
        "size(item.l.map(x, item.l))",
        "size('%s'.format([item.l.map(x, [item.a]).map(l, l[0])]))",
        "size(item.a.replace('a', '%s').format(item.l.map(x, item.b)))",
        "size(item.a.replace('a', '%.1000f%.1000f').format((item.l + item.l).map(x, 1.0)))",
        "size(string(item.l.map(x, item.a)))",
        "size(item.l.map(x, strings.quote(item.a)))",
        "size(item.l.map(x, bytes(item.a) + bytes(item.b)))",
        "size(item.l.map(x, item.a.split('')))",
        "size(format(timestamp(0), item.l.map(x, '%c %c %c %c %c %c %c %c').join('').replace('%c', '%c %c %c %c %c %c %c %c %c')))",
    ] {
        assert_eq!(value(expression, &item), None, "{expression}");
    }
    let twenty = vec!["item.a + item.b"; 20].join(", ");
    assert_eq!(value(&format!("size(item.l.map(x, [{twenty}]))"), &item), None);
    let grown = vec!["item.l"; 120].join(" + ");
    assert_eq!(value(&format!("size({grown})"), &item), None, "1.2 million elements");
    // and what fits, fits
    assert_eq!(value("size(item.l.map(x, item.a.substring(0, 1000)).join(''))", &item).as_deref(), Some("10000000"));
}

/// A list that is only collected may have as many elements as an item takes.
#[test]
fn what_is_collected_is_bounded_by_what_is_written() {
    let step = trial::step("{ reduce: all, value: { l: collect(item.n) }, to: a }");
    let lines = |n: usize| vec![r#"{"n":7}"#.to_string(); n];
    let many: Vec<Vec<String>> = (0..13).map(|_| lines(100_000)).collect();
    assert_eq!(trial::finals(&step, &many, 1)[0].matches('7').count(), 1_300_000);
    let long = vec![format!(r#"{{"n":"{}"}}"#, "x".repeat(1 << 20)); 17];
    assert_eq!(trial::finals(&step, &[long], 1), Vec::<String>::new());
}

#[test]
fn loops_over_large_values_end() {
    let item = format!(r#"{{"l":[{}],"t":"{}"}}"#, vec!["1"; 100_000].join(","), "t".repeat(1_000_000));
    assert_eq!(value("size(item.l.map(x, size(item.t + 'x')))", &item), None);
    // also where another element may decide
    assert_eq!(value("item.l.exists(x, size(item.t + 'x') < 0 || item.missing)", &item), None);
}

/// What nobody computes with keeps its bytes.
#[test]
fn what_is_untouched_keeps_its_bytes() {
    let odd = r#"[1.10,1e2,-0,18446744073709551615,1e999,12e4,{"n":1.0e2},"\u00e9\/"]"#;
    let item = format!(r#"{{"k":"x","o":{odd},"\u00e9":1.50,"id":18446744073709551615,"s":"\u0041\/"}}"#);
    let set = format!(r#"{{"k":"y","o":{odd},"\u00e9":1.50,"id":18446744073709551615,"s":"\u0041\/","n":2}}"#);
    for (keys, want) in [
        ("{ work: all, set: { k: '\"y\"', n: '2' }, to: a }", set.as_str()),
        ("{ work: all, value: item, to: a }", item.as_str()),
        ("{ work: all, value: item.o, to: a }", odd),
        ("{ work: all, value: { x: item.id, y: item.s }, to: a }", r#"{"x":18446744073709551615,"y":"\u0041\/"}"#),
        ("{ work: all, value: '[item.id, item.o[0], item.o[6].n]', to: a }", "[18446744073709551615,1.10,1.0e2]"),
        ("{ work: all, each: item.o, to: a }", r#"1.10 1e2 -0 18446744073709551615 1e999 12e4 {"n":1.0e2} "\u00e9\/""#),
        ("{ work: all, value: 'item.o.map(x, x)[3]', to: a }", "18446744073709551615"),
    ] {
        assert_eq!(made(keys, &item).as_deref(), Some(want), "{keys}");
    }
    for value in ["first(item.o)", "last(item.o)", "collect(item.o)[0]"] {
        let step = trial::step(&format!("{{ reduce: all, value: '{{\"v\": {value}}}', to: a }}"));
        assert_eq!(trial::finals(&step, &[vec![item.clone()]], 1), [format!(r#"{{"v":{odd}}}"#)], "{value}");
    }
    let step = trial::step("{ reduce: all, fold: b, to: a }");
    assert_eq!(trial::finals(&step, &[vec![item.clone(), item.clone()]], 1), [item]);
}

#[test]
fn set_replaces_the_last_of_equal_names_however_many_there_are() {
    for n in [1, 15, 16, 17, 500] {
        let fields = |a: &str| (0..n).map(|i| format!("\"f{i}\":{a}")).collect::<Vec<_>>().join(",");
        let item = format!("{{{},{},\"\\u0066{}\":3}}", fields("1"), fields("2"), n - 1);
        let last = n - 1;
        let want = format!("{{{}}}", fields("2")).replace(&format!("\"f{last}\":2"), &format!("\"f{last}\":3"));
        assert_eq!(made("{ work: all, set: { f0: item.f0 }, to: a }", &item), Some(want.clone()), "{n}");
        let want = want.replace("\"f0\":2", "\"f0\":9").replace("\"f0\":3", "\"f0\":9").replace('}', ",\"x\":7}");
        assert_eq!(made("{ work: all, set: { f0: '9', x: '7' }, to: a }", &item), Some(want), "{n}");
    }
}

#[test]
fn numbers_beyond_64_bits_are_keys_of_their_own() {
    let ids = ["18446744073709551613", "18446744073709551614", "18446744073709551615"];
    let lines: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let step = trial::step("{ reduce: all, by: item.id, value: { n: count() }, to: a }");
    let want: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":{id},"n":1}}"#)).collect();
    assert_eq!(trial::finals(&step, std::slice::from_ref(&lines), 10), want, "in their order");
    let step = trial::step("{ reduce: all, value: { hi: max(item.id), lo: min(item.id) }, to: a }");
    assert_eq!(trial::finals(&step, &[lines], 10), [r#"{"hi":18446744073709551615,"lo":18446744073709551613}"#]);
    assert_eq!(value("item.id == 18446744073709551614.0", r#"{"id":18446744073709551615}"#).as_deref(), Some("false"));
    assert_eq!(
        value("item.a == item.b", r#"{"a":18446744073709551615,"b":18446744073709551614}"#).as_deref(),
        Some("false")
    );
    let step = trial::step("{ reduce: all, by: item.k, value: { n: count() }, to: a }");
    let same = ["10000000000000000", "1e16", "1E16", "10000000000000000.0"].map(|k| format!(r#"{{"k":{k}}}"#));
    assert_eq!(trial::finals(&step, &[same.to_vec()], 10), [r#"{"k":10000000000000000,"n":4}"#]);
}

#[test]
fn loops_over_the_fields_of_a_large_object_take_no_minutes() {
    let fields: Vec<String> = (0..60_000).map(|i| format!("\"k{i}\":{i}")).collect();
    let item = format!("{{\"m\":{{{}}},\"l\":[{}]}}", fields.join(","), vec!["2"; 60_000].join(","));
    for (expression, want) in [
        ("size(item.m.map(k, item.m[k]).filter(v, v > 9))", "59990"),
        ("size(item.m.filter(k, k in item.m))", "60000"),
        ("item.m.all(k, item.m.?k7.orValue(0) == 7)", "true"),
        ("item.m.exists(k, item.l[item.m[k] - 59999 + 59999] == 3)", "false"),
        ("item.m.filter(k, has(item.m.zz)).size()", "0"),
    ] {
        assert_eq!(value(expression, &item).as_deref(), Some(want), "{expression}");
    }
}

#[test]
fn sums_of_objects_with_many_fields_take_no_minutes() {
    let fields: Vec<String> = (0..60_000).map(|i| format!("\"k{i}\":1")).collect();
    let line = format!("{{\"m\":{{{}}}}}", fields.join(","));
    let step = trial::step("{ reduce: all, value: sum(item.m), to: a }");
    let finals = trial::finals(&step, &[vec![line.clone(), line]], 1);
    assert_eq!(finals[0].matches(":2").count(), 60_000);
}

#[test]
fn an_average_out_of_range_is_an_error_of_its_key() {
    let step = trial::step("{ reduce: all, by: item.k, value: { a: avg(item.x) }, to: a }");
    let lines = ["1e308", "1e308", "-1e308"].map(|x| format!(r#"{{"k":"a","x":{x}}}"#)).to_vec();
    assert_eq!(trial::finals(&step, &[lines], 10), Vec::<String>::new());
}
