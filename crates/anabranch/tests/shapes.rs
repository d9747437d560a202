//! Flows of every shape end, and give what they should: what is split and merged again, several ways to one stream,
//! gates in a row, pairs and readers from run to run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch::engine::{Admin, Item, StreamName};
use anabranch::flow::check::check_text;
use anabranch::run::{Options, Outcome, run};
use anabranch::{Embedded, Local};
use common::{Place, sorted};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NUMBERS: &str = "{\"n\":1,\"g\":1}\n{\"n\":2,\"g\":1}\n{\"n\":3,\"g\":1}\n";

fn flow(streams: &str, steps: &str) -> String {
    format!("flow: r\nstreams: {{ {streams} }}\nsteps:\n{steps}")
}

/// What both sides of a step make comes together again, whatever lies on one side: the unit that merges does not wait for
/// itself.
#[test]
fn what_is_split_and_merged_again_ends() {
    let file = "in: { source: in.jsonl }, out: { sink: out.jsonl }";
    let shapes: [(&str, &str, &str, usize); 9] = [
        (
            "an action on one side",
            file,
            "  good: { filter: in, where: item.n > 1, otherwise: rest }\n  did: { work: good, pipe: [cat] }\n  out: { merge: [did, rest] }\n",
            3,
        ),
        (
            "a barrier on one side",
            file,
            "  good: { filter: in, where: item.n > 1, otherwise: rest }\n  gate: { join: good }\n  out: { merge: [gate, rest] }\n",
            3,
        ),
        (
            "details and totals",
            file,
            "  small: { filter: in, where: item.n < 3 }\n  total: { reduce: in, value: { n: sum(item.n) } }\n  out: { merge: [small, total] }\n",
            3,
        ),
        (
            "a reduce and its input",
            file,
            "  sums: { reduce: in, by: item.g, value: { c: count() } }\n  out: { merge: [sums, in] }\n",
            4,
        ),
        (
            "a reduce of a reduce and the source",
            file,
            "  sums: { reduce: in, by: item.n, value: { g: count() } }\n  out: { reduce: [sums, in], value: { c: count() } }\n",
            1,
        ),
        (
            "a stream and its shards",
            file,
            "  s: { shard: in, by: item.n, shards: [1, 2], to: 's{shard}', otherwise: drop }\n  w: { work: s1, pipe: [cat] }\n  out: { merge: [in, w, s2] }\n",
            5,
        ),
        (
            "a stream that is kept and one that is not",
            "in: { source: in.jsonl }, a: {}, out: { sink: out.jsonl }",
            "  both: { copy: in, to: [a, b] }\n  out: { merge: [a, b] }\n",
            6,
        ),
        (
            "a copy of a copy with an action between",
            file,
            "  one: { copy: in, to: [a, b] }\n  did: { work: a, pipe: [cat] }\n  two: { copy: b, to: [c, d] }\n  m: { merge: [did, c] }\n  out: { merge: [m, d] }\n",
            9,
        ),
        (
            "the end of a barrier and its items",
            file,
            "  gate: { join: in, done: told }\n  did: { work: gate, pipe: [cat] }\n  out: { merge: [did, told, in] }\n",
            7,
        ),
    ];
    for (what, streams, steps, n) in shapes {
        let place = Place::with(&flow(streams, steps), &[("in.jsonl", NUMBERS)]);
        let ran = place.run(&["run", "--progress", "none"]);
        assert_eq!(ran.exit, 0, "{what}: {}", ran.err);
        assert!(ran.err.contains("balanced ✓"), "{what}: {}", ran.err);
        assert_eq!(place.read("out.jsonl").lines().count(), n, "{what}");
    }
}

