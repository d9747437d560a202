//! Failed items are taken up again from the command line: retried, edited, settled by hand, given up.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::{Place, Ran, sorted};
use serde_json::Value;

/// An item that begins with `bad` fails until there is a file `mended`. Nothing holds a batch.
const OPEN: &str = "
flow: open
streams: { in: { source: in.txt }, out: { sink: out.txt } }
steps:
  made: { work: in, exec: [./make.sh, '{item}'], retry: { attempts: 1 } }
  out: { copy: made, to: out }
";

/// The same before a gate.
const HELD: &str = "
flow: held
streams: { in: { source: in.txt }, out: { sink: out.txt } }
steps:
  made: { work: in, exec: [./make.sh, '{item}'], retry: { attempts: 1 } }
  all: { join: made }
  out: { copy: all, to: out }
";

const MAKE: &str = "#!/bin/sh
case $1 in bad*) [ -e mended ] || { echo cannot >&2; exit 1; };; esac
echo \"$1 made\"
";

fn place(flow: &str, items: &str) -> Place {
    let place = Place::with(flow, &[("in.txt", items)]);
    place.script("make.sh", MAKE);
    place
}

/// The command ends so, and its run is balanced.
#[track_caller]
fn ends(place: &Place, args: &[&str], exit: i32) -> Ran {
    place.run(args).exits(exit).says("balanced ✓")
}

/// State of each letter, by its id.
fn states(place: &Place) -> Vec<String> {
    let all: Vec<Value> =
        serde_json::from_str(&place.run(&["dead", "list", "--all", "--json"]).exits(0).out).expect("JSON");
    let state = |l: &Value| match l["settled"]["how"].as_str() {
        Some(how) => format!("{} {how} {}", l["id"].as_str().unwrap(), l["settled"]["run"]),
        None => format!("{} open", l["id"].as_str().unwrap()),
    };
    all.iter().map(state).collect()
}

#[test]
fn what_failed_is_tried_again_until_it_passes() {
    for flow in [OPEN, HELD] {
        let (place, exit) = (place(flow, "a\nbad-1\nb\nbad-2\n"), if flow == OPEN { 3 } else { 4 });
        ends(&place, &["run"], exit);
        ends(&place, &["dead", "retry", "--all"], exit)
            .says(&format!("run 2 for batch 1 · {}", ["done", "HELD"][exit as usize - 3]));
        place.write("mended", "");
        ends(&place, &["dead", "retry", "2-0001"], exit);
        ends(&place, &["dead", "retry", "--step", "made", "--error", "exit 1"], 0);
        assert_eq!(sorted(&place.read("out.txt")), ["a made", "b made", "bad-1 made", "bad-2 made"]);
        assert!(!place.has("out.txt.batch-1") && !place.has("out.txt.partial"));
        assert_eq!(states(&place), ["1-0001 retried 2", "1-0002 retried 2", "2-0001 retried 3", "2-0002 retried 4"]);
        place.run(&["dead", "list"]).exits(0).says("no dead letters that are not settled");
        place.run(&["dead", "retry", "2-0001"]).exits(2).says("is settled already: it was retried in run 3");
        place.run(&["dead", "retry", "--all"]).exits(2).says("no such dead letter");
    }
}

#[test]
fn given_up_edited_and_done_by_hand() {
    for flow in [OPEN, HELD] {
        let (place, exit) = (place(flow, "a\nbad-1\nbad-2\nbad-3\nbad-4\n"), if flow == OPEN { 3 } else { 4 });
        ends(&place, &["run"], exit);
        ends(&place, &["dead", "skip", "1-0001"], exit);
        ends(&place, &["dead", "edit", "1-0002", "--value", "'good-' + item.split('-')[1]"], exit);
        place.write("answer", "bad-3 by hand\n");
        ends(&place, &["dead", "settle", "1-0003", "--as", "passed", "--result", "answer"], exit);
        ends(&place, &["dead", "settle", "1-0004", "--as", "passed"], 0);
        assert_eq!(sorted(&place.read("out.txt")), ["a made", "bad-3 by hand", "bad-4", "good-2 made"]);
        assert_eq!(states(&place), ["1-0001 skipped 2", "1-0002 edited 3", "1-0003 settled 4", "1-0004 settled 5"]);
        let shown = place.run(&["dead", "show", "1-0002"]).exits(0).out;
        assert!(
            shown.contains("edited in run 3") && shown.contains("bad-2"),
            "the letter keeps the old value: {shown}"
        );
        place.run(&["dead", "show", "1-0009"]).exits(2);
    }
}

