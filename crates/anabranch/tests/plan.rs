//! What `plan` foretells, and that a run then does it. With `UPDATE=1` in the environment the expectations are written again:
//! read them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use serde_json::Value;
use std::path::Path;

const FLOW: &str = "flow: shop
env: { TO: nowhere }
streams:
  in:  { source: in.txt }
  out: { sink: out.txt }
  n:   { sink: n.txt }
steps:
  big:  { filter: in, where: 'item != \"small\"' }
  made: { work: big, exec: [./make.sh, '{item}'], retry: { attempts: 1 } }
  all:  { join: made }
  out:  { copy: all, to: out }
  n:    { reduce: made, value: count(), tolerate: 0 }
";

const MAKE: &str = "#!/bin/sh
case $1 in bad*) [ -e mended ] || exit 1;; esac
[ -e kill ] && kill -9 $PPID
echo $1
";

/// Kinds of change to a flow: what they are, and how the text becomes another one.
const CHANGES: [(&str, &str, &str); 14] = [
    ("nothing", "", ""),
    ("a comment", "steps:\n", "steps: # all of them\n"),
    ("calls at once", "retry: { attempts: 1 }", "retry: { attempts: 1 }, concurrency: 9"),
    ("attempts and doc", "retry: { attempts: 1 }", "retry: { attempts: 5 }, doc: makes it"),
    ("what a program gets", "'{item}'", "'{item}', more"),
    ("an expression before a result", "item != \"small\"", "item != \"tiny\""),
    ("what a gate accepts", "all:  { join: made }", "all:  { join: made, tolerate: 50% }"),
    ("a new step", "  n:    { reduce", "  more: { filter: big, where: 'true' }\n  n:    { reduce"),
    ("a step less", "  n:    { reduce: made, value: count(), tolerate: 0 }\n", "  # none\n"),
    ("the name of a step", "all:  { join", "every: { to: all, join"),
    ("a variable", "TO: nowhere", "TO: somewhere"),
    ("another source", "source: in.txt", "source: 'in.*'"),
    ("the mode of a sink", "{ sink: out.txt }", "{ sink: { file: out.txt, mode: append } }"),
    ("a result", "value: count()", "value: 'count() + 1'"),
];

fn place() -> Place {
    let place = Place::with(FLOW, &[("in.txt", "a\nb\nbad\nsmall\n")]);
    place.script("make.sh", MAKE);
    place
}

fn held() -> Place {
    let place = place();
    place.run(&["run"]).exits(4);
    place
}

fn open() -> Place {
    let place = place();
    place.write("kill", "");
    place.run(&["run"]);
    std::fs::remove_file(place.path().join("kill")).expect("was there");
    place
}

fn planned(place: &Place) -> Value {
    let ran = place.run(&["plan", "--json"]);
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {} {}", ran.out, ran.err))
}

/// Every file in the folder, and a hash of it; not the index, which is tidied up by whoever opens it after a process was killed.
fn kept(place: &Place) -> Vec<(String, u64)> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut all = vec![];
    let mut todo = vec![place.path().to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).expect("reads").map(|e| e.expect("reads").path()) {
            match entry.is_dir() {
                true => todo.push(entry),
                false if entry.to_string_lossy().contains("index.db") => {}
                false => {
                    let mut hash = DefaultHasher::new();
                    std::fs::read(&entry).expect("reads").hash(&mut hash);
                    all.push((entry.display().to_string(), hash.finish()));
                }
            }
        }
    }
    all.sort();
    all
}

/// The part of a plan that tells what has changed, and whether a run is refused.
fn about(text: &str) -> String {
    let changed =
        text.lines().skip_while(|l| *l != "  the flow has changed").skip(1).take_while(|l| l.starts_with("    "));
    let refused = text.lines().filter(|l| l.starts_with("  refused")).map(|l| l.split(" and was").next().unwrap_or(l));
    let squeezed = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = changed.chain(refused).map(squeezed).collect();
    if lines.is_empty() { "  goes on\n".into() } else { lines.iter().map(|l| format!("  {l}\n")).collect() }
}

