//! Closing a run: files are put in place, the report is kept, what nobody needs goes.

use super::facts::{self, Facts, Progress};
use super::groups::LeftAlone;
use super::lanes::Ledger;
use super::open::{commit, commit_with, fence};
use super::report::{DeadLine, Report, report};
use super::{Options, Shared, Spot, arrivals, groups, marks, positions, repair, sinks};
use crate::model::{Kind, Mode, Writer};
use crate::patterns::join::Verdict;
use crate::plan::{Node, Root};
use anabranch_engine::account::Reader;
use anabranch_engine::{
    Account, Admin, At, Error, FlowId, Held, Lane, Next, Phase, Result, RunRecord, StreamName, chunks, limits,
};
use std::collections::{BTreeMap, BTreeSet};

/// Closes a run whose work is over.
///
/// Once that is committed nothing fails any more: what could not be done then is noted.
pub fn close(
    shared: &Shared,
    lane: &mut dyn Lane,
    ledger: &Ledger,
    options: &mut Options,
    left_alone: &mut LeftAlone,
) -> Result<Report> {
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
    let length = |stream| positions::mark(accounts, &marks::length(shared, stream));
    let begun = |s: &usize| length(*s) > 0 && publish.iter().all(|(of, _)| of != s);
    let aside: Vec<usize> = if phase == Phase::Held { replacing(shared).filter(begun).collect() } else { vec![] };
    if !publish.is_empty() || !aside.is_empty() {
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
        for stream in &aside {
            if let Some((path, waits)) = sinks::aside(shared, *stream, record.batch)? {
                shared.world.put_aside(&path, &waits)?;
            }
        }
    }
    closing.held.retain(|h| h.batch != record.batch);
    let mut puts = vec![];
    if phase == Phase::Held {
        puts = repair::books(shared, ledger, &closing, &aside, placed(shared, accounts, &record, &publish))?;
        closing.held.push(held(shared, accounts, &record, &facts));
    }
    closing.phase = phase;
    closing.ends = ends(shared, accounts, &record);
    let report = finished(shared, accounts, &closing, &facts)?;
    // for the next run: this one's report counts what it found
    closing.waited = waited(shared, accounts, &record, &facts);
    closing.gaps = gaps(shared, accounts, &record, &facts);
    closing.put_back_what_waits();
    shared.engine.keep_report(&shared.flow.name, record.number, &kept(&report))?;
    // between runs the account of this lane alone tells where readers go on
    let read = positions(shared, ledger, &closing, &facts);
    commit_with(lane, puts, |account| (account.record, account.read) = (Some(closing.clone()), read))?;
    let notes = groups::mirror(shared, accounts, &closing, left_alone);
    notes.iter().for_each(|note| options.note(note));
    if let Err(e) = trim(shared, accounts, &closing) {
        options.note(&format!("could not delete data that is no longer needed; the next run retries: {}", e.text));
    }
    Ok(report)
}

/// Where readers go on in the next run. What a held gate keeps from its readers belongs to this batch all the same: its
/// repair reads it.
fn positions(shared: &Shared, ledger: &Ledger, closing: &RunRecord, facts: &Facts) -> BTreeMap<Reader, Next> {
    if let Some(mending) = &closing.repair {
        return mending.carry.clone();
    }
    let mut read = ledger.positions();
    let mut to_seal = |reader: &Reader| {
        let spot = (reader.stream.clone(), reader.partition);
        if let (Some(seal), Some(next)) = (closing.seals.get(&spot), read.get_mut(reader)) {
            next.next = *seal;
        }
    };
    let blocked = shared.plan.units.iter().zip(&facts.units).filter(|(_, p)| **p == Progress::Blocked);
    for root in blocked.filter(|(unit, _)| unit.pairs.is_none()).flat_map(|(unit, _)| &unit.roots) {
        if !root.gates.is_empty() {
            (0..shared.partitions[root.from]).for_each(|p| to_seal(&shared.reader(root, p)));
        }
    }
    shared.viewers().for_each(|(_, _, viewer)| to_seal(&viewer));
    read
}

/// What pairs carry from run to run, by its root, and whether the gates before it let this batch through.
fn carried<'s>(shared: &'s Shared, facts: &Facts) -> Vec<(&'s Root, bool)> {
    let pairs = shared.plan.units.iter().filter(|u| u.pairs.is_some()).flat_map(|u| &u.roots);
    pairs.filter(|r| shared.is_carried(r)).map(|r| (r, facts.gates_before(r) == Some(true))).collect()
}