#[test]
fn an_editor_changes_one_value() {
    let place = place(OPEN, "bad-1\nbad-2\n");
    ends(&place, &["run"], 3);
    let edit = |editor: &str, args: &[&str]| {
        let mut command = place.command(&[&["dead", "edit"], args].concat());
        Ran::from(command.env_remove("VISUAL").env("EDITOR", editor).output().expect("starts"))
    };
    edit("sed -i s/bad/good/", &["1-0001"]).exits(3);
    assert_eq!(place.read("out.txt"), "good-1 made\n");
    edit("true", &["1-0002"]).exits(2).says("nothing is changed");
    edit("false", &["1-0002"]).exits(2).says("nothing is changed");
    edit("true", &["--all"]).exits(2).says("one dead letter is edited in an editor");
}

#[test]
fn fields_of_an_item_are_replaced() {
    let flow = OPEN.replace("in.txt", "in.jsonl").replace("'{item}'", "'{item.name}'").replace("out.txt", "out.jsonl");
    let flow = flow.replace("retry:", "set: { made: result }, retry:");
    let place = place(&flow, "");
    place.write("in.jsonl", "{\"name\": \"bad\", \"n\": 1.50}\n{\"name\": \"bad\", \"n\": 2}\n");
    ends(&place, &["run"], 3);
    place.run(&["dead", "edit", "--all", "--set", "{'name': item.nme}"]).exits(2).says("nme");
    place.run(&["dead", "edit", "--all", "--set", "{'name': "]).exits(2).says("character");
    place.run(&["dead", "edit", "1-0001", "--set", "item.n"]).exits(2).says("not a map of fields");
    place.run(&["dead", "edit", "1-0001", "--value", "'x'", "--set", "{}"]).exits(2);
    assert_eq!(states(&place), ["1-0001 open", "1-0002 open"], "nothing was changed");
    ends(&place, &["dead", "edit", "--all", "--set", "{'name': 'good-' + string(item.n)}"], 0);
    let lines = [
        "{\"name\":\"good-1.5\",\"n\":1.50,\"made\":\"good-1.5 made\"}",
        "{\"name\":\"good-2\",\"n\":2,\"made\":\"good-2 made\"}",
    ];
    assert_eq!(sorted(&place.read("out.jsonl")), lines);
}

#[test]
fn later_batches_are_left_alone() {
    for flow in [OPEN, HELD] {
        let (place, exit) = (place(flow, "a\nbad-1\n"), if flow == OPEN { 3 } else { 4 });
        ends(&place, &["run"], exit);
        place.write("in.txt", "later\n");
        ends(&place, &["run"], 0);
        place.write("mended", "");
        ends(&place, &["dead", "retry", "--batch", "1"], 0).says("run 3 for batch 1");
        assert_eq!(place.read("out.txt"), "later made\n");
        let beside = if flow == OPEN { "bad-1 made\n" } else { "a made\nbad-1 made\n" };
        assert_eq!(place.read("out.txt.batch-1"), beside);
        ends(&place, &["run"], 0);
    }
}

#[test]
fn a_file_that_somebody_changed_is_left_alone() {
    let place = place(OPEN, "a\nbad-1\n");
    ends(&place, &["run"], 3);
    place.write("out.txt", "mine\n");
    place.write("mended", "");
    ends(&place, &["dead", "retry", "--all"], 0);
    assert_eq!((place.read("out.txt"), place.read("out.txt.batch-1")), ("mine\n".into(), "bad-1 made\n".into()));
}

#[test]
fn several_batches_are_worked_one_after_the_other() {
    let place = place(HELD, "a\nbad-1\n");
    ends(&place, &["run"], 4);
    place.write("in.txt", "bad-2\nbad-2b\n");
    ends(&place, &["run"], 4);
    ends(&place, &["dead", "skip", "2-0002"], 4);
    let told = place.run(&["dead", "list", "--group"]).exits(0).out;
    assert!(told.lines().nth(1).is_some_and(|l| l.starts_with("    2  made")), "{told}");
    place.run(&["dead", "retry", "--error", "another one"]).exits(2).says("no such dead letters");
    place.write("mended", "");
    let ran = ends(&place, &["dead", "retry", "--all"], 0);
    assert!(ran.err.contains("run 4 for batch 1") && ran.err.contains("run 5 for batch 2"), "{}", ran.err);
    assert_eq!(states(&place), ["1-0001 retried 4", "2-0001 retried 5", "2-0002 skipped 3"]);
    // for programs it is one document, whatever it took
    std::fs::remove_file(place.path().join("mended")).expect("removes");
    for exit in [4, 4] {
        place.write("in.txt", "bad-3\n");
        ends(&place, &["run"], exit);
    }
    let both: Value =
        serde_json::from_str(&place.run(&["dead", "skip", "--all", "--json"]).exits(0).out).expect("JSON");
    assert_eq!((&both["exit"], both["reports"].as_array().map(Vec::len)), (&0.into(), Some(2)));
}