#[test]
fn each_kind_of_change_is_judged_and_runs_do_as_was_said() {
    let mut told = String::new();
    for (what, from, to) in CHANGES {
        assert!(FLOW.contains(from), "{what}");
        told += &format!("{what}\n");
        for (of, place) in [("a held batch", held()), ("an open run", open())] {
            let unused = if what == "a step less" { "  n:   { sink: n.txt }\n" } else { "\0" };
            place.write("flow.yaml", FLOW.replace(from, to).replace(unused, ""));
            let before = kept(&place);
            let text = place.run(&["plan"]).out;
            assert_eq!(before, kept(&place), "{what}: a plan writes nothing");
            told += &format!(" for {of}\n{}", about(&text));
            let plan = planned(&place);
            let differences = plan["differences"].as_array().unwrap_or_else(|| panic!("{what}, {of}: {plan}"));
            let may = differences.iter().all(|d| d["verdict"] == "may-go-on");
            place.write("mended", "");
            match of {
                "a held batch" => {
                    let ran = place.run(&["dead", "retry", "--all"]);
                    assert_eq!(ran.exit == 2, !may, "{what}: {}", ran.err);
                }
                _ => {
                    let ran = place.run(&["run"]);
                    assert_eq!(ran.exit == 2, plan["what"] == "refused", "{what}: {}", ran.err);
                    assert_eq!(plan["what"] == "refused", !may, "{what}");
                }
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/changes.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, told).expect("writes");
    } else {
        assert_eq!(told, std::fs::read_to_string(path).expect("is there"));
    }
}

#[test]
fn a_new_run_is_foretold() {
    let place = place();
    let text = place.run(&["plan"]).exits(0).out;
    for line in [
        "shop · run 1 would begin; nothing was opened or written",
        "in  in.txt  1 file, 14 bytes, 4 items",
        "made  ./make.sh  4 calls (4 items)",
        "out  out.txt  made",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!place.has(".anabranch"), "nothing is made");
    place.run(&["run"]).exits(4);
    let text = place.run(&["plan"]).exits(0).out;
    assert!(text.contains("run 2 would begin") && text.contains("batch 1  at all  1 failed item"), "{text}");
    place.write("flow.yaml", FLOW.replace("source: in.txt", "source: gone.txt"));
    place.run(&["plan"]).exits(2).says("gone.txt");
    place.write("flow.yaml", FLOW.replace("{ sink: out.txt }", "{ sink: { file: out.txt, mode: fail } }"));
    place.write("out.txt", "");
    place.run(&["plan"]).exits(2).says("the sink out.txt is there already");
}

#[test]
fn items_of_the_log_are_counted_by_reader() {
    let flow = "
flow: log
streams: { in: { partitions: 2 }, out: { sink: out.jsonl } }
steps:
  x: { work: in, exec: [cat] }
  out: { merge: [x, in], to: out }
";
    let place = Place::with(flow, &[]);
    let text = place.run(&["plan"]).exits(0).out;
    assert!(text.contains("there is no stream in: it would be made, and is empty"), "{text}");
    place.run(&["streams", "create", "in", "--partitions", "2"]).exits(0);
    place.feed(&["produce", "in"], b"1\n2\n3\n").exits(0);
    let plan = planned(&place);
    let items: Vec<_> =
        plan["sources"].as_array().unwrap().iter().map(|s| (s["step"].clone(), s["items"].clone())).collect();
    assert!(items.contains(&("x".into(), 3.into())) && items.iter().all(|(_, n)| *n == 3), "{plan}");
    assert_eq!((&plan["calls"][0]["items"], &plan["calls"][0]["attempts"]), (&3.into(), &3.into()), "{plan}");
    place.run(&["run"]).exits(0);
    place.feed(&["produce", "in"], b"4\n").exits(0);
    assert!(planned(&place)["sources"].as_array().unwrap().iter().all(|s| s["items"] == 1));
    assert_eq!(planned(&place)["sinks"][0]["how"], "added-to");
}

#[test]
fn a_file_that_changed_under_an_open_run_needs_fresh() {
    let place = open();
    place.write("in.txt", "something else\n");
    let text = place.run(&["plan"]).exits(2).out;
    assert!(text.contains("streams.in differs  run 1 needs --fresh") && text.contains("run 1 cannot go on"), "{text}");
    place.run(&["run"]).exits(1);
    place.write("mended", "");
    place.run(&["run", "--fresh"]).exits(0);
}

#[test]
fn a_cluster_that_is_down_is_named() {
    place().run(&["plan", "--kafka", "localhost:1"]).exits(1).says("localhost:1");
}
