//! Closing a run: files are put in place, the report is kept, what nobody needs goes.

use super::facts::{self, Facts, Progress};
use super::lanes::Ledger;
use super::open::{commit, commit_with, fence};
use super::report::{DeadLine, Report, report};
use super::{Shared, groups, marks, repair, sinks};
use crate::model::{Kind, Mode, Writer};
use crate::patterns::join::Verdict;
use crate::plan::Node;
use anabranch_engine::{Account, Admin, At, Error, FlowId, Held, Lane, Phase, Result, RunRecord, chunks, limits};
use std::collections::BTreeMap;

/// Closes a run whose work is over.
pub fn close(shared: &Shared, lane: &mut dyn Lane, ledger: &Ledger) -> Result<Report> {
    let accounts = ledger.all();
    let record = lane.account().record.clone().ok_or_else(|| Error::bug("a run without a record"))?;
    let facts = facts::derive(shared, accounts, &record);
    for reading in shared.readings.values() {
        reading.reader.verify()?;
    }
    let mut closing = RunRecord { phase: Phase::Closing, ..record.clone() };
    let balanced = report(shared, accounts, &closing, &facts, shared.world.now()).balanced;
    let phase = verdict(accounts, &facts, balanced);
    let publish = to_publish(shared, accounts, &facts, phase)?;
    if !publish.is_empty() {
        let length = |stream| facts::mark(accounts, &marks::length(shared, stream));
        for (stream, _) in &publish {
            if length(*stream) == 0 {
                sinks::open(shared, *stream, lane.account())?.sync()?; // nothing was written: the new file is empty
            }
        }
        if record.phase != Phase::Closing {
            commit(lane, |account| account.record = Some(closing.clone()))?;
        }
        for (stream, path) in &publish {
            shared.world.publish(path, length(*stream))?;
        }
    }
    closing.held.retain(|h| h.batch != record.batch);
    let mut puts = vec![];
    if phase == Phase::Held {
        puts = repair::books(shared, ledger, &closing)?;
        closing.held.push(held(shared, accounts, &record, &facts));
        let over = closing.held.len().saturating_sub(100);
        closing.held.drain(..over);
    }
    closing.phase = phase;
    let report = finished(shared, accounts, &closing, &facts)?;
    shared.engine.keep_report(&shared.flow.name, record.number, &kept(&report))?;
    // between runs the account of this lane alone tells where readers go on
    let read = closing.repair.as_ref().map_or_else(|| ledger.positions(), |mending| mending.carry.clone());
    commit_with(lane, puts, |account| (account.record, account.read) = (Some(closing.clone()), read))?;
    groups::mirror(shared, accounts, &closing)?;
    trim(shared, accounts, &closing)?;
    Ok(report)
}

/// Closes a run as failed, since items that it still wanted are gone.
pub fn lost(shared: &Shared, lane: &mut dyn Lane, ledger: &Ledger, lost: &Error) -> Result<()> {
    let Some(record) = lane.account().record.clone() else { return Ok(()) };
    let others = fence(shared, &record)?;
    let known = others.into_iter().chain(ledger.all().iter().cloned()).chain([lane.account().clone()]);
    let ledger = Ledger::new(record.number, known);
    let failed = RunRecord { phase: Phase::Failed, ..record };
    let facts = facts::derive(shared, ledger.all(), &failed);
    let mut report = finished(shared, ledger.all(), &failed, &facts)?;
    report.imbalance.push(lost.text.clone());
    report.balanced = false;
    shared.engine.keep_report(&shared.flow.name, failed.number, &kept(&report))?;
    let read = ledger.positions();
    commit(lane, |account| (account.record, account.read) = (Some(failed.clone()), read))
}

