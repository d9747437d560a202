//! Bad input gets a clear error that says what to do; nothing is lost, nothing panics.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran};

const FILTER: &str = "
flow: filter
streams: { all: { source: in.jsonl }, kept: { sink: out/kept.jsonl } }
steps: { kept: { filter: all, where: item.n > 1 } }
";

/// Runs the filter over these lines.
fn filtered(lines: impl AsRef<[u8]>) -> (Place, Ran) {
    let place = Place::with(FILTER, &[]);
    place.write("in.jsonl", lines);
    let ran = place.run(&["run"]);
    (place, ran)
}

fn dead(place: &Place) -> Vec<serde_json::Value> {
    let list = place.run(&["dead", "list", "--json"]).exits(0);
    serde_json::from_str::<Vec<serde_json::Value>>(&list.out).expect("json")
}

/// One bad line among good ones: it alone is a dead letter, with this in its error.
#[track_caller]
fn one_dead(line: &[u8], error: &str) {
    let text = [b"{\"n\":2}\n".as_slice(), line, b"\n{\"n\":3}\n"].concat();
    let (place, ran) = filtered(text);
    ran.exits(3).says("balanced ✓");
    assert_eq!(place.read("out/kept.jsonl"), "{\"n\":2}\n{\"n\":3}\n");
    let letters = dead(&place);
    assert_eq!(letters.len(), 1);
    let said = letters[0]["error"].as_str().expect("text");
    assert!(said.contains(error), "{said}");
}

const SMALL: &str = "flow: small\nstreams: { all: { source: in.jsonl }, out: { partitions: 1 } }\nsteps: { out: { copy: all, to: out } }\n";