#[test]
fn what_was_summed_up_without_an_item_stays_unless_it_may_be_late() {
    let flow = OPEN
        .replace("steps:", "  n: { sink: n.jsonl }\nsteps:\n  n: { reduce: made, value: count() }")
        .replace("out: { sink: out.txt } }", "out: { sink: out.txt }, ");
    let flow = flow.replace(
        "streams: { in: { source: in.txt }, out: { sink: out.txt }, ",
        "streams:\n  in: { source: in.txt }\n  out: { sink: out.txt }",
    );
    let place = place(&flow, "a\nbad-1\nbad-2\n");
    ends(&place, &["run"], 3);
    place.write("mended", "");
    place.run(&["dead", "retry", "1-0001"]).exits(2).says("n has written its results").says("--late");
    place.run(&["dead", "retry", "--all"]).exits(2).says("n has written its results");
    ends(&place, &["dead", "retry", "--all", "--late"], 0);
    assert_eq!(sorted(&place.read("out.txt")), ["a made", "bad-1 made", "bad-2 made"]);
    assert_eq!(place.read("n.jsonl").trim(), "1");
    let report: Value = serde_json::from_str(&place.run(&["report", "--json"]).exits(0).out).expect("JSON");
    let n = report["steps"].as_array().unwrap().iter().find(|s| s["step"] == "n").unwrap();
    assert_eq!((&n["taken"], &n["folded"], &n["skipped"]), (&3.into(), &1.into(), &2.into()));
}

#[test]
fn the_flow_may_be_what_is_mended() {
    let flow = "
flow: sums
streams: { in: { source: in.jsonl }, out: { sink: out.jsonl } }
steps:
  half: { work: in, value: '100 / item.n' }
  all: { join: half }
  out: { copy: all, to: out }
";
    let place = Place::with(flow, &[("in.jsonl", "{\"n\": 50}\n{\"n\": 0}\n")]);
    ends(&place, &["run"], 4);
    for (from, to, why) in [
        ("half:", "halb:", "steps.all.join differs"),
        ("streams: { in", "timezone: Asia/Tokyo\nstreams: { in", "timezone differs"),
        ("join: half", "join: half, tolerate: 1", "steps.all.tolerate differs"),
        ("out: { copy: all, to: out }", "out: { filter: all, where: 'true' }", "steps.out.copy differs"),
    ] {
        place.write("flow.yaml", flow.replace(from, to));
        if from == "half:" {
            place.write("flow.yaml", flow.replace("half", "halb"));
        }
        place.run(&["dead", "retry", "1-0001"]).exits(2).says(why);
    }
    place.write(
        "flow.yaml",
        flow.replace("flow: sums", "# mended\nflow: sums\ndoc: better")
            .replace("100 / item.n", "item.n == 0 ? 0 : 100 / item.n"),
    );
    ends(&place, &["dead", "retry", "1-0001"], 0);
    assert_eq!(sorted(&place.read("out.jsonl")), ["0", "2"]);
    // where what a step made before has to be made again, it has to be the same
    let flow = flow.replace(
        "  all: { join: half }\n  out: { copy: all, to: out }",
        "  out: { reduce: half, value: count(), tolerate: 0 }",
    );
    place.write("flow.yaml", &flow);
    place.write("in.jsonl", "{\"n\": 0}\n");
    ends(&place, &["run"], 4);
    place.write("flow.yaml", flow.replace("100 / item.n", "1"));
    place.run(&["dead", "retry", "--all"]).exits(2).says("steps.half.value differs").says("has to be the same");
    place.write("flow.yaml", &flow);
    ends(&place, &["dead", "skip", "--batch", "3"], 0);
}