/// Kills a run once there is a file that a step of it makes.
fn kill_once(place: &Place, file: &str) {
    let mut child = place.command(&["run", "-q"]).spawn().expect("starts");
    let until = Instant::now() + Duration::from_secs(30);
    while !place.has(file) {
        assert!(Instant::now() < until && child.try_wait().expect("waits").is_none(), "no {file}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    child.kill().expect("kills");
    child.wait().expect("waits");
}

/// A step that reaches one partition in two ways has read one of them when it is killed, and not the other one.
#[test]
fn two_ways_to_one_partition_are_two_positions() {
    let slow = "exec: [sh, -c, 'read -r x; echo >at-work; until [ -e go ]; do sleep 0.01; done; echo \"$x\"']";
    let shapes = [
        (
            "a stream and a join over it",
            format!(
                "  slow: {{ work: s, {slow} }}\n  j: {{ join: [s, slow] }}\n  out: {{ reduce: [s, j], value: {{ n: count() }} }}\n"
            ),
            "{\"n\":9}",
        ),
        (
            "two copies behind a join",
            format!(
                "  both: {{ copy: s, to: [a, b] }}\n  slow: {{ work: s, {slow} }}\n  j: {{ join: [a, b, slow] }}\n  m: {{ merge: [a, j] }}\n  out: {{ reduce: m, value: {{ n: count() }} }}\n"
            ),
            "{\"n\":12}",
        ),
        (
            "a view of a view",
            format!(
                "  slow: {{ work: s, {slow} }}\n  j: {{ join: [s, slow] }}\n  k: {{ join: [j, s] }}\n  out: {{ reduce: [k, s], value: {{ n: count() }} }}\n"
            ),
            "{\"n\":12}",
        ),
    ];
    for (what, steps, want) in shapes {
        let place = Place::with(&flow("s: {}, out: { sink: out.jsonl }", &steps), &[]);
        place.run(&["streams", "create", "s", "-q"]).exits(0);
        for line in NUMBERS.lines() {
            place.feed(&["produce", "s", "-q"], format!("{line}\n").as_bytes()).exits(0); // several batches
        }
        kill_once(&place, "at-work");
        place.write("go", "");
        let ran = place.run(&["run", "--progress", "none"]);
        assert!(ran.exit == 0 && ran.err.contains("balanced ✓"), "{what}: {}", ran.err);
        assert_eq!(place.read("out.jsonl").trim(), want, "{what}");
    }
}

#[test]
fn a_join_over_two_copies_of_a_stream_has_each_item_twice() {
    let steps = "  both: { copy: in, to: [a, b] }\n  all: { join: [a, b] }\n  out: { work: all, pipe: [cat] }\n  beside: { join: [in, b] }\n  n: { reduce: beside, value: count() }\n";
    let place = Place::with(&flow("in: {}, out: {}, n: { sink: n.jsonl }", steps), &[]);
    place.run(&["streams", "create", "in", "--partitions", "2", "-q"]).exits(0);
    for _ in 0..3 {
        place.feed(&["produce", "in", "-q"], NUMBERS.repeat(100).as_bytes()).exits(0);
    }
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.run(&["consume", "out", "-q"]).out.lines().count(), 1_800);
    assert_eq!(place.read("n.jsonl"), "1800\n");
}

/// An item waits once, at the first gate that is shut.
#[test]
fn gates_in_a_row_count_an_item_once() {
    let file =
        "in: { source: in.jsonl }, told: { sink: told.jsonl }, out: { sink: out.jsonl }, free: { sink: free.jsonl }";
    let rows = [
        "  g1: { join: did }\n  g2: { join: g1, done: told }\n  out: { filter: g2, where: 'true' }\n",
        "  g1: { join: did }\n  w: { work: g1, set: { k: '1' } }\n  g2: { join: w, done: told }\n  out: { copy: g2, to: out }\n",
        "  g1: { join: did }\n  g2: { join: [g1, in] }\n  g3: { join: g2, done: told }\n  out: { copy: g3, to: out }\n",
        "  g1: { join: did, done: t1 }\n  g2: { join: t1, done: told }\n  out: { merge: [g1, g2] }\n",
    ];
    for gates in rows {
        let steps = format!(
            "  did: {{ work: in, set: {{ m: '6 / (item.n - 1)' }} }}\n{gates}  free: {{ copy: in, to: free }}\n"
        );
        let place = Place::with(&flow(file, &steps), &[("in.jsonl", NUMBERS)]);
        place.run(&["run", "--progress", "none"]).exits(4).says("balanced ✓").says("HELD");
        assert!(!place.has("out.jsonl"), "{gates}");
        assert_eq!(place.read("free.jsonl"), NUMBERS, "no gate keeps it back: {gates}");
        // given up, all of it goes through, once
        place.run(&["dead", "skip", "--batch", "1"]).exits(0).says("balanced ✓");
        assert!(place.read("out.jsonl").lines().count() >= 2, "{gates}");
        assert_eq!(place.read("told.jsonl").lines().count(), 1, "{gates}");
    }
}

/// A flow that holds as many batches as it may begins no other one, and drops none.
#[test]
fn a_hundred_held_batches_are_kept_and_refuse_the_next_one() {
    let steps =
        "  did: { work: in, set: { m: '6 / (item.n - 1)' } }\n  gate: { join: did }\n  out: { copy: gate, to: out }\n";
    let place = Place::with(&flow("in: {}, out: {}", steps), &[]);
    place.run(&["streams", "create", "in", "-q"]).exits(0);
    // in this process: two hundred more would take longer than all that they do
    let text = place.read("flow.yaml");
    let checked = Arc::new(check_text(&text, &|_| None).flow.expect("a flow"));
    let engine: Arc<dyn Admin> = Arc::new(Embedded::open(&place.path().join(".anabranch")).expect("opens"));
    let items: Vec<(u32, Item)> = NUMBERS.lines().map(|l| (0, Item::of(l.to_string(), 1))).collect();
    for _ in 0..100 {
        engine.append(&StreamName::new("in").expect("a name"), &items).expect("appends");
        let world = Arc::new(Local::new(place.path()));
        let outcome = run(checked.clone(), engine.clone(), world, Options::default()).expect("runs");
        assert!(matches!(outcome, Outcome::Closed(report) if report.exit == 4));
    }
    drop(engine);
    place.feed(&["produce", "in", "-q"], NUMBERS.as_bytes()).exits(0);
    let refused = place.run(&["run", "-q"]).exits(4);
    assert!(refused.err.contains("100 batches of r are held, from 1 to 100"), "{}", refused.err);
    assert!(refused.err.contains("anabranch dead retry|skip --batch 1"), "{}", refused.err);
    place.run(&["dead", "skip", "--batch", "1"]).exits(0);
    assert_eq!(place.run(&["consume", "out", "-q"]).out.lines().count(), 2, "the oldest one was kept");
    place.run(&["run", "-q"]).exits(4);
    place.run(&["dead", "skip", "--batch", "102"]).exits(0);
    assert_eq!(place.run(&["consume", "out", "-q"]).out.lines().count(), 4);
    place.run(&["dead", "skip", "--batch", "102"]).exits(2).says("no such dead letters");
}

/// `done:` says what the report says, whoever has read by then.
#[test]
fn the_end_of_a_join_counts_what_the_report_counts() {
    let joins = [
        (
            "an alias",
            "  both: { copy: in, to: [a, b] }\n  gate: { join: a, done: told }\n  out: { filter: gate, where: 'true' }\n  n: { reduce: b, value: count() }\n",
        ),
        (
            "a stream from outside",
            "  gate: { join: in, done: told }\n  out: { filter: gate, where: 'true' }\n  n: { reduce: in, value: count() }\n",
        ),
        (
            "nobody reads it",
            "  gate: { join: in, done: told }\n  out: { filter: in, where: 'true' }\n  n: { reduce: in, value: count() }\n",
        ),
    ];
    for (what, steps) in joins {
        let place = Place::with(&flow("in: {}, told: {}, out: {}, n: {}", steps), &[]);
        place.run(&["streams", "create", "in", "--partitions", "3", "-q"]).exits(0);
        for run in 1..=2 {
            place.feed(&["produce", "in", "-q"], NUMBERS.repeat(50 * run).as_bytes()).exits(0);
            place.run(&["run", "-q"]).exits(0);
            let told = place.run(&["consume", "told", "-q"]).out;
            let want = format!("\"count\":{},", 150 * run);
            assert!(told.lines().last().unwrap().contains(&want), "{what}: {told}");
        }
    }
}

/// What a pair has no partner for waits only where its stream goes on.
#[test]
fn leftovers_of_files_are_gone_and_those_of_streams_wait() {
    let pair = "  out: { reduce: [a, b], pair: lockstep, value: { l: a, r: b } }\n";
    let files = "a: { source: a.jsonl }, b: { source: b.jsonl }, out: { sink: { file: out.jsonl, mode: append } }";
    let place = Place::with(&flow(files, pair), &[("a.jsonl", "1\n2\n3\n"), ("b.jsonl", "1\n")]);
    place.run(&["run"]).exits(0).says("balanced ✓");
    place.write("a.jsonl", "10\n20\n30\n");
    place.write("b.jsonl", "10\n20\n30\n");
    place.run(&["run"]).exits(0).says("balanced ✓");
    let want = "{\"l\":1,\"r\":1}\n{\"l\":10,\"r\":10}\n{\"l\":20,\"r\":20}\n{\"l\":30,\"r\":30}\n";
    assert_eq!(place.read("out.jsonl"), want);

    // a stream from outside, itself and through steps that write it again
    for (steps, left) in [
        (pair.to_string(), "a"),
        (format!("  w: {{ work: a, pipe: [cat] }}\n{}", pair.replace("[a, b]", "[w, b]")), "w"),
        (format!("  c: {{ copy: a, to: [w] }}\n{}", pair.replace("[a, b]", "[w, b]")), "a copy"),
    ] {
        let place = Place::with(&flow("a: {}, b: {}, out: { sink: out.jsonl }", &steps), &[]);
        for (stream, items) in [("a", "1\n2\n3\n"), ("b", "1\n2\n")] {
            place.run(&["streams", "create", stream, "-q"]).exits(0);
            place.feed(&["produce", stream, "-q"], items.as_bytes()).exits(0);
        }
        for _ in 0..3 {
            place.run(&["run"]).exits(0).says("balanced ✓"); // the third item waits, and is not counted twice
        }
        place.feed(&["produce", "b", "-q"], b"3\n4\n").exits(0);
        place.feed(&["produce", "a", "-q"], b"4\n5\n").exits(0);
        place.run(&["run"]).exits(0).says("balanced ✓");
        let want: String = (1..5).map(|n| format!("{{\"l\":{n},\"r\":{n}}}\n")).collect();
        assert_eq!(place.read("out.jsonl"), want, "{left}");
    }

    // a stream that is kept goes on, although a file fills it
    let kept = "a: { source: a.jsonl, keep: true }, b: { source: b.jsonl, keep: true }, out: { sink: { file: out.jsonl, mode: append } }";
    let place = Place::with(&flow(kept, pair), &[("a.jsonl", "1\n2\n"), ("b.jsonl", "1\n")]);
    place.run(&["run"]).exits(0).says("balanced ✓");
    place.write("a.jsonl", "3\n");
    place.write("b.jsonl", "2\n3\n");
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.jsonl"), "{\"l\":1,\"r\":1}\n{\"l\":2,\"r\":2}\n{\"l\":3,\"r\":3}\n");
}

/// A reader behind a copy or a join reads what they view: it can be reset, and added, like any other one.
#[test]
fn readers_behind_copies_are_reset_and_added() {
    let steps = "  both: { copy: in, to: [x, y] }\n  a: { work: x, pipe: [cat] }\n  all: { join: y }\n  b: { work: all, pipe: [cat] }\n";
    let place = Place::with(&flow("in: {}, a: {}, b: {}", steps), &[]);
    place.run(&["streams", "create", "in", "-q"]).exits(0);
    place.feed(&["produce", "in", "-q"], NUMBERS.as_bytes()).exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓");
    let count = |stream| place.run(&["consume", stream, "-q"]).out.lines().count();
    for (reset, a, b) in [("r.a", 6, 3), ("r.b", 6, 6)] {
        place.run(&["groups", "reset", reset, "--to-earliest"]).exits(0);
        place.run(&["run"]).exits(0).says("balanced ✓");
        assert_eq!((count("a"), count("b")), (a, b), "{reset}");
    }
    let more = flow(
        "in: {}, a: {}, b: {}, c: {}",
        &format!("{}  c: {{ work: z, pipe: [cat] }}\n", steps.replace("[x, y]", "[x, y, z]")),
    );
    place.write("flow.yaml", more);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!((count("a"), count("b"), count("c")), (6, 6, 3), "a new reader begins with the first item");
    place.feed(&["produce", "in", "-q"], b"{\"n\":4,\"g\":1}\n").exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!((count("a"), count("b"), count("c")), (7, 7, 4));
    assert_eq!(sorted(&place.run(&["consume", "c", "-q"]).out), sorted(&format!("{NUMBERS}{{\"n\":4,\"g\":1}}\n")));
}

/// Joins over copies of joins double at each level: refused while it is cheap.
#[test]
fn ways_that_double_at_each_level_are_refused() {
    let level =
        |i: usize| format!("  c{i}: {{ copy: j{i}, to: [a{i}, b{i}] }}\n  j{}: {{ join: [a{i}, b{i}] }}\n", i + 1);
    let of = |n: usize| {
        let steps: String = (0..n).map(level).collect();
        let flow = flow("j0: {}, n: { sink: n.jsonl }", &format!("{steps}  n: {{ reduce: j{n}, value: count() }}\n"));
        Place::with(&flow, &[])
    };
    of(60).run(&["check"]).exits(2).says("ways, through copies and joins");
    let place = of(6);
    place.run(&["streams", "create", "j0", "-q"]).exits(0);
    place.feed(&["produce", "j0", "-q"], NUMBERS.as_bytes()).exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("n.jsonl"), "192\n");
}

