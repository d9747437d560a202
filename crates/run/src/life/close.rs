//! Closing a run: files are put in place, the report is kept, what nobody needs goes.

use crate::context::sinks::FileOf;
use crate::context::{RunContext, Spot};
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::marks::Mark;
use crate::ledger::report::{Gate, Report, StepLine, report};
use crate::ledger::{Ledger, Standing};
use crate::life::commit::{commit, commit_closed, fence};
use crate::life::reports::{finished, saved_report};
use crate::life::trim::trim;
use crate::life::{books, told};
use crate::options::Options;
use crate::worker::lane::still_held;
use crate::worker::{Seen, mirror, sinks};
use anabranch_engine::account::Reader;
use anabranch_engine::{Account, Error, Held, Lane, Next, Phase, RepairRecord, Result, RunRecord, StreamName, limits};
use anabranch_flow::model::{Kind, Mode, Writer};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_flow::plan::{Node, Root};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Closes a run whose work is over.
///
/// Once that is committed nothing fails any more: what could not be done then is noted.
pub fn close(
    context: &RunContext,
    lane: &mut dyn Lane,
    ledger: &Ledger,
    options: &mut Options,
    seen: &mut Seen,
) -> Result<Report> {
    let accounts = ledger.all();
    let record = lane.account().record.clone().ok_or_else(|| Error::bug("a run without a record"))?;
    let standing = ledger.standing(context, &record);
    let facts = standing.derive();
    for reading in context.readings.values() {
        reading.reader.verify()?;
    }
    let mut closing = RunRecord { phase: Phase::Closing, ..record.clone() };
    let told = report(ledger.standing(context, &closing), &facts, context.world.clock.now());
    let phase = verdict(accounts, &facts, told.balanced);
    let publish = to_publish(standing, &facts, phase)?;
    let aside = to_put_aside(standing, &publish, phase);
    if !publish.is_empty() || !aside.is_empty() {
        make_empty(standing, lane, &publish)?;
        if record.phase != Phase::Closing {
            commit(lane, |account| account.record = Some(closing.clone()))?;
        }
        put_in_place(standing, lane, &publish, &aside)?;
    }
    closing.held.retain(|h| h.batch != record.batch);
    let mut puts = vec![];
    if matches!(phase, Phase::Held | Phase::Dead) || record.repair.is_some() {
        closing.books += 1;
        puts = books::books(context, ledger, (&closing, phase, shut(told)), &aside, placed(standing, &publish))?;
    }
    if phase == Phase::Held {
        closing.held.push(held(standing, &facts));
    }
    closing.phase = phase;
    closing.ends = ends(standing);
    let mut report = finished(ledger.standing(context, &closing), &facts)?;
    seen.times.note_in(&mut report);
    told::note(context, &mut closing, &report);
    // for the next run: this one's report counts what it found
    closing.waited = waited(standing, &facts);
    closing.gaps = gaps(standing, &facts);
    closing.put_back_what_waits();
    // between runs the account of this lane alone tells where readers go on
    let read = positions(context, ledger, &closing, &facts);
    commit_closed(lane, puts, &report, |account| (account.record, account.read) = (Some(closing.clone()), read))?;
    let notes = mirror::mirror(ledger.standing(context, &closing), &mut seen.left_alone);
    notes.iter().for_each(|note| options.note(note));
    to_be_seen(context, &closing);
    if let Err(e) = trim(ledger.standing(context, &closing)) {
        options.note(&format!("could not delete data that is no longer needed; the next run retries: {}", e.text));
    }
    told::tell(context, lane, options);
    Ok(report)
}

/// What the sinks of a held batch have begun, and what waits for its repair.
fn to_put_aside(standing: Standing<'_>, publish: &[(FileOf, String)], phase: Phase) -> Vec<FileOf> {
    let context = standing.context;
    let length = |file: &FileOf| standing.mark(Mark::length(context, file));
    let begun = |file: &FileOf| length(file) > 0 && publish.iter().all(|(of, _)| of != file);
    if phase == Phase::Held { replacing(context).filter(begun).collect() } else { vec![] }
}

/// Makes the files of sinks to which nothing was written.
fn make_empty(standing: Standing<'_>, lane: &mut dyn Lane, publish: &[(FileOf, String)]) -> Result<()> {
    let (context, account) = (standing.context, lane.account().clone());
    let mut empty = publish.iter().filter(|(file, _)| standing.mark(Mark::length(context, file)) == 0);
    empty.try_for_each(|(file, _)| {
        sinks::open(context, file, &account, &mut || still_held(context, lane, &mut 0))?.sync().map(drop)
    })
}

/// Puts the files of a run that closes in their places; done twice it does nothing.
fn put_in_place(
    standing: Standing<'_>,
    lane: &mut dyn Lane,
    publish: &[(FileOf, String)],
    aside: &[FileOf],
) -> Result<()> {
    let context = standing.context;
    still_held(context, lane, &mut 0)?; // the files of a later run have the same names
    for (file, path) in publish {
        context.world.sinks.publish(path, standing.mark(Mark::length(context, file)))?;
    }
    for file in aside {
        if let Some((path, waits)) = context.sink_aside(file, standing.record.batch)? {
            context.world.sinks.put_aside(&path, &waits)?;
        }
    }
    Ok(())
}

