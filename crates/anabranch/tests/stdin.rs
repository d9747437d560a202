//! Standard input is a source like a file, and no run takes what belongs to another one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// What a stream from `source` gives for these bytes: its items with key and timestamp, and the dead letters' errors.
fn items(place: &Place, source: &str, rest: &str, input: &[u8]) -> (String, Vec<String>) {
    place.write("in.file", input);
    let flow = "
flow: same
streams:
  all: { source: SOURCE, format: FORMAT ENTRY }
  out: { sink: { file: out.jsonl, write: item, mode: replace } }
steps: { c: { copy: all, to: out } }
";
    let (format, entry) = rest.split_once(' ').unwrap_or((rest, ""));
    place.write("flow.yaml", flow.replace("SOURCE", source).replace("FORMAT", format).replace("ENTRY", entry));
    let ran = place.feed(&["run"], input);
    assert!(ran.err.contains("balanced ✓") && matches!(ran.exit, 0 | 3), "{}", ran.err);
    let run: u64 =
        ran.err.split("run ").nth(1).and_then(|r| r.split(' ').next()).expect("a run").parse().expect("a number");
    let list = place.run(&["dead", "list", "--json", "--run", &run.to_string()]).exits(0);
    let letters: Vec<serde_json::Value> = serde_json::from_str(&list.out).expect("json");
    let errors = letters.iter().map(|l| l["error"].as_str().expect("text").to_string()).collect();
    // files name themselves in headers, and each run gives its own start as timestamp
    let strip = |line: &str| {
        let mut item: serde_json::Value = serde_json::from_str(line).expect("json");
        item.as_object_mut().expect("an item").remove("headers");
        if !entry.contains("time:") {
            item.as_object_mut().expect("an item").remove("timestamp");
        }
        item.to_string() + "\n"
    };
    (place.read("out.jsonl").lines().map(strip).collect(), errors)
}

#[test]
fn the_same_bytes_are_the_same_items_from_a_file_and_through_standard_input() {
    let place = Place::new();
    let long = [vec![b'x'; (16 << 20) + 1], b"\nshort\n".to_vec()].concat();
    for input in [
        b"\xef\xbb\xbfone\r\ntwo\n\nlast".as_slice(),
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\n",
        b"",
        b"\n\r\n",
        b"no end",
        &long,
    ] {
        let of = |source: &str| items(&place, source, "text", input);
        assert_eq!(of("stdin"), of("in.file"), "{:?}", &input[..input.len().min(40)]);
    }
    let json =
        b"\xef\xbb\xbf{\"k\":\"a\",\"t\":1000}\r\n\n  \n{\"k\":2,\"t\":2000}\n{\"k\":\"c\"}\n{\"t\":3000}\nnot json\n";
    let rest = "json , key: item.k, time: item.t, fields: { k: string, t: int }";
    let got = items(&place, "stdin", rest, json);
    assert_eq!(got, items(&place, "{ file: in.file, format: jsonl }", rest, json));
    let (out, errors) = got;
    assert_eq!(out, "{\"key\":\"a\",\"timestamp\":1000,\"value\":{\"k\":\"a\",\"t\":1000}}\n");
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn produce_takes_the_mark_off_too() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    place.feed(&["produce", "s"], b"\xef\xbb\xbfone\r\ntwo").exits(0).says("Produced 2 items");
    place.feed(&["produce", "s"], b"\xef\xbb\xbf").exits(0).says("Produced 0 items");
    assert_eq!(place.run(&["consume", "s"]).exits(0).out, "one\ntwo\n");
}

const PIPED: &str = "
flow: piped
streams: { all: { source: stdin, format: text }, out: { sink: stdout } }
steps: { c: { copy: all, to: out } }
";

/// `seq FROM TO | anabranch run -q`, of whose output somebody reads one line and goes.
fn head(place: &Place, from: u32, to: u32) -> Ran {
    place.write(".numbers", (from..=to).map(|n| format!("{n}\n")).collect::<String>());
    let file = std::fs::File::open(place.path().join(".numbers")).expect("opens");
    let mut child = place.command(&["run", "-q"]).stdin(file).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("reads");
    assert_eq!(line, format!("{from}\n"));
    Ran::from(child.wait_with_output().expect("ends"))
}