/// A stream that only a file fills is its flow's own: two flows in one folder may both call theirs `in`.
#[test]
fn two_flows_may_call_their_files_alike() {
    let one = |name: &str| {
        format!(
            "flow: {name}\nstreams: {{ in: {{ source: {name}.txt }}, out: {{ sink: out/{name}.txt }} }}\nsteps: {{ out: {{ work: in, pipe: [cat] }} }}\n"
        )
    };
    let place = Place::new();
    for name in ["a", "b", "a"] {
        place.write(&format!("{name}.yaml"), one(name));
        place.write(&format!("{name}.txt"), format!("{name}\n"));
        place.run(&["run", &format!("{name}.yaml")]).exits(0).says("balanced ✓");
        assert_eq!(place.read(&format!("out/{name}.txt")), format!("{name}\n"));
    }
}

/// What an item becomes in a stream of another format: a JSON string its text, text a JSON string, whoever writes it.
#[test]
fn items_take_the_format_of_the_stream_they_go_to() {
    let place = Place::with(
        "
flow: formats
streams:
  lines: { source: { items: [x, 'say \"hi\"'] }, format: text }
  mixed: { sink: mixed.jsonl }
  text: { format: text, partitions: 1 }
  parted: { format: text, partitions: 2 }
  paired: { format: text, partitions: 1 }
  last: { format: text, partitions: 1 }
  same: { format: text, partitions: 1 }
  json: { partitions: 1 }
  all: { sink: all.jsonl }
steps:
  all: { work: every, value: { v: item, n: size(item) } }
  every: { merge: [text, parted, paired, last, same, seen] }
  seen: { work: json, value: item }
  words: { work: lines, each: '[item]' }
  text: { copy: words, to: text }
  parted: { shard: words, by: item, shards: 2, to: parted }
  paired: { reduce: [words, lines2], pair: lockstep, value: a }
  lines2: { copy: lines, to: lines2 }
  last: { reduce: words, value: last(item) }
  same: { work: words, exec: ['true'] }
  json: { filter: lines, where: size(item) > 1, otherwise: rest }
  rest: { filter: rest, where: 'true', to: mixed }
",
        &[],
    );
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("mixed.jsonl"), "\"x\"\n");
    let (x, hi) = ("{\"v\":\"x\",\"n\":1}", "{\"v\":\"say \\\"hi\\\"\",\"n\":8}");
    assert_eq!(sorted(&place.read("all.jsonl")), [vec![hi; 6], vec![x; 4]].concat());

    let place = Place::with(
        "flow: f\nstreams: { in: { source: in.txt, format: bytes }, out: { format: json, partitions: 1 } }\nsteps: { out: { copy: in, to: out } }\n",
        &[],
    );
    place.write("in.txt", b"good\nb\xffd\n");
    place.run(&["run"]).exits(3).says("balanced ✓").says("not UTF-8: byte 2 is wrong");
    assert_eq!(place.run(&["consume", "out", "-q"]).out, "\"good\"\n");

    // a join writes nothing: who reads what it lets through converts
    let join = "flow: f
