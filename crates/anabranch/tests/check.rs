//! What `check` says, word for word. With `UPDATE=1` in the environment the expectations are written again: read them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use std::path::Path;

#[track_caller]
fn says(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let (yaml, said) = (folder.join(format!("{name}.yaml")), folder.join(format!("{name}.said")));
    let place = Place::new();
    place.write(&format!("{name}.yaml"), std::fs::read_to_string(&yaml).expect("reads"));
    let ran = place.run(&["check", &format!("{name}.yaml")]).exits(2);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&said, &ran.err).expect("writes");
    }
    assert_eq!(ran.err, std::fs::read_to_string(&said).expect("reads"));
}

#[test]
fn the_diagnostics_of_the_language_page_in_one_pass() {
    says("signup");
}

#[test]
fn every_trap_has_its_words() {
    says("traps");
}

#[test]
fn defaults_for_nobody_and_two_writers_of_a_file() {
    says("twice");
}

#[test]
fn streams_and_files_that_are_named_again_and_what_comes_later() {
    says("again");
}

#[test]
fn a_variable_that_nobody_asks_for() {
    let place = Place::example("04-word-count");
    place.run(&["check", "--env", "TYPO=1"]).exits(2).says("the flow lists no variable TYPO");
    place.run(&["trace"]).exits(2).says("`trace` is not in this version");
}

#[test]
fn diagnostics_as_json_and_for_github() {
    let place = Place::with("flow: a\nsteps: { x: { copy: y, to: [z] } }\n", &[]);
    let ran = place.run(&["check", "--json"]).exits(2);
    let all: Vec<serde_json::Value> = serde_json::from_str(&ran.out).expect("json");
    assert_eq!(
        (all[0]["code"].as_str(), all[0]["line"].as_u64(), all[0]["column"].as_u64()),
        (Some("unwritten"), Some(2), Some(21))
    );
    let output = place.command(&["check"]).env("GITHUB_ACTIONS", "true").output().expect("runs");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("::error file=flow.yaml,line=2,col=21::"));
}

#[test]
fn a_fine_flow_says_so_and_is_drawn() {
    let place = Place::example("03-new-user-sign-up");
    place.run(&["check"]).exits(0).says("new-user-sign-up is fine: 17 streams, 9 steps");
    let drawn = place.run(&["graph"]).exits(0).out;
    assert!(drawn.contains("[shard by-zone by item.region, 3 shards] ─▶ signups-eu … signups-asia"), "{drawn}");
}

/// What is asked of the whole flow is asked once of each step, however many streams a step has: with work for each pair of
/// them this would not end in an hour.
#[test]
fn a_step_of_thousands_of_shards_is_checked() {
    let flow = "flow: wide\nstreams: { in: { source: in.jsonl }, out: { sink: out.jsonl } }\nsteps:\n  \
                parts: { shard: in, by: item.id, shards: 4000, to: 'part-{shard}' }\n  \
                done: { work: 'part-{shard}', value: item }\n  out: { merge: 'done-*' }\n";
    let place = Place::with(flow, &[("in.jsonl", "")]);
    place.run(&["check"]).exits(0).says("wide is fine: 8002 streams, 3 steps");
}
