//! `anabranch runs`: the runs of a flow that are kept.

use super::args::{Args, FlowArg, Numbered, Runs};
use super::kept::kept;
use super::{Exit, place, print, report, screen};
use anabranch_engine::{Error, Result};
use anabranch_flow::model::Flow;
use anabranch_run::Report;
use anabranch_run::show::history::{Change, changes};
use anabranch_run::show::report::{for_batch, outcome};
use anabranch_run::show::table::{number, seconds, table};
use serde_json::{Value, json};
use std::io::stdout;

/// Lists, shows and compares runs.
pub fn runs(args: &Args, what: &Runs) -> Result<Exit> {
    match what {
        Runs::List { flow, max } => list(args, flow, *max),
        Runs::Show { which } => show(args, which),
        Runs::Diff { which } => diff(args, which),
    }
}

fn list(args: &Args, arg: &FlowArg, max: Option<usize>) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let all = kept(args, arg, &flow)?;
    let shown = &all[..all.len().min(max.unwrap_or(if args.json { usize::MAX } else { SHOWN }))];
    if args.json {
        let runs: Vec<Value> = shown.iter().map(|r| summary(r, &all)).collect();
        print::document(&json!({ "schema": "anabranch.runs/1", "flow": flow.name.as_str(), "runs": runs }));
        return Ok(0);
    }
    if all.is_empty() {
        tell!("{} has not run here yet", flow.name);
        return Ok(0);
    }
    let head = ["run", "batch", "began", "took", "outcome", "exit", "read", "dead", "repaired by"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(shown.iter().map(|r| {
        let began = r.started.replace('T', " ").replace('Z', "");
        vec![
            r.run.to_string(),
            r.of_batch().to_string(),
            began,
            seconds(r.seconds),
            outcome(r),
            r.exit.to_string(),
            number(r.books.read),
            number(r.dead_letters()),
            listed(&repaired_by(r, &all)),
        ]
    }));
    print::show(&table(&rows, &[0, 1, 3, 5, 6, 7], screen::width(stdout())));
    if shown.len() < all.len() {
        tell!("… and {} more:  --max N", all.len() - shown.len());
    }
    Ok(0)
}

/// Runs that are listed if nothing else is said.
const SHOWN: usize = 20;

/// Later runs that worked for the same batch.
fn repaired_by(r: &Report, all: &[Report]) -> Vec<u64> {
    let later = |of: &&Report| of.run > r.run && of.of_batch() == r.of_batch();
    let mut runs: Vec<u64> = all.iter().filter(later).map(|of| of.run).collect();
    runs.sort_unstable();
    runs
}

fn listed(runs: &[u64]) -> String {
    runs.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn summary(r: &Report, all: &[Report]) -> Value {
    json!({ "run": r.run, "batch": r.of_batch(), "started": r.started, "seconds": r.seconds, "status": r.status, "exit": r.exit,
            "balanced": r.balanced, "read": r.books.read, "dead": r.dead_letters(), "hash": r.hash, "repaired-by": repaired_by(r, all) })
}

fn show(args: &Args, which: &Numbered) -> Result<Exit> {
    let (arg, numbers) = which.parts()?;
    let [n] = numbers.as_slice() else {
        return Err(Error::usage("one run is shown").help("anabranch runs show [FLOW] N"));
    };
    let Some(flow) = place::flow(args, &arg)? else { return Ok(2) };
    let all = kept(args, &arg, &flow)?;
    let r = find(&all, *n, &flow)?;
    if args.json {
        print::document(r);
        return Ok(0);
    }
    print::show(&report::draw(r, &arg.flow, screen::width(stdout())));
    let is_now = if r.hash == flow.hash { "as it is now" } else { "it has changed since" };
    let mut about = vec![("began", r.started.clone()), ("flow", format!("{} ({is_now})", r.hash))];
    let by = repaired_by(r, &all);
    about.extend((!by.is_empty()).then(|| ("repaired by", format!("run {}", listed(&by)))));
    let program =
        |(step, p): (&String, &anabranch_run::Program)| ("calls", format!("{step}: {} {}", p.program, p.hash));
    about.extend(r.programs.iter().map(program));
    about.iter().for_each(|(what, is)| say!("{what}: {is}"));
    Ok(0)
}

fn find<'r>(all: &'r [Report], n: u64, flow: &Flow) -> Result<&'r Report> {
    all.iter().find(|r| r.run == n).ok_or_else(|| {
        let e = Error::usage(format!("there is no report of run {n} of {}", flow.name));
        match (all.last(), all.first()) {
            (Some(oldest), Some(newest)) => e.help(format!("there are those of {} to {}", oldest.run, newest.run)),
            _ => e.help("it has not run here yet"),
        }
    })
}

fn diff(args: &Args, which: &Numbered) -> Result<Exit> {
    let (arg, numbers) = which.parts()?;
    let [a, b] = numbers.as_slice() else {
        return Err(Error::usage("two runs are compared").help("anabranch runs diff [FLOW] A B"));
    };
    let Some(flow) = place::flow(args, &arg)? else { return Ok(2) };
    let all = kept(args, &arg, &flow)?;
    let (a, b) = (find(&all, *a, &flow)?, find(&all, *b, &flow)?);
    let told = changes(a, b);
    if args.json {
        print::document(&json!({ "schema": "anabranch.runs-diff/1", "flow": flow.name.as_str(),
            "a": summary(a, &all), "b": summary(b, &all), "differences": told }));
        return Ok(0);
    }
    for r in [a, b] {
        say!("run {}{} · {} · {} · {}", r.run, for_batch(r), outcome(r), seconds(r.seconds), r.started);
    }
    let mut rows = vec![vec!["step".into(), "".into(), format!("run {}", a.run), format!("run {}", b.run), "".into()]];
    rows.extend(told.steps.iter().map(|c| {
        let say = |n: Option<u64>| n.map_or("no such step".into(), number);
        vec![c.step.clone(), c.what.into(), say(c.a), say(c.b), by_how_much(c)]
    }));
    if rows.len() > 1 {
        print::show(&table(&rows, &[2, 3, 4], screen::width(stdout())));
    } else {
        say!("every step counts the same");
    }
    match told.flow.as_slice() {
        [] => say!("the flow is the same"),
        [one] if one == "flow" => say!("the flow is another one"),
        parts => say!("the flow differs: {}", parts.join(", ")),
    }
    for step in &told.programs {
        say!("the program of {step} is another one: {}", b.programs[step].program);
    }
    Ok(0)
}

fn by_how_much(c: &Change) -> String {
    match (c.a, c.b) {
        (Some(a), Some(b)) if b > a => format!("+{}", number(b - a)),
        (Some(a), Some(b)) => format!("-{}", number(a.saturating_sub(b))),
        _ => String::new(),
    }
}
