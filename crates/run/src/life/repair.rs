//! Repairing a batch that is held: a run that works for it again. Dead letters are tried again at the step where they
//! failed, or skipped; then its gate is judged again, over everything that was ever done for the batch.

use crate::context::RunContext;
use crate::ledger::marks::Mark;
use crate::life::books::{HeldBooks, each, find};
use crate::life::record::{is_another, own_span};
use crate::options::Repair;
use crate::piece::letter::DeadLetter;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{
    Account, Again, Cursor, Desk, Error, FlowId, Kind as ErrorKind, Lane, Phase, RepairRecord, Result, RunKind,
    RunRecord, StreamName, Tally, limits,
};
use anabranch_flow::model::{Flow, Kind, Mode, Stream, Writer};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::plan::{Node, ReadFrom, Root};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A run that is open must be the repair that is wanted, if one is: another one has to end first.
pub fn is_open(wanted: Option<&Repair>, record: &RunRecord) -> Result<()> {
    match wanted.is_none_or(|wanted| wanted.is_done_by(record)) {
        true => Ok(()),
        false => Err(Error::usage(format!("run {} is open", record.number)).help("finish it first:  anabranch run")),
    }
}

/// The dead letters of a held batch that are not settled, oldest first: at most as many as its repairs may settle.
///
/// # Errors
///
/// The batch is not held, or its letters cannot be read.
pub fn unsettled(engine: &dyn Desk, flow: &FlowId, batch: u64) -> Result<Vec<String>> {
    let account = engine.accounts(flow, &mut Cursor::default(), std::time::Duration::ZERO)?;
    let record = account.iter().find_map(|a| a.record.as_ref());
    if !record.is_some_and(|r| r.held.iter().any(|h| h.batch == batch)) {
        return Err(Error::usage(format!("batch {batch} of {flow} is not held")));
    }
    let mending = find(engine, flow, batch)?.record.repair.unwrap_or_default();
    let mut ids = vec![];
    each(engine, &flow.own("dead")?, |_, item| {
        let DeadLetter { id, run, .. } = DeadLetter::read(item);
        let of_batch = mending.runs.contains(&run);
        ids.extend(
            Some(id).filter(|id| of_batch && ids.len() < limits::SETTLED_OF_BATCH && !mending.settled.contains(id)),
        );
        Ok(())
    })?;
    Ok(ids)
}

/// The record and the account with which a repair begins.
pub fn open(
    context: &RunContext,
    lane: &mut dyn Lane,
    wanted: &Repair,
    ids: &BTreeMap<StreamName, String>,
) -> Result<Account> {
    let last = lane.account().record.clone();
    let held = last.as_ref().is_some_and(|r| r.held.iter().any(|h| h.batch == wanted.batch));
    let Some(last) = last.filter(|_| held) else {
        return Err(Error::usage(format!("batch {} of {} is not held", wanted.batch, context.flow.name)));
    };
    let HeldBooks { record: was, account: books } = find(&*context.engine, &context.flow.name, wanted.batch)?;
    if books.flow_hash != context.flow.hash {
        let text = format!("batch {} was held by another version of the flow", wanted.batch);
        return Err(Error::usage(text).help("repair it with the flow as it was"));
    }
    if let Some(stream) = was.ids.keys().find(|stream| is_another(&was, ids, stream)) {
        let text = format!("{stream} was recreated since batch {} was held", wanted.batch);
        return Err(Error::new(ErrorKind::Lost, text));
    }
    let mut mending = was.repair.clone().unwrap_or_default();
    let tally = settled(context, &books, &mut mending, wanted)?;
    mending.beside = beside(context, &mending, &last);
    mending.carry.clone_from(&lane.account().read);
    (mending.waited, mending.gaps) = (last.waited.clone(), last.gaps.clone());
    let mut record = RunRecord {
        number: last.number + 1,
        kind: RunKind::Repair,
        phase: Phase::Open,
        held: last.held.clone(),
        ends: BTreeMap::new(),
        starts: was.starts.clone(),
        ..was.clone()
    };
    record.ids.clone_from(ids);
    ends_now(context, &last, &mut record)?;
    let goes_on = mending.aside.clone();
    record.repair = Some(mending);
    let mut read = books.read;
    read.retain(|reader, _| reader.stream != context.dead); // an earlier repair read its own letters
    let mut marks = books.marks;
    marks.remove(&Mark::Dead.to_string());
    let others = context.files().map(|f| &context.flow.streams[f.sink].name).filter(|sink| !goes_on.contains(sink));
    others.for_each(|sink| marks.retain(|mark, _| !Mark::is_length_of(mark, sink)));
    Ok(Account {
        version: ACCOUNT_VERSION,
        flow_hash: context.flow.hash.clone(),
        run: record.number,
        seq: lane.account().seq + 1,
        read,
        tally,
        marks,
        groups: lane.account().groups.clone(),
        record: Some(record),
        ..Account::default()
    })
}

