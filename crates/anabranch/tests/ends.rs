//! Who is told when a run has ended, and what is said of one in which nothing comes on.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use serde_json::Value;

fn flow(more: &str) -> String {
    format!(
        "
flow: ends
streams: {{ in: {{ source: in.txt }}, out: {{ sink: out.txt }} }}
steps:
  made: {{ work: in, exec: [./make.sh, '{{item}}'], retry: {{ attempts: 1 }} }}
  all: {{ join: made, tolerate: 1 }}
  out: {{ copy: all, to: out }}
{more}"
    )
}

const MAKE: &str = "#!/bin/sh
case $1 in bad*) exit 1 ;; slow) sleep 20 ;; esac
echo $1
";

/// Writes down how it was called, and what it was told.
const TELL: &str = "#!/bin/sh
[ ! -e fails ] || { echo no line >&2; exit 1; }
[ ! -e hangs ] || sleep 20
echo \"$1 $ANABRANCH_FLOW $ANABRANCH_RUN $ANABRANCH_STATUS $WORK_ITEM_ID $2\" >> told.txt
cat >> reports.jsonl; echo >> reports.jsonl
[ ! -e dies ] || { rm dies; kill -9 $PPID; }
";

const HOOK: &str = "on-end: { exec: [./tell.sh, '{run.status}', 'run {run.id}'], timeout: 20s }\n";

fn place(more: &str, items: &str) -> Place {
    let place = Place::with(&flow(more), &[("in.txt", items)]);
    place.script("make.sh", MAKE);
    place.script("tell.sh", TELL);
    place
}

#[test]
fn each_end_is_told_with_its_report() {
    let place = place(HOOK, "a\n");
    place.run(&["run"]).exits(0);
    place.write("in.txt", "a\nbad\n");
    place.run(&["run"]).exits(3);
    place.write("in.txt", "bad\nbad\n");
    place.run(&["run"]).exits(4);
    place.run(&["dead", "skip", "--batch", "3"]).exits(0);
    let told: Vec<String> = place.read("told.txt").lines().map(str::to_string).collect();
    assert_eq!(
        told,
        [
            "done ends 1 done ends/1 run 1",
            "dead ends 2 dead ends/2 run 2",
            "held ends 3 held ends/3 run 3",
            "done ends 4 done ends/4 run 4",
        ]
    );
    let reports: Vec<Value> =
        place.read("reports.jsonl").lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!((&reports[2]["run"], &reports[2]["status"]), (&3.into(), &"held".into()));
}

#[test]
fn who_cannot_be_told_changes_no_outcome_and_is_told_later() {
    let place = place(&HOOK.replace("20s", "2s"), "a\n");
    place.write("fails", "");
    place
        .run(&["run"])
        .exits(0)
        .says("it could not be told how run 1 has ended, the next run tries again: exit 1: no line");
    std::fs::remove_file(place.path().join("fails")).expect("was there");
    place.write("hangs", "");
    place.run(&["run"]).exits(0).says("timeout after 2s").says("it was not told yet how run 1 ended");
    std::fs::remove_file(place.path().join("hangs")).expect("was there");
    place.write("dies", "");
    place.run(&["run"]); // killed when it has told of the first
    place.run(&["run"]).exits(0);
    let runs: Vec<String> =
        place.read("told.txt").lines().map(|l| l.split(' ').nth(2).unwrap_or_default().to_string()).collect();
    assert_eq!(runs, ["1", "1", "2", "3", "4"], "at least once, in order");
    place.write("flow.yaml", flow("on-end: { exec: [./nobody.sh], when: [done] }\n"));
    place.run(&["run"]).exits(0).says("nobody.sh");
    place.write("flow.yaml", flow(""));
    place.run(&["run"]).exits(0);
}

#[test]
fn a_run_that_is_stopped_is_told_if_that_is_wanted() {
    let place = place(&HOOK.replace("timeout", "when: [stopped], timeout"), "slow\n");
    let child = place.command(&["run"]).spawn().expect("starts");
    while !place.has(".anabranch/index.db") || !place.run(&["explain"]).out.contains("running") {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("is told");
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(place.read("told.txt"), "stopped ends 1 stopped ends/1 run 1\n");
}

#[test]
fn what_is_wrong_is_named() {
    let place = place("on-end: { exec: [./tell.sh, '{item.x}'], when: [helt] }\n", "a\n");
    place.run(&["check"]).exits(2).says("no run ends as `helt`").says("did you mean `held`?").says("item");
    place.write("flow.yaml", flow("on-end: { when: [held] }\n"));
    place.run(&["check"]).exits(2).says("exec");
    place.write("flow.yaml", flow("stall: { after: soon, then: stop }\n"));
    place.run(&["check"]).exits(2).says("is a length of time").says("is one of: note, fail");
    place.write("flow.yaml", flow("").replace("'{item}'", "'{run.status}'"));
    place.run(&["check"]).exits(2).says("it has id, date, started");
}

#[test]
fn a_run_in_which_nothing_comes_on_says_what_is_under_way() {
    let place = place("stall: { after: 200ms, then: fail }\n", "a\nslow\n");
    let ran = place.run(&["run"]).exits(1).says("nothing was committed for ").says("under way are: made: ");
    ran.says("attempt 1, for ").says("`run` continues it");
    place.script("make.sh", "#!/bin/sh\necho $1\n");
    place.run(&["run"]).exits(0).says("continuing run 1").says("balanced ✓");
}
