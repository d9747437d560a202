//! Batches that a gate holds: what they have written waits with them, what they keep reaches nobody, and what settles them
//! settles no more than that.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, sorted};

/// A sink that gets items past a gate and beside it.
const BESIDE: &str = "
flow: beside
streams: { in: { source: in.jsonl }, c: { source: c.jsonl }, out: { sink: out.jsonl } }
steps:
  w: { work: in, set: { q: '1 / item.n' } }
  g: { join: w }
  out: { merge: [g, c] }
";

fn beside() -> Place {
    let place = Place::with(BESIDE, &[("in.jsonl", "{\"n\":1}\n{\"n\":0}\n"), ("c.jsonl", "{\"n\":7}\n{\"n\":8}\n")]);
    place.run(&["run"]).exits(4).says("2 → out.jsonl").says("balanced ✓");
    place
}

const ALL: [&str; 3] = ["{\"n\":1,\"q\":1}", "{\"n\":7}", "{\"n\":8}"];

#[test]
fn what_a_held_batch_had_written_is_in_the_file_of_its_repair() {
    let place = beside();
    assert!(
        !place.has("out.jsonl") && !place.has("out.jsonl.partial"),
        "it is not complete, and nobody's to overwrite"
    );
    place.run(&["dead", "skip", "--batch", "1"]).exits(0).says("3 → out.jsonl").says("balanced ✓");
    assert_eq!(sorted(&place.read("out.jsonl")), ALL);
}

#[test]
fn a_later_batch_does_not_overwrite_what_a_held_one_has_written() {
    let place = beside();
    place.write("in.jsonl", "{\"n\":5}\n");
    place.write("c.jsonl", "{\"n\":6}\n");
    place.run(&["run"]).exits(0);
    assert_eq!(sorted(&place.read("out.jsonl")), ["{\"n\":5,\"q\":0}", "{\"n\":6}"]);
    place.run(&["dead", "skip", "--batch", "1"]).exits(0).says("3 → out.jsonl.batch-1").says("balanced ✓");
    assert_eq!(sorted(&place.read("out.jsonl.batch-1")), ALL);
    assert_eq!(sorted(&place.read("out.jsonl")), ["{\"n\":5,\"q\":0}", "{\"n\":6}"]);
}

/// Behind the first gate everything fails, until the file `up` is there.
const TWO: &str = "
flow: two
streams: { in: { source: in.txt }, first: { sink: first.txt }, out: { sink: out.txt } }
steps:
  w: { work: in, exec: [sh, -c, 'read l; test $l != 3 && echo $l'], retry: { attempts: 1 } }
  first: { filter: in, where: 'true' }
  g: { join: w }
  x: { work: g, exec: [sh, -c, 'test -e up && cat'], retry: { attempts: 1 } }
  h: { join: x }
  out: { filter: h, where: 'true' }
";

#[test]
fn skipping_gives_up_what_had_failed_and_nothing_that_fails_then() {
    let place = Place::with(TWO, &[("in.txt", "1\n2\n3\n4\n")]);
    place.run(&["run"]).exits(4);
    place.run(&["dead", "skip", "--batch", "1"]).exits(4).says("h, which is held");
    assert!(!place.has("out.txt"), "three items wait");
    place.run(&["dead", "skip", "--batch", "1"]).exits(0);
    assert_eq!(place.read("out.txt"), "");
}

