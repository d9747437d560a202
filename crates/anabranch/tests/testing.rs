//! `anabranch test`: what stands in a flow's tests is done, and what is wrong is told with its place.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::Place;
use std::path::Path;

const FLOW: &str = "flow: big
env: { LEAST: '10' }
streams: { sales: { source: sales.jsonl }, big: { sink: big.jsonl } }
steps:
  large: { filter: sales, where: 'item.amount > int(env.LEAST)' }
  tagged: { work: large, exec: [./tag, '{item.id}'], set: { tag: result }, retry: { attempts: 2, backoff: 1s } }
  all: { join: tagged }
  big: { merge: all }
tests:
";

/// What the command says of a flow with these tests, and its exit status.
fn said(tests: &str, args: &[&str]) -> (i32, String) {
    let place = Place::new();
    place.write("flow.yaml", &(FLOW.to_string() + tests));
    let ran = place.run(&[&["test"], args].concat());
    (ran.exit, ran.out.clone() + &ran.err)
}

/// The tests do not run, and that is why.
fn refused(tests: &str, why: &[&str]) {
    let (status, said) = said(tests, &[]);
    assert_eq!(status, 2, "{said}");
    why.iter().for_each(|why| assert!(said.contains(why), "`{why}` is not said:\n{said}"));
}

