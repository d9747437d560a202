//! Gates that somebody opens.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, sorted};

const FLOW: &str = "
flow: letters
streams: { in: { source: in.txt }, out: { sink: out.txt } }
steps:
  w: { filter: in, where: 'item != \"\"' }
  approved: { join: w, open: by-hand }
  out: { copy: approved, to: out }
";

fn waits() -> Place {
    let place = Place::with(FLOW, &[("in.txt", "a\nb\n")]);
    let ran = place.run(&["run"]).exits(4).says("◆ held: 0 of 2 failed, tolerate is 0, waits to be opened by hand");
    let ran = ran.says("balanced ✓").says("open the gate:  anabranch open flow.yaml approved --batch 1");
    assert!(!ran.err.contains("dead retry") && !place.has("out.txt"), "{}", ran.err);
    place
}

#[test]
fn a_batch_waits_until_somebody_opens_its_gate() {
    let place = waits();
    let told = place.run(&["explain", "approved"]).exits(0).out;
    assert!(told.contains("opens by hand:  anabranch open flow.yaml approved --batch 1"), "{told}");
    let ran = place.run(&["open", "approved", "--by", "anna", "--reason", "all well"]).exits(0).says("balanced ✓");
    ran.says("note: approved was opened by anna at ").says(" UTC: all well");
    assert_eq!(sorted(&place.read("out.txt")), ["a", "b"]);
    let kept = place.run(&["report", "--json"]).exits(0).out;
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
    assert!(kept["steps"][1]["gate"].as_str().is_some_and(|gate| gate.starts_with("open: by anna at ")), "{kept}");
    place.run(&["open", "approved"]).exits(2).says("no batch waits at approved");
    place.run(&["open", "approved", "--batch", "1"]).exits(2).says("approved is open for batch 1: anna opened it");
}

#[test]
fn what_is_typed_wrong_is_named() {
    let place = waits();
    place.run(&["open"]).exits(2).says("which gate").says("these wait: approved (batch 1)");
    place.run(&["open", "flow.yaml", "aproved"]).exits(2).says("did you mean approved?");
    place.run(&["open", "flow.yaml", "out"]).exits(2).says("no join out that is opened by hand");
    place.run(&["open", "approved", "--batch", "7"]).exits(2).says("batch 7");
    place.run(&["run"]).exits(4);
    place.run(&["open", "approved"]).exits(2).says("2 batches wait at approved: 1, 2").says("--all");
    place.run(&["open", "approved", "--all"]).exits(0).says("run 4 for batch 2");
    place.run(&["dead", "retry", "--all"]).exits(2);
}

#[test]
fn a_gate_before_a_pair_is_not_opened_by_hand() {
    let flow = "
flow: pairs
streams: { a: { partitions: 1 }, b: { partitions: 1 }, out: { sink: out.jsonl } }
steps:
  g: { join: a, open: by-hand }
  out: { reduce: [g, b], pair: lockstep, value: { a: a, b: b } }
";
    let place = Place::with(flow, &[]);
    place.run(&["check"]).exits(2).says("`g` is opened by hand, and a pair behind it does not wait for that");
    place.write("flow.yaml", flow.replace("by-hand", "by-hands"));
    place.run(&["check"]).exits(2).says("by-hand");
}
