//! What items of file sources carry.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;

const FLOW: &str = "
flow: numbers
streams: { all: { source: 'in/*.jsonl' }, out: { sink: out/out.jsonl } }
steps: { numbered: { work: all, set: { file: headers.file, line: int(headers.line) }, to: out } }
";

#[test]
fn headers_name_the_file_and_the_line() {
    let place = Place::with(FLOW, &[]);
    let item = |i: usize| format!("{{\"n\":{i},\"text\":\"{}\"}}\n", "x".repeat(100));
    // more than one piece, with a blank line that is no item but has a number
    place.write("in/a.jsonl", (0..20_000).map(item).collect::<String>() + "\n" + &item(20_000));
    place.write("in/b.jsonl", item(0));
    place.run(&["run"]).exits(0).says("balanced ✓");
    let out = place.read("out/out.jsonl");
    let got: Vec<(String, u64, u64)> = out
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).expect("json"))
        .map(|v| (v["file"].as_str().expect("text").into(), v["line"].as_u64().unwrap(), v["n"].as_u64().unwrap()))
        .collect();
    let mut want: Vec<(String, u64, u64)> = (0..20_000).map(|i| ("in/a.jsonl".into(), i + 1, i)).collect();
    want.extend([("in/a.jsonl".into(), 20_002, 20_000), ("in/b.jsonl".into(), 1, 0)]);
    assert_eq!(got, want);
}

#[test]
fn a_stream_that_was_deleted_and_recreated_is_read_from_its_first_item() {
    let flow = "
flow: again
streams: { in: { partitions: 1 }, out: { sink: out.txt } }
steps: { out: { copy: in, to: out } }
";
    let place = Place::with(flow, &[]);
    place.run(&["streams", "create", "in", "--partitions", "1"]).exits(0);
    place.feed(&["produce", "in"], b"1\n2\n3\n").exits(0);
    place.run(&["run"]).exits(0);
    place.run(&["streams", "delete", "in"]).exits(0);
    place.run(&["streams", "delete", "anabranch.again.dead"]).exits(2).says("is kept by a flow for itself");
    place.run(&["streams", "create", "in", "--partitions", "1"]).exits(0);
    place.feed(&["produce", "in"], b"4\n5\n").exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "1\n2\n3\n4\n5\n");
}

#[test]
fn a_file_that_is_added_to_ends_its_last_line_first() {
    let flow = "
flow: add
streams: { all: { source: in.txt }, out: { sink: { file: out.txt, mode: append } } }
steps: { out: { copy: all, to: out } }
";
    let place = Place::with(flow, &[("in.txt", "1\n"), ("out.txt", "old")]);
    place.run(&["run"]).exits(0);
    assert_eq!(place.read("out.txt"), "old\n1\n");
}