/// What the nodes did, without the letters that are tried again; those that are settled are noted.
fn settled(
    context: &RunContext,
    books: &Account,
    mending: &mut RepairRecord,
    wanted: &Repair,
) -> Result<BTreeMap<String, Tally>> {
    let mut tally = books.tally.clone();
    let letters = letters_of(context, mending, wanted)?;
    for (id, letter) in &letters {
        let step = letter.failed.step.clone();
        let counted = tally.entry(step.clone()).or_default();
        counted.dead = counted.dead.saturating_sub(1);
        if wanted.skip.contains(id) {
            counted.skipped += 1;
        } else {
            let of = may_retry(context, books, letter)?;
            untake(counted, &of);
            mending.again.push(Again { id: id.clone(), step, of });
        }
        mending.settled.push(id.clone());
    }
    Ok(tally)
}

/// The sinks that write beside their place: a later batch has put its file there, or an earlier repair of this one.
fn beside(context: &RunContext, mending: &RepairRecord, last: &RunRecord) -> Vec<String> {
    let later = mending.runs.first().is_some_and(|first| last.number - first >= mending.runs.len() as u64);
    let replaces = |s: &&Stream| s.sink.as_ref().is_some_and(|sink| sink.mode != Mode::Append);
    let in_place = |s: &&Stream| mending.placed.iter().any(|p| p.sink == s.name);
    let sinks = context.flow.streams.iter().filter(replaces).filter(|s| later || in_place(s));
    sinks.map(|s| s.name.clone()).collect()
}

/// The files that the batch had begun go on in the place of this repair.
pub fn bring_back(context: &RunContext, record: &RunRecord) -> Result<()> {
    for (path, waits) in begun(context, record)? {
        context.world.sinks.put_aside(&waits, &path)?;
    }
    Ok(())
}

/// They wait again, as its batch does.
pub fn put_back(context: &RunContext, record: &RunRecord) -> Result<()> {
    for (path, waits) in begun(context, record)? {
        context.world.sinks.put_aside(&path, &waits)?;
    }
    Ok(())
}

/// Where the files stand in a repair that its batch had begun, and where they wait for one.
fn begun(context: &RunContext, record: &RunRecord) -> Result<Vec<(String, String)>> {
    let names = record.repair.as_ref().map_or(&[][..], |mending| &mending.aside);
    let mut paths = vec![];
    for file in context.files().filter(|file| names.contains(&context.flow.streams[file.sink].name)) {
        paths.extend(context.sink_aside(&file, record.batch)?.filter(|(path, waits)| path != waits));
    }
    Ok(paths)
}

/// Own streams go on where they end now; the dead letters of the batch lie before the present end of theirs.
fn ends_now(context: &RunContext, last: &RunRecord, record: &mut RunRecord) -> Result<()> {
    for (s, stream) in context.flow.numbered_streams() {
        if context.plan.logged[s] && stream.writer != Writer::Outside {
            for (p, span) in own_span(context, &stream.at, Some(last), &record.ids)?.into_iter().enumerate() {
                record.starts.insert((stream.at.clone(), p as u32), span.end);
            }
        }
    }
    for (p, span) in own_span(context, &context.dead, Some(last), &record.ids)?.into_iter().enumerate() {
        let spot = (context.dead.clone(), p as u32);
        record.starts.insert(spot.clone(), span.end);
        record.seals.insert(spot, span.end);
    }
    Ok(())
}

fn untake(tally: &mut Tally, of: &str) {
    if let Some(took) = tally.took.get_mut(of) {
        *took = took.saturating_sub(1);
    }
}

/// The dead letters that are named, each once, and each of this batch and not settled yet.
fn letters_of(context: &RunContext, mending: &RepairRecord, wanted: &Repair) -> Result<BTreeMap<String, DeadLetter>> {
    let ids: BTreeSet<&String> = wanted.retry.iter().chain(&wanted.skip).collect();
    if wanted.retry.len() + wanted.skip.len() > limits::REPAIRED_AT_ONCE {
        return Err(Error::usage(format!(
            "at most {} dead letters can be retried or skipped at once",
            limits::REPAIRED_AT_ONCE
        )));
    }
    if mending.settled.len() + wanted.retry.len() + wanted.skip.len() > limits::SETTLED_OF_BATCH {
        let text = format!("at most {} dead letters of a batch can be settled", limits::SETTLED_OF_BATCH);
        return Err(Error::usage(text).help("accept the rest with  tolerate, or run the batch again"));
    }
    let mut letters = BTreeMap::new();
    each(&*context.engine, &context.dead, |_, item| {
        let letter = DeadLetter::read(item);
        if ids.contains(&letter.id) && mending.runs.contains(&letter.run) {
            letters.insert(letter.id.clone(), letter);
        }
        Ok(())
    })?;
    for id in ids {
        let text = match letters.contains_key(id) {
            false => format!("batch {} has no dead letter {id}", wanted.batch),
            true if mending.settled.contains(id) => format!("the dead letter {id} is settled already"),
            true if wanted.retry.contains(id) && wanted.skip.contains(id) => {
                format!("the dead letter {id} is to be retried and skipped")
            }
            true => continue,
        };
        return Err(Error::usage(text).help(format!("anabranch dead list  shows those of {}", context.flow.name)));
    }
    Ok(letters)
}

