//! Repairing a batch that is held: a run that works for it again. Dead letters are tried again at the step where they
//! failed, or skipped; then its gate is judged anew, over everything that was ever done for the batch.

use super::lanes::Ledger;
use super::record::{is_anew, own_span};
use super::{Shared, Spot, marks};
use crate::model::{Flow, Kind, Mode, Stream, Writer};
use crate::patterns::{Body, Origin, Part};
use crate::plan::{How, Node, Root};
use anabranch_engine::{
    Account, Admin, Again, At, BatchRef, Builder, Codec, Cursor, Dest, Error, Extent, FlowId, Handle, Item,
    Kind as ErrorKind, Lane, Mending, Packer, Phase, Placed, Put, Result, RunKind, RunRecord, StreamName, Tally,
    account::ACCOUNT_VERSION, chunks,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is to be done with a batch that is held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// The batch.
    pub batch: u64,
    /// Ids of dead letters that are tried again, each at the step where it failed.
    pub retry: Vec<String>,
    /// Ids of dead letters that are given up: they do not hold the batch any more.
    pub skip: Vec<String>,
}

impl Repair {
    /// Whether a run is this very repair.
    pub fn is_done_by(&self, record: &RunRecord) -> bool {
        let Some(mending) = record.repair.as_ref().filter(|_| record.batch == self.batch) else { return false };
        let again: BTreeSet<&String> = mending.again.iter().map(|a| &a.id).collect();
        again == self.retry.iter().collect() && self.skip.iter().all(|id| mending.settled.contains(id))
    }
}

/// A run that is open must be the repair that is wanted, if one is: another one has to end first.
pub fn is_open(wanted: Option<&Repair>, record: &RunRecord) -> Result<()> {
    match wanted.is_none_or(|wanted| wanted.is_done_by(record)) {
        true => Ok(()),
        false => Err(Error::usage(format!("run {} is open", record.number)).help("finish it first:  anabranch run")),
    }
}

/// Dead letters that one repair may name.
pub const MOST: usize = 1_000;
/// Dead letters of a batch that its repairs may settle: their ids are in each account.
const MOST_SETTLED: usize = 10_000;

/// The books of a batch that is held: what all its runs did, over all lanes.
#[derive(Serialize, Deserialize)]
struct Books {
    record: RunRecord,
    account: Account,
}

/// Where the books of held batches are kept.
pub fn stream(flow: &FlowId) -> Result<StreamName> {
    flow.own("held")
}

/// The books of a batch whose run closes as held.
/// Its sinks `aside` had begun files that wait for the repair.
pub fn books(
    shared: &Shared,
    ledger: &Ledger,
    closing: &RunRecord,
    aside: &[usize],
    placed: Vec<Placed>,
) -> Result<Vec<Put>> {
    let (flow_hash, read) = (shared.flow.hash.clone(), ledger.positions());
    let mut account = Account { version: ACCOUNT_VERSION, flow_hash, read, ..Account::default() };
    for of_lane in ledger.all() {
        for (step, tally) in &of_lane.tally {
            account.tally.entry(step.clone()).or_default().add(tally);
        }
        for (mark, n) in &of_lane.marks {
            *account.marks.entry(mark.clone()).or_default() += n;
        }
    }
    let mut record = RunRecord { held: vec![], ..closing.clone() };
    let own = shared.flow.streams.iter().enumerate();
    let own = own.filter(|(s, stream)| shared.plan.logged[*s] && stream.writer != Writer::Outside);
    let own = own.map(|(s, stream)| (&stream.at, shared.partitions[s]));
    for (at, partitions) in own.chain([(&shared.dead, shared.lanes)]) {
        for p in 0..partitions {
            let spot = (at.clone(), p);
            let from = record.starts.get(&spot).copied().unwrap_or(0);
            let ends = || ledger.all().iter().filter_map(|a| a.ends.get(&spot));
            let to = ends().map(|e| e.end).max().unwrap_or(from);
            let items = ends().map(|e| e.items).sum();
            if to > from {
                record.extents.entry(spot).or_default().push(Extent { from, to, items });
            }
        }
    }
    let mending = record.repair.get_or_insert_default();
    mending.runs.push(closing.number);
    mending.placed = placed;
    mending.aside = aside.iter().map(|s| shared.flow.streams[*s].name.clone()).collect();
    (mending.again, mending.carry) = (vec![], BTreeMap::new());
    (mending.waited, mending.gaps) = (BTreeMap::new(), BTreeMap::new());
    let json = serde_json::to_vec(&Books { record, account }).map_err(|e| Error::bug(e.to_string()))?;
    let mut packer = Packer::default();
    let key = Some(closing.batch.to_string().into());
    packer.push_item(&Item { key, ..Item::of(json, closing.started) });
    let to = Dest { stream: stream(&shared.flow.name)?, partition: 0 };
    Ok(packer.finish().into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }).collect())
}

