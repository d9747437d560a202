//! What a value is when it leaves the expressions: in files of lines, arguments, keys and names.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;

/// What a program prints stays what it printed, whatever it looks like.
#[test]
fn what_a_program_printed_stays_what_it_printed() {
    let lines = "12e4\n1.10\n1.0e2\n-0\n0012\n12345678901234567890\n\"in quotes\"\n 7 \n{ \"a\": 1 }\ntrue\nnull\n\"\\u00e9\"\n";
    let flow = "
flow: printed
streams: { all: { source: in.txt }, e: { sink: e.txt }, p: { sink: p.txt }, r: { sink: r.txt }, j: { sink: j.jsonl } }
steps:
  e: { work: all, exec: [cat] }
  p: { work: all, pipe: [cat], concurrency: 1 }
  r: { work: all, exec: [cat], value: result }
  j: { work: all, exec: [cat], value: { v: result } }
";
    let place = Place::with(flow, &[("in.txt", lines)]);
    place.run(&["run", "-q"]).exits(0);
    for file in ["e.txt", "p.txt", "r.txt"] {
        assert_eq!(place.read(file), lines, "{file}");
    }
    // in JSON, what reads as JSON is JSON, with its bytes
    let json = [
        "12e4",
        "1.10",
        "1.0e2",
        "-0",
        "\"0012\"",
        "12345678901234567890",
        "\"in quotes\"",
        "7",
        "{ \"a\": 1 }",
        "true",
        "null",
        "\"\\u00e9\"",
    ];
    let want: String = json.iter().map(|v| format!("{{\"v\":{v}}}\n")).collect();
    assert_eq!(place.read("j.jsonl"), want);
}

/// Times are plain text wherever text is made of them.
#[test]
fn times_are_plain_text_outside_of_json() {
    let flow = "
flow: times
streams:
  all: { source: in.jsonl }
  lines: { sink: lines.txt }
  args: { sink: args.txt }
  names: { sink: 'at-{run.started}.jsonl' }
  spans: { sink: spans.txt }
  last: { sink: last.jsonl }
steps:
  lines: { work: all, value: timestamp(item.at) }
  args:  { work: all, exec: [sh, -c, 'printf \"%s %s %s\" \"$1\" \"$2\" \"$T\"', sh, '{timestamp(item.at)}', '{duration(item.d)}'], env: { T: '{timestamp(item.at)}' } }
  names: { work: all, value: '{string(timestamp(item.at)): item.d}' }
  spans: { work: all, each: '[duration(item.d), string(duration(item.d))]' }
  last:  { reduce: all, value: { at: max(timestamp(item.at)) } }
";
    let items = "{\"at\":\"2026-01-01T00:00:00Z\",\"d\":\"90s\"}\n";
    let place = Place::with(flow, &[("in.jsonl", items)]);
    place.run(&["run", "-q"]).exits(0);
    assert_eq!(place.read("lines.txt"), "2026-01-01T00:00:00Z\n");
    assert_eq!(place.read("args.txt"), "2026-01-01T00:00:00Z 90s 2026-01-01T00:00:00Z\n");
    assert_eq!(place.read("spans.txt"), "90s\n90s\n");
    assert_eq!(place.read("last.jsonl"), "{\"at\":\"2026-01-01T00:00:00Z\"}\n");
    let names = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let name = names.into_iter().find(|n| n.starts_with("at-")).expect("a file with the time in its name");
    assert!(!name.contains('"'), "{name}");
    assert_eq!(place.read(&name), "{\"2026-01-01T00:00:00Z\":\"90s\"}\n");
}