/// The report as it is kept: errors are cut, and the rarest left out, until it is not too long.
fn kept(report: &Report) -> String {
    let mut short = report.clone();
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

fn verdict(accounts: &[Account], facts: &Facts, balanced: bool) -> Phase {
    let gate = |v: Verdict| facts.gates.contains(&Some(v));
    let dead = accounts.iter().flat_map(|a| a.tally.values()).any(|t| t.dead > 0);
    if !balanced || gate(Verdict::Failed) {
        Phase::Failed
    } else if gate(Verdict::Held) {
        Phase::Held
    } else if dead {
        Phase::Dead
    } else {
        Phase::Done
    }
}

/// The replacing sinks whose files are complete.
fn to_publish(shared: &Shared, accounts: &[Account], facts: &Facts, phase: Phase) -> Result<Vec<(usize, String)>> {
    let mut out = vec![];
    for (s, stream) in shared.flow.streams.iter().enumerate() {
        if stream.sink.as_ref().is_none_or(|s| s.mode == Mode::Append) {
            continue;
        }
        let complete = shared.plan.unit_of(Node::Sink(s)).is_some_and(|u| facts.units[u] == Progress::Finished);
        // what a repair adds nothing to is in its place already
        let adds = !shared.beside.contains_key(&s) || facts::mark(accounts, &marks::length(shared, s)) > 0;
        if complete && adds && !behind_held_fold(shared, facts, s) && phase != Phase::Failed {
            out.extend(sinks::path(shared, s)?.map(|path| (s, path)));
        }
    }
    Ok(out)
}

/// Whether a reduce above, in the same unit, does not say its finals.
fn behind_held_fold(shared: &Shared, facts: &Facts, stream: usize) -> bool {
    let Writer::Step(w, _) = shared.flow.streams[stream].writer else { return false };
    let step = &shared.flow.steps[w];
    match step.kind {
        Kind::Reduce(..) => facts.gates[w] != Some(Verdict::Open),
        _ => step.inputs.iter().any(|i| behind_held_fold(shared, facts, *i)),
    }
}

/// What a held batch is, so that it can be found again.
fn held(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts) -> Held {
    let gate = facts.gates.iter().position(|g| *g == Some(Verdict::Held)).unwrap_or(0);
    let step = &shared.flow.steps[gate];
    let streams: Vec<usize> = match shared.plan.views.get(&gate) {
        Some(view) => view.iter().map(|(s, _)| *s).collect(),
        None => step.inputs.clone(),
    };
    let mut extents = vec![];
    for s in streams.into_iter().filter(|s| shared.plan.logged[*s]) {
        for p in 0..shared.partitions[s] {
            let at = shared.flow.streams[s].at.clone();
            let first = record.extents.get(&(at.clone(), p)).and_then(|e| e.first()).map(|e| e.from);
            let start = first.or_else(|| record.starts.get(&(at.clone(), p)).copied()).unwrap_or(0);
            let end = facts::written(accounts, record, &(at.clone(), p));
            extents.push((at, p, start, end));
        }
    }
    let dead = facts::failed_above(shared, accounts, gate);
    Held { batch: record.batch, step: step.name.clone(), extents, dead }
}

/// The report with its dead letters by step and error.
pub fn finished(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts) -> Result<Report> {
    let mut report = report(shared, accounts, record, facts, shared.world.now());
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for account in accounts {
        let Some(end) = account.ends.get(&(shared.dead.clone(), account.lane)) else { continue };
        let start = record.starts.get(&(shared.dead.clone(), account.lane)).copied().unwrap_or(0);
        let at = At { stream: shared.dead.clone(), partition: account.lane, offset: start };
        for chunk in chunks(&*shared.engine, at, end.end) {
            for handle in &chunk?.batches {
                for item in handle.load()?.records()?.iter() {
                    let item = item.to_item();
                    let text = |name: &str| {
                        item.header(name).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
                    };
                    *counts.entry((text("anabranch.step"), text("anabranch.error"))).or_default() += 1;
                }
            }
            if counts.len() >= 1_000 {
                break;
            }
        }
    }
    let mut dead: Vec<DeadLine> =
        counts.into_iter().map(|((step, error), count)| DeadLine { step, error, count }).collect();
    dead.sort_by(|a, b| a.step.cmp(&b.step).then(b.count.cmp(&a.count)));
    dead.truncate(50);
    report.dead = dead;
    Ok(report)
}

/// Lets go of what no reader of this flow needs any more.
fn trim(shared: &Shared, accounts: &[Account], record: &RunRecord) -> Result<()> {
    let mut keep: Vec<At> = vec![];
    for (s, stream) in shared.flow.streams.iter().enumerate() {
        let internal = shared.plan.logged[s]
            && stream.writer != Writer::Outside
            && (!stream.declared || stream.source.is_some() || stream.sink.is_some());
        if !internal || stream.keep || shared.is_view(s) {
            continue;
        }
        for p in 0..shared.partitions[s] {
            let at = &stream.at;
            let end = facts::written(accounts, record, &(at.clone(), p));
            let held = record
                .held
                .iter()
                .flat_map(|h| &h.extents)
                .filter(|(n, q, ..)| n == at && *q == p)
                .map(|(_, _, start, _)| *start)
                .min();
            let paired = accounts
                .iter()
                .flat_map(|a| &a.read)
                .filter(|((step, n, q), _)| n == at && *q == p && is_pair(shared, step))
                .map(|(_, n)| n.next)
                .min();
            let offset = end.min(held.unwrap_or(end)).min(paired.unwrap_or(end));
            keep.push(At { stream: at.clone(), partition: p, offset });
        }
    }
    if record.repair.is_some() {
        keep.extend(repair::books_from(shared, record)?);
    }
    shared.engine.trim(&keep)
}

fn is_pair(shared: &Shared, step: &str) -> bool {
    shared.flow.step(step).is_some_and(|s| matches!(s.kind, Kind::Pair(_)))
}

/// The reports of a flow that are kept, newest first.
pub fn saved_reports(engine: &dyn Admin, flow: &FlowId) -> Result<Vec<Report>> {
    let mut all = engine.reports(flow)?;
    all.reverse();
    Ok(all.into_iter().filter_map(|(_, json)| serde_json::from_str(&json).ok()).collect())
}
