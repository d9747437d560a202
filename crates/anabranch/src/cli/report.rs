//! `anabranch report`, and the report at the end of a run.

use super::args::{Args, FlowArg, Report as ReportArgs};
use super::letters::{self, Batches};
use super::{Exit, kept, logs, place, print, screen};
use anabranch_engine::{Error, Result};
use anabranch_flow::model::Flow;
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_run::pages::html::{self, Beside};
use anabranch_run::show::report::draw as drawn;
use anabranch_run::show::table::number;
use anabranch_run::{Report, Status, StepLine};
use std::path::Path;

/// Shows a report that was kept.
pub fn show(args: &Args, a: &ReportArgs) -> Result<Exit> {
    let Some(flow) = place::flow(args, &a.flow)? else { return Ok(2) };
    let all = kept::kept(args, &a.flow, &flow)?;
    let found = match a.run {
        Some(n) => all.iter().find(|r| r.run == n),
        None => all.first(),
    };
    let report = found.ok_or_else(|| match a.run {
        Some(n) => Error::usage(format!("there is no report of run {n} of {}", flow.name)),
        None => Error::usage(format!("{} has not run here yet", flow.name)).help("run it:  anabranch run"),
    })?;
    if let Some(to) = &a.html {
        return page(args, &a.flow, (&flow, report), to);
    }
    if args.json {
        print::document(report);
    } else {
        print::show(&draw(report, &a.flow.flow, screen::width(std::io::stdout())));
    }
    Ok(0)
}

/// Dead letters on a page.
const LETTERS: usize = 200;

/// Writes a report as a page.
fn page(args: &Args, arg: &FlowArg, (flow, report): (&Flow, &Report), to: &Path) -> Result<Exit> {
    let engine = place::engine_of(args, &arg.flow)?;
    let batches = Batches::of(&*engine, flow)?;
    let of_it = |seen: &letters::Seen| match batches.batch(&seen.letter) {
        Some(batch) if report.batch == batch.books.record.batch => {
            seen.letter.run == report.run || batches.is_open(seen)
        }
        _ => seen.letter.run == report.run,
    };
    let mut beside = Beside::default();
    letters::each(&*engine, flow, None, of_it, |seen| {
        beside.all_letters += 1;
        if beside.letters.len() < LETTERS {
            beside.letters.push((seen.letter, None));
        }
        Ok(letters::Next::More)
    })?;
    logs::each_from(&*engine, flow, report.of_batch(), |log| {
        let letter = beside.letters.iter_mut().find(|(letter, _)| log.letter.as_ref() == Some(&letter.id));
        if let Some((_, of)) = letter {
            *of = Some(log.clone());
        }
        if log.run == report.run {
            beside.add(log);
        }
        Ok(())
    })?;
    // of a run of another version of the flow the picture would be wrong
    let drawn = Some(flow).filter(|flow| report.hash.is_empty() || report.hash == flow.hash);
    std::fs::write(to, html::page(report, drawn, &beside))
        .map_err(|e| Error::machine(format!("cannot write {}: {e}", to.display())))?;
    if !args.quiet {
        tell!("written: {}", to.display());
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
        out += &format!("   look at the batch and open the gate:  {}\n", place::opens(flow, &step.step, r.batch));
    }
    let lacks = |s: &StepLine| s.gate.as_ref().is_some_and(|gate| gate.verdict == Verdict::Held && !gate.waits);
    if r.status == Status::Held && r.steps.iter().any(lacks) {
        let what = |command: &str| format!("anabranch dead {command} {} --batch {}", flow.display(), r.batch);
        out += &format!("   mend what was wrong and try again:  {}\n", what("retry"));
        out += &format!("   or let the batch go on without them:  {}\n", what("skip"));
    }
    out
}
