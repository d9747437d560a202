//! The report of a run as a table.

use crate::ledger::report::{Report, Role, Status, StepLine};
use crate::show::table::{number, or_dash, seconds, table};
use crate::show::text::counted;
use anabranch_flow::patterns::barrier::Verdict;
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&draw(self, None))
    }
}

/// How a run ended that did not end well, in one line.
pub fn in_short(r: &Report) -> String {
    let gates = r.steps.iter().filter_map(|s| Some((&s.step, s.gate.as_ref().filter(|g| g.is_shut())?)));
    let gates = gates.map(|(step, gate)| format!("{step} is {gate}"));
    let why: Vec<String> = gates.chain(r.imbalance.iter().cloned()).chain(r.notes.iter().cloned()).take(3).collect();
    let why = if why.is_empty() { String::new() } else { format!(" · {}", why.join(" · ")) };
    head(r) + &why
}

/// The report as it is shown in a terminal of this width, or elsewhere.
pub fn draw(r: &Report, width: Option<usize>) -> String {
    let mut out = head(r) + "\n";
    out += &steps(r, width);
    for step in r.steps.iter().filter(|s| !s.lacks.is_empty() && s.verb == Role::Reduce) {
        let at: Vec<&str> = step.lacks.keys().map(String::as_str).collect();
        let lacks = step.lacks.values().sum::<u64>() as usize;
        out += &format!("  {} lacks {} (dead at {})\n", step.step, counted(lacks, "item"), at.join(", "));
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
    out
}

/// What a step waits for that has not begun: gates that stay shut.
pub fn waits_for(r: &Report) -> String {
    let held = |s: &&StepLine| s.gate.as_ref().is_some_and(|g| g.verdict == Verdict::Held);
    let failed = |s: &&StepLine| s.gate.as_ref().is_some_and(|g| g.verdict == Verdict::Failed);
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
    let status = match r.status {
        Status::Open => "open; if it is not running, run it again to continue".to_string(),
        _ => outcome(r),
    };
    format!("{} · run {}{} · {status} · {}", r.flow, r.run, for_batch(r), seconds(r.seconds))
}

/// ` for batch 3`, where a run works for one of an earlier run.
pub fn for_batch(r: &Report) -> String {
    if r.is_repair() { format!(" for batch {}", r.of_batch()) } else { String::new() }
}

/// How a run ended, or that it has not.
pub fn outcome(r: &Report) -> String {
    match r.status {
        Status::Held => "HELD".to_string(),
        Status::Failed => "FAILED".to_string(),
        Status::Open => "open".to_string(),
        Status::DoneWithDeadLetters => format!("done with {}", counted(r.dead_letters() as usize, "dead letter")),
        Status::Done => "done".to_string(),
        Status::Abandoned => "abandoned".to_string(),
    }
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
    if let Some(gate) = s.gate.as_ref().filter(|g| g.is_shut()) {
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

/// The balance of a run: what was read is what has ended somewhere.
pub fn books_line(r: &Report) -> String {
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
    let is = if r.balanced { "=" } else { "≠" };
    format!("{left} {is} {right}")
}

fn books(r: &Report) -> String {
    match (r.balanced, r.status) {
        (_, Status::Open) => String::new(),
        (true, _) => format!("  balanced ✓    {}\n", books_line(r)),
        (false, _) => format!("  NOT BALANCED  {}\n", books_line(r)),
    }
}
