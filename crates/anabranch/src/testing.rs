//! Tests of flows, under `cargo test` or anywhere else: the tests of a flow file, run on a log in memory.
//!
//! ```no_run
//! #[test]
//! fn the_flow_does_what_its_tests_say() {
//!     if let Err(why) = anabranch::testing::passes("flows/sign-up/flow.yaml") {
//!         panic!("{why}");
//!     }
//! }
//! ```

pub use anabranch_flow::suite::{Test, of_text};
pub use anabranch_trial::testing::{How, Line, Mark, Went, Wrong, crash, run, shuffle};

use anabranch_flow::check::check_text;
use anabranch_flow::diagnostic::Diagnostic;
use std::fmt::Write;
use std::path::Path;

/// Runs all tests of a flow file, each once and then killed behind each of its commits. Variables come from the tests, then
/// from the environment.
///
/// # Errors
///
/// The flow or a test has mistakes, there is no test, or one fails: what is not as it says.
pub fn passes(file: impl AsRef<Path>) -> Result<(), String> {
    let file = file.as_ref();
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| format!("the flow file {name} cannot be read: {e}"))?;
    let draw = |all: &[Diagnostic]| all.iter().map(|d| d.draw(&name, &text)).collect::<String>();
    let checked = check_text(&text, &|name| std::env::var(name).ok());
    let flow = checked.flow.ok_or_else(|| draw(&checked.diagnostics))?;
    let (tests, faults) = of_text(&text, &flow);
    if !faults.is_empty() {
        return Err(draw(&faults));
    }
    if tests.is_empty() {
        return Err(format!("{name} has no tests"));
    }
    let mut out = String::new();
    for test in &tests {
        let env = |name: &str| test.env.get(name).cloned().or_else(|| std::env::var(name).ok());
        let Some(flow) = check_text(&text, &env).flow else { continue };
        let Went { wrong, commits, .. } = run(&flow, test, How::default());
        let killed = if wrong.is_empty() { crash(&flow, test, commits) } else { vec![] };
        let killed = killed.into_iter().map(|(commit, wrong)| (Some(commit), wrong));
        for (behind, wrong) in wrong.into_iter().map(|wrong| (None, wrong)).chain(killed) {
            let behind = behind.map_or(String::new(), |commit| format!(", killed behind commit {commit}"));
            let _ = writeln!(out, "{}{behind}: {wrong}", test.name);
        }
    }
    if out.is_empty() { Ok(()) } else { Err(out) }
}