#[test]
fn what_is_given_is_run_and_compared() {
    let tests = "  only-large: { given: { sales: [{ id: 1, amount: 5 }, { id: 2, amount: 20 }] }, mock: { tagged: '\"x\"' }, expect: { big: [{ id: 2, amount: 20.0, tag: x }] } }
  another-least: { env: { LEAST: 2 }, given: { sales: [{ id: 1, amount: 5 }] }, mock: { tagged: [{ error: busy, delay: 1m }, { error: busy }, 'string(item.id)'] }, dead: { tagged: [{ id: 1, amount: 5 }] }, held: all }
  a-second-attempt: { given: { sales: [{ id: 1, amount: 50 }] }, mock: { tagged: [{ error: busy }, { value: 'string(item.id)', delay: 2s }] }, expect: { large: [{ id: 1, amount: 50 }], big: [{ id: 1, amount: 50, tag: '1' }] }, report: { tagged: { taken: 1, dead: 0 } } }
";
    let (status, said) = said(tests, &["--crash", "--shuffle", "8"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("killed behind each of 7 commits · in 8 orders"), "{said}");
    assert!(said.ends_with("3 tests: 3 passed, 0 failed\n"), "{said}");
}

#[test]
fn what_differs_is_told_item_by_item() {
    let tests = "  wrong: { given: { sales: [{ id: 1, amount: 50 }, { id: 2, amount: 20 }] }, mock: { tagged: '\"x\"' }, expect: { large: [{ id: 2, amount: 21 }, { id: 7 }] }, report: { large: { filtered: 3 } }, held: all }
  surprise: { given: { sales: [{ id: 1, amount: 50 }] }, mock: { tagged: { error: gone } } }
";
    let (status, told) = said(tests, &[]);
    assert_eq!(status, 1, "{told}");
    for line in [
        "✗ wrong",
        "all should stay shut, and does not",
        "the report counts filtered 0 at large, the test wants 3",
        "large: 2 expected, 2 there",
        "~ {\"amount\":20,\"id\":2}  amount: 20, expected 21",
        "- {\"id\":7}",
        "+ {\"amount\":50,\"id\":1}",
        "1 item failed at tagged, and the test says nothing of that",
        "+ {\"amount\":50,\"id\":1}  gone",
        "2 tests: 0 passed, 2 failed",
    ] {
        assert!(told.contains(line), "`{line}` is not said:\n{told}");
    }
}

#[test]
fn mistakes_in_tests_are_told_with_their_place() {
    refused(
        "  a: { given: { sals: [] }, mock: { tagged: item } }\n",
        &["there is no stream `sals`", "flow.yaml:10:17", "did you mean `sales`?"],
    );
    refused(
        "  a: { expect: { bigg: [] }, mock: { tagged: item } }\n",
        &["there is no stream `bigg`", "did you mean `big`?"],
    );
    refused(
        "  a: { given: { sales: [] } }\n",
        &["says nothing of the action of `tagged`", "mock: { tagged: EXPRESSION }"],
    );
    refused("  a: { mock: { tagged: item, large: item } }\n", &["`large` calls nothing", "a test runs it as it is"]);
    refused("  a: { mock: { taged: item } }\n", &["there is no step `taged`", "did you mean `tagged`?"]);
    refused("  a: { mock: { tagged: item. } }\n", &["flow.yaml:10:2", "is not expected here"]);
    refused("  a: { mock: { tagged: { value: item, error: x } } }\n", &["an answer is a `value` or an `error`"]);
    refused("  a: { mock: { tagged: [] } }\n", &["there is no answer here"]);
    refused("  a: { mock: { tagged: item }, given: { sales: { id: 1 } } }\n", &["items are a list"]);
    refused("  a: { mock: { tagged: item }, given: { large: [] } }\n", &["`large` is made by a step"]);
    refused("  a: { mock: { tagged: item }, held: large }\n", &["`large` has no gate"]);
    refused("  a: { mock: { tagged: item }, report: { large: { lost: 1 } } }\n", &["a report counts no `lost`"]);
    refused("  a: { mock: { tagged: item }, report: { large: { dead: -1 } } }\n", &["a count is a whole number"]);
    refused(
        "  a: { mock: { tagged: item }, env: { LEST: 1 } }\n",
        &["the flow has no variable `LEST`", "did you mean `LEAST`?"],
    );
    refused("  a: { mock: { tagged: item }, expcet: {} }\n", &["has no key `expcet`", "did you mean `expect`?"]);
    refused("  a: { mock: { tagged: item } }\n  a: { mock: { tagged: item } }\n", &["`a`", "flow.yaml:11:3"]);
    refused("  a: [1]\n", &["the test a is a list, it must be a map"]);
    refused(
        "  a: { mock: { tagged: item }, given: { sales: [{ item: { value: 1, timestamp: soon } }] } }\n",
        &["`soon` is no timestamp"],
    );
    refused("", &["has no tests"]);
    let (status, told) = said("  a: { mock: { tagged: item } }\n", &["flow.yaml", "b"]);
    assert_eq!((status, told.contains("has no test b")), (2, true), "{told}");
}

#[test]
fn keys_headers_times_and_bytes() {
    let place = Place::new();
    let flow = "flow: c\nstreams: { in: { format: FORMAT, partitions: 3 }, out: { format: FORMAT } }\nsteps: { out: { merge: in } }\ntests:\n";
    let good = "  a: { given: { in: [{ item: { value: V, key: k, headers: { h: w }, timestamp: 5 } }] }, expect: { out: [{ item: { value: V, key: k, headers: { h: w }, timestamp: 5 } }] } }\n";
    for (format, value) in [("json", "{ x: [1, 2.50] }"), ("text", "hello"), ("bytes", "hello")] {
        place.write("flow.yaml", &(flow.replace("FORMAT", format) + &good.replace('V', value)));
        place.run(&["test", "--shuffle", "10"]).exits(0);
    }
    let wrong =
        good.replacen("key: k", "key: l", 1).replacen("h: w", "h: u", 1).replacen("timestamp: 5", "timestamp: 6", 1);
    place.write("flow.yaml", &(flow.replace("FORMAT", "json") + &wrong.replace('V', "{ x: 1 }")));
    let ran = place.run(&["test"]).exits(1);
    let told = "key: \"l\", expected \"k\"; header h: \"u\", expected \"w\"; timestamp: 6, expected 5";
    assert!(ran.out.contains(told), "{}", ran.out);
}

#[test]
fn a_test_takes_many_items() {
    let items: Vec<String> = (0..100_000).map(|i| format!("{{id: {i}, amount: 20}}")).collect();
    let tests = format!(
        "  many: {{ given: {{ sales: [{}] }}, mock: {{ tagged: 'null' }}, report: {{ big: {{ taken: 100000 }} }} }}\n",
        items.join(", ")
    );
    // a flow file has a bound of its own, which says so
    let (status, told) = said(&tests, &[]);
    assert!(status == 0 || told.contains("at most"), "{told}");
    let tests = format!(
        "  many: {{ given: {{ sales: [{}] }}, mock: {{ tagged: 'null' }}, report: {{ big: {{ taken: 10000 }} }} }}\n",
        items[..10_000].join(", ")
    );
    let (status, told) = said(&tests, &[]);
    assert_eq!(status, 0, "{told}");
}

#[test]
fn results_are_written_for_programs() {
    let place = Place::new();
    let tests = "  good: { mock: { tagged: item }, expect: { big: [] } }\n  bad: { mock: { tagged: item }, expect: { big: [{ a: '<&>' }] } }\n";
    place.write("flow.yaml", &(FLOW.to_string() + tests));
    let ran = place.run(&["test", "--json", "--junit", "result.xml"]).exits(1);
    let document: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&document["passed"], &document["failed"]), (&1.into(), &1.into()), "{document}");
    assert_eq!(document["tests"][1]["wrong"][0]["lines"][0]["mark"], "missing", "{document}");
    let xml = std::fs::read_to_string(place.path().join("result.xml")).expect("is written");
    assert!(xml.contains("<testsuite name=\"big\" tests=\"2\" failures=\"1\""), "{xml}");
    assert!(xml.contains("&quot;&lt;&amp;&gt;&quot;"), "{xml}");
}