/// Where readers go on in the next run. What a held gate keeps from its readers belongs to this batch all the same: its
/// repair reads it.
fn positions(context: &RunContext, ledger: &Ledger, closing: &RunRecord, facts: &Facts) -> BTreeMap<Reader, Next> {
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
    let blocked = context.plan.units.iter().zip(&facts.units).filter(|(_, p)| **p == Progress::Blocked);
    for root in blocked.filter(|(unit, _)| unit.pairs.is_none()).flat_map(|(unit, _)| &unit.roots) {
        if !root.gates.is_empty() {
            (0..context.partitions[root.from]).for_each(|p| to_seal(&context.reader(root, p)));
        }
    }
    context.viewers().for_each(|(_, _, viewer)| to_seal(&viewer));
    read
}

/// What pairs carry from run to run, by its root, and whether the gates before it let this batch through.
fn carried<'s>(context: &'s RunContext, facts: &Facts) -> Vec<(&'s Root, bool)> {
    let pairs = context.plan.units.iter().filter(|u| u.pairs.is_some()).flat_map(|u| &u.roots);
    pairs.filter(|r| context.is_carried(r)).map(|r| (r, facts.gates_before(r) == Some(true))).collect()
}

/// What pairs leave waiting for the next run. A batch that a gate keeps from them is not for them; what waited before still is.
fn waited(standing: Standing<'_>, facts: &Facts) -> BTreeMap<Reader, u64> {
    let Standing { context, record, .. } = standing;
    let mut kept = BTreeMap::new();
    for (root, open) in carried(context, facts) {
        for p in 0..context.partitions[root.from] {
            let reader = context.reader(root, p);
            let before = record.waited.get(&reader).copied().unwrap_or(0);
            let n = if open { standing.waiting_at(root, p) } else { before };
            kept.insert(reader, n);
        }
    }
    kept.retain(|_, n| *n > 0);
    kept
}

/// Batches that a gate keeps from a pair, behind what the pair has not read yet.
fn gaps(standing: Standing<'_>, facts: &Facts) -> BTreeMap<Reader, Vec<std::ops::Range<i64>>> {
    let Standing { context, record, .. } = standing;
    let mut gaps = record.gaps.clone();
    for (root, open) in carried(context, facts) {
        for p in 0..context.partitions[root.from] {
            let reader = context.reader(root, p);
            let spot = (reader.stream.clone(), p);
            let of = gaps.entry(reader.clone()).or_default();
            if !open {
                add_gap(of, standing.batch(root, p)..standing.written(&spot));
            }
            let next = standing.next(&reader);
            of.retain(|gap| gap.end > next && gap.start < gap.end);
        }
    }
    gaps.retain(|_, of| !of.is_empty());
    gaps
}

/// Adds what is not for a reader behind what was not for it before.
pub fn add_gap(of: &mut Vec<Range<i64>>, gap: Range<i64>) {
    match of.last_mut().filter(|last| last.end >= gap.start) {
        Some(last) => last.end = last.end.max(gap.end),
        None => of.push(gap),
    }
}

/// The gates that hold a batch.
fn shut(told: Report) -> BTreeMap<String, Gate> {
    let of = |line: StepLine| line.gate.filter(|gate| gate.verdict == Verdict::Held).map(|gate| (line.step, gate));
    told.steps.into_iter().filter_map(of).collect()
}

/// Where the flow's own streams end now.
pub fn ends(standing: Standing<'_>) -> BTreeMap<Spot, i64> {
    let Standing { context, accounts, record } = standing;
    let of_flow = |at: &StreamName| context.flow.streams.iter().any(|s| s.at == *at && s.writer != Writer::Outside);
    let own = |at: &StreamName| *at == context.dead || of_flow(at);
    let mut ends: BTreeMap<Spot, i64> = record.starts.clone().into_iter().filter(|((at, _), _)| own(at)).collect();
    for (spot, end) in accounts.iter().flat_map(|a| &a.ends).filter(|((at, _), _)| own(at)) {
        let known = ends.entry(spot.clone()).or_default();
        *known = end.end.max(*known);
    }
    ends
}

/// Waits until everybody sees what the run has committed, as whoever called it looks there next. On brokers that are busy
/// that can be a moment later than the commit; one that is gone is not waited for long.
fn to_be_seen(context: &RunContext, closing: &RunRecord) {
    if context.engine.counts_by_offset() {
        return;
    }
    let clock = &context.world.clock;
    let until = clock.moment() + limits::SEEN_WAIT;
    let streams: BTreeSet<&StreamName> = closing.ends.keys().map(|(stream, _)| stream).collect();
    for stream in streams {
        let end = |p: usize| closing.ends.get(&(stream.clone(), p as u32)).copied().unwrap_or(0);
        let is_seen = |spans: &[Range<i64>]| spans.iter().enumerate().all(|(p, span)| span.end >= end(p));
        // it is committed whatever can be read now
        while context.engine.span(stream).is_ok_and(|spans| !is_seen(&spans)) && clock.moment() < until {
            context.engine.wait(limits::SEEN_EVERY);
        }
    }
    let told = || saved_report(&*context.engine, &context.flow.name, closing.number);
    while told().is_ok_and(|report| report.is_none()) && clock.moment() < until {
        context.engine.wait(limits::SEEN_EVERY);
    }
}