/// `timezone:` decides where a day begins, and what `format` shows.
#[test]
fn floor_and_format_go_by_the_flows_time_zone() {
    let flow = "
flow: days
timezone: Europe/Stockholm
streams: { all: { source: in.jsonl }, days: { sink: days.jsonl }, shown: { sink: shown.txt } }
steps:
  days:  { reduce: all, by: { day: 'floor(timestamp(item.at), \"1d\")' }, value: { n: count() } }
  shown: { work: all, value: 'format(timestamp(item.at), \"%F %R %Z\")' }
";
    let items = "{\"at\":\"2026-10-24T22:30:00Z\"}\n{\"at\":\"2026-10-25T10:00:00Z\"}\n";
    let place = Place::with(flow, &[("in.jsonl", items)]);
    place.run(&["run", "-q"]).exits(0);
    assert_eq!(place.read("days.jsonl"), "{\"day\":\"2026-10-24T22:00:00Z\",\"n\":2}\n");
    assert_eq!(place.read("shown.txt"), "2026-10-25 00:30 CEST\n2026-10-25 11:00 CET\n");
}

/// A number that does not fit 64 bits is itself in every place where it only stands for something.
#[test]
fn large_numbers_are_exact_as_arguments_keys_and_ids() {
    let flow = "
flow: ids
streams: { all: { source: in.jsonl, key: item.id }, a: { sink: a.txt }, k: { sink: k.jsonl }, s: { sink: s.jsonl } }
steps:
  a: { work: all, exec: [sh, -c, 'printf \"%s %s\" \"$1\" \"$WORK_ITEM_ID\"', sh, '{item.id}'], idempotency-key: item.id }
  k: { work: all, value: { key: key } }
  s: { work: all, set: { seen: 'true' } }
";
    let items =
        "{\"id\":18446744073709551615}\n{\"id\":18446744073709551614}\n{\"id\":1e16}\n{\"id\":10000000000000000}\n";
    let place = Place::with(flow, &[("in.jsonl", items)]);
    place.run(&["run", "-q"]).exits(0);
    let ids = ["18446744073709551615 18446744073709551615", "18446744073709551614 18446744073709551614"];
    let same = ["1e16 10000000000000000", "10000000000000000 10000000000000000"];
    assert_eq!(place.read("a.txt").lines().collect::<Vec<_>>(), [ids, same].concat());
    let keys = ["18446744073709551615", "18446744073709551614", "10000000000000000", "10000000000000000"];
    assert_eq!(place.read("k.jsonl"), keys.map(|k| format!("{{\"key\":\"{k}\"}}\n")).concat());
    assert_eq!(place.read("s.jsonl"), items.replace('}', ",\"seen\":true}"));
}

/// Without a limit two texts of 100 KB ask for 10 GB.
#[test]
fn an_item_cannot_take_all_memory() {
    let flow = "
flow: grow
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps: { out: { work: all, value: { n: 'size(item.a.replace(\"a\", item.b))' } } }
";
    let long = "a".repeat(100_000);
    let items = format!("{{\"a\":\"{long}\",\"b\":\"{long}\"}}\n{{\"a\":\"a\",\"b\":\"bb\"}}\n");
    let place = Place::with(flow, &[("in.jsonl", items.as_str())]);
    let (ran, most) = place.run_weighed(&["run"]);
    ran.exits(3).says("balanced ✓");
    assert!(most < 200 << 10, "{most} KiB at most");
    assert_eq!(place.read("out.jsonl"), "{\"n\":2}\n");
}

#[test]
fn json_with_half_a_surrogate_pair_stays_json_and_is_no_text() {
    let value = "{\"a\":\"\\ud83d\",\"b\":1}\n";
    for call in ["exec: [cat]", "pipe: [cat]"] {
        let flow = format!(
            "flow: half\nstreams: {{ all: {{ source: in.jsonl }}, out: {{ sink: out.jsonl }} }}\nsteps: {{ out: {{ work: all, {call} }} }}\n"
        );
        let place = Place::with(&flow, &[("in.jsonl", value)]);
        place.run(&["run"]).exits(0);
        assert_eq!(place.read("out.jsonl"), value, "{call}");
    }
    let flow = "
flow: half
streams: { all: { source: in.jsonl }, out: { format: text } }
steps: { out: { copy: all, to: out } }
";
    let place = Place::with(flow, &[("in.jsonl", "\"a\"\n\"\\ud800\"\n")]);
    place.run(&["run"]).exits(3).says("dead letters: 1 at out").says("balanced ✓");
    assert_eq!(place.run(&["consume", "out"]).exits(0).out, "a\n");
}
