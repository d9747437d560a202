//! Repairing a batch: a run that works for it again. Dead letters are tried again at the step where they failed, or given up;
//! then its gates are judged again, over everything that was ever done for the batch.

use crate::context::choices::Choices;
use crate::context::sinks::of_batch;
use crate::context::{RunContext, TriedAgain};
use crate::ledger::marks::Mark;
use crate::life::books::{Batch, choices_of, find, keep_choices};
use crate::life::changed::{Change, Difference, for_batch};
use crate::life::choose::{Chosen, choose};
use crate::life::record::{is_another, own_stretches};
use crate::piece::wanted::{ByHand, Repair};
use crate::show::text::counted;
use crate::worker::lane::still_held;
use crate::world::Opening;
use anabranch_engine::account::{ACCOUNT_VERSION, Reader};
use anabranch_engine::{
    Account, Again, Error, Kind as ErrorKind, Lane, Next, OpenedGate, Phase, Placed, Put, RepairRecord, Result,
    RunKind, RunRecord, StreamName,
};
use anabranch_flow::model::{Flow, Mode, Stream, Writer};
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Node, ReadFrom, Root};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that is open must be the repair that is wanted, if one is: another one has to end first.
pub fn is_open(context: &RunContext, wanted: Option<&Repair>, record: &RunRecord) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let other = || Error::usage(format!("run {} is open", record.number)).help("finish it first:  anabranch run");
    let Some(mending) = record.repair.as_ref().filter(|_| record.batch == wanted.batch) else { return Err(other()) };
    let Some(batch) = find(context, wanted.batch, record)? else { return Err(other()) };
    if batch.books.mending().runs.contains(&record.number) {
        return Ok(()); // it has closed meanwhile
    }
    let what = |e: Error| if e.kind == ErrorKind::Usage { other() } else { e };
    let Chosen { choices, late, .. } = choose(context, &batch, wanted).map_err(what)?;
    let opened = mending.gates.iter().filter(|gate| gate.run == record.number).map(|gate| &gate.step);
    let is_same = late.iter().eq(&mending.late)
        && opened.eq(wanted.open.iter().map(|gate| &gate.step))
        && choices == choices_of(context, record)?;
    if is_same { Ok(()) } else { Err(other()) }
}

/// The code of the error that says that a batch has no such letters.
pub const NO_SUCH_LETTERS: &str = "no-such-letters";

/// What a repair begins with.
pub struct Opened {
    /// Its account, with the record.
    pub account: Account,
    /// What it does with which letters.
    pub choices: Choices,
    /// The same, to be committed with the account.
    pub puts: Vec<Put>,
    /// What is to be said.
    pub notes: Vec<String>,
}

/// What a repair begins with. Nothing is committed yet.
pub fn open(
    context: &RunContext,
    lane: &mut dyn Lane,
    wanted: &Repair,
    ids: &BTreeMap<StreamName, String>,
) -> Result<Opened> {
    let (name, n) = (&context.flow.name, wanted.batch);
    let nothing = || Error::usage(format!("batch {n} of {name} has no dead letters that could be taken up"));
    let last = lane.account().record.clone().ok_or_else(nothing)?;
    let batch = find(context, n, &last)?.ok_or_else(nothing)?;
    let was = &batch.books.record;
    if let Some(stream) = was.ids.keys().find(|stream| is_another(was, ids, stream)) {
        let text = format!("{stream} was recreated since batch {n} was closed");
        return Err(Error::new(ErrorKind::Lost, text));
    }
    may_go_on(context, &batch)?;
    let chosen = choose(context, &batch, wanted)?;
    let gate = opens(&batch, wanted, last.number + 1, context)?;
    if chosen.choices == Choices::default() && gate.is_none() {
        let mut nothing = Error::usage(format!("batch {n} of {name} has no such dead letter that is not settled"));
        nothing.code = NO_SUCH_LETTERS;
        nothing.help = left_as_they_are(&chosen).into_iter().next();
        return Err(nothing);
    }
    let notes = left_as_they_are(&chosen);
    let mut mending = RepairRecord {
        again: chosen.again(),
        late: chosen.late.iter().cloned().collect(),
        opened: context.world.clock.now(),
        carry: lane.account().read.clone(),
        waited: last.waited.clone(),
        gaps: last.gaps.clone(),
        ..batch.books.mending().clone()
    };
    mending.gates.extend(gate);
    (mending.beside, mending.extended) = apart(context, &mending, &last, wanted.batch);
    let mut record = record(&last, was, ids);
    ends_now(context, &last, &mut record)?;
    let (puts, items) = keep_choices(context, &record, &chosen.choices)?;
    mending.choices = items;
    let marks = marks(context, &mending, &batch.books.account);
    record.repair = Some(mending);
    let mut read = batch.books.account.read;
    read.retain(|reader, _| reader.stream != context.dead); // an earlier repair read its own letters
    read.extend(read_before(context, &record));
    let account = Account {
        version: ACCOUNT_VERSION,
        flow_hash: context.flow.hash.clone(),
        run: record.number,
        seq: lane.account().seq + 1,
        read,
        tally: chosen.tally,
        marks,
        groups: lane.account().groups.clone(),
        record: Some(record),
        ..Account::default()
    };
    Ok(Opened { account, choices: chosen.choices, puts, notes })
}

