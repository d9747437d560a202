//! The reports of runs, as they are kept.

use crate::context::RunContext;
use crate::ledger::facts::Facts;
use crate::ledger::report::{DeadLine, Program, Report, Status};
use crate::ledger::{Standing, report};
use crate::life::look;
use crate::piece::letter::{DeadLetter, Failed};
use anabranch_engine::{At, Desk, FlowId, Result, items, limits};
use anabranch_flow::model::Step;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The report as it is kept: errors are cut, and the rarest left out, until it is not too long.
pub fn kept(report: &Report) -> String {
    let mut short = report.clone();
    if serde_json::to_vec(&short.parts).is_ok_and(|json| json.len() > limits::REPORT_BYTES / 4) {
        short.parts.clear(); // the hash alone tells that flows differ
    }
    short.dead.iter_mut().for_each(|d| d.error = d.error.chars().take(200).collect());
    loop {
        let json = serde_json::to_string(&short).unwrap_or_default();
        let left = short.dead.len() / 2;
        if json.len() <= limits::REPORT_BYTES || short.dead.is_empty() {
            return json;
        }
        short.dead.sort_by_key(|d| std::cmp::Reverse(d.count));
        short.dead.truncate(left);
    }
}

/// The report with its dead letters by step and error.
pub fn finished(standing: Standing<'_>, facts: &Facts) -> Result<Report> {
    let Standing { context, accounts, record } = standing;
    let mut report = report::report(standing, facts, context.world.clock.now());
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for account in accounts {
        let Some(end) = account.ends.get(&(context.dead.clone(), account.lane)) else { continue };
        let start = record.starts.get(&(context.dead.clone(), account.lane)).copied().unwrap_or(0);
        let at = At { stream: context.dead.clone(), partition: account.lane, offset: start };
        let _ = items(&*context.engine, at, end.end, |_, item| {
            let Failed { step, reason, .. } = DeadLetter::read(item).failed;
            *counts.entry((step, reason.error)).or_default() += 1;
            Ok(if counts.len() >= limits::FAILURES_COUNTED {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
    }
    let mut dead: Vec<DeadLine> =
        counts.into_iter().map(|((step, error), count)| DeadLine { step, error, count }).collect();
    dead.sort_by(|a, b| a.step.cmp(&b.step).then(b.count.cmp(&a.count)));
    dead.truncate(limits::FAILURES_LISTED);
    report.dead = dead;
    report.programs = programs(context);
    Ok(report)
}

/// The programs of the steps as they are now.
fn programs(context: &RunContext) -> BTreeMap<String, Program> {
    let of = |step: &Step| {
        let (path, _) = look::program(step)?;
        let hash = context.world.actions.hash(path)?;
        Some((step.name.clone(), Program { program: path.to_string(), hash: format!("{hash:016x}") }))
    };
    context.flow.steps.iter().filter_map(of).collect()
}

/// The report of one run that has ended, if it is kept.
///
/// # Errors
///
/// It cannot be read.
pub fn saved_report(engine: &dyn Desk, flow: &FlowId, run: u64) -> Result<Option<Report>> {
    Ok(any_report(engine, flow, run)?.filter(has_ended))
}

/// The same of a run that may be open: then it has the flow that the run was opened with, and no numbers.
///
/// # Errors
///
/// It cannot be read.
pub fn any_report(engine: &dyn Desk, flow: &FlowId, run: u64) -> Result<Option<Report>> {
    Ok(engine.report(flow, run)?.and_then(|json| serde_json::from_str(&json).ok()))
}

fn has_ended(report: &Report) -> bool {
    report.status != Status::Open
}

/// The reports of a flow that are kept, newest first.
///
/// # Errors
///
/// They cannot be read.
pub fn saved_reports(engine: &dyn Desk, flow: &FlowId) -> Result<Vec<Report>> {
    let mut all = engine.reports(flow)?;
    all.reverse();
    Ok(all.into_iter().filter_map(|(_, json)| serde_json::from_str(&json).ok()).filter(has_ended).collect())
}
