//! The history of a flow: its runs are listed, shown and compared.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use serde_json::Value;

const FLOW: &str = "
flow: hist
streams: { in: { source: in.txt }, out: { sink: out.txt } }
steps:
  made: { work: in, exec: [./make.sh, '{item}'], retry: { attempts: 1 } }
  out: { copy: made, to: out }
";

const MAKE: &str =
    "#!/bin/sh\ncase $1 in bad*) [ -e mended ] || exit 1;; esac; [ -e kill ] && kill -9 $PPID; echo $1\n";

fn place() -> Place {
    let place = Place::with(FLOW, &[("in.txt", "a\nb\n")]);
    place.script("make.sh", MAKE);
    place
}

fn json(place: &Place, args: &[&str]) -> Value {
    serde_json::from_str(&place.run(args).exits(0).out).expect("JSON")
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let place = place();
    place.run(&["runs", "list"]).exits(2).says("nothing was run here yet");
    place.run(&["run"]).exits(0);
    place.write("in.txt", "a\nb\nbad\n");
    place.run(&["run"]).exits(3);
    place.write("mended", "");
    place.run(&["dead", "retry", "--all"]).exits(0);
    let listed = place.run(&["runs", "list"]).exits(0).out;
    let rows: Vec<Vec<&str>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 4, "{listed}");
    assert_eq!((rows[1][0], rows[1][1], rows[3][0], rows[3][1]), ("3", "2", "1", "1"), "{listed}");
    assert!(rows[2].join(" ").ends_with("done with 1 dead letter 3 3 1 3"), "{listed}");
    let all = json(&place, &["runs", "list", "--json"]);
    assert_eq!(all["schema"], "anabranch.runs/1");
    assert_eq!(all["runs"][1]["repaired-by"], serde_json::json!([3]));
    assert_eq!(place.run(&["runs", "list", "--max", "1"]).exits(0).says("… and 2 more").out.lines().count(), 2);

    let shown = place.run(&["runs", "show", "2"]).exits(0).out;
    for text in
        ["hist · run 2 · done with 1 dead letter", "repaired by: run 3", "(as it is now)", "calls: made: ./make.sh "]
    {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let told = place.run(&["runs", "diff", "1", "2"]).exits(0).out;
    for text in ["run 1 · done", "run 2 · done with 1 dead letter", "taken", "+1", "the flow is the same"] {
        assert!(told.contains(text), "{text}: {told}");
    }
    assert!(!told.contains("is another one"), "{told}");
}

#[test]
fn a_flow_and_a_program_that_changed_are_named() {
    let place = place();
    place.run(&["run"]).exits(0);
    place.write("flow.yaml", FLOW.replace("'{item}'", "'{item}', x"));
    place.write("make.sh", format!("{MAKE}# changed\n"));
    place.run(&["run"]).exits(0);
    let told = place.run(&["runs", "diff", "1", "2"]).exits(0).out;
    for text in [
        "every step counts the same",
        "the flow differs: steps.made.exec",
        "the program of made is another one: ./make.sh",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    let told = json(&place, &["runs", "diff", "1", "2", "--json"]);
    assert_eq!(told["differences"]["flow"], serde_json::json!(["steps.made.exec"]));
    assert!(place.run(&["runs", "show", "1"]).exits(0).out.contains("(it has changed since)"));
}

#[test]
fn a_run_that_is_given_up_is_kept_and_what_is_typed_wrong_is_named() {
    let place = place();
    place.write("in.txt", "a\n".repeat(3));
    place.write("kill", "");
    place.run(&["run"]); // killed while it works
    std::fs::remove_file(place.path().join("kill")).expect("was there");
    assert!(place.run(&["runs", "list"]).exits(0).out.contains("open"));
    place.run(&["run", "--fresh"]).exits(0);
    let listed = place.run(&["runs", "list"]).exits(0).out;
    assert!(listed.lines().nth(2).is_some_and(|l| l.contains("abandoned")), "{listed}");
    place.run(&["runs", "show", "7"]).exits(2).says("there are those of 1 to 2");
    place.run(&["runs", "show"]).exits(2).says("anabranch runs show [FLOW] N");
    place.run(&["runs", "diff", "1"]).exits(2).says("two runs are compared");
    place.run(&["runs", "diff", "flow.yaml", "one", "2"]).exits(2).says("one is no number of a run");
}
