//! What the command says, to people and to programs, and what it does when nobody can hear it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran};
use std::fs::{File, OpenOptions};
use std::process::{Command, Stdio};

const COPY: &str = "
flow: copy
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { c: { copy: all, to: out } }
";

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_standard_error_that_cannot_be_written_changes_nothing() {
    let bad = COPY.replace("copy: all", "copy: none");
    let held = COPY.replace("copy: all, to: out", "filter: all, where: 'int(item) > 1', to: out");
    for (flow, exit) in [(COPY, 0), (&bad, 2), (&held, 3)] {
        let place = Place::with(flow, &[("in.txt", "a\n")]);
        for commands in [["run", "--progress=plain"], ["check", "--json"], ["report", "flow.yaml"], ["dead", "list"]] {
            let full = OpenOptions::new().write(true).open("/dev/full").expect("opens");
            let heard = place.run(&commands).exit;
            let deaf = place.command(&commands).stderr(full).output().expect("starts").status.code();
            assert_eq!(deaf, Some(heard), "{commands:?}");
        }
        let full = OpenOptions::new().write(true).open("/dev/full").expect("opens");
        assert_eq!(place.command(&["run"]).stderr(full).output().expect("starts").status.code(), Some(exit));
    }
}

#[test]
fn a_quiet_run_says_in_one_line_what_did_not_go_well() {
    let dead = "
flow: dead
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps: { out: { filter: all, where: item.n > 1 } }
";
    let held = dead
        .replace("out: { filter: all, where: item.n > 1 }", "f: { filter: all, where: item.n > 1 }, out: { join: f }");
    let failed = held.replace("join: f", "join: f, if-failed: fail");
    for (flow, exit, says) in [
        (dead, 3, "dead · run 1 · done with 1 dead letter"),
        (&held, 4, "dead · run 1 · HELD"),
        (&held, 4, "out is held: 1 of 2 failed, tolerate is 0"),
        (&failed, 1, "dead · run 1 · FAILED"),
    ] {
        let place = Place::with(flow, &[("in.jsonl", "{\"n\":2}\nx\n")]);
        let ran = place.run(&["run", "-q"]).exits(exit).says(says);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
    let place = Place::with(dead, &[("in.jsonl", "{\"n\":2}\n")]);
    assert_eq!(place.run(&["run", "-q"]).exits(0).err, "");
}

#[test]
fn items_and_programs_cannot_steer_the_terminal() {
    let flow = "
flow: escapes
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps:
  out: { work: all, exec: [sh, -c, 'printf \"\\033[31mbad\\033[0m\\r\\302\\233x\" >&2; exit 1'], retry: { attempts: 1 } }
";
    let place = Place::with(flow, &[("in.txt", "item \x1b]0;title\x07\u{9b}2J\u{202e}\n")]);
    let steers = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    let ran = place.run(&["run"]).exits(3).says("\\u{1b}[31mbad");
    assert!(!steers(&ran.err), "{}", ran.err);
    place.run(&["run", "-q"]).exits(3);
    for command in [&["dead", "list"][..], &["dead", "show", "1-0001"], &["explain"], &["report"]] {
        let ran = place.run(command).exits(0);
        assert!(!steers(&ran.out) && !steers(&ran.err), "{command:?}: {}", ran.out);
    }
    let letter = json(&place.run(&["dead", "show", "1-0001", "--json"]).exits(0).out);
    assert_eq!(letter["value"], "item \x1b]0;title\x07\u{9b}2J\u{202e}", "for programs it is as it was");
    place.write("flow.yaml", "flow: a\nsteps: { \"x\x1b[31m\": 1 }\n");
    let ran = place.run(&["check"]).exits(2);
    assert!(!steers(&ran.err), "{}", ran.err);
}

#[test]
fn items_are_printed_as_they_are_but_on_a_terminal() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    place.feed(&["produce", "s"], b"a \x1b[31mred\n").exits(0);
    assert_eq!(place.run(&["consume", "s"]).exits(0).out, "a \x1b[31mred\n");
    let program = env!("CARGO_BIN_EXE_anabranch");
    let line = format!("import pty; pty.spawn(['{program}', 'consume', 's', '-q'])");
    let seen = Command::new("python3").args(["-c", &line]).current_dir(place.path()).stdin(Stdio::null()).output();
    let seen = String::from_utf8(seen.expect("python3 makes a terminal").stdout).expect("text");
    assert_eq!(seen.trim_end(), "a \\u{1b}[31mred");
}