/// The gate that is to be opened by hand, if it waits for that.
fn opens(batch: &Batch, wanted: &Repair, run: u64, context: &RunContext) -> Result<Option<OpenedGate>> {
    let Some(ByHand { step, by, reason }) = wanted.open.clone() else { return Ok(None) };
    let (books, n) = (&batch.books, wanted.batch);
    if let Some(was) = books.mending().gates.iter().find(|gate| gate.step == step) {
        let text = format!("{step} is open for batch {n}: {} opened it, for run {}", was.by, was.run);
        return Err(Error::usage(text));
    }
    match books.gates.get(&step) {
        Some(gate) if gate.waits => {}
        Some(gate) => {
            let text = format!("{step} cannot be opened for batch {n}: it is {gate}");
            let help = "try again what failed, or give it up:  anabranch dead retry|skip";
            return Err(Error::usage(text).help(format!("{help} --batch {n}")));
        }
        None => return Err(Error::usage(format!("batch {n} does not wait at {step} for somebody to open it"))),
    }
    Ok(Some(OpenedGate { step, run, at: context.world.clock.now(), by, reason }))
}

/// The record of a run for a batch whose last run had this one.
fn record(last: &RunRecord, was: &RunRecord, ids: &BTreeMap<StreamName, String>) -> RunRecord {
    RunRecord {
        number: last.number + 1,
        kind: RunKind::Repair,
        phase: Phase::Open,
        held: last.held.clone(),
        ends: BTreeMap::new(),
        ids: ids.clone(),
        books: last.books,
        untold: last.untold.clone(),
        ..was.clone()
    }
}

/// What earlier repairs tried again is read, and only folded again.
fn read_before(context: &RunContext, record: &RunRecord) -> BTreeMap<Reader, Next> {
    let before = record.repair.iter().flat_map(|mending| &mending.before);
    let lanes = |again: &Again| (0..record.lanes).map(|p| (again.clone(), p)).collect::<Vec<_>>();
    let read = before.flat_map(lanes).filter_map(|(Again { step, of, .. }, partition)| {
        let (stream, taken) = (context.dead.clone(), taken_before(&of));
        let next = *record.seals.get(&(stream.clone(), partition))?;
        Some((Reader { step, taken, stream, partition }, Next { next, items: 0 }))
    });
    read.collect()
}

/// How a root is told that reads what earlier repairs tried again.
fn taken_before(of: &str) -> String {
    format!("{of} before")
}

/// What was said and done once stays said; files that do not go on begin again.
fn marks(context: &RunContext, mending: &RepairRecord, books: &Account) -> BTreeMap<String, u64> {
    let mut marks = books.marks.clone();
    marks.remove(&Mark::Dead.to_string());
    let sinks = context.files().map(|f| &context.flow.streams[f.sink].name);
    let others = sinks.filter(|sink| !mending.aside.contains(sink));
    others.for_each(|sink| marks.retain(|mark, _| !Mark::is_length_of(mark, sink)));
    let extended = mending.placed.iter().filter(|p| mending.extended.contains(&p.sink));
    marks.extend(extended.map(|p| (Mark::Length(&p.sink, None).to_string(), p.bytes)));
    marks
}

/// Why letters that were meant are not taken up.
fn left_as_they_are(chosen: &Chosen) -> Vec<String> {
    let say = |(why, n): (&String, &u64)| format!("{} left as it is: {why}", counted(*n as usize, "dead letter"));
    chosen.left.iter().map(say).collect()
}

/// A batch that has failed is over. A flow that differs from the one that left the letters may be what mends them: it
/// differs in what steps do with an item, and what such a step did before need not be done again.
fn may_go_on(context: &RunContext, batch: &Batch) -> Result<()> {
    if batch.books.phase == Phase::Failed {
        let (n, run) = (batch.books.record.batch, batch.books.record.number); // what it published must not come again
        return Err(Error::usage(format!("batch {n} has failed in run {run}, which worked for it last")));
    }
    let n = batch.books.record.batch;
    match for_batch(context, &batch.books).into_iter().find(|d| d.verdict != Change::MayGoOn) {
        None => Ok(()),
        Some(Difference { path, why, .. }) => {
            let text = format!("batch {n} was worked on with another version of the flow: {path} differs");
            Err(Error::usage(text).help(format!("{why}: put it back as it was")))
        }
    }
}

