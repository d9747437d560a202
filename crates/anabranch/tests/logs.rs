//! What the calls for items wrote is kept, and found again.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use serde_json::Value;

fn flow(logs: &str) -> String {
    format!(
        "
flow: logs
streams: {{ in: {{ source: in.txt }}, out: {{ sink: out.txt }} }}
steps:
  made: {{ work: in, exec: [./make.sh, '{{item}}'], retry: {{ attempts: 2, backoff: 1ms }}{logs} }}
  out: {{ copy: made, to: out }}
"
    )
}

const MAKE: &str = "#!/bin/sh
echo \"about $1\" >&2
case $1 in
  bad*) echo half; exit 7 ;;
  dies) kill -9 $$ ;;
  garbage) head -c 1000 /dev/urandom >&2; exit 1 ;;
  much) head -c 200000 /dev/zero | tr '\\\\0' x >&2; echo the end >&2; exit 1 ;;
  slow) sleep 0.3 ;;
esac
echo $1
";

fn place(logs: &str, items: &str) -> Place {
    let place = Place::with(&flow(logs), &[("in.txt", items)]);
    place.script("make.sh", &MAKE.replace("\\\\", "\\"));
    place
}

/// The logs as documents.
fn logs(place: &Place, args: &[&str]) -> Vec<Value> {
    let all = place.run(&[&["logs", "--json"], args].concat()).exits(0).out;
    all.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn of_items_that_failed_the_calls_are_kept() {
    let place = place("", "a\nbad\nb\ndies\ngarbage\nmuch\n");
    place.run(&["run"]).exits(3);
    let all = logs(&place, &[]);
    assert_eq!(all.len(), 4, "{all:?}");
    let of = |id: &str| all.iter().find(|l| l["letter"] == id).unwrap_or_else(|| panic!("{id}: {all:?}"));
    let bad = of("1-0001");
    let calls = bad["calls"].as_array().expect("calls");
    assert_eq!((calls.len(), &calls[1]["attempt"]), (2, &2.into()));
    assert_eq!((&calls[0]["status"], &calls[0]["stderr"]), (&"exit 7".into(), &"about bad\n".into()));
    assert_eq!(calls[0]["stdout"], "half\n", "what is no result is kept, too");
    assert_eq!(of("1-0002")["calls"][0]["status"], "ended by signal 9");
    let text = |v: &Value| v["stderr"].as_str().map(str::len).unwrap_or_default();
    assert!(text(&of("1-0003")["calls"][0]) > 500, "bytes that are no text are shown");
    let much: Vec<usize> = of("1-0004")["calls"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(much, [0, 64 << 10], "the end is kept");
    assert!(of("1-0004")["calls"][1]["stderr"].as_str().unwrap().ends_with("xthe end\n"));

    let shown = place.run(&["logs", "1-0001"]).exits(0).out;
    for line in ["1-0001 · made · run 1 · failed: exit 7: about bad", "attempt 2", "| about bad", "| half"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let shown = place.run(&["dead", "show", "1-0001"]).exits(0).out;
    assert!(shown.contains("attempt 1") && shown.contains("| about bad"), "{shown}");
    assert!(!place.run(&["logs", "1-0003"]).exits(0).out.contains('\x1b'), "nothing steers a terminal");
}

#[test]
fn all_or_none_are_kept_as_the_step_says() {
    let all = place(", logs: all", "a\nslow\nb\n");
    all.run(&["run"]).exits(0);
    let found = logs(&all, &["made"]);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|l| l["error"].is_null() && l["calls"][0]["status"] == "exit 0"), "{found:?}");
    assert!(found.iter().all(|l| l["calls"][0].get("stdout").is_none()), "the result is no log");
    let slowest = all.run(&["logs", "--slowest", "1"]).exits(0).out;
    assert!(slowest.contains("| about slow") && !slowest.contains("about a"), "{slowest}");
    assert!(logs(&all, &["--failed"]).is_empty());
    assert!(logs(&all, &["--run", "7"]).is_empty());
    all.run(&["logs", "--max", "1"]).exits(0).says("2 older ones are not shown");
    all.run(&["logs", "mades"]).exits(2).says("did you mean made?");

    let none = place(", logs: none", "bad\n");
    none.run(&["run"]).exits(3);
    none.run(&["logs"]).exits(0).says("no step of logs logs what its calls write");
    assert!(!none.run(&["dead", "show", "1-0001"]).exits(0).out.contains("attempt 1"));
    none.write("flow.yaml", flow(", logs: some"));
    none.run(&["check"]).exits(2).says("is one of: failed, all, none");
}

#[test]
fn what_is_skipped_is_logged_and_a_retry_has_logs_of_its_own() {
    let place = place(", on-error: skip", "bad\n");
    place.run(&["run"]).exits(0);
    assert_eq!(logs(&place, &["--failed"]).len(), 1);
    place.write("flow.yaml", flow(""));
    place.run(&["run"]).exits(3);
    place.run(&["dead", "retry", "--all"]).exits(3);
    let letters: Vec<Value> = logs(&place, &[]).into_iter().map(|l| l["letter"].clone()).collect();
    assert_eq!(letters, [Value::Null, "2-0001".into(), "3-0001".into()]);
}