/// The dead letters of a held batch that are not settled, oldest first: at most as many as its repairs may settle.
pub fn unsettled(engine: &dyn Admin, flow: &FlowId, batch: u64) -> Result<Vec<String>> {
    let account = engine.accounts(flow, &mut Cursor::default(), std::time::Duration::ZERO)?;
    let record = account.iter().find_map(|a| a.record.as_ref());
    if !record.is_some_and(|r| r.held.iter().any(|h| h.batch == batch)) {
        return Err(Error::usage(format!("batch {batch} of {flow} is not held")));
    }
    let mending = find(engine, flow, batch)?.record.repair.unwrap_or_default();
    let mut ids = vec![];
    each(engine, &flow.own("dead")?, |_, item| {
        let of_batch = told(&item, "run").parse().is_ok_and(|run| mending.runs.contains(&run));
        ids.extend(
            Some(told(&item, "id")).filter(|id| of_batch && ids.len() < MOST_SETTLED && !mending.settled.contains(id)),
        );
        Ok(())
    })?;
    Ok(ids)
}

/// The newest books of a batch.
fn find(engine: &dyn Admin, flow: &FlowId, batch: u64) -> Result<Books> {
    let held = stream(flow)?;
    let mut found = None;
    each(engine, &held, |_, item| {
        if item.key.as_deref() == Some(batch.to_string().as_bytes()) {
            found = item.value;
        }
        Ok(())
    })?;
    let json = found.ok_or_else(|| Error::corrupt(format!("the records of batch {batch} are not in {held}")))?;
    serde_json::from_slice(&json)
        .map_err(|e| Error::corrupt(format!("the records of batch {batch} cannot be read: {e}")))
}

/// Where the books of the batches begin that are still held: what lies before is of no use any more.
pub fn books_from(shared: &Shared, record: &RunRecord) -> Result<Option<At>> {
    let stream = stream(&shared.flow.name)?;
    let of_held = |item: &Item| record.held.iter().any(|h| item.key.as_deref() == Some(h.batch.to_string().as_bytes()));
    let mut first = None;
    each(&*shared.engine, &stream, |offset, item| {
        if first.is_none() && of_held(&item) {
            first = Some(offset);
        }
        Ok(())
    })?;
    let end = shared.engine.span(&stream)?.first().map(|span| span.end);
    Ok(first.or(end).map(|offset| At { stream, partition: 0, offset }))
}

/// Every item of a stream, with its offset.
fn each(engine: &dyn Admin, stream: &StreamName, mut f: impl FnMut(i64, Item) -> Result<()>) -> Result<()> {
    for (p, span) in engine.span(stream)?.into_iter().enumerate() {
        let at = At { stream: stream.clone(), partition: p as u32, offset: span.start };
        for chunk in chunks(engine, at, span.end) {
            for handle in &chunk?.batches {
                let (first, batch) = (handle.at.offset, handle.load()?);
                batch.records()?.iter().try_for_each(|r| f(first + i64::from(r.delta()), r.to_item()))?;
            }
        }
    }
    Ok(())
}

/// A header of ours on a dead letter.
pub fn told(item: &Item, name: &str) -> String {
    item.header(&format!("anabranch.{name}")).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
}

