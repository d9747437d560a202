//! `anabranch report`, and the report at the end of a run.

use super::args::{Args, Report as ReportArgs};
use super::table::{number, or_dash, seconds, table};
use super::{Exit, place, print, screen};
use crate::Local;
use anabranch_engine::{Admin, Error, Result};
use anabranch_run::ledger::report::StepLine;
use anabranch_run::{Report, inspect, saved_reports};
use std::path::Path;
use std::sync::Arc;

/// Shows a report that was kept.
pub fn show(args: &Args, a: &ReportArgs) -> Result<Exit> {
    let Some(flow) = place::flow(args, &a.flow)? else { return Ok(2) };
    let engine = place::engine_of(args, &a.flow.flow)?;
    let all = saved_reports(&*engine as &dyn Admin, &flow.name)?;
    let world = Arc::new(Local::new(&place::folder(&a.flow.flow)));
    let newest = inspect(flow.clone(), engine, world)?.filter(|seen| !seen.phase.closed()).map(|seen| seen.report);
    let found = match a.run {
        Some(n) => all.iter().chain(&newest).find(|r| r.run == n),
        None => newest.as_ref().or(all.first()),
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

/// How a run ended that did not end well, in one line.
pub fn in_short(r: &Report) -> String {
    let gates = r.steps.iter().filter_map(|s| Some((&s.step, s.gate.as_ref().filter(|g| *g != "open")?)));
    let gates = gates.map(|(step, gate)| format!("{step} is {gate}"));
    let why: Vec<String> = gates.chain(r.imbalance.iter().cloned()).chain(r.notes.iter().cloned()).take(3).collect();
    let why = if why.is_empty() { String::new() } else { format!(" · {}", why.join(" · ")) };
    head(r) + &why
}

/// The report as it is shown in a terminal of this width, or elsewhere.
pub fn draw(r: &Report, flow: &Path, width: Option<usize>) -> String {
    let mut out = head(r) + "\n";
    out += &steps(r, width);
    for step in r.steps.iter().filter(|s| !s.lacks.is_empty() && s.verb == "reduce") {
        let at: Vec<&str> = step.lacks.keys().map(String::as_str).collect();
        let lacks = step.lacks.values().sum::<u64>() as usize;
        out += &format!("  {} lacks {} (dead at {})\n", step.step, super::check::counted(lacks, "item"), at.join(", "));
    }
    let blocked: Vec<&str> = r.steps.iter().filter(|s| s.blocked).map(|s| s.step.as_str()).collect();
    if !blocked.is_empty() {
        out += &format!("  {}  {}\n", blocked.join(" "), waits_for(r));
    }
    for note in &r.notes {
        out += &format!("  note: {note}\n");
    }
    out += &books(r);
    for line in &r.imbalance {
        out += &format!("  ✗ {line}\n");
    }
    out += &dead_lines(r, flow);
    out
}

/// What a step waits for that has not begun: gates that stay shut.
pub fn waits_for(r: &Report) -> String {
    let held = |s: &&StepLine| s.gate.as_ref().is_some_and(|g| g.starts_with("held"));
    let failed = |s: &&StepLine| s.gate.as_ref().is_some_and(|g| g.starts_with("failed"));
    let names = |steps: Vec<&StepLine>, one: &str, many: &str| {
        let all: Vec<&str> = steps.iter().map(|s| s.step.as_str()).collect();
        let which = if all.len() == 1 { one } else { many };
        (!all.is_empty()).then(|| format!("{}, which {which}", all.join(" and ")))
    };
    let held = names(r.steps.iter().filter(held).collect(), "is held", "are held");
    let failed = names(r.steps.iter().filter(failed).collect(), "has failed", "have failed");
    let gates: Vec<String> = held.into_iter().chain(failed).collect();
    if gates.is_empty() { "waiting for a gate".into() } else { format!("waiting for {}", gates.join(", and for ")) }
}

/// What ended, and how.
fn head(r: &Report) -> String {
    let dead: u64 = r.steps.iter().map(|s| s.dead).sum();
    let status = match r.status.as_str() {
        "held" => "HELD".to_string(),
        "failed" => "FAILED".to_string(),
        "open" => "open; if it is not running, run it again to continue".to_string(),
        "done-with-dead-letters" => format!("done with {}", super::check::counted(dead as usize, "dead letter")),
        other => other.to_string(),
    };
    format!("{} · run {} · {status} · {}", r.flow, r.run, seconds(r.seconds))
}

fn steps(r: &Report, width: Option<usize>) -> String {
    let any = |of: fn(&StepLine) -> u64| r.steps.iter().any(|s| of(s) > 0);
    let (skipped, waiting) = (any(|s| s.skipped), any(|s| s.waiting));
    let mut head = vec!["  step", "taken", "passed", "filtered", "folded"];
    head.extend(skipped.then_some("skipped"));
    head.push("dead");
    head.extend(waiting.then_some("waiting"));
    head.push("made");
    let right: Vec<usize> = (1..head.len() - 1).collect();
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for s in &r.steps {
        let mut row =
            vec![format!("  {}", s.step), number(s.taken), or_dash(s.passed), or_dash(s.filtered), or_dash(s.folded)];
        row.extend(skipped.then(|| or_dash(s.skipped)));
        row.push(or_dash(s.dead));
        row.extend(waiting.then(|| or_dash(s.waiting)));
        row.push(made(r, s));
        rows.push(row);
    }
    table(&rows, &right, width)
}

/// What a step made, by stream; a sink is named by its file. A gate says why it is shut.
fn made(r: &Report, s: &StepLine) -> String {
    if let Some(gate) = s.gate.as_ref().filter(|g| *g != "open") {
        return format!("◆ {gate}");
    }
    let to = |stream: &str| {
        let files: Vec<&str> = r.sinks.iter().filter(|k| k.stream == stream).map(|k| k.path.as_str()).collect();
        if files.is_empty() { stream.to_string() } else { files.join(" and ") }
    };
    let parts: Vec<String> =
        s.made.iter().filter(|(_, n)| **n > 0).map(|(stream, n)| format!("{} → {}", number(*n), to(stream))).collect();
    match parts.len() {
        0..=4 => parts.join(", "),
        n => format!("{} → {n} streams", number(s.made.values().sum())),
    }
}

fn books(r: &Report) -> String {
    let b = &r.books;
    let mut left = format!("{} read", number(b.read));
    if b.added > 0 {
        left += &format!(" + {} added (copies, children, finals)", number(b.added as u64));
    }
    if b.added < 0 {
        left += &format!(" - {} not read again", number(b.added.unsigned_abs()));
    }
    let terms = [
        (b.stored, "stored"),
        (b.ended, "ended"),
        (b.filtered, "filtered"),
        (b.folded, "folded"),
        (b.skipped, "skipped"),
        (b.dead, "dead"),
        (b.waiting, "waiting"),
    ];
    let right: Vec<String> =
        terms.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(*n))).collect();
    let right = if right.is_empty() { "0".into() } else { right.join(" + ") };
    match (r.balanced, r.status.as_str()) {
        (_, "open") => String::new(),
        (true, _) => format!("  balanced ✓    {left} = {right}\n"),
        (false, _) => format!("  NOT BALANCED  {left} ≠ {right}\n"),
    }
}

/// What can be done about a held run.
pub const HELD: &str = "fix the cause, or accept it with  tolerate , then run again: files are read again; \
    streams from outside after  anabranch groups reset";

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
    if r.status == "held" {
        out += &format!("   {HELD}\n");
        let skip = format!("anabranch dead skip {} --batch {}", flow.display(), r.batch);
        out += &format!("   or let the batch go on without what failed:  {skip}\n");
    }
    out
}