#[test]
fn what_came_out_is_accepted() {
    let place = Place::new();
    let tests = "  a: { given: { sales: [{ id: 1, amount: 50 }] }, mock: { tagged: '7' }, expect: { big: [{ id: 3 }], large: } } # stays\n";
    place.write("flow.yaml", FLOW.to_string() + tests);
    place.run(&["test"]).exits(1);
    place.run(&["test", "--accept"]).exits(0).says("look at the difference");
    place.run(&["test"]).exits(0);
    assert!(
        place.read("flow.yaml").ends_with("large: [{\"amount\":50,\"id\":1}] } } # stays\n"),
        "{}",
        place.read("flow.yaml")
    );
    place.run(&["test", "--accept"]).exits(0).says("expects that already");
}

/// A mistake in each example, and the test that names it.
#[test]
fn a_mistake_in_an_example_is_found_by_its_tests() {
    for (example, right, wrong, names) in [
        (
            "01-copier",
            "{ copy: photos-topic, to: photos-topic-2, group: group1 }",
            "{ filter: photos-topic, where: 'item != \"b.jpg\"', to: photos-topic-2 }",
            "everything-is-copied",
        ),
        ("02-reduce", "{ left: a, right: b }", "{ left: b, right: a }", "first-with-first"),
        (
            "03-new-user-sign-up",
            "where: item.wants_text",
            "where: item.wants_email && !item.wants_text",
            "two-clicks-are-one-welcome",
        ),
        ("04-word-count", "item.text.lowerAscii()", "item.text", "words-are-counted-over-pages"),
        ("05-barrier", "done: told }", "done: told, tolerate: 100% }", "one-bad-part-holds-all"),
    ] {
        let flow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example).join("flow.yaml");
        anabranch::testing::passes(&flow).unwrap_or_else(|why| panic!("{example}: {why}"));
        let text = std::fs::read_to_string(&flow).expect("reads");
        assert!(text.contains(right), "{example} has no {right}");
        let place = Place::new();
        place.write("flow.yaml", text.replacen(right, wrong, 1));
        let told = place.run(&["test"]).exits(1).out.clone();
        assert!(told.contains(&format!("✗ {names}")), "{example}: {told}");
    }
}

