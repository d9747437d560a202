//! Results that are many, large, or cannot be had: none is lost without a word.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, sorted};

fn dead(place: &Place) -> Vec<serde_json::Value> {
    let list = place.run(&["dead", "list", "--json"]).exits(0);
    serde_json::from_str::<Vec<serde_json::Value>>(&list.out).expect("json")
}

fn lines(n: usize, line: impl Fn(usize) -> String) -> String {
    (0..n).map(|i| line(i) + "\n").collect()
}

#[test]
fn a_hundred_results_of_a_megabyte_that_wait_for_the_first() {
    let place = Place::with(
        "
flow: large
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { made: { work: all, exec: [sh, -c, 'read n; [ $n = 0 ] && sleep 0.5; head -c 1000000 /dev/zero | tr \"\\\\0\" x'], to: out } }
",
        &[("in.txt", &lines(100, |i| i.to_string()))],
    );
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt").len(), 100 * 1_000_001);
}

#[test]
fn finals_and_values_that_are_more_than_a_batch_can_hold() {
    let place = Place::with(
        "
flow: large
streams: { all: { source: in.txt }, out: { sink: out.jsonl }, wide: { sink: wide.txt } }
steps:
  by: { reduce: all, by: { line: item }, value: { text: 'first(item + item + item + item)' }, to: out }
  wide: { work: all, value: 'item + item + item + item + item + item + item + item' }
",
        &[("in.txt", &lines(20_000, |i| format!("{i:01000}")))],
    );
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.jsonl").lines().count(), 20_000);
    assert_eq!(place.read("wide.txt").len(), 20_000 * 8_001);
}

#[test]
fn dead_letters_that_are_more_than_a_batch_can_hold() {
    let flow = "
flow: dead
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps: { out: { filter: all, where: item.n > 1 } }
";
    let place = Place::with(flow, &[("in.jsonl", &lines(80, |_| "x".repeat(1_000_000)))]);
    place.run(&["run", "-q"]).exits(3);
    assert_eq!(dead(&place).len(), 80);
}

#[test]
fn a_result_larger_than_an_item_can_be_fails_its_item() {
    let flow = "
flow: large
streams: { all: { source: in.jsonl }, out: { sink: out.txt } }
steps: { out: { work: all, each: '[item.t + item.t, \"small\"]' } }
";
    let place = Place::with(flow, &[]);
    place.write("in.jsonl", format!("{{\"t\":\"{}\"}}\n{{\"t\":\"b\"}}\n", "a".repeat(10 << 20)));
    place.run(&["run"]).exits(3).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "bb\nsmall\n");
    assert!(dead(&place)[0]["error"].as_str().unwrap().contains("an item has at most"));
}

const FOLD: &str = "
flow: fold
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps: { out: { reduce: all, by: item.k, value: { most: max(item.x), ratio: 'sum(item.x) / count(item.ok)' } } }
";

/// What cannot be put together is one dead letter of its key, however far apart the items stand.
#[test]
fn a_key_whose_result_cannot_be_had_is_a_dead_letter_and_the_others_are_said() {
    let filler =
        lines(20_000, |i| format!("{{\"k\":\"f{}\",\"x\":1,\"ok\":true,\"text\":\"{}\"}}", i % 3, "x".repeat(80)));
    let item = |k: &str, x: &str, ok: bool| format!("{{\"k\":\"{k}\",\"x\":{x},\"ok\":{ok}}}\n");
    let head = item("mixed", "1", true) + &item("none", "4", false) + &item("good", "4", true);
    let tail = item("mixed", "\"text\"", true) + &item("good", "6", true);
    let place = Place::with(FOLD, &[("in.jsonl", &(head + &filler + &tail))]);
    // `sum` of a text fails the item; `max` of text and number the key
    let want = ["good", "f0", "f1", "f2"].len();
    for _ in 0..2 {
        place.run(&["run"]).exits(3).says("balanced ✓").says("finals:out");
        let out = sorted(&place.read("out.jsonl"));
        assert_eq!(out.len(), want + 1, "{out:?}");
        assert!(out.contains(&r#"{"k":"good","most":6,"ratio":5}"#.to_string()), "{out:?}");
    }
    let errors: Vec<String> = dead(&place).iter().map(|d| d.to_string()).collect();
    assert!(errors.iter().any(|e| e.contains("finals:out") && e.contains("division by zero")), "{errors:?}");
}

#[test]
fn what_has_no_order_spoils_only_its_key() {
    let place = Place::with(
        "
flow: fold
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps: { out: { reduce: all, by: item.k, value: { most: max(item.x) }, tolerate: 0 } }
",
        &[("in.jsonl", "{\"k\":1,\"x\":1}\n{\"k\":1,\"x\":\"a\"}\n{\"k\":2,\"x\":1}\n{\"k\":1,\"x\":3}\n")],
    );
    place.run(&["run"]).exits(3).says("balanced ✓");
    assert_eq!(place.read("out.jsonl"), "{\"k\":2,\"most\":1}\n");
    let letters = dead(&place);
    assert_eq!(letters.len(), 1);
    assert!(letters[0]["error"].as_str().unwrap().contains("a whole number and text have no order"), "{letters:?}");
    // said once, whatever happens: the next run has nothing new but the file, and says the same
    place.run(&["run"]).exits(3).says("balanced ✓");
}

#[test]
fn a_leftover_of_a_pair_does_not_keep_the_others_from_working() {
    let place = Place::with(
        "
flow: pair
streams:
  left: { source: { items: [10, 20, 30, 40] }, keep: true }
  right: { source: { items: [1, 2, 3] } }
  slow: {}
  out: { sink: out.jsonl }
steps:
  slow: { work: right, exec: [sh, -c, 'sleep 0.2; cat'] }
  out: { reduce: [left, slow], pair: lockstep, value: a + b }
",
        &[],
    );
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.jsonl"), "11\n22\n33\n");
}

#[test]
fn a_file_that_was_taken_away_is_not_taken_for_done() {
    let place = Place::with(
        "
flow: away
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { out: { work: all, exec: [sh, -c, 'read l; [ $l = last ] && until rm out.txt.partial; do sleep 0.01; done 2>&-; echo $l'], concurrency: 1 } }
",
        &[("in.txt", "a\nb\n")],
    );
    place.run(&["run"]).exits(0);
    place.write("in.txt", "a\nb\nc\nlast\n");
    place.run(&["run"]).exits(1).says("out.txt.partial is gone");
}
