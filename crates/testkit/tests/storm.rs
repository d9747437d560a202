//! A short storm on every push; `scripts/faults` runs a long one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::process::Command;

#[test]
fn workers_and_brokers_are_killed_and_each_item_is_there_once() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_storm")).args(["--kills", "14", "--seed", "5"]).output().expect("starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("0 lost, 0 twice, all balanced") && !out.contains("0 of brokers"), "{out}{err}");
}