/// The stream from which a step took an item. It can be tried again there, unless a reduce behind it has said its results.
fn may_retry(context: &RunContext, books: &Account, letter: &DeadLetter) -> Result<String> {
    let (flow, id, step) = (&context.flow, &letter.id, &letter.failed.step);
    let of = letter.failed.reason.taken.as_ref().map(|taken| taken.of.clone()).unwrap_or_default();
    if letter.cut.is_some() {
        let text = format!("the dead letter {id} was too large to be kept whole, and cannot be tried again");
        return Err(Error::usage(text).help("skip it, or run the batch again"));
    }
    let found = flow.step_no(step);
    let input = found.zip(flow.stream_no(&of));
    let Some((s, _)) = input.filter(|(s, of)| flow.steps[*s].inputs.contains(of)) else {
        return Err(Error::usage(format!("the dead letter {id} failed at {step}, and cannot be retried there"))
            .help("skip it, or run the batch again"));
    };
    if let Some(late) = said_behind(flow, books, s) {
        return Err(Error::usage(format!("{late} has written its results: the dead letter {id} would come too late"))
            .help("skip it"));
    }
    Ok(of)
}

/// A reduce that a step leads to, and that has said its results; or a pair, which has moved on.
fn said_behind(flow: &Flow, books: &Account, step: StepNo) -> Option<String> {
    let mut todo = vec![step];
    let mut seen = BTreeSet::new();
    while let Some(s) = todo.pop().filter(|_| seen.len() <= flow.steps.len()) {
        if !seen.insert(s) {
            continue;
        }
        let name = &flow.steps[s].name;
        if Mark::Done(name).is_in(books) && matches!(flow.steps[s].kind, Kind::Reduce(..) | Kind::Pair(_)) {
            return Some(name.clone());
        }
        todo.extend(flow.steps[s].outputs.iter().flat_map(|o| &flow.streams[*o].readers).map(|(reader, _)| *reader));
    }
    None
}

/// Gives the steps whose dead letters are tried again a root that reads them.
pub fn extend(context: &mut RunContext, record: &RunRecord) {
    let Some(mending) = &record.repair else { return };
    let of_name = |name: &String| context.flow.stream_no(name);
    // an earlier repair of the batch may have put a file there
    let behind = |s: &StreamNo| {
        let (name, first) = (&context.flow.streams[*s].name, crate::context::sinks::of_batch(record.batch));
        let taken = mending.placed.iter().any(|p| p.sink == *name && p.path.ends_with(&first));
        if taken { format!("{first}-{}", record.number) } else { first }
    };
    let beside: BTreeMap<StreamNo, String> =
        mending.beside.iter().filter_map(of_name).map(|s| (s, behind(&s))).collect();
    context.beside = beside;
    if context.again.is_some() || mending.again.is_empty() {
        return;
    }
    let mut flow = Flow::clone(&context.flow);
    let dead = StreamNo(flow.streams.len());
    let Some(like) = flow.streams.first() else { return };
    flow.streams.push(Stream {
        name: "dead letters".into(),
        at: context.dead.clone(),
        declared: false,
        writer: Writer::Outside,
        readers: vec![],
        source: None,
        sink: None,
        ..like.clone()
    });
    let roots: BTreeSet<(&str, &str)> = mending.again.iter().map(|a| (a.step.as_str(), a.of.as_str())).collect();
    for (step, of) in roots {
        let step = flow.step_no(step);
        let of = flow.stream_no(of);
        let (Some(s), Some(of)) = (step, of) else { continue };
        let input = flow.steps[s].inputs.iter().position(|i| *i == of).unwrap_or(0);
        if let Some(unit) = context.plan.unit_of(Node::Step(s)) {
            let taken = flow.streams[of].name.clone();
            let root = Root { node: Node::Step(s), input, of, from: dead, taken, how: ReadFrom::Log, gates: vec![] };
            context.plan.units[unit].roots.push(root);
        }
    }
    context.plan.logged.push(true);
    context.plan.writers.push(None);
    context.partitions.push(record.lanes);
    context.with_headers.push(true);
    context.flow = Arc::new(flow);
    context.again = Some((dead, mending.again.clone()));
}
