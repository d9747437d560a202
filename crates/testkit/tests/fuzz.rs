//! A short trial of the fuzz tool on every push; CONTRIBUTING tells how to run a long one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::process::Command;

fn trial(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz")).args(args).output().expect("starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), format!("{out}{err}"))
}

/// The number before a word of the last line.
fn told(said: &str, what: &str) -> u64 {
    let before = said.split(what).next().expect("tells").trim_end();
    before.rsplit([' ', '\n']).next().expect("a number").parse().expect("a number")
}

#[test]
fn mutated_flows_and_inputs_end_as_they_should() {
    let (well, said) = trial(&["--rounds", "2600", "--seed", "9"]);
    assert!(well && said.contains(": 0 findings"), "{said}");
    assert!(told(&said, "runs of accepted flows") > 250, "most rounds end at the check: {said}");
}

#[test]
fn what_must_not_be_is_found() {
    // no command may have so little memory: the first round is a finding
    let (well, said) = trial(&["--rounds", "2", "--seed", "1", "--memory", "1", "--shrink", "1"]);
    assert!(!well && said.contains("memory of check"), "{said}");
}
