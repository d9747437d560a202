//! `anabranch explain`: why a step is where it is. Works beside a run.

use super::args::{Args, Explain};
use super::letters::{self, Batches, Next};
use super::{Exit, place, print};
use crate::Local;
use anabranch_engine::{Admin, Error, Phase, Result, Worker};
use anabranch_flow::model::Flow;
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_run::show::report::waits_for;
use anabranch_run::{Failed, Inspection, Progress, Reason, Report, Role, StepLine, inspect};

/// Says how each step stands, or why one step is where it is.
pub fn explain(args: &Args, a: &Explain) -> Result<Exit> {
    let (arg, step) = place::the_step(&a.flow, a.step.as_ref());
    let Some(flow) = place::flow(args, &arg)? else { return Ok(2) };
    let engine = place::engine_of(args, &arg.flow)?;
    let world = std::sync::Arc::new(Local::new(&place::folder(&arg.flow)));
    let seen = inspect(flow.clone(), engine.clone(), world)?;
    let Some(seen) = seen else {
        tell!("no run of {} was begun here yet", flow.name);
        if args.json {
            print::document(&None::<anabranch_run::Report>);
        }
        return Ok(0);
    };
    if args.json {
        print::document(&seen.report);
        return Ok(0);
    }
    let lines: Vec<&StepLine> = match &step {
        Some(name) => {
            let found = seen.report.steps.iter().find(|s| s.step == *name);
            let known: Vec<&str> = seen.report.steps.iter().map(|s| s.step.as_str()).collect();
            vec![found.ok_or_else(|| {
                Error::usage(format!("there is no step {name}")).help(format!("known steps: {}", known.join(", ")))
            })?]
        }
        None => seen.report.steps.iter().collect(),
    };
    if step.is_none() {
        engine.workers(&flow.name)?.iter().for_each(|w| say!("{}", at_work(w)));
    }
    let failed = failed(&*engine, &flow, &seen.report, &lines)?;
    for (line, (count, first)) in lines.into_iter().zip(failed) {
        say!("{} · {} · run {} · {}", line.step, line.verb.word(), seen.report.run, state(&seen, line));
        let failed = line.lacks.values().sum::<u64>().max(line.dead);
        say!(
            "  taken {}   passed {}   filtered {}   failed {failed}   waiting {}",
            line.taken,
            line.passed + line.folded,
            line.filtered,
            line.waiting
        );
        left(&seen, line).iter().for_each(|text| say!("  {text}"));
        if let Some(gate) = &line.gate {
            say!("  gate: {gate}");
        }
        first.iter().for_each(|text| say!("  {text}"));
        if count > first.len() {
            let more = count - first.len();
            say!("  … and {more} more:  anabranch dead list {} --batch {}", arg.flow.display(), seen.report.batch);
        }
        if line.gate.as_ref().is_some_and(|g| g.waits) {
            say!("  opens by hand:  {}", place::opens(&arg.flow, &line.step, seen.report.batch));
        } else if line.gate.as_ref().is_some_and(|g| g.verdict == Verdict::Held) {
            let (flow, batch) = (arg.flow.display(), seen.report.batch);
            say!("  opens when they pass, or are given up:  anabranch dead retry|skip {flow} --batch {batch}");
        }
    }
    Ok(0)
}

/// Letters that are shown of a step.
const SHOWN: usize = 20;

/// For each step: how many dead letters of the batch that are not settled are its own, or lack at it, and the first of them.
fn failed(engine: &dyn Admin, flow: &Flow, report: &Report, lines: &[&StepLine]) -> Result<Vec<(usize, Vec<String>)>> {
    let batches = Batches::of(engine, flow)?;
    let of_batch = |seen: &letters::Seen| match batches.batch(&seen.letter) {
        Some(batch) => batch.books.record.batch == report.batch && batches.is_open(seen),
        None => seen.letter.run == report.run,
    };
    let mut found = vec![(0, vec![]); lines.len()];
    letters::each(engine, flow, None, of_batch, |seen| {
        let Failed { step, reason, .. } = &seen.letter.failed;
        let of = |line: &StepLine| line.step == *step || line.lacks.contains_key(step);
        for (_, (count, first)) in lines.iter().zip(&mut found).filter(|(line, _)| of(line)) {
            *count += 1;
            if first.len() < SHOWN {
                let Reason { error, attempts, place, .. } = reason;
                first.push(format!("{}  {place}  dead at {step}, attempt {attempts}: {error}", seen.letter.id));
            }
        }
        Ok(Next::More)
    })?;
    Ok(found)
}

/// Who works which lanes: `process 4711 on host · lanes 0-4`.
fn at_work(worker: &Worker) -> String {
    let mut ranges: Vec<(u32, u32)> = vec![];
    for lane in &worker.lanes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *lane => *last = *lane,
            _ => ranges.push((*lane, *lane)),
        }
    }
    let range = |(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    match ranges.iter().map(range).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => format!("{} · stands by", worker.name),
        one if worker.lanes.len() == 1 => format!("{} · lane {one}", worker.name),
        lanes => format!("{} · lanes {lanes}", worker.name),
    }
}

/// How much of what is there a step has not taken, as far as that is counted.
fn left(seen: &Inspection, line: &StepLine) -> Option<String> {
    let view = seen.steps.iter().find(|view| view.step == line.step && !seen.phase.closed())?;
    let there = view.there.filter(|there| *there > view.taken)?;
    Some(format!("still to be taken: {} of {there} that are there", there - view.taken))
}

fn state(seen: &Inspection, line: &StepLine) -> String {
    match (seen.phase, seen.progress(&line.step)) {
        (_, Some(Progress::Blocked)) => waits_for(&seen.report),
        (_, Some(Progress::Finished)) => "finished".into(),
        (Phase::Open | Phase::Closing, _) if line.gate.is_none() && line.verb == Role::Join => {
            "waiting for the end of its input".into()
        }
        (Phase::Open | Phase::Closing, _) => "running".into(),
        _ if line.waiting > 0 => "held".into(),
        _ => "finished".into(),
    }
}