#[test]
fn to_look_makes_nothing() {
    let place = Place::with(COPY, &[("in.txt", "a\n")]);
    std::fs::create_dir(place.path().join("empty")).expect("makes");
    for (command, exit) in [
        (&["streams", "list"][..], 0),
        (&["streams", "list", "--json"], 0),
        (&["groups", "list"], 0),
        (&["streams", "describe", "s"], 2),
        (&["streams", "delete", "s"], 2),
        (&["groups", "describe", "g"], 2),
        (&["groups", "reset", "g", "--to-earliest"], 2),
        (&["consume", "s"], 2),
        (&["produce", "s"], 2),
        (&["dead", "list"], 2),
        (&["dead", "show", "1-0001"], 2),
        (&["report"], 2),
        (&["explain"], 2),
        (&["check"], 0),
        (&["graph"], 0),
    ] {
        for data in [None, Some("empty"), Some("none")] {
            let data = data.map_or(vec![], |d| vec!["--data", d]);
            let ran = place.run(&[command, &data].concat()).exits(exit);
            if command.contains(&"--json") {
                assert_eq!(ran.out, "[]\n");
            }
        }
    }
    assert!(!place.has(".anabranch") && !place.has("none"));
    assert_eq!(std::fs::read_dir(place.path().join("empty")).expect("reads").count(), 0);
}

#[test]
fn json_is_one_document_whatever_happens() {
    let place = Place::with(COPY, &[("in.txt", "a\n")]);
    let graph = json(&place.run(&["graph", "--json"]).exits(0).out);
    assert_eq!((&graph["schema"], &graph["steps"][0]["inputs"][0]), (&"anabranch.graph/1".into(), &"all".into()));
    assert_eq!(json(&place.run(&["run", "--json"]).exits(0).out)["status"], "done");
    let missing = place.run(&["run", "none.yaml", "--json"]).exits(2);
    assert_eq!(json(&missing.out)["exit"], 2);
    place.write("bad.yaml", COPY.replace("copy: all", "copy: al"));
    for command in ["run", "graph", "report", "explain"] {
        let bad = json(&place.run(&[command, "bad.yaml", "--json"]).exits(2).out);
        assert_eq!(
            (&bad["schema"], &bad["diagnostics"][0]["code"]),
            (&"anabranch.error/1".into(), &"unwritten".into())
        );
    }
    let line = format!("{} run --json | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_anabranch"));
    let dead = COPY.replace("copy: all", "filter: all, where: 'int(item) > 1'");
    place.write("flow.yaml", &dead);
    let closed = Command::new("bash").args(["-c", &line]).current_dir(place.path()).output().expect("starts");
    assert_eq!(closed.status.code(), Some(3), "a reader that has gone changes nothing of how the run ended");
    std::fs::remove_file(place.path().join("in.txt")).expect("removes");
    let gone = json(&place.run(&["run", "--json"]).exits(2).out);
    assert!(gone["error"].as_str().expect("text").contains("in.txt is not there"), "{gone}");
    place.run(&["streams", "create", "s"]).exits(0);
    place.feed(&["produce", "s", "--key-separator", ":"], b"k:one\n:two\n").exits(0);
    let items = place.run(&["consume", "s", "--json"]).exits(0).out;
    let items: Vec<serde_json::Value> = items.lines().map(json).collect();
    assert_eq!((items.len(), &items[0]["key"], &items[1]["value"]), (2, &"k".into(), &"two".into()));
}

#[test]
fn a_group_never_goes_past_what_could_not_be_printed() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    let line = |i: usize| format!("{i:099}\n");
    place.feed(&["produce", "s"], (0..5_000).map(line).collect::<String>().as_bytes()).exits(0);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("opens");
    let told = place.command(&["consume", "s", "--group", "g"]).stdout(full).output().expect("starts");
    Ran::from(told).exits(1).says("standard output cannot be written");
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).expect("makes");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=100k", "tmpfs"]).arg(&disk).status();
    assert!(mounted.expect("starts").success(), "this test mounts a small disk and must run as root");
    let out = File::create(disk.join("out")).expect("creates");
    let told = place.command(&["consume", "s", "--group", "g"]).stdout(out).output().expect("starts");
    let printed = std::fs::read_to_string(disk.join("out")).expect("reads");
    Command::new("umount").arg("-l").arg(&disk).status().expect("umount");
    Ran::from(told).exits(1).says("standard output cannot be written");
    let whole = printed.matches('\n').count();
    assert!(whole > 0 && whole < 5_000);
    let rest = place.run(&["consume", "s", "--group", "g"]).exits(0).out;
    assert_eq!(rest, (whole..5_000).map(line).collect::<String>(), "it goes on with the first one that is not whole");
}

#[test]
fn a_closed_pipe_leaves_the_group_behind_what_was_written() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    let line = |i: usize| format!("{i:099}\n");
    place.feed(&["produce", "s"], (0..20_000).map(line).collect::<String>().as_bytes()).exits(0);
    let mut child =
        place.command(&["consume", "s", "--group", "g", "-q"]).stdout(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take()); // before, or after some of it was written
    child.wait().expect("ends");
    let rest = place.run(&["consume", "s", "--group", "g"]).exits(0).out;
    let first: usize = rest.lines().next().expect("not all was taken").parse().expect("a number");
    assert!(first <= (64 << 10) / 100, "no more than a pipe holds: {first}");
}