/// The sinks that write beside their place, as a later batch has put its file there, or as the file is not as it was; and
/// those whose files go on, as this batch has put them there.
fn apart(context: &RunContext, mending: &RepairRecord, last: &RunRecord, batch: u64) -> (Vec<String>, Vec<String>) {
    let later = mending.runs.first().is_some_and(|first| last.number - first >= mending.runs.len() as u64);
    let (mut beside, mut extended) = (vec![], vec![]);
    let again = mending.again.iter().filter_map(|again| context.flow.step_no(&again.step));
    let reached = context.flow.below(again);
    for (s, stream) in context.flow.numbered_streams() {
        if stream.sink.as_ref().is_none_or(|sink| sink.mode == Mode::Append) {
            continue;
        }
        let placed: Vec<&Placed> = mending.placed.iter().filter(|p| p.sink == stream.name).collect();
        let is_as_it_was = |p: &Placed| !later && context.world.sinks.length(&p.path) == Some(p.bytes);
        match placed.as_slice() {
            [] if !later => {}
            [one] if reached.contains(&s) && !one.path.contains(&of_batch(batch)) && is_as_it_was(one) => {
                extended.push(stream.name.clone());
            }
            _ => beside.push(stream.name.clone()),
        }
    }
    (beside, extended)
}

/// The files that the batch has put in place go on: what they have is written again as what this repair has begun, and takes
/// their place when it closes.
pub fn go_on(context: &RunContext, lane: &mut dyn Lane, record: &RunRecord) -> Result<()> {
    let Some(mending) = &record.repair else { return Ok(()) };
    for placed in mending.placed.iter().filter(|p| mending.extended.contains(&p.sink)) {
        let how = Opening { path: &placed.path, replace: true, run: record.number, resume: Some(0) };
        let mut file = context.world.sinks.open(how, &mut || still_held(context, lane, &mut 0))?;
        context.world.sinks.copy(&placed.path, placed.bytes, &mut *file)?;
        file.sync()?;
    }
    Ok(())
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
    own_stretches(context, Some(last), record)?;
    let dead = (context.dead.clone(), 0)..=(context.dead.clone(), u32::MAX);
    let ends: Vec<_> = record.starts.range(dead).map(|(spot, end)| (spot.clone(), *end)).collect();
    record.seals.extend(ends);
    Ok(())
}

/// Gives the steps whose dead letters are tried again a root that reads them.
pub fn extend(context: &mut RunContext, record: &RunRecord, choices: Option<Choices>) -> Result<()> {
    let Some(mending) = &record.repair else { return Ok(()) };
    let of_name = |name: &String| context.flow.stream_no(name);
    // an earlier repair of the batch may have put a file there
    let behind = |s: &StreamNo| {
        let (name, first) = (&context.flow.streams[*s].name, of_batch(record.batch));
        let taken = mending.placed.iter().any(|p| p.sink == *name && p.path.ends_with(&first));
        if taken { format!("{first}-{}", record.number) } else { first }
    };
    let beside: BTreeMap<StreamNo, String> =
        mending.beside.iter().filter_map(of_name).map(|s| (s, behind(&s))).collect();
    context.beside = beside;
    if context.again.is_some() || (mending.again.is_empty() && mending.before.is_empty()) {
        return Ok(());
    }
    let choices = choices.map_or_else(|| choices_of(context, record), Ok)?;
    let late = mending.late.iter().filter_map(|step| context.flow.step_no(step)).collect();
    let mut flow = Flow::clone(&context.flow);
    let dead = StreamNo(flow.streams.len());
    let Some(like) = flow.streams.first() else { return Ok(()) };
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
    let all = mending.again.iter().map(|a| (a, false)).chain(mending.before.iter().map(|a| (a, true)));
    let mut folds_again = false;
    for (Again { step, of, .. }, before) in all {
        let step = flow.step_no(step);
        let of = flow.stream_no(of);
        let (Some(s), Some(of)) = (step, of) else { continue };
        let input = flow.steps[s].inputs.iter().position(|i| *i == of).unwrap_or(0);
        if let Some(unit) = context.plan.unit_of(Node::Step(s)) {
            if before && context.plan.units[unit].folds.is_empty() {
                continue; // nothing is folded again there
            }
            folds_again |= before;
            let name = &flow.streams[of].name;
            let taken = if before { taken_before(name) } else { name.clone() };
            let root = Root { node: Node::Step(s), input, of, from: dead, taken, how: ReadFrom::Log, gates: vec![] };
            context.plan.units[unit].roots.push(root);
        }
    }
    context.plan.logged.push(true);
    context.plan.writers.push(None);
    context.partitions.push(record.lanes);
    context.with_headers.push(true);
    context.flow = Arc::new(flow);
    let mut before = Choices::default();
    if folds_again && let Some(batch) = find(context, record.batch, record)? {
        batch.settled.iter().for_each(|(_, choices)| before.add_tried(choices));
    }
    context.again = Some(TriedAgain { stream: dead, choices, before, late });
    Ok(())
}