/// What pairs leave waiting for the next run. A batch that a gate keeps from them is not for them; what waited before still is.
fn waited(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts) -> BTreeMap<Reader, u64> {
    let mut kept = BTreeMap::new();
    for (root, open) in carried(shared, facts) {
        for p in 0..shared.partitions[root.from] {
            let reader = shared.reader(root, p);
            let before = record.waited.get(&reader).copied().unwrap_or(0);
            let n = if open { arrivals::waiting_at(shared, accounts, record, root, p) } else { before };
            kept.insert(reader, n);
        }
    }
    kept.retain(|_, n| *n > 0);
    kept
}

/// Batches that a gate keeps from a pair, behind what the pair has not read yet.
fn gaps(
    shared: &Shared,
    accounts: &[Account],
    record: &RunRecord,
    facts: &Facts,
) -> BTreeMap<Reader, Vec<std::ops::Range<i64>>> {
    let mut gaps = record.gaps.clone();
    for (root, open) in carried(shared, facts) {
        for p in 0..shared.partitions[root.from] {
            let reader = shared.reader(root, p);
            let spot = (reader.stream.clone(), p);
            let of = gaps.entry(reader.clone()).or_default();
            if !open {
                let batch = positions::batch(shared, record, root, p)..positions::written(accounts, record, &spot);
                match of.last_mut().filter(|last| last.end >= batch.start) {
                    Some(last) => last.end = batch.end,
                    None => of.push(batch),
                }
            }
            let next = positions::next(accounts, record, &reader);
            of.retain(|gap| gap.end > next && gap.start < gap.end);
        }
    }
    gaps.retain(|_, of| !of.is_empty());
    gaps
}

/// Where the flow's own streams end now.
fn ends(shared: &Shared, accounts: &[Account], record: &RunRecord) -> BTreeMap<Spot, i64> {
    let of_flow = |at: &StreamName| shared.flow.streams.iter().any(|s| s.at == *at && s.writer != Writer::Outside);
    let own = |at: &StreamName| *at == shared.dead || of_flow(at);
    let mut ends: BTreeMap<Spot, i64> = record.starts.clone().into_iter().filter(|((at, _), _)| own(at)).collect();
    for (spot, end) in accounts.iter().flat_map(|a| &a.ends).filter(|((at, _), _)| own(at)) {
        let known = ends.entry(spot.clone()).or_default();
        *known = end.end.max(*known);
    }
    ends
}

