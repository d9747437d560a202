//! A short trial of the kill tool on every push; CONTRIBUTING tells how to run a long one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::process::Command;

#[test]
fn killed_runs_lose_nothing_and_repeat_nothing() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kill")).args(["--kills", "60", "--seed", "7"]).output().expect("starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("0 lost, 0 twice, all balanced"), "{out}{err}");
}