#[test]
fn a_produce_that_fails_says_how_many_items_are_in_the_stream() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    let lines = |to: usize| (1..=to).map(|i| format!("k:{i}\n")).collect::<String>();
    let ran = place.feed(&["produce", "s", "--key-separator", ":"], (lines(25_000) + "bad\nk:1\n").as_bytes());
    let there = place.run(&["consume", "s", "-q"]).exits(0).out.lines().count();
    assert!(there > 0 && there < 25_000, "{there}");
    let ran = ran.exits(2).says("line 25001 has no `:`").says(&format!("the first {there} items are in s"));
    ran.says(&format!("continue with line {}", there + 1));
    let none = place.feed(&["produce", "s", "--key-separator", ":"], b"k:1\nbad\n").exits(2);
    assert!(!none.err.contains("are in s"), "{}", none.err);
    assert_eq!(place.run(&["consume", "s", "-q"]).exits(0).out.lines().count(), there);
}

#[test]
fn a_name_in_a_file_of_variables_that_the_flow_does_not_list_is_told() {
    let flow = COPY.replace("flow: copy", "flow: copy\nenv: { OUT_NAME: x }");
    let place = Place::with(&flow, &[("in.txt", "a\n"), ("prod.env", "# comment\n\nOUT_NAEM=y\nSHELL=z\n")]);
    for command in ["check", "run"] {
        let ran = place.run(&[command, "--env-file", "prod.env"]).exits(0);
        ran.says("prod.env, line 3: the flow lists no variable OUT_NAEM").says("did you mean `OUT_NAME`?");
    }
    let needed = flow.replace("OUT_NAME: x", "OUT_NAME: null");
    place.write("flow.yaml", needed);
    let ran = place.run(&["run", "--env-file", "prod.env"]).exits(2);
    ran.says("`OUT_NAME` has no value").says("did you mean `OUT_NAME`?");
}

#[test]
fn check_looks_at_files_and_programs() {
    let place = Place::with(COPY, &[]);
    place.write("flow.yaml", COPY.replace("in.txt", "'in/*.txt'"));
    place.run(&["check"]).exits(0).says("note: in/*.txt matches no file now").says("is fine");
    place.write("flow.yaml", COPY);
    let ran = place.run(&["check"]).exits(2).says("in.txt is not there").says("flow.yaml:3:12");
    assert!(!ran.err.contains("is fine"), "{}", ran.err);
    let flow = "
flow: programs
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps:
  a: { work: all, exec: [./missing.sh, '{item}'] }
  b: { work: a, pipe: [sh, bin/missing-too.sh] }
  c: { work: b, exec: [./there.sh] }
  d: { work: c, exec: [sh, -c, './anything.sh'], to: out }
";
    let place = Place::with(flow, &[("in.txt", "a\n"), ("there.sh", "#!/bin/sh\ncat\n")]);
    let ran = place.run(&["check"]).exits(0).says("warning: the program ./missing.sh is not there");
    let ran = ran.says("the program bin/missing-too.sh is not there").says("there.sh may not be executed: chmod +x");
    assert!(ran.err.contains("3 warnings") && !ran.err.contains("anything"), "{}", ran.err);
}

#[test]
fn what_does_not_decide_what_a_run_does_does_not_refuse_it() {
    let flow = "
flow: slow
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { out: { work: all, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi; cat'], concurrency: 1 } }
";
    let place = Place::with(flow, &[("in.txt", "a\n")]);
    assert_eq!(place.run(&["run"]).exit, -1, "killed by its own child");
    let other = flow.replace("concurrency: 1", "concurrency: 3, timeout: 5s, retry: { attempts: 7 }, doc: words");
    place.write(
        "flow.yaml",
        format!("# a comment\n{}\n", other.replace("flow: slow", "flow: slow\ndoc: what it is for")),
    );
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
}

#[test]
fn help_is_a_command_and_a_mistyped_one_has_a_hint() {
    let place = Place::new();
    assert!(place.run(&["help", "run"]).exits(0).out.contains("Run a flow to its end"));
    assert!(place.run(&["help"]).exits(0).out.contains("Commands:"));
    place.run(&["chek"]).exits(2).says("'check'");
    place.write("sales.yaml", COPY);
    place.run(&["sales.yaml"]).exits(2).says("anabranch run sales.yaml");
    place.run(&["streams", "lst"]).exits(2).says("'list'");
    place.run(&["-q", "--data", "x", "trace"]).exits(2).says("`trace` is not in this version");
}