/// Closes a run as failed, since items that it still wanted are gone.
pub fn lost(shared: &Shared, lane: &mut dyn Lane, ledger: &Ledger, lost: &Error) -> Result<()> {
    let Some(record) = lane.account().record.clone() else { return Ok(()) };
    let others = fence(shared, &record)?;
    let known = others.into_iter().chain(ledger.all().iter().cloned()).chain([lane.account().clone()]);
    let ledger = Ledger::new(record.number, known);
    let mut failed = RunRecord { phase: Phase::Failed, ..record };
    let facts = facts::derive(shared, ledger.all(), &failed);
    let mut report = finished(shared, ledger.all(), &failed, &facts)?;
    report.imbalance.push(lost.text.clone());
    report.balanced = false;
    shared.engine.keep_report(&shared.flow.name, failed.number, &kept(&report))?;
    let read = failed.repair.as_ref().map_or_else(|| ledger.positions(), |mending| mending.carry.clone());
    failed.put_back_what_waits();
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

/// The files that a batch has in place, those of its earlier runs first.
pub fn placed(
    shared: &Shared,
    accounts: &[Account],
    record: &RunRecord,
    publish: &[(usize, String)],
) -> Vec<anabranch_engine::Placed> {
    let mut placed = record.repair.as_ref().map_or_else(Vec::new, |mending| mending.placed.clone());
    for (stream, path) in publish {
        let bytes = positions::mark(accounts, &marks::length(shared, *stream));
        let sink = shared.flow.streams[*stream].name.clone();
        let before: u64 = placed.iter().filter(|p| p.sink == sink).map(|p| p.items).sum();
        let items = super::report::stored(shared, accounts, *stream).saturating_sub(before);
        if bytes > 0 {
            placed.push(anabranch_engine::Placed { sink, path: path.clone(), items, bytes });
        }
    }
    placed
}

/// The sinks whose files replace others.
fn replacing(shared: &Shared) -> impl Iterator<Item = usize> {
    let replaces = |s: &crate::model::Stream| s.sink.as_ref().is_some_and(|s| s.mode != Mode::Append);
    shared.flow.streams.iter().enumerate().filter(move |(_, s)| replaces(s)).map(|(s, _)| s)
}

/// The replacing sinks whose files are complete.
fn to_publish(shared: &Shared, accounts: &[Account], facts: &Facts, phase: Phase) -> Result<Vec<(usize, String)>> {
    let mut out = vec![];
    for s in replacing(shared) {
        let complete = shared.plan.unit_of(Node::Sink(s)).is_some_and(|u| facts.units[u] == Progress::Finished);
        // what a repair adds nothing to is in its place already
        let adds = !shared.beside.contains_key(&s) || positions::mark(accounts, &marks::length(shared, s)) > 0;
        if complete && adds && !behind_held_fold(shared, facts, s) && phase != Phase::Failed {
            out.extend(sinks::path(shared, s)?.map(|path| (s, path)));
        }
    }
    Ok(out)
}

/// Whether a reduce above does not say its finals.
fn behind_held_fold(shared: &Shared, facts: &Facts, stream: usize) -> bool {
    let flow = &shared.flow;
    flow.above(stream).into_iter().any(|s| match flow.streams[s].writer {
        Writer::Step(w, _) => matches!(flow.steps[w].kind, Kind::Reduce(..)) && facts.gates[w] != Some(Verdict::Open),
        _ => false,
    })
}

/// What a held batch is, so that it can be found again.
fn held(shared: &Shared, accounts: &[Account], record: &RunRecord, facts: &Facts) -> Held {
    let gate = facts.gates.iter().position(|g| *g == Some(Verdict::Held)).unwrap_or(0);
    let step = &shared.flow.steps[gate];
    // a repair reads what was not read, and folds again what no result was said of
    let unsaid = |s: &usize| positions::mark(accounts, &marks::done(&shared.flow.steps[*s].name)) == 0;
    let units = shared.plan.units.iter().zip(&facts.units);
    let wanted = units.filter(|(u, p)| **p == Progress::Blocked || u.folds.iter().any(unsaid));
    let streams: BTreeSet<usize> = wanted.flat_map(|(u, _)| &u.roots).map(|r| r.from).collect();
    let mut extents = vec![];
    for s in streams.into_iter().filter(|s| shared.plan.logged[*s]) {
        for p in 0..shared.partitions[s] {
            let spot = (shared.flow.streams[s].at.clone(), p);
            let (start, end) = (positions::begin(record, &spot), positions::written(accounts, record, &spot));
            extents.push((spot.0, p, start, end));
        }
    }
    let dead = arrivals::failed_above(shared, accounts, gate);
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
        let internal = shared.plan.logged[s] && stream.writer != Writer::Outside && !stream.is_public();
        if !internal || shared.is_view(s) {
            continue;
        }
        for p in 0..shared.partitions[s] {
            let at = &stream.at;
            let end = positions::written(accounts, record, &(at.clone(), p));
            let held = record
                .held
                .iter()
                .flat_map(|h| &h.extents)
                .filter(|(n, q, ..)| n == at && *q == p)
                .map(|(_, _, start, _)| *start)
                .min();
            let of_pairs = shared.plan.units.iter().filter(|u| u.pairs.is_some()).flat_map(|u| &u.roots);
            let kept = of_pairs.filter(|r| r.from == s && shared.is_carried(r));
            let paired = kept.map(|r| positions::next(accounts, record, &shared.reader(r, p))).min();
            let offset = end.min(held.unwrap_or(end)).min(paired.unwrap_or(end));
            keep.push(At { stream: at.clone(), partition: p, offset });
        }
    }
    keep.extend(repair::books_from(shared, record)?);
    shared.engine.trim(&keep)
}

/// The reports of a flow that are kept, newest first.
pub fn saved_reports(engine: &dyn Admin, flow: &FlowId) -> Result<Vec<Report>> {
    let mut all = engine.reports(flow)?;
    all.reverse();
    Ok(all.into_iter().filter_map(|(_, json)| serde_json::from_str(&json).ok()).collect())
}