#[test]
fn a_pipeline_never_gets_the_data_of_the_one_before() {
    let place = Place::with(PIPED, &[]);
    let cut = head(&place, 1, 200_000);
    assert_eq!((cut.exit, cut.err.as_str()), (141, ""), "who closed the pipe has seen enough");
    let refused =
        place.feed(&["run"], b"new\n").exits(2).says("run 1 of piped is open").says("--fresh").says("< /dev/null");
    assert_eq!(refused.out, "");
    let fresh = place.feed(&["run", "--fresh"], b"new\n").exits(0).says("what it read from standard input is gone");
    assert_eq!(fresh.out, "new\n");
    // one whose input has not ended is ended with what it had
    let mut child = place.command(&["run", "-q"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"1\n").expect("writes");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("reads");
    child.kill().expect("kills");
    child.wait().expect("ends");
    place.feed(&["run"], b"").exits(2).says("run 3 of piped is open");
    let ended = place.run(&["run", "-q"]).exits(1).says("run 3").says("standard input was cut");
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert_eq!(place.feed(&["run", "-q"], b"next\n").exits(0).out, "next\n");
}

#[test]
fn a_run_whose_input_has_ended_is_finished_but_not_in_the_place_of_another_one() {
    let flow = "
flow: ended
streams: { all: { source: stdin, format: text }, out: { sink: out.txt } }
steps:
  g: { join: all }
  c: { work: g, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi; cat'], concurrency: 1, to: out }
";
    let place = Place::with(flow, &[]);
    assert_eq!(place.feed(&["run"], b"a\nb\n").exit, -1, "killed by its own child");
    place.feed(&["run"], b"new\n").exits(2).says("run 1 of ended is open").says("--fresh").says("< /dev/null");
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(place.read("out.txt"), "a\nb\n");
    place.feed(&["run"], b"new\n").exits(0);
    assert_eq!(place.read("out.txt"), "a\nb\nnew\n");
}

#[test]
fn a_closed_pipe_ends_every_run_quietly_and_it_goes_on() {
    let flow = "
flow: file
streams: { all: { source: in.txt }, out: { sink: stdout } }
steps: { c: { copy: all, to: out } }
";
    let place = Place::with(flow, &[]);
    place.write("in.txt", (0..2_000_000).map(|n| format!("{n}\n")).collect::<String>());
    let mut child = place.command(&["run"]).stdout(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let ended = Ran::from(child.wait_with_output().expect("ends"));
    assert_eq!((ended.exit, ended.err.as_str()), (141, ""));
    let rest = place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert!(rest.out.ends_with("1999999\n"));
    let line = format!("{} run -q | head -n 1 > /dev/null; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_anabranch"));
    let piped = Command::new("bash").args(["-c", &line]).current_dir(place.path()).output().expect("starts");
    assert_eq!((piped.status.code(), String::from_utf8_lossy(&piped.stderr).as_ref()), (Some(141), ""));
}

#[test]
fn a_flow_does_not_add_to_its_own_standard_input() {
    let flow = |sink: &str| {
        format!(
            "flow: own\nstreams: {{ in: {{ source: stdin }}, out: {{ sink: {sink} }} }}\nsteps: {{ out: {{ filter: in, where: 'true' }} }}\n"
        )
    };
    let place = Place::with(&flow(".input"), &[]);
    place.feed(&["run"], b"1\n2\n").exits(2).says("is added to the file that `in` is read from");
    assert_eq!(place.read(".input"), "1\n2\n");
    place.write("flow.yaml", flow("stdout"));
    let open =
        |add: bool| std::fs::File::options().read(!add).append(add).open(place.path().join(".input")).expect("opens");
    let ran = place.command(&["run"]).stdin(open(false)).stdout(open(true)).output().expect("starts");
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert_eq!(place.read(".input"), "1\n2\n");
}
