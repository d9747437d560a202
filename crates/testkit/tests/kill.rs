//! A short trial of the kill tool on every push; CONTRIBUTING tells how to run a long one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::process::Command;

fn trial(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kill")).args(args).output().expect("starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

#[test]
fn random_flows_do_what_the_model_says() {
    assert!(trial(&["--flows", "60", "--seed", "70"]).contains("0 flows differ or do not end"));
}

#[test]
fn what_outsiders_were_acknowledged_is_there() {
    assert!(trial(&["--crowd", "25", "--seed", "7"]).contains("0 lost, 0 twice"));
}

#[test]
fn killed_runs_lose_nothing_and_repeat_nothing() {
    assert!(trial(&["--kills", "60", "--seed", "7"]).contains("0 lost, 0 twice, all balanced"));
}