streams: { a: { format: text }, b: {}, said: { format: text }, all: { sink: all.jsonl }, n: { sink: n.jsonl } }
steps:
  both: { join: [a, b] }
  said: { join: both, to: said }
  did: { work: both, exec: ['true'] }
  sized: { work: said, value: size(item) }
  all: { merge: [both, did] }
  n: { reduce: sized, value: sum(item) }
";
    let place = Place::with(join, &[]);
    for (stream, items) in [("a", "say \"hi\"\nb\n"), ("b", "\"json\"\n{\"n\":1}\n")] {
        place.run(&["streams", "create", stream, "-q"]).exits(0);
        place.feed(&["produce", stream, "-q"], items.as_bytes()).exits(0);
    }
    place.run(&["run"]).exits(0).says("balanced ✓");
    let all = ["\"b\"", "\"json\"", "\"say \\\"hi\\\"\"", "{\"n\":1}"];
    assert_eq!(sorted(&place.read("all.jsonl")), all.iter().flat_map(|l| [*l; 2]).collect::<Vec<_>>());
    assert_eq!(place.read("n.jsonl"), "20\n");
}

/// What an account cannot hold is known before anything is done.
#[test]
fn too_many_partitions_are_refused_before_the_first_commit() {
    let steps = "  b: { copy: in, to: b }\n  c: { work: b, pipe: [cat] }\n";
    let place = Place::with(&flow("in: {}, b: {}, c: {}", steps), &[]);
    place.run(&["streams", "create", "in", "--partitions", "3000", "-q"]).exits(0);
    place.feed(&["produce", "in", "-q"], NUMBERS.as_bytes()).exits(0);
    place.run(&["run"]).exits(2).says("12000 readers and written partitions, at most 8192 are possible");
    place.run(&["report"]).exits(2);
}
