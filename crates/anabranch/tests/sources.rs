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
