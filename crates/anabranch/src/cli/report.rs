//! `anabranch report`, and the report at the end of a run.

use super::args::{Args, Report as ReportArgs};
use super::{Exit, open, place, print, runs, screen};
use anabranch_engine::{Error, Result};
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_run::show::report::draw as drawn;
use anabranch_run::show::table::number;
use anabranch_run::{Report, Status, StepLine};
use std::path::Path;

/// Shows a report that was kept.
pub fn show(args: &Args, a: &ReportArgs) -> Result<Exit> {
    let Some(flow) = place::flow(args, &a.flow)? else { return Ok(2) };
    let all = runs::kept(args, &a.flow, &flow)?;
    let found = match a.run {
        Some(n) => all.iter().find(|r| r.run == n),
        None => all.first(),
    };
    let report = found.ok_or_else(|| match a.run {
        Some(n) => Error::usage(format!("there is no report of run {n} of {}", flow.name)),
        None => Error::usage(format!("{} has not run here yet", flow.name)).help("run it:  anabranch run"),
    })?;
    if args.json {
        print::document(report);
    } else {
        print::show(&draw(report, &a.flow.flow, screen::width(std::io::stdout())));
    }
    Ok(0)
}

/// The report as it is shown in a terminal of this width, or elsewhere, and what can be done about what it says.
pub fn draw(r: &Report, flow: &Path, width: Option<usize>) -> String {
    drawn(r, width) + &dead_lines(r, flow)
}

fn dead_lines(r: &Report, flow: &Path) -> String {
    let mut out = String::new();
    let mut steps: Vec<&str> = r.dead.iter().map(|d| d.step.as_str()).collect();
    steps.dedup();
    for step in steps {
        let of: Vec<_> = r.dead.iter().filter(|d| d.step == step).collect();
        let listed: u64 = of.iter().map(|d| d.count).sum(); // where there are many errors, not all of them are
        let n = r.steps.iter().find(|s| s.step == step).map_or(listed, |s| s.dead.max(listed));
        let short = |t: &str| t.lines().next().unwrap_or_default().chars().take(60).collect::<String>();
        let errors: Vec<String> =
            of.iter().take(3).map(|d| format!("{} ×{}", short(&d.error), number(d.count))).collect();
        out += &format!("dead letters: {} at {step}   {}\n", number(n), errors.join(", "));
    }
    if !out.is_empty() {
        out += &format!("   list them:  anabranch dead list {}\n", flow.display());
    }
    let waits = r.steps.iter().filter(|s| s.gate.as_ref().is_some_and(|gate| gate.waits));
    for step in waits.filter(|_| r.status == Status::Held) {
        out += &format!("   look at the batch and open the gate:  {}\n", open::command(flow, &step.step, r.batch));
    }
    let lacks = |s: &StepLine| s.gate.as_ref().is_some_and(|gate| gate.verdict == Verdict::Held && !gate.waits);
    if r.status == Status::Held && r.steps.iter().any(lacks) {
        let what = |command: &str| format!("anabranch dead {command} {} --batch {}", flow.display(), r.batch);
        out += &format!("   mend what was wrong and try again:  {}\n", what("retry"));
        out += &format!("   or let the batch go on without them:  {}\n", what("skip"));
    }
    out
}
