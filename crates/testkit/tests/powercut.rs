//! What was acknowledged survives a power cut, and the tool that says so would see it if it did not.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::io;
use std::process::Command;

/// How it ended, and what it said.
fn powercut(args: &[&str], path: Option<&str>) -> io::Result<(Option<i32>, String)> {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_powercut"));
    if let Some(path) = path {
        tool.env("PATH", path);
    }
    let out = tool.args(args).output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    Ok((out.status.code(), said))
}

#[test]
fn what_was_acknowledged_survives() -> io::Result<()> {
    let (code, said) = powercut(&["--images", "500"], None)?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("500 power-cut images over 100 cut points of 60 commits"), "{said}");
    assert!(said.contains("five ways of losing: 0 violations"), "{said}");
    Ok(())
}

/// Each kind of sync is needed, also while two commits are under way, and in its order: without it, losses are found.
#[test]
fn a_sync_that_does_nothing_or_comes_late_is_found() -> io::Result<()> {
    for rule in ["segment-sync", "index-sync", "folder-sync", "overlap-sync", "sync-order"] {
        let images = if rule == "sync-order" { "500" } else { "100" }; // there are few places that show it
        let (code, said) = powercut(&["--images", images, "--break-rule", rule], None)?;
        assert_eq!(code, Some(1), "{rule}: {said}");
        assert!(said.contains("violation: cut ") && !said.contains(": 0 violations"), "{rule}: {said}");
    }
    Ok(())
}

#[test]
fn without_strace_it_fails_and_says_so() -> io::Result<()> {
    let (code, said) = powercut(&["--images", "5"], Some("/nonexistent"))?;
    assert!(code != Some(0) && said.contains("install it"), "{said}");
    Ok(())
}