/// The record and the account with which a repair begins.
pub fn open(
    shared: &Shared,
    lane: &mut dyn Lane,
    wanted: &Repair,
    ids: &BTreeMap<StreamName, String>,
) -> Result<Account> {
    let last = lane.account().record.clone();
    let held = last.as_ref().is_some_and(|r| r.held.iter().any(|h| h.batch == wanted.batch));
    let Some(last) = last.filter(|_| held) else {
        return Err(Error::usage(format!("batch {} of {} is not held", wanted.batch, shared.flow.name)));
    };
    let Books { record: was, account: books } = find(&*shared.engine, &shared.flow.name, wanted.batch)?;
    if books.flow_hash != shared.flow.hash {
        let text = format!("batch {} was held by another version of the flow", wanted.batch);
        return Err(Error::usage(text).help("repair it with the flow as it was"));
    }
    if let Some(stream) = was.ids.keys().find(|stream| is_anew(&was, ids, stream)) {
        let text = format!("{stream} was recreated since batch {} was held", wanted.batch);
        return Err(Error::new(ErrorKind::Lost, text));
    }
    let mut mending = was.repair.clone().unwrap_or_default();
    let mut tally = books.tally.clone();
    let letters = letters_of(shared, &mending, wanted)?;
    for (id, letter) in &letters {
        let (step, of) = (told(letter, "step"), told(letter, "of"));
        let counted = tally.entry(step.clone()).or_default();
        counted.dead = counted.dead.saturating_sub(1);
        if wanted.skip.contains(id) {
            counted.skipped += 1;
        } else {
            may_retry(shared, &books, id, letter)?;
            untake(counted, &of);
            mending.again.push(Again { id: id.clone(), step, of });
        }
        mending.settled.push(id.clone());
    }
    let later = mending.runs.first().is_some_and(|first| last.number - first >= mending.runs.len() as u64);
    let replaces = |s: &&Stream| s.sink.as_ref().is_some_and(|sink| sink.mode != Mode::Append);
    let in_place = |s: &&Stream| mending.placed.iter().any(|p| p.sink == s.name);
    let sinks = shared.flow.streams.iter().filter(replaces).filter(|s| later || in_place(s));
    mending.beside = sinks.map(|s| s.name.clone()).collect();
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
    ends_now(shared, &last, &mut record)?;
    let goes_on: Vec<String> = mending.aside.iter().map(|s| format!("sink:{s}")).collect();
    record.repair = Some(mending);
    let mut read = books.read;
    read.retain(|reader, _| reader.stream != shared.dead); // an earlier repair read its own letters
    let mut marks = books.marks;
    marks.remove(marks::DEAD);
    marks.retain(|mark, _| !mark.starts_with("sink:") || goes_on.contains(mark));
    Ok(Account {
        version: ACCOUNT_VERSION,
        flow_hash: shared.flow.hash.clone(),
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

/// The files that the batch had begun go on in the place of this repair.
pub fn bring_back(shared: &Shared, record: &RunRecord) -> Result<()> {
    for (path, waits) in begun(shared, record)? {
        shared.world.put_aside(&waits, &path)?;
    }
    Ok(())
}

/// They wait again, as its batch does.
pub fn put_back(shared: &Shared, record: &RunRecord) -> Result<()> {
    for (path, waits) in begun(shared, record)? {
        shared.world.put_aside(&path, &waits)?;
    }
    Ok(())
}

/// Where the files stand in a repair that its batch had begun, and where they wait for one.
fn begun(shared: &Shared, record: &RunRecord) -> Result<Vec<(String, String)>> {
    let names = record.repair.as_ref().map_or(&[][..], |mending| &mending.aside);
    let streams = shared.flow.streams.iter().enumerate().filter(|(_, s)| names.contains(&s.name));
    let mut paths = vec![];
    for (s, _) in streams {
        paths.extend(super::sinks::aside(shared, s, record.batch)?.filter(|(path, waits)| path != waits));
    }
    Ok(paths)
}

/// Own streams go on where they end now; the dead letters of the batch lie before the present end of theirs.
fn ends_now(shared: &Shared, last: &RunRecord, record: &mut RunRecord) -> Result<()> {
    for (s, stream) in shared.flow.streams.iter().enumerate() {
        if shared.plan.logged[s] && stream.writer != Writer::Outside {
            for (p, span) in own_span(shared, &stream.at, Some(last), &record.ids)?.into_iter().enumerate() {
                record.starts.insert((stream.at.clone(), p as u32), span.end);
            }
        }
    }
    for (p, span) in own_span(shared, &shared.dead, Some(last), &record.ids)?.into_iter().enumerate() {
        let spot = (shared.dead.clone(), p as u32);
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
fn letters_of(shared: &Shared, mending: &Mending, wanted: &Repair) -> Result<BTreeMap<String, Item>> {
    let ids: BTreeSet<&String> = wanted.retry.iter().chain(&wanted.skip).collect();
    if wanted.retry.len() + wanted.skip.len() > MOST {
        return Err(Error::usage(format!("at most {MOST} dead letters can be retried or skipped at once")));
    }
    if mending.settled.len() + wanted.retry.len() + wanted.skip.len() > MOST_SETTLED {
        let text = format!("at most {MOST_SETTLED} dead letters of a batch can be settled");
        return Err(Error::usage(text).help("accept the rest with  tolerate, or run the batch again"));
    }
    let mut letters = BTreeMap::new();
    each(&*shared.engine, &shared.dead, |_, item| {
        let id = told(&item, "id");
        let of_batch = told(&item, "run").parse().is_ok_and(|run| mending.runs.contains(&run));
        if ids.contains(&id) && of_batch {
            letters.insert(id, item);
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
        return Err(Error::usage(text).help(format!("anabranch dead list  shows those of {}", shared.flow.name)));
    }
    Ok(letters)
}

/// An item can be tried again where a step took it, unless a reduce behind it has said its results.
fn may_retry(shared: &Shared, books: &Account, id: &str, letter: &Item) -> Result<()> {
    let (flow, step, of) = (&shared.flow, told(letter, "step"), told(letter, "of"));
    if !told(letter, "cut").is_empty() {
        let text = format!("the dead letter {id} was too large to be kept whole, and cannot be tried again");
        return Err(Error::usage(text).help("skip it, or run the batch anew"));
    }
    let found = flow.steps.iter().position(|s| s.name == step);
    let input = found.zip(flow.streams.iter().position(|s| s.name == of));
    let Some((s, _)) = input.filter(|(s, of)| flow.steps[*s].inputs.contains(of)) else {
        return Err(Error::usage(format!("the dead letter {id} failed at {step}, and cannot be retried there"))
            .help("skip it, or run the batch again"));
    };
    if let Some(late) = said_behind(flow, books, s) {
        return Err(Error::usage(format!("{late} has written its results: the dead letter {id} would come too late"))
            .help("skip it"));
    }
    Ok(())
}

/// A reduce that a step leads to, and that has said its results; or a pair, which has moved on.
fn said_behind(flow: &Flow, books: &Account, step: usize) -> Option<String> {
    let mut todo = vec![step];
    let mut seen = BTreeSet::new();
    while let Some(s) = todo.pop().filter(|_| seen.len() <= flow.steps.len()) {
        if !seen.insert(s) {
            continue;
        }
        let name = &flow.steps[s].name;
        if books.marks.contains_key(&marks::done(name))
            && matches!(flow.steps[s].kind, Kind::Reduce(..) | Kind::Pair(_))
        {
            return Some(name.clone());
        }
        todo.extend(flow.steps[s].outputs.iter().flat_map(|o| &flow.streams[*o].readers).map(|(reader, _)| *reader));
    }
    None
}

/// Gives the steps whose dead letters are tried again a root that reads them.
pub fn extend(shared: &mut Shared, record: &RunRecord) {
    let Some(mending) = &record.repair else { return };
    let of_name = |name: &String| shared.flow.streams.iter().position(|s| s.name == *name);
    // an earlier repair of the batch may have put a file there
    let behind = |s: &usize| {
        let (name, first) = (&shared.flow.streams[*s].name, super::sinks::of_batch(record.batch));
        let taken = mending.placed.iter().any(|p| p.sink == *name && p.path.ends_with(&first));
        if taken { format!("{first}-{}", record.number) } else { first }
    };
    let beside: BTreeMap<usize, String> = mending.beside.iter().filter_map(of_name).map(|s| (s, behind(&s))).collect();
    shared.beside = beside;
    if shared.again.is_some() || mending.again.is_empty() {
        return;
    }
    let mut flow = Flow::clone(&shared.flow);
    let dead = flow.streams.len();
    let Some(like) = flow.streams.first() else { return };
    flow.streams.push(Stream {
        name: "dead letters".into(),
        at: shared.dead.clone(),
        declared: false,
        writer: Writer::Outside,
        readers: vec![],
        source: None,
        sink: None,
        ..like.clone()
    });
    let roots: BTreeSet<(&str, &str)> = mending.again.iter().map(|a| (a.step.as_str(), a.of.as_str())).collect();
    for (step, of) in roots {
        let step = flow.steps.iter().position(|s| s.name == step);
        let of = flow.streams.iter().position(|s| s.name == of);
        let (Some(s), Some(of)) = (step, of) else { continue };
        let input = flow.steps[s].inputs.iter().position(|i| *i == of).unwrap_or(0);
        if let Some(unit) = shared.plan.unit_of(Node::Step(s)) {
            let taken = flow.streams[of].name.clone();
            let root = Root { node: Node::Step(s), input, of, from: dead, taken, how: How::Log, gates: vec![] };
            shared.plan.units[unit].roots.push(root);
        }
    }
    shared.plan.logged.push(true);
    shared.plan.writers.push(None);
    shared.partitions.push(record.lanes);
    shared.with_headers.push(true);
    shared.flow = Arc::new(flow);
    shared.again = Some((dead, mending.again.clone()));
}

/// The dead letters in a batch that a root tries again: the position behind each, and the item as its step got it.
pub fn letters(shared: &Shared, root: &Root, handle: &Handle, span: std::ops::Range<i64>) -> Result<Vec<(i64, Part)>> {
    let Some((_, again)) = &shared.again else { return Ok(vec![]) };
    let Node::Step(s) = root.node else { return Ok(vec![]) };
    let step = &shared.flow.steps[s].name;
    let mut out = vec![];
    for record in handle.load()?.records()?.iter() {
        let offset = handle.at.offset + i64::from(record.delta());
        let item = record.to_item();
        let id = told(&item, "id");
        let wanted = again.iter().any(|a| a.id == id && a.step == *step && a.of == root.taken);
        if span.contains(&offset) && wanted {
            out.extend(part(shared, step, item).map(|part| (offset + 1, part)));
        }
    }
    Ok(out)
}

fn part(shared: &Shared, step: &str, mut item: Item) -> Option<Part> {
    let place = told(&item, "place");
    let own = format!("{}/{step}/", shared.flow.name);
    let place = place.strip_prefix(&own).unwrap_or(&place).into();
    let above = told(&item, "above");
    let mut words = above.rsplitn(3, '/');
    let offset = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    let of_partition = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    let above = Arc::new((words.next().unwrap_or_default().to_string(), of_partition, offset));
    let partition = told(&item, "partition").parse().unwrap_or(0);
    item.headers.retain(|(name, _)| !name.starts_with("anabranch."));
    let mut batch = Builder::new(Codec::None);
    batch.push_item(&item);
    let origin = Origin::Again { place, above };
    batch.finish().map(|batch| Part { body: Body::Ready(batch), rows: None, origin, partition })
}

/// Where a position lies in the stretches of its batch, and how far it may be read there: what other batches put between
/// them is passed over.
pub fn stretch(record: &RunRecord, spot: &Spot, at: i64, end: i64) -> (i64, i64) {
    let Some(extents) = record.extents.get(spot) else { return (at, end) };
    if let Some(extent) = extents.iter().find(|e| at < e.to) {
        return (at.max(extent.from), end.min(extent.to));
    }
    (at.max(record.starts.get(spot).copied().unwrap_or(at)), end)
}
