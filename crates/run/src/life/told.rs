//! Whoever the flow names is told when a run has ended: at least once, also where the process was killed before.

use crate::context::RunContext;
use crate::ledger::report::{Report, Status};
use crate::life::commit::commit;
use crate::life::reports::{any_report, kept};
use crate::options::Options;
use crate::world::Failure;
use anabranch_engine::{Error, Lane, Result, RunRecord, limits};
use anabranch_flow::call::{Call, Request};
use anabranch_flow::ends::{Ending, OnEnd};
use anabranch_flow::expr::{RunVars, Scope, Value};

/// How a run ended, as a flow names it; none if it was given up.
fn ending(status: Status) -> Option<Ending> {
    match status {
        Status::Done => Some(Ending::Done),
        Status::DoneWithDeadLetters => Some(Ending::Dead),
        Status::Held => Some(Ending::Held),
        Status::Failed => Some(Ending::Failed),
        Status::Open => Some(Ending::Stopped),
        Status::Abandoned => None,
    }
}

/// Notes that it is to be told of a run that closes with this report, if the flow wants that; beside those of which it was
/// not told yet.
pub fn note(context: &RunContext, closing: &mut RunRecord, report: &Report) {
    let wanted = |hook: &OnEnd| ending(report.status).is_some_and(|ending| hook.when.contains(&ending));
    match &context.flow.on_end {
        Some(hook) if wanted(hook) => closing.untold.push(closing.number),
        Some(_) => {}
        None => closing.untold.clear(),
    }
    let over = closing.untold.len().saturating_sub(limits::UNTOLD_RUNS);
    closing.untold.drain(..over);
}

/// Tells of all runs that have closed, and notes it. The outcome of a run is not changed by who cannot be told.
pub fn tell(context: &RunContext, lane: &mut dyn Lane, options: &mut Options) {
    let Some(hook) = &context.flow.on_end else { return };
    let all = lane.account().record.as_ref().map_or_else(Vec::new, |r| r.untold.clone());
    let mut left = all.clone();
    for run in all.iter().copied() {
        let told = any_report(&*context.engine, &context.flow.name, run);
        let told = told.and_then(|report| report.map_or(Ok(()), |report| once(context, hook, &report)));
        if let Err(e) = told {
            options.note(&format!("it could not be told how run {run} has ended, the next run tries again: {e}"));
            break;
        }
        left.retain(|of| *of != run);
    }
    if left == all {
        return;
    }
    let is_noted = commit(lane, |account| {
        if let Some(record) = &mut account.record {
            record.untold.clone_from(&left);
        }
    });
    if let Err(e) = is_noted {
        options.note(&format!("it could not be noted that the end of the run was told, it is told again: {}", e.text));
    }
}

/// Tells of a run that was told to stop. If that fails it is not tried again.
pub fn stopped(context: &RunContext, report: &Report, options: &mut Options) {
    let Some(hook) = context.flow.on_end.as_ref().filter(|hook| hook.when.contains(&Ending::Stopped)) else { return };
    if let Err(e) = once(context, hook, report) {
        options.note(&format!("it could not be told that run {} was stopped: {e}", report.run));
    }
}

fn once(context: &RunContext, hook: &OnEnd, report: &Report) -> Result<()> {
    let Some(ending) = ending(report.status) else { return Ok(()) };
    let started: jiff::Timestamp = report.started.parse().unwrap_or_default();
    let date = started.to_zoned(context.vars.run.zone.0.clone()).date().to_string();
    let run = RunVars { id: report.run.to_string(), date, started, zone: context.vars.run.zone.clone() };
    let extra = [Value::text(ending.word())];
    let mut scope = Scope::of_run(&run, &context.vars.env);
    scope.extra = &extra;
    let failed = |f: anabranch_flow::expr::Fault| Error::usage(format!("on-end: {f}"));
    let args = hook.command.args.iter().map(|t| t.render(&scope).map_err(failed)).collect::<Result<_>>()?;
    let of_flow = hook.command.env.iter().map(|(n, v)| Ok((n.clone(), v.render(&scope).map_err(failed)?)));
    let mut env = of_flow.collect::<Result<Vec<_>>>()?;
    let ours = [("FLOW", report.flow.clone()), ("RUN", report.run.to_string()), ("STATUS", ending.word().to_string())];
    env.extend(ours.into_iter().map(|(name, value)| (format!("ANABRANCH_{name}"), value)));
    let id = format!("{}/{}", report.flow, report.run);
    let call =
        Call { id, attempt: 1, value: kept(report).into(), request: Request::Exec { args, env }, ..Call::default() };
    match context.world.actions.once(&call, hook.timeout) {
        Ok(_) => Ok(()),
        Err(Failure::Item { text, .. }) => Err(Error::machine(text)),
        Err(Failure::Run(e)) => Err(e),
    }
}