#[test]
fn differences_are_coloured_where_that_is_wanted() {
    let tests = "  wrong: { given: { sales: [] }, mock: { tagged: item }, expect: { large: [{ id: 7 }] } }\n";
    let place = Place::new();
    place.write("flow.yaml", &(FLOW.to_string() + tests));
    let coloured = |name: &str| {
        let ran = place.command(&["test"]).env_remove("NO_COLOR").env(name, "1").output().expect("it runs");
        String::from_utf8(ran.stdout).expect("text").contains("\x1b[31m")
    };
    assert!(coloured("CLICOLOR_FORCE"), "red, as if it were a terminal");
    assert!(!coloured("NO_COLOR"));
    assert!(!said(tests, &[]).1.contains('\x1b'), "no terminal");
}

#[test]
fn failed_items_are_taken_up_again_in_a_test() {
    let given = "given: { sales: [{ id: 1, amount: 50 }] }, mock: { tagged: { error: gone } }, dead: { tagged: [{ id: 1, amount: 50 }] }";
    let tests = format!(
        "  retried: {{ {given}, after: [{{ retry: tagged, mock: {{ tagged: '\"x\"' }} }}], expect: {{ big: [{{ id: 1, amount: 50, tag: x }}] }} }}
  edited: {{ {given}, after: [{{ edit: tagged, set: '{{\"id\": 2}}', mock: {{ tagged: '\"x\"' }} }}], expect: {{ big: [{{ id: 2, amount: 50, tag: x }}] }} }}
  settled: {{ {given}, after: [{{ settle: tagged, result: y }}], expect: {{ big: [{{ id: 1, amount: 50, tag: y }}] }} }}
  in-vain: {{ given: {{ sales: [{{ id: 1, amount: 50 }}] }}, mock: {{ tagged: {{ error: gone }} }}, after: [{{ retry: tagged }}, {{ skip: tagged }}], dead: {{ tagged: [{{ id: 1, amount: 50 }}, {{ id: 1, amount: 50 }}] }}, expect: {{ big: [] }} }}
"
    );
    let (status, told) = said(&tests, &["--crash", "--shuffle", "8"]);
    assert!(status == 0 && told.ends_with("4 tests: 4 passed, 0 failed\n"), "{told}");
    let (status, told) = said(
        &format!(
            "  again: {{ {given}, after: [{{ retry: tagged, mock: {{ tagged: item }} }}, {{ retry: tagged }}] }}\n"
        ),
        &[],
    );
    assert!(status == 1 && told.contains("no such dead letter that is not settled"), "{told}");
    let by_hand = FLOW.replace("{ join: tagged }", "{ join: tagged, open: by-hand }");
    let place = Place::new();
    let given = "given: { sales: [{ id: 1, amount: 50 }] }, mock: { tagged: '\"x\"' }";
    place.write(
        "flow.yaml",
        format!("{by_hand}  waits: {{ {given}, held: all, expect: {{ big: [] }} }}\n  opened: {{ {given}, after: [{{ open: all }}], expect: {{ big: [{{ id: 1, amount: 50, tag: x }}] }} }}\n"),
    );
    place.run(&["test", "--crash"]).exits(0);
}

#[test]
fn mistakes_in_what_is_done_afterwards_are_told() {
    let test = |after: &str| format!("  t: {{ given: {{ sales: [] }}, mock: {{ tagged: item }}, after: {after} }}\n");
    for (after, why) in [
        ("[{ retry: taged }]", vec!["there is no step `taged`", "did you mean `tagged`?"]),
        ("[{ retry: tagged, skip: tagged }]", vec!["does one thing", "retry, skip, edit, settle, open"]),
        ("[{ late: true }]", vec!["does one thing"]),
        ("[{ edit: tagged }]", vec!["`edit` has one of `set` and `value`"]),
        ("[{ edit: tagged, set: 'item.' }]", vec!["set"]),
        ("[{ retri: tagged }]", vec!["retri", "retry"]),
        ("[{ retry: tagged, mock: { large: item } }]", vec!["`large` calls nothing"]),
    ] {
        refused(&test(after), &why);
    }
}