#[test]
fn a_report_names_files_that_are_there() {
    let place = Place::with(TWO, &[("in.txt", "1\n2\n3\n4\n"), ("up", "")]);
    place.run(&["run"]).exits(4).says("4 → first.txt");
    let ran = place.run(&["dead", "skip", "--batch", "1"]).exits(0).says("3 → out.txt");
    assert!(!ran.err.contains("first.txt.batch-1") && ran.err.contains("4 → first.txt"), "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&place.run(&["report", "--json"]).exits(0).out).expect("JSON");
    for sink in json["sinks"].as_array().expect("a list") {
        let text = place.read(sink["path"].as_str().expect("a path"));
        assert_eq!(
            (text.lines().count(), text.len()),
            (sink["items"].as_u64().unwrap() as usize, sink["bytes"].as_u64().unwrap() as usize)
        );
    }
}

#[test]
fn an_abandoned_repair_keeps_what_its_batch_had_written() {
    // the repair stops in the middle: its one call kills the run
    let flow = BESIDE.replace(
        "out: { merge: [g, c] }",
        "k: { work: g, exec: [sh, -c, 'test -e go || kill -9 $PPID; cat'] }\n  out: { merge: [k, c] }",
    );
    let place = Place::with(&flow, &[("in.jsonl", "{\"n\":1}\n{\"n\":0}\n"), ("c.jsonl", "{\"n\":7}\n{\"n\":8}\n")]);
    place.run(&["run"]).exits(4);
    assert_eq!(place.run(&["dead", "skip", "--batch", "1"]).exit, -1, "killed by its own child");
    place.write("go", "");
    place.run(&["run", "--fresh"]).exits(4).says("its batch is as it was before");
    place.run(&["dead", "skip", "--batch", "1"]).exits(0).says("balanced ✓");
    assert_eq!(sorted(&place.read("out.jsonl.batch-1")), ALL);
}

#[test]
fn a_new_reader_behind_a_gate_begins_behind_what_is_held() {
    let flow = "
flow: new
streams: { a: {}, out: {} }
steps:
  w: { work: a, set: { q: '1 / item.n' } }
  g: { join: [w, a] }
  out: { filter: g, where: 'true' }
";
    let place = Place::with(flow, &[]);
    place.run(&["streams", "create", "a"]).exits(0);
    place.feed(&["produce", "a"], b"{\"n\":1}\n{\"n\":0}\n").exits(0);
    place.run(&["run"]).exits(4);
    let more = flow.replace("out: {} }", "out: {}, late: {} }") + "  late: { filter: g, where: 'true' }\n";
    place.write("flow.yaml", more);
    place.feed(&["produce", "a"], b"{\"n\":5}\n").exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓");
    let late = place.run(&["consume", "late"]).exits(0).out;
    assert_eq!(sorted(&late), ["{\"n\":5,\"q\":0}", "{\"n\":5}"]);
}

#[test]
fn a_pair_gets_nothing_of_a_batch_that_its_gate_does_not_let_through() {
    let place = Place::with(
        "
flow: barrier
streams: { a: {}, b: {}, out: {}, seen: {} }
steps:
  w: { work: a, set: { q: '1 / item.n' } }
  g: { join: w }
  seen: { filter: g, where: 'true' }
  out: { reduce: [g, b], pair: lockstep, value: { l: a.n, r: b.n } }
",
        &[],
    );
    place.run(&["streams", "create", "a"]).exits(0);
    place.run(&["streams", "create", "b"]).exits(0);
    place.feed(&["produce", "a"], b"{\"n\":1}\n{\"n\":0}\n").exits(0);
    place.feed(&["produce", "b"], b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n").exits(0);
    place.run(&["run"]).exits(1).says("seen out  waiting for g, which has failed").says("balanced ✓");
    place.feed(&["produce", "a"], b"{\"n\":7}\n{\"n\":8}\n").exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.run(&["consume", "out"]).out, "{\"l\":7,\"r\":1}\n{\"l\":8,\"r\":2}\n");
    assert_eq!(place.run(&["consume", "seen"]).out, "{\"n\":7,\"q\":0}\n{\"n\":8,\"q\":0}\n");
}

#[test]
fn a_flow_that_pairs_elsewhere_has_batches_that_can_be_settled() {
    let place = Place::with(
        "
flow: apart
streams: { in: { source: in.jsonl }, left: {}, right: {}, out: { sink: out.jsonl }, both: {} }
steps:
  w: { work: in, set: { q: '1 / item.n' } }
  out: { join: w }
  both: { reduce: [left, right], pair: lockstep, value: { l: a, r: b } }
",
        &[("in.jsonl", "{\"n\":1}\n{\"n\":0}\n")],
    );
    place.run(&["streams", "create", "left"]).exits(0);
    place.run(&["streams", "create", "right"]).exits(0);
    place.feed(&["produce", "left"], b"1\n2\n3\n").exits(0);
    place.feed(&["produce", "right"], b"1\n2\n").exits(0);
    place.run(&["run"]).exits(4).says("balanced ✓");
    place.run(&["dead", "skip", "--batch", "1"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.jsonl"), "{\"n\":1,\"q\":1}\n");
    place.feed(&["produce", "right"], b"3\n").exits(0);
    place.write("in.jsonl", "");
    place.run(&["run"]).exits(0).says("balanced ✓");
    let both = place.run(&["consume", "both"]).out;
    assert_eq!(both, "{\"l\":1,\"r\":1}\n{\"l\":2,\"r\":2}\n{\"l\":3,\"r\":3}\n");
}

#[test]
fn what_waits_in_a_pair_is_counted_once() {
    let place = Place::with(
        "
flow: waits
streams: { a: {}, b: {}, out: {} }
steps:
  v: { filter: a, where: 'true' }
  w: { filter: b, where: 'true' }
  out: { reduce: [v, w], pair: lockstep, value: { l: a, r: b } }
",
        &[],
    );
    place.run(&["streams", "create", "a"]).exits(0);
    place.run(&["streams", "create", "b"]).exits(0);
    let line = |place: &Place| {
        let json = place.run(&["run", "--json"]).exits(0).out;
        let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let step = report["steps"].as_array().unwrap().iter().find(|s| s["step"] == "out").unwrap().clone();
        (step["taken"].as_u64().unwrap(), step["folded"].as_u64().unwrap(), step["waiting"].as_u64().unwrap())
    };
    place.feed(&["produce", "b"], b"1\n2\n3\n").exits(0);
    assert_eq!(line(&place), (3, 0, 3));
    place.feed(&["produce", "a"], b"1\n2\n3\n4\n").exits(0);
    place.feed(&["produce", "b"], b"4\n5\n").exits(0);
    assert_eq!(line(&place), (9, 8, 1));
    assert_eq!(line(&place), (1, 0, 1));
}