#[test]
fn malformed_and_truncated_json_is_a_dead_letter() {
    one_dead(br#"{"n":2"#, "not JSON");
    one_dead(br#"{"n":2} x"#, "not JSON");
    one_dead(br#"{"n":2,"x":tru}"#, "not JSON");
    one_dead(b"{'n':2}", "not JSON");
}

#[test]
fn deeply_nested_json_is_a_dead_letter() {
    let line = format!("{{\"n\":2,\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    one_dead(line.as_bytes(), "nested deeper than 128");
}

#[test]
fn invalid_utf8_and_nul_are_dead_letters() {
    one_dead(b"{\"n\":2,\"x\":\"\xff\"}", "not UTF-8");
    one_dead(b"{\"n\":2,\"x\":\"\0\"}", "control characters");
    one_dead(b"\0\0\0", "not JSON");
}

#[test]
fn of_two_equal_names_the_last_one_wins() {
    let (place, ran) = filtered("{\"n\":1,\"n\":5}\n{\"n\":5,\"n\":1}\n");
    ran.exits(0);
    assert_eq!(place.read("out/kept.jsonl"), "{\"n\":1,\"n\":5}\n");
}

#[test]
fn crlf_and_a_byte_order_mark_are_taken_off() {
    let (place, ran) = filtered(b"\xef\xbb\xbf{\"n\":2}\r\n{\"n\":3}\r\n");
    ran.exits(0);
    assert_eq!(place.read("out/kept.jsonl"), "{\"n\":2}\n{\"n\":3}\n");
}

#[test]
fn blank_lines_are_skipped_in_jsonl_and_items_in_lines() {
    let (_, ran) = filtered("{\"n\":2}\n\n  \n{\"n\":3}");
    ran.exits(0).says("kept      2       2");
    let flow = "
flow: blanks
streams: { all: { source: in.txt }, out: { sink: out/all.txt } }
steps: { out: { copy: all, to: out } }
";
    let place = Place::with(
        &flow.replace("out: { copy: all, to: out }", "c: { copy: all, to: out }"),
        &[("in.txt", "a\n\nb\n")],
    );
    place.run(&["run"]).exits(0);
    assert_eq!(place.read("out/all.txt"), "a\n\nb\n");
}

#[test]
fn a_line_of_a_hundred_megabytes_is_a_dead_letter_and_memory_stays_flat() {
    let small = "{\"n\":2}\n".repeat(100_000);
    let long = [b"\"".as_slice(), &vec![b'x'; 100 << 20], b"\"\n"].concat();
    let place = Place::with(FILTER, &[]);
    place.write("in.jsonl", [small.as_bytes(), &long, small.as_bytes()].concat());
    let (ran, peak) = place.run_weighed(&["run"]);
    ran.exits(3).says("balanced ✓");
    assert!((1..64 << 10).contains(&peak), "{peak} KiB of memory");
    assert!(place.read("out/kept.jsonl") == small.repeat(2), "the small lines are all there");
    let letters = dead(&place);
    assert_eq!(letters.len(), 1);
    assert!(letters[0]["error"].as_str().expect("text").contains("more than 16777216 bytes"));
    assert_eq!(letters[0]["value"].as_str().expect("text").len(), 4096, "only its beginning is kept");
}

#[test]
fn an_empty_file_is_an_empty_batch() {
    let (place, ran) = filtered("");
    ran.exits(0).says("balanced ✓");
    assert_eq!(place.read("out/kept.jsonl"), "");
}

#[test]
fn a_missing_file_is_told_before_anything_is_touched() {
    let place = Place::with(FILTER, &[]);
    place.run(&["run"]).exits(2).says("in.jsonl is not there");
    assert!(!place.has("out"));
    let none = Place::with(&FILTER.replace("in.jsonl", "in/*.jsonl"), &[]);
    none.run(&["run"]).exits(0).says("in/*.jsonl matches no file").says("balanced ✓");
}

#[test]
fn errors_of_expressions_are_dead_letters_and_say_why() {
    let flow = |e: &str| FILTER.replace("item.n > 1", &format!("'{e}'"));
    for (expression, error) in [
        ("item.n > 1", "no field `n`"),
        ("item.t > 1", "text and a whole number"),
        ("1 / item.zero > 1", "division by zero"),
        ("item.big * 2 > 1", "out of range"),
        ("item.t", "gave text, not true or false"),
    ] {
        let place =
            Place::with(&flow(expression), &[("in.jsonl", "{\"t\":\"x\",\"zero\":0,\"big\":9223372036854775807}\n")]);
        place.run(&["run"]).exits(3).says("balanced ✓");
        let letters = dead(&place);
        assert!(letters[0]["error"].as_str().expect("text").contains(error), "{expression}: {}", letters[0]["error"]);
    }
}

#[test]
fn ten_thousand_brackets_are_an_error_with_the_column() {
    let deep = format!("\"{}1{}\"", "(".repeat(1_500), ")".repeat(1_500));
    let place = Place::with(&FILTER.replace("item.n > 1", &deep), &[]);
    place.run(&["check"]).exits(2).says("nested deeper than 32 levels").says("flow.yaml:4:");
    let long = format!("\"{}1{}\"", "(".repeat(10_000), ")".repeat(10_000));
    let place = Place::with(&FILTER.replace("item.n > 1", &long), &[]);
    place.run(&["check"]).exits(2).says("at most 4096 are read");
}

#[test]
fn a_null_key_is_an_error_of_the_item() {
    let flow = "
flow: keys
streams: { all: { source: in.jsonl }, sums: { sink: out/sums.jsonl }, parts: { sink: out/parts.jsonl } }
steps:
  sums: { reduce: all, by: item.k, value: { n: count() } }
  spread: { shard: all, by: item.k, shards: 2, to: 's-{shard}' }
  parts: { merge: 's-*' }
";
    let place = Place::with(flow, &[("in.jsonl", "{\"k\":1}\n{\"k\":null}\n{}\n")]);
    place.run(&["run"]).exits(3).says("balanced ✓");
    assert_eq!(place.read("out/sums.jsonl"), "{\"k\":1,\"n\":1}\n");
    let letters = dead(&place);
    assert_eq!(letters.len(), 4);
    assert!(letters.iter().any(|l| l["error"] == "`by: item.k` is null"));
}

#[test]
fn yaml_that_is_no_flow_is_told_in_words() {
    for (text, says) in [
        ("", "the file is empty"),
        ("flow: a\nstreams:\n\tx: {}\n", "tab"),
        ("flow: a\nflow: b\n", "`flow` is written twice"),
        ("flow: a\nsteps: &s\n  x: *s\n", "inside the value that it names"),
        ("flow: a\nsteps: { x: !int 3 }\n", "tag"),
        ("flow: a\nnonsense: 1\n", "no key `nonsense`"),
        ("flow: A\nsteps: {}\n", "cannot be the name of a flow"),
        ("- a\n- b\n", "must be a map"),
        ("flow: a\nstreams: { s: {} }\nsteps: { x: { copy: s, to: o }, y: { copy: s, to: o } }\n", "two writers"),
        ("flow: a\nsteps: { x: { copy: y, to: x }, y: { copy: x, to: y } }\n", "circle"),
        (
            "flow: a\nstreams: { s: {} }\nsteps: { x: { filter: s, where: item.a > 1, wehre: 2 } }\n",
            "did you mean `where`",
        ),
        ("flow: a\n---\nflow: b\n", "one flow"),
        ("flow: a\nsteps: [{ copy: s, to: o }]\n", "write  NAME: { copy: …, to: … }  for each, without `-`"),
        ("flow: a\nstreams:\n- s\n", "write  NAME: { source: … }  for each, without `-`"),
    ] {
        let place = Place::with(text, &[]);
        place.run(&["check"]).exits(2).says(says).says("nothing was run");
    }
}

#[test]
fn exploding_aliases_are_refused() {
    let mut text = "flow: a\nx-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_string();
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        text += &format!("x-{i}: &a{i} [{list}]\n");
    }
    Place::with(&text, &[]).run(&["check"]).exits(2).says("more than 100000 values");
}

#[test]
fn a_newer_data_directory_is_refused_with_words() {
    let (place, ran) = filtered("{\"n\":2}\n");
    ran.exits(0);
    let db = rusqlite::Connection::open(place.path().join(".anabranch/index.db")).expect("opens");
    db.pragma_update(None, "user_version", 99).expect("writes");
    drop(db);
    place.run(&["run"]).exits(2).says("has format 99").says("a newer version of this program");
}

#[test]
fn a_flipped_bit_names_the_extent() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    let line = "x".repeat(50_000) + "\n";
    place.feed(&["produce", "s"], line.as_bytes()).exits(0);
    let seg = place.path().join(".anabranch/seg/00000001.seg");
    let mut bytes = std::fs::read(&seg).expect("large items are in a segment");
    bytes[30_000] ^= 4;
    std::fs::write(&seg, bytes).expect("writes");
    place.run(&["consume", "s"]).exits(1).says("s partition 0 offsets 0..1").says("checksum").says("00000001.seg");
}

#[test]
fn a_file_that_changes_between_a_stop_and_its_resume_is_named() {
    let flow = "
flow: slow
streams: { all: { source: in.jsonl }, out: { sink: out/out.jsonl } }
steps: { out: { work: all, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi'] } }
";
    let place = Place::with(flow, &[("in.jsonl", "{\"n\":1}\n{\"n\":2}\n")]);
    assert_eq!(place.run(&["run"]).exit, -1, "killed by its own child");
    place.write("in.jsonl", "{\"n\":1}\n");
    place.run(&["run"]).exits(1).says("in.jsonl").says("shrank from 16 to 8 bytes").says("--fresh");
    place.run(&["run", "--fresh"]).exits(0).says("is abandoned").says("balanced ✓");
}

#[test]
fn an_open_run_of_another_flow_version_is_refused() {
    let flow = "
flow: slow
streams: { all: { source: in.jsonl }, out: { sink: out/out.jsonl } }
steps: { out: { work: all, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi'] } }
";
    let place = Place::with(flow, &[("in.jsonl", "{\"n\":1}\n")]);
    place.run(&["run"]);
    place.write("flow.yaml", flow.replace("kill -9", "kill -15"));
    place.run(&["run"]).exits(2).says("another version of the flow").says("--fresh");
    place.write("flow.yaml", flow);
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let place = Place::new();
    place.run(&["run"]).exits(2).says("there is no flow file flow.yaml");
    place.run(&["consume", "nothing"]).exits(2).says("there is no stream nothing");
    place.run(&["produce", "nothing"]).exits(2).says("streams create nothing");
    place.run(&["groups", "describe", "nobody"]).exits(2).says("there is no group nobody");
    place.run(&["streams", "create", "a b"]).exits(2).says("cannot be the name of a stream");
    place.run(&["runn"]).exits(2).says("run");
    place.write("file", "x");
    place.run(&["streams", "list", "--data", "file"]).exits(1).says("file");
}

#[test]
fn pairs_of_unequal_streams_are_refused() {
    let flow = "
flow: pairs
streams: { a: { partitions: 2 }, b: { partitions: 3 }, out: { sink: out/out.jsonl } }
steps: { out: { reduce: [a, b], pair: lockstep, value: { left: a, right: b } } }
";
    let place = Place::with(flow, &[]);
    place.run(&["run"]).exits(2).says("a has 2 and b has 3").says("same number of partitions");
}

#[test]
fn what_a_flow_keeps_for_itself_is_not_touched() {
    let place = Place::with(SMALL, &[("in.jsonl", "1\n")]);
    place.run(&["run"]).exits(0);
    for command in [&["produce", "anabranch.small.dead"][..], &["streams", "delete", "anabranch.small.dead"]] {
        place.feed(command, b"x\n").exits(2).says("is kept by a flow for itself");
    }
    let create = ["streams", "create", "anabranch.mine", "--partitions", "1"];
    place.run(&create).exits(2).says("is kept by a flow for itself");
}

#[test]
fn brokers_are_named_with_their_ports() {
    let place = Place::with(SMALL, &[]);
    for broker in ["127.0.0.1", "127.0.0.1:abc", "127.0.0.1:99999", ":9092", "http://127.0.0.1:9092"] {
        place.run(&["streams", "list", "--kafka", broker]).exits(2).says("a broker cannot be named").says("HOST:PORT");
    }
}

#[test]
fn a_standard_output_that_is_full_is_told() {
    let place = Place::with(SMALL, &[("in.jsonl", "1\n")]);
    place.run(&["run"]).exits(0);
    for command in [&["streams", "list"][..], &["report"], &["explain"], &["graph"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("opens");
        let mut told = place.command(command);
        let told = Ran::from(told.stdout(full).output().expect("starts"));
        assert!(told.exit == 1 && told.err.contains("standard output cannot be written"), "{command:?}: {}", told.err);
    }
}

/// A log that has less than the accounts know of is told at once, not waited for.
#[test]
fn accounts_that_know_of_more_than_is_there_are_told() {
    let flow = "
flow: slow
streams: { all: { source: in.txt }, done: {}, out: { sink: out.txt } }
steps:
  done: { work: all, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi; cat'] }
  out: { reduce: done, value: count() }
";
    let place = Place::with(flow, &[("in.txt", "a\nb\n")]);
    assert_eq!(place.run(&["run"]).exit, -1, "killed by its own child");
    let db = rusqlite::Connection::open(place.path().join(".anabranch/index.db")).expect("opens");
    let (was, is) = (r#"[["anabranch.slow.all",0],{"end":2,"#, r#"[["anabranch.slow.all",0],{"end":3,"#);
    let edit = "UPDATE account SET body = CAST(replace(CAST(body AS TEXT), ?1, ?2) AS BLOB)";
    assert_eq!(db.execute(edit, [was, is]).expect("edits"), 1);
    drop(db);
    place.run(&["run"]).exits(1).says("anabranch.slow.all partition 0 ends at 2").says("know of items up to 3");
}

#[test]
fn names_that_a_flow_has_for_itself_are_refused() {
    for name in anabranch::engine::OWN_NAMES {
        let flow = format!(
            "flow: own\nstreams: {{ in: {{ source: in.txt }}, a: {{ sink: a.txt }} }}\nsteps: {{ {name}: {{ work: in, exec: [cat] }}, a: {{ join: {name} }} }}\n"
        );
        Place::with(&flow, &[("in.txt", "")]).run(&["check"]).exits(2).says("cannot be the name of a stream");
    }
}