#[test]
fn what_is_not_meant_is_refused_with_nothing_changed() {
    let place = place(OPEN, "a\nbad-1\n");
    place.run(&["dead", "retry", "--all"]).exits(2).says("nothing was run here yet");
    ends(&place, &["run"], 3);
    for (args, why) in [
        (&["retry"][..], "not said which dead letters are meant"),
        (&["retry", "1-0001", "--all"], "ids are named, and others are described"),
        (&["retry", "1-0001", "1-0001"], "is named twice"),
        (&["retry", "7-0001"], "there is no dead letter 7-0001"),
        (&["retry", "--step", "mode"], "did you mean made?"),
        (&["skip", "--run", "9"], "no such dead letter"),
        (&["retry", "--batch", "9"], "no such dead letters"),
        (&["retry", "nix.yaml", "1-0001"], "there is no flow file nix.yaml"),
        (&["settle", "1-0001"], "--as"),
        (&["settle", "1-0001", "--as", "done"], "passed"),
        (&["settle", "1-0001", "--as", "passed", "--result", "nowhere"], "nowhere cannot be read"),
        (&["edit", "1-0001", "--value", "item.x"], "no field"),
        (&["edit", "1-0001", "--set", "{'a': 1}"], "no fields"),
        (&["edit", "1-0001", "--value", "'x'.repeat(3)"], "repeat"),
    ] {
        place.run(&[&["dead"], args].concat()).exits(2).says(why);
    }
    place.write("large", "x".repeat(17 << 20));
    place.run(&["dead", "settle", "1-0001", "--as", "passed", "--result", "large"]).exits(2).says("bytes");
    assert_eq!(states(&place), ["1-0001 open"]);
    // a step without an action has nothing that could be done by hand
    let flow = "flow: pure\nstreams: { in: { source: in.txt }, out: { sink: out.txt } }\nsteps: { out: { filter: in, where: 'int(item) > 0' } }\n";
    let place = Place::with(flow, &[("in.txt", "x\n")]);
    ends(&place, &["run"], 3);
    place.run(&["dead", "settle", "1-0001", "--as", "passed"]).exits(2).says("calls no action");
}

#[test]
fn an_open_run_comes_first() {
    let place = place(HELD, "a\nbad-1\n");
    ends(&place, &["run"], 4);
    // a repair that is stopped goes on when it is asked for again, or by a plain run; nothing else comes between
    let flow = HELD.replace("[./make.sh, '{item}']", "[sh, -c, 'kill -TERM $(cat pid); sleep 9']");
    place.write("flow.yaml", flow);
    let script = "echo $$ > pid; exec \"$0\" dead retry 1-0001";
    let mut command = std::process::Command::new("sh");
    command.current_dir(place.path()).args(["-c", script, env!("CARGO_BIN_EXE_anabranch")]);
    assert_eq!(Ran::from(command.output().expect("starts")).exit, 143);
    place.run(&["dead", "skip", "1-0001"]).exits(2).says("run 2 is open");
    place.run(&["run", "--fresh"]).says("its batch is as it was before");
    assert_eq!(states(&place)[0], "1-0001 open");
}

#[test]
fn thousands_of_letters_are_tried_again_and_half_of_them_fail_again() {
    let flow = OPEN
        .replace("exec: [./make.sh, '{item}']", "pipe: [./all.sh], concurrency: 1")
        .replace("retry:", "timeout: 60s, retry:");
    let items: String = (0..4_000).map(|i| format!("bad-{i}\n")).collect();
    let place = place(&flow, &items);
    let script = "#!/usr/bin/env python3
import os, sys
mended = os.path.exists('mended')
for line in sys.stdin:
    n = int(line.split('-')[1])
    print(line.strip() if mended and n % 2 or n < 0 else '{\"error\": \"not yet\"}', flush=True)
";
    place.script("all.sh", script);
    let flow = flow.replace("retry: { attempts: 1 }", "retry: { attempts: 1 }, on-error: dead-letter");
    place.write("flow.yaml", flow);
    ends(&place, &["run"], 3).says("dead letters: 4,000 at made");
    place.write("mended", "");
    ends(&place, &["dead", "retry", "--all"], 3);
    assert_eq!(place.read("out.txt").lines().count(), 2_000);
    let open = place.run(&["dead", "list", "--json"]).exits(0).out;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&open).expect("JSON").len(), 2_000);
    ends(&place, &["dead", "skip", "--all"], 0);
}