/// Closes a run as failed, since items that it still wanted are gone.
pub fn lost(context: &RunContext, lane: &mut dyn Lane, ledger: &Ledger, lost: &Error) -> Result<()> {
    let Some(record) = lane.account().record.clone() else { return Ok(()) };
    still_held(context, lane, &mut 0)?; // one that stood still for long may find what a later run has let go of
    let others = fence(context, &record)?;
    let known = others.into_iter().chain(ledger.all().iter().cloned()).chain([lane.account().clone()]);
    let ledger = Ledger::new(record.number, known);
    let mut failed = RunRecord { phase: Phase::Failed, ..record };
    let facts = ledger.standing(context, &failed).derive();
    let mut report = finished(ledger.standing(context, &failed), &facts)?;
    report.imbalance.push(lost.text.clone());
    report.balanced = false;
    let read = failed.repair.as_ref().map_or_else(|| ledger.positions(), |mending| mending.carry.clone());
    failed.ends = ends(ledger.standing(context, &failed));
    failed.put_back_what_waits();
    told::note(context, &mut failed, &report);
    commit_closed(lane, vec![], &report, |account| (account.record, account.read) = (Some(failed.clone()), read))
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
pub fn placed(standing: Standing<'_>, publish: &[(FileOf, String)]) -> Vec<anabranch_engine::Placed> {
    let Standing { context, record, .. } = standing;
    let mut placed = record.repair.as_ref().map_or_else(Vec::new, RepairRecord::put_there);
    for (file, path) in publish {
        let bytes = standing.mark(Mark::length(context, file));
        let sink = context.flow.streams[file.sink].name.clone();
        let before: u64 = placed.iter().filter(|p| p.sink == sink).map(|p| p.items).sum();
        let items = crate::ledger::report::stored(standing, file.sink).saturating_sub(before);
        if bytes > 0 {
            placed.push(anabranch_engine::Placed { sink, path: path.clone(), items, bytes });
        }
    }
    placed
}

/// The files that replace others.
fn replacing(context: &RunContext) -> impl Iterator<Item = FileOf> {
    let replaces = |s: &anabranch_flow::model::Stream| s.sink.as_ref().is_some_and(|s| s.mode != Mode::Append);
    context.files().filter(move |file| replaces(&context.flow.streams[file.sink]))
}

/// The files that replace others and are complete.
fn to_publish(standing: Standing<'_>, facts: &Facts, phase: Phase) -> Result<Vec<(FileOf, String)>> {
    let Standing { context, .. } = standing;
    let mut out = vec![];
    for file in replacing(context) {
        let s = file.sink;
        let complete = context.plan.unit_of(Node::Sink(s)).is_some_and(|u| facts.units[u] == Progress::Finished);
        // what a repair adds nothing to is in its place already
        let adds = !context.beside.contains_key(&s) || standing.mark(Mark::length(context, &file)) > 0;
        if complete && adds && !behind_held_fold(context, facts, s) && phase != Phase::Failed {
            out.extend(context.sink_path(&file)?.map(|path| (file, path)));
        }
    }
    Ok(out)
}

/// Whether a reduce above does not say its finals.
fn behind_held_fold(context: &RunContext, facts: &Facts, stream: StreamNo) -> bool {
    let flow = &context.flow;
    flow.above(stream).into_iter().any(|s| match flow.streams[s].writer {
        Writer::Step(w, _) => matches!(flow.steps[w].kind, Kind::Reduce(..)) && facts.gates[w] != Some(Verdict::Open),
        _ => false,
    })
}

/// What a held batch is, so that it can be found again.
fn held(standing: Standing<'_>, facts: &Facts) -> Held {
    let Standing { context, record, .. } = standing;
    let gate = StepNo(facts.gates.iter().position(|g| *g == Some(Verdict::Held)).unwrap_or(0));
    let step = &context.flow.steps[gate];
    // a repair reads what was not read, and folds again what no result was said of
    let unsaid = |s: &StepNo| standing.mark(Mark::Done(&context.flow.steps[*s].name)) == 0;
    let units = context.plan.units.iter().zip(&facts.units);
    let wanted = units.filter(|(u, p)| **p == Progress::Blocked || u.folds.iter().any(unsaid));
    let streams: BTreeSet<StreamNo> = wanted.flat_map(|(u, _)| &u.roots).map(|r| r.from).collect();
    let mut extents = vec![];
    for s in streams.into_iter().filter(|s| context.plan.logged[*s]) {
        for p in 0..context.partitions[s] {
            let spot = (context.flow.streams[s].at.clone(), p);
            let (start, end) = (standing.begin(&spot), standing.written(&spot));
            extents.push((spot.0, p, start, end));
        }
    }
    let dead = standing.failed_above(gate);
    Held { batch: record.batch, step: step.name.clone(), extents, dead }
}
